"""YAML text to plain content and back. `1e-3` is a number in every place, and `${...}` is text: nothing is resolved."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader

MAX_DEPTH = 100
"""Of nested mappings and lists: libyaml's loader would end the process by a stack overflow."""
MAX_VALUES = 200_000
"""Values once aliases are expanded: ten lines of aliases can stand for billions."""
FLOAT = re.compile(
    r"""^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
    |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
"""YAML 1.2's floats: PyYAML by itself takes `1e-3` for text."""

LINE_ENDS = re.compile("[\x85\u2028\u2029]")


class YAMLTextError(ValueError):
    """Text that is not YAML, or no plain content."""


class _Loader(SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader, which refuses a key that is there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in keys:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
                keys.add(key.value)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return found


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes what `_Loader` would not read as text."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_str(self, data: str) -> Any:
        # In another style, PyYAML writes these line ends as they are, and reads them as spaces.
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if LINE_ENDS.search(data) else None)


_Dumper.add_representer(str, _Dumper.represent_str)
for _cls in (_Loader, _Dumper):
    _cls.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":float", ":timestamp"))]
        for first, resolvers in _cls.yaml_implicit_resolvers.items()
    }
    _cls.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def parse(text: str) -> Any:
    """Plain content: dicts with plain keys, lists, texts, numbers, booleans and null.

    Raises:
        YAMLTextError: not YAML, nested too deeply, a key twice, or a value of another kind.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise YAMLTextError(f"line {event.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels")
        content = yaml.load(text, Loader=_Loader)
        _check(content, [0], 0)
    except yaml.YAMLError as error:
        raise YAMLTextError(" ".join(str(error).replace('in "<unicode string>", ', "at ").split())) from None
    except (ValueError, TypeError, OverflowError, AttributeError, LookupError) as error:
        if isinstance(error, YAMLTextError):
            raise
        raise YAMLTextError(" ".join(str(error).split())) from None
    return content


def _check(value: object, count: list[int], depth: int) -> None:
    count[0] += 1
    if count[0] > MAX_VALUES or depth > MAX_DEPTH:
        raise YAMLTextError(f"aliases make more of it than {MAX_VALUES:,} values or {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, inside in value.items():
            if not isinstance(key, str | int | float | None):
                raise YAMLTextError(f"a key must be text, not {type(key).__name__}")
            _check(inside, count, depth + 1)
    elif isinstance(value, list):
        for inside in value:
            _check(inside, count, depth + 1)
    elif not isinstance(value, str | int | float | None):
        raise YAMLTextError(f"a value must be text, a number, true, false or null, not {type(value).__name__}")


def write(content: Mapping[str, object]) -> str:
    """YAML text of plain content, in the order it has; `parse` reads it back equal."""
    text: str = yaml.dump(dict(content), Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return text
