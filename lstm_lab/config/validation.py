"""Plain content becomes a typed configuration, and every error of it one line.

The line has the place (file or override), the key, what is wrong, and the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from lstm_lab.config import Config, ConfigError, DataError, legacy
from lstm_lab.config.fields import Field, fields

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MANY = 16
"""Names that a message lists at most."""
M = TypeVar("M", bound=Config)
T = TypeVar("T")


def validate(
    cls: type[M], content: Mapping[str, object], where: str, overrides: Iterable[tuple[str, object]] = ()
) -> M:
    """Build `cls` from plain content.

    Args:
        where: the file the content came from, for the message.
        overrides: dotted pairs already merged into `content`; an error under one of their keys names it, not the file.

    Raises:
        ConfigError: the first error in one line, and how many more there are.
    """
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        try:
            faults = error.errors(include_url=False)
        except UnicodeEncodeError as half:
            raise ConfigError(f"{where}: {half.object!r} is no text that UTF-8 has: write it again") from None
        raise ConfigError(_message(cls, faults[0], where, list(overrides), len(faults) - 1)) from None


def restore(cls: type[T], content: Mapping[str, object], where: str) -> T:
    """A dataclass from its fields as a record has them.

    Args:
        where: in the record, for the message.

    Raises:
        DataError: other fields, or other types.
    """
    try:
        return TypeAdapter(cls).validate_python(dict(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([where, *map(str, first["loc"])])
        raise DataError(f"{place}: {first['msg']}: restore a copy of the file") from None


def _message(cls: type[Config], error: ErrorDetails, where: str, overrides: list[tuple[str, object]], more: int) -> str:
    path = ".".join(str(part) for part in error["loc"])
    context = error.get("ctx") or {}
    if error["type"] == "unknown_key":
        section, path = path, f"{path}.{context['key']}" if path else context["key"]
        new = legacy.successor(section, context["key"])
        suggestion = suggestion_for(context["key"], context["siblings"], lambda: fields(cls))
        text = f"is now called '{new}'" if new in context["siblings"] else error["msg"] + suggestion
    elif error["type"] == "missing":
        text = f"missing, and it has no default; it takes {_shortened(_type_of(cls, path))}"
    elif error["type"] in ("value_error", "unknown_name"):
        text = error["msg"].removeprefix("Value error, ")
    elif error["type"] == "model_type":
        text = f"must be a mapping of fields, got {_show(error['input'])}"
    else:
        message = error["msg"].removeprefix("Input should be ").replace("Input should ", "")
        message += " or null" if _type_of(cls, path).endswith("| null") else ""
        text = f"{'' if message == error['msg'] else 'must be '}{message}, got {_show(error['input'])}"
    source = where
    for key, value in overrides:
        override = f"override '{key}={value if isinstance(value, str) and value.isprintable() else _show(value)}'"
        if path == key or path.startswith(key + "."):
            source = override
        elif key.startswith(path + "."):
            # An error between two fields of a section may come from the file as well.
            source = f"{where}, {override}" if error["type"] == "value_error" else override
    line = f"{source}: {path}: {text}" if path else f"{source}: {text}"
    return line + (f" (and {more} more)" if more else "")


def _type_of(cls: type[Config], path: str) -> str:
    """What the field at `path` takes, as `lstm-lab fields` shows it."""
    kinds = {row.type for row in fields(cls) if row.path == path}
    return kinds.pop() if len(kinds) == 1 else "a value"


def _shortened(kind: str) -> str:
    """With the first of many names."""
    names = kind.split(" | ")
    return kind if len(names) <= MANY else f"{' | '.join(names[:MANY])} | ... (lstm-lab list has all {len(names)})"


def suggestion_for(key: str, siblings: Iterable[str], rows: Callable[[], Iterable[Field]]) -> str:
    """End of the message about an unknown key: the closest name in the same section, else a close one elsewhere.

    Args:
        siblings: keys of the section.
        rows: returns all fields there are.
    """
    siblings = list(siblings)
    if "." in key:
        return f"; dots are for overrides: write {key.replace('.', ': {')}: ...{'}' * key.count('.')} in a file"
    near = difflib.get_close_matches(key, siblings, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    known = list(rows())
    chosen = {row.default for row in known}  # Of two classes with the same field, the default one.
    known.sort(key=lambda row: row.of not in chosen)
    elsewhere = {row.path.rsplit(".", 1)[-1]: row for row in reversed(known)}
    near = difflib.get_close_matches(key, elsewhere, n=1, cutoff=0.7)
    if near:
        row = elsewhere[near[0]]
        return f"; did you mean '{row.path}'{f' of {row.of}' if row.of else ''}?"
    return f"; it has: {', '.join(sorted(siblings))}"


def _show(value: object) -> str:
    """As YAML writes it, on one short line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 999:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
