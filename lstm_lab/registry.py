"""Name -> class, filled by writing the class.

    class GRU(Cell, name="gru"):
        class Config(Cell.Config):
            bias: bool = True

From then on `cell: gru` and `cell: {name: gru, bias: false}` build it, `lstm-lab list` shows it, sweeps can choose it.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import types
import typing
from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticUndefined, core_schema

from lstm_lab.config import Config, docs

__all__ = ["Choice", "Field", "Named", "Registered", "all_kinds", "fields", "import_all", "spell_out"]


class Named(Config):
    """A config that says by `name` which registered class it builds."""

    name: str
    """Which one; see `lstm-lab list`."""

    owner: ClassVar[type[Registered]]

    def choices(self) -> dict[str, Any]:
        """The fields as keyword arguments: what a person chose, without the name."""
        return {key: getattr(self, key) for key in type(self).model_fields if key != "name"}

    def build(self, *info: Any, **more: Any) -> Any:
        """The object: `info` come from the data, the rest from this config."""
        return self.owner(*info, **more, **self.choices())


_KINDS: dict[str, type[Registered]] = {}


class Registered(ABC):
    """Base of every kind that is chosen by name. A kind says `kind=`, each of its members says `name=`."""

    kind: ClassVar[str]
    members: ClassVar[dict[str, Any]]
    """Name -> member of this kind."""
    name: ClassVar[str]
    Config: ClassVar[type[Named]] = Named

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, kind: str | None = None, name: str | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if kind is not None:
            cls.kind, cls.members = kind, {}
            _KINDS[kind] = cls
        if name is None:
            return
        other = cls.members.get(name)
        if other is not None and other.__qualname__ != cls.__qualname__:
            raise TypeError(
                f"{cls.kind} '{name}' is already {other.__module__}.{other.__qualname__}: pick another name"
            )
        written = cls.Config
        only: dict[str, Any] = {"name": (Literal[name], name)}
        named = typing.cast(
            Any, create_model("Config", __base__=written, __module__=cls.__module__, __doc__=written.__doc__, **only)
        )
        named.__qualname__ = f"{cls.__qualname__}.Config"
        named.owner = cls
        cls.Config, cls.name = named, name
        cls.members[name] = cls


def all_kinds() -> dict[str, type[Registered]]:
    """Kind -> its base class, each base holding its `members`."""
    return dict(_KINDS)


def import_all(package: str) -> None:
    """Import every module of a package once, so that its classes register: no hand-kept list."""
    module = importlib.import_module(package)
    for found in pkgutil.iter_modules(module.__path__):
        importlib.import_module(f"{package}.{found.name}")


class Choice:
    """Annotation of a config field that holds the config of one registered class.

    The member is looked up when a value is validated, so a class registered later is accepted at once, and a fault
    inside it keeps its own path. A bare string is short for `{name: string}`; without a name, `default` is meant.
    """

    def __init__(self, base: type[Registered], default: str | None = None):
        self.base, self.default = base, default

    def validate(self, value: Any) -> Named:
        """The config of the class that a value names, or of the default."""
        members = self.base.members
        if isinstance(value, Named) and isinstance(value, tuple(member.Config for member in members.values())):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            raise PydanticCustomError("choice_type", "Input should be a name or a mapping with one", {})
        name = value.get("name", self.default)
        if name is None:
            raise ValueError(f"say which {self.base.kind} by 'name': one of {', '.join(sorted(members))}")
        if not isinstance(name, str) or name not in members:
            near = difflib.get_close_matches(str(name), members, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(members))}"
            raise PydanticCustomError("unknown_name", "no {kind} named {name}; {hint}",
                                      {"kind": self.base.kind, "name": repr(name), "hint": hint})  # fmt: skip
        return members[name].Config.model_validate({**value, "name": name})

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda config: config.model_dump(mode="json")
            ),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        configs = [member.Config for member in self.base.members.values()]
        return {
            "anyOf": [
                {"enum": sorted(self.base.members)},
                *(config.__get_pydantic_json_schema__(config.__pydantic_core_schema__, handler) for config in configs),
            ]
        }


def _choice_of(info: FieldInfo) -> Choice | None:
    return next((meta for meta in info.metadata if isinstance(meta, Choice)), None)


def spell_out(cls: type[Config], content: Mapping[str, Any]) -> dict[str, Any]:
    """Content in which every choice says its name: `gru` becomes `{name: gru}`, `{lr: 1}` gets the default's.

    So an override can tell the member that is there from another one.
    """
    spelled = dict(content)
    for key, info in cls.model_fields.items():
        value, choice = content.get(key), _choice_of(info)
        if choice is not None and isinstance(value, (str, Mapping)):
            value = {"name": value} if isinstance(value, str) else value
            value = {"name": choice.default, **value} if choice.default else value
            member = choice.base.members.get(str(value.get("name")))
            spelled[key] = value if member is None else spell_out(member.Config, value)
        elif isinstance(value, Mapping) and isinstance(info.annotation, type) and issubclass(info.annotation, Config):
            spelled[key] = spell_out(info.annotation, value)
    return spelled


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


def fields(cls: type[Config], prefix: str = "", of: str = "") -> Iterator[Field]:
    """Every field under a config, depth first; below a choice, the fields of each member."""
    for key, info in cls.model_fields.items():
        path = prefix + key
        choice = _choice_of(info)
        doc = " ".join(docs(cls).get(key, "").split())
        if choice is not None:
            yield Field(path, of, f"{choice.base.kind}: {' | '.join(sorted(choice.base.members))}", _default(info), doc)
            members, shown = choice.base.members, {(f"{path}.name", name) for name in choice.base.members}
            for name in sorted(members):
                for row in fields(members[name].Config, f"{path}.", name):
                    # Two models with a cell show the fields of each cell once.
                    if (row.path, row.of) not in shown:
                        shown.add((row.path, row.of))
                        yield row
        elif isinstance(info.annotation, type) and issubclass(info.annotation, Config):
            yield from fields(info.annotation, f"{path}.", of)
        else:
            yield Field(path, of, type_name(info.annotation), _default(info), doc)


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
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Named):
        return value.name
    return "null" if value is None else str(value)
