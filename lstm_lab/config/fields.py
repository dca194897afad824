"""Every field of a configuration, with its type, default and docstring: what `lstm-lab fields` prints."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lstm_lab.config import Config, docs
from lstm_lab.config.registry import ManyOf, Named, choice_of


@dataclass(frozen=True)
class Field:
    """One row of `lstm-lab fields`."""

    path: str
    """Dotted key, as an override writes it."""
    of: str
    """The member it belongs to (`gru`), empty where there is no choice."""
    type: str
    default: str
    doc: str
    owner: str
    """Class that it configures (`GRU`), as error messages name it."""


def fields(cls: type[Config], prefix: str = "", of: str = "") -> Iterator[Field]:
    """Every field under a config, depth first; below a choice, the fields of each member."""
    for key, info in cls.model_fields.items():
        path = prefix + key
        choice = choice_of(info)
        doc = " ".join(docs(cls).get(key, "").split())
        if choice is not None:
            many = isinstance(choice, ManyOf)
            kind = f"list of {choice.base.kind}" if many else choice.base.kind
            yield Field(path, of, f"{kind}: {' | '.join(sorted(choice.base.members))}", _default(info), doc,
                        cls.class_name())  # fmt: skip
            members = choice.base.members
            shown = {(f"{path}.{name}.name" if many else f"{path}.name", name) for name in members}
            for name in sorted(members):
                for row in fields(members[name].Config, f"{path}.{name}." if many else f"{path}.", name):
                    # Two models with a cell show the fields of each cell once.
                    if (row.path, row.of) not in shown:
                        shown.add((row.path, row.of))
                        yield row
        elif isinstance(info.annotation, type) and issubclass(info.annotation, Config):
            yield from fields(info.annotation, f"{path}.", of)
        else:
            yield Field(path, of, type_name(info.annotation), _default(info), doc, cls.class_name())


def type_name(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(value) for value in args)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(arg) for arg in args)
    if origin is typing.Annotated:
        return type_name(args[0])
    if origin is not None:
        inside = ", ".join("..." if arg is Ellipsis else type_name(arg) for arg in args)
        return f"{origin.__name__}[{inside}]"
    if annotation is type(None):
        return "null"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Named):
        return value.name
    choice = choice_of(info)
    if choice is not None and not choice.optional and not value:
        return "none"
    return "null" if value is None else str(value)
