"""Constraints on configurations, as `model.hidden_size * model.num_layers <= 256`.

They are parsed with Python's grammar and evaluated here, never by Python. Allowed are dotted keys, numbers, strings,
`+ - * / // %`, comparisons, `and`, `or`, `not`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
MAX_LENGTH = 500
"""Characters of an expression: few enough not to overflow the parser's stack."""


class MissingValue(Exception):
    """A key that the experiment does not have, or whose value is null."""


class Constraint:
    """An expression that must be true of a configuration.

    Args:
        text: the expression as the sweep file writes it.

    Raises:
        ValueError: in one line, for anything but comparisons of the terms listed above.
    """

    def __init__(self, text: str) -> None:
        self.text = text = " ".join(text.split())
        try:
            if len(text) > MAX_LENGTH:
                raise SyntaxError(f"longer than {MAX_LENGTH} characters")
            self.tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else error
            raise ValueError(f"'{text[:60]}': not an expression: {reason}") from None
        self.keys: set[str] = set()
        self._check(self.tree, is_condition=True)
        if not self.keys:
            raise ValueError(
                f"'{text}': contains no key; write for example model.hidden_size * model.num_layers <= 256"
            )

    def is_satisfied(self, experiment: Mapping[str, object]) -> bool:
        """Whether an experiment satisfies the constraint; it does where one of the keys is missing or null.

        Args:
            experiment: in plain content, with every default.

        Raises:
            ValueError: arithmetic with something that is not a number.
        """
        try:
            return bool(self._value(self.tree, experiment))
        except MissingValue:
            return True
        except (ZeroDivisionError, OverflowError):
            return False
        except TypeError as error:
            raise ValueError(f"'{self.text}': {error}") from None

    def missing_keys(self, experiment: Mapping[str, object]) -> set[str]:
        """The keys of the constraint that an experiment does not have."""
        return {key for key in self.keys if not _has_key(experiment, key)}

    def involves(self, key: str) -> bool:
        """Whether a key, a section that contains it or something inside it is a key of the constraint."""
        return any(f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.") for other in self.keys)

    def _check(self, node: ast.expr, is_condition: bool) -> None:
        """Refuse an expression that is not allowed where a condition, or where a value is expected."""
        match node:
            case ast.BoolOp(values=values) if is_condition:
                children: list[tuple[ast.expr, bool]] = [(value, True) for value in values]
            case ast.UnaryOp(op=ast.Not(), operand=operand) if is_condition:
                children = [(operand, True)]
            case ast.Compare(left=left, ops=ops, comparators=others) if is_condition and all(
                type(op) in COMPARISONS for op in ops
            ):
                children = [(left, False), *((other, False) for other in others)]
            case ast.BinOp(left=left, op=op, right=right) if not is_condition and type(op) in ARITHMETIC:
                children = [(left, False), (right, False)]
            case ast.UnaryOp(op=ast.USub(), operand=operand) if not is_condition:
                children = [(operand, False)]
            case ast.Constant(value=bool() | int() | float() | str()) if not is_condition:
                children = []
            case ast.Name() | ast.Attribute() if not is_condition and (key := _dotted_key(node)):
                self.keys.add(key)
                children = []
            case _:
                expected = "a comparison, as in model.hidden_size * model.num_layers <= 256" if is_condition else (
                    "a dotted key, a number, a string or + - * / // % of them"
                )  # fmt: skip
                raise ValueError(f"'{self.text}': '{ast.unparse(node)[:60]}' must be {expected}")
        for child, child_is_condition in children:
            self._check(child, child_is_condition)

    def _value(self, node: ast.expr, experiment: Mapping[str, object]) -> object:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self._value(value, experiment) for value in values)
            case ast.BoolOp(values=values):
                return any(self._value(value, experiment) for value in values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand, experiment)
            case ast.UnaryOp(operand=operand):
                return -_number(self._value(operand, experiment))
            case ast.Compare(left=left, ops=ops, comparators=others):
                terms = [self._value(each, experiment) for each in (left, *others)]
                pairs = zip(ops, terms, terms[1:], strict=False)
                return all(COMPARISONS[type(op)](one, other) for op, one, other in pairs)
            case ast.BinOp(left=left, op=op, right=right):
                one, other = (_number(self._value(side, experiment)) for side in (left, right))
                return ARITHMETIC[type(op)](one, other)
            case ast.Constant(value=value):
                return value
        return _value_of(experiment, _dotted_key(node) or "")

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraint) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _dotted_key(node: ast.expr) -> str | None:
    """`model.num_layers` of nested attributes; None where the innermost is not a name."""
    if isinstance(node, ast.Attribute):
        head = _dotted_key(node.value)
        return head and f"{head}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value


def _lookup(experiment: Mapping[str, object], key: str) -> object:
    """The content under a dotted key; MissingValue where there is none."""
    content: object = experiment
    for name in key.split("."):
        if not isinstance(content, Mapping) or name not in content:
            raise MissingValue(key)
        content = content[name]
    return content


def _has_key(experiment: Mapping[str, object], key: str) -> bool:
    try:
        _lookup(experiment, key)
    except MissingValue:
        return False
    return True


def _value_of(experiment: Mapping[str, object], key: str) -> object:
    """The value under a key; of a section that is chosen by name, the name."""
    content = _lookup(experiment, key)
    value = content.get("name") if isinstance(content, Mapping) else content
    if value is None:
        raise MissingValue(key)
    return value
