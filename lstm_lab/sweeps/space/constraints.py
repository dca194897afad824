"""Constraints on configurations: `model.hidden_size * model.num_layers <= 256`. Parsed with `ast`, never executed.

Only what is listed here has a meaning: dotted keys, numbers, texts, `+ - * / // %`, comparisons, `and`, `or`, `not`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
LONGEST = 500
"""Characters: enough for any rule a person reads, and too few to overflow the parser."""


class Absent(Exception):
    """A key that the point does not have, or that is null there."""


class Constraint:
    """What must hold at a point.

    Args:
        text: the expression as the sweep file has it.

    Raises:
        ValueError: in one line, for what is no comparison or holds anything beyond the list above.
    """

    kinds: ClassVar[tuple[type[ast.expr], ...]] = (ast.Compare, ast.BoolOp)

    def __init__(self, text: str) -> None:
        self.text = text = " ".join(text.split())
        try:
            if len(text) > LONGEST:
                raise SyntaxError(f"longer than {LONGEST} characters")
            self.tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise ValueError(f"'{text[:60]}': not an expression: {getattr(error, 'msg', error)}") from None
        self.keys: set[str] = set()
        self._check(self.tree, truth=True)
        if not self.keys:
            raise ValueError(f"'{text}': names no key, as in model.hidden_size * model.num_layers <= 256")

    def is_satisfied(self, experiment: Mapping[str, Any]) -> bool:
        """Whether it holds for an experiment in plain content; it does where it speaks of a key that is not there.

        Raises:
            ValueError: a text where a number belongs.
        """
        try:
            return bool(self._value(self.tree, experiment))
        except Absent:
            return True
        except (ZeroDivisionError, OverflowError):
            return False
        except TypeError as error:
            raise ValueError(f"'{self.text}': {error}") from None

    def unknown(self, experiment: Mapping[str, Any]) -> set[str]:
        """The keys that an experiment does not have."""
        return {key for key in self.keys if not _has(experiment, key)}

    def _check(self, node: ast.expr, truth: bool) -> None:
        """Refuse what has no meaning; `truth` where a yes or no belongs, else a number, a text or a key."""
        match node:
            case ast.BoolOp(values=values) if truth:
                inside = [(value, True) for value in values]
            case ast.UnaryOp(op=ast.Not(), operand=operand) if truth:
                inside = [(operand, True)]
            case ast.Compare(left=left, ops=ops, comparators=others) if truth and all(
                type(op) in COMPARISONS for op in ops
            ):
                inside = [(left, False), *((other, False) for other in others)]
            case ast.BinOp(left=left, op=op, right=right) if not truth and type(op) in ARITHMETIC:
                inside = [(left, False), (right, False)]
            case ast.UnaryOp(op=ast.USub(), operand=operand) if not truth:
                inside = [(operand, False)]
            case ast.Constant(value=bool() | int() | float() | str()) if not truth:
                inside = []
            case ast.Name() | ast.Attribute() if not truth and (key := _dotted(node)):
                self.keys.add(key)
                inside = []
            case _:
                part = ast.unparse(node)
                wanted = "a comparison, as in model.hidden_size * model.num_layers <= 256" if truth else (
                    "a dotted key, a number, a text or + - * / // % of them"
                )  # fmt: skip
                raise ValueError(f"'{self.text}': '{part[:60]}' must be {wanted}")
        for child, kind in inside:
            self._check(child, kind)

    def _value(self, node: ast.expr, experiment: Mapping[str, Any]) -> Any:
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
                values = [self._value(each, experiment) for each in (left, *others)]
                pairs = zip(ops, values, values[1:], strict=False)
                return all(COMPARISONS[type(op)](one, other) for op, one, other in pairs)
            case ast.BinOp(left=left, op=op, right=right):
                one, other = (_number(self._value(side, experiment)) for side in (left, right))
                return ARITHMETIC[type(op)](one, other)
            case ast.Constant(value=value):
                return value
        return _at(experiment, _dotted(node) or "")

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraint) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _dotted(node: ast.expr) -> str | None:
    """`model.num_layers` of its nested attributes; None where something else than a name is at the bottom."""
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return head and f"{head}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number to reckon with")
    return value


def _has(experiment: Mapping[str, Any], key: str) -> bool:
    held: Any = experiment
    for part in key.split("."):
        if not isinstance(held, Mapping) or part not in held:
            return False
        held = held[part]
    return True


def _at(experiment: Mapping[str, Any], key: str) -> Any:
    """A number or a text; of a section that is chosen by name, the name."""
    held: Any = experiment
    for part in key.split("."):
        if not isinstance(held, Mapping) or part not in held:
            raise Absent(key)
        held = held[part]
    if isinstance(held, Mapping):
        held = held.get("name")
    if held is None:
        raise Absent(key)
    return held
