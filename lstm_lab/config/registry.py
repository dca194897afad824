"""Name -> class. A class registers itself by being defined.

    class GRU(Cell, name="gru"):
        class Config(Cell.Config):
            bias: bool = True

From then on `cell: gru` and `cell: {name: gru, bias: false}` build it, `lstm-lab list` shows it, sweeps can choose it.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import typing
from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from lstm_lab.config import Config, by_name

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import ErrorDetails, InitErrorDetails

__all__ = ["ManyOf", "Named", "OneOf", "Registered", "all_kinds", "choice_of", "expand_choices", "import_all"]


class Named(Config):
    """The config of a registered class, which its `name` chooses."""

    name: str = ""
    """Which one; see `lstm-lab list`."""

    owner: ClassVar[type[Registered]]
    """The class that it configures."""

    def options(self) -> dict[str, object]:
        """The fields as keyword arguments of the class, without the name."""
        return {key: getattr(self, key) for key in type(self).model_fields if key != "name"}

    def build(self, *facts: Any, **more: Any) -> Any:
        """An instance of the class: `facts` of the data as positional arguments, the fields as keyword arguments."""
        return self.owner(*facts, **more, **self.options())


_KINDS: dict[str, type[Registered]] = {}


class Registered(ABC):
    """Base of what is chosen by name. The base class of a kind passes `kind=`, each of its members `name=`."""

    kind: ClassVar[str]
    members: ClassVar[dict[str, Any]]
    """Name -> member of this kind."""
    name: ClassVar[str]
    Config: ClassVar[type[Named]] = Named

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, kind: str | None = None, name: str | None = None, **more: object) -> None:
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
        written, base = cls.Config, _KINDS[cls.kind].Config
        # Every Config has the methods of its kind's, whether it derives from it or from Named.
        bases: Any = written if issubclass(written, base) else (written, base)
        only: dict[str, Any] = {"name": (Literal[name], name)}
        named = typing.cast(
            Any, create_model("Config", __base__=bases, __module__=cls.__module__, __doc__=written.__doc__, **only)
        )
        named.__qualname__ = f"{cls.__qualname__}.Config"
        named.owner = cls
        cls.Config, cls.name = named, name
        cls.members[name] = cls


def all_kinds() -> dict[str, type[Registered]]:
    """Kind -> its base class, each base holding its `members`."""
    return dict(_KINDS)


def import_all(package: str) -> None:
    """Import every module of a package, so that the classes in it register."""
    module = importlib.import_module(package)
    for found in pkgutil.iter_modules(module.__path__):
        importlib.import_module(f"{package}.{found.name}")


class OneOf:
    """Annotation of a config field that holds the config of one registered class.

    The member is looked up when a value is validated, so a class registered later is accepted at once, and an error
    inside it keeps its own path. A bare string is short for `{name: string}`; without a name, `default` is chosen.
    With `optional`, the field may be None.
    """

    def __init__(self, base: type[Registered], default: str | None = None, *, optional: bool = False):
        self.base, self.default, self.optional = base, default, optional

    def validate(self, value: object) -> Named:
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
            raise ValueError(f"no name: choose the {self.base.kind} by 'name', one of {', '.join(sorted(members))}")
        if not isinstance(name, str) or name not in members:
            near = difflib.get_close_matches(str(name), members, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(members))}"
            raise PydanticCustomError("unknown_name", "no {kind} named {name}; {hint}",
                                      {"kind": self.base.kind, "name": repr(name), "hint": hint})  # fmt: skip
        config: Named = members[name].Config.model_validate({**value, "name": name})
        return config

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        one = core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda config: config.model_dump(mode="json")
            ),
        )
        return core_schema.nullable_schema(one) if self.optional else one

    def __get_pydantic_json_schema__(self, schema: object, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        configs = [member.Config for member in self.base.members.values()]
        return {
            "anyOf": [
                {"enum": sorted(self.base.members)},
                *(config.__get_pydantic_json_schema__(config.__pydantic_core_schema__, handler) for config in configs),
                *([{"type": "null"}] if self.optional else []),
            ]
        }


class ManyOf(OneOf):
    """Annotation of a config field that holds a tuple of configs of registered classes, of each class one at most.

    Written as a list of names and of mappings with one, or as a mapping of options by name, which is how it is dumped:
    so that an override addresses a member by its name, as in `regularizers.ar.alpha=1`. null in place of the options
    removes a member.
    """

    def validate_all(self, value: object) -> tuple[Named, ...]:
        """The config of each class that a value names."""
        members = self._listed(value)
        names = [member.name for member in members]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{name}' is there twice: write it once")
        return tuple(members)

    def _listed(self, value: object) -> list[Named]:
        if isinstance(value, (str, Named)) or _is_one(value):
            value = [value]
        if isinstance(value, (list, tuple)):
            return [self._named(number, each) for number, each in enumerate(value)]
        if not isinstance(value, Mapping):
            raise PydanticCustomError("choice_type", "Input should be a list of names and of mappings with one", {})
        chosen = {name: options for name, options in value.items() if options is not None}
        return [self._named(name, self._with_name(name, options)) for name, options in chosen.items()]

    def _with_name(self, name: str, options: object) -> object:
        if isinstance(options, Mapping) and options.get("name", name) == name:
            return {**options, "name": name}
        wanted = f"{self.base.kind} '{name}': must be a mapping of its options, {{}} for the defaults, null for none"
        raise ValueError(wanted)

    def _named(self, place: str | int, value: object) -> Named:
        """One member; an error inside it has its place in the list, or its name, in its path."""
        try:
            return self.validate(value)
        except ValidationError as error:
            faults = error.errors(include_url=False)
            raise ValidationError.from_exception_data(error.title, [_below(place, fault) for fault in faults]) from None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate_all,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda configs: {config.name: config.model_dump(mode="json", exclude={"name"}) for config in configs}
            ),
        )

    def __get_pydantic_json_schema__(self, schema: object, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        one = super().__get_pydantic_json_schema__(schema, handler)
        options = {
            name: {"anyOf": [config.__get_pydantic_json_schema__(config.__pydantic_core_schema__, handler),
                             {"type": "null"}]}
            for name, config in ((name, member.Config) for name, member in sorted(self.base.members.items()))
        }  # fmt: skip
        return {
            "anyOf": [
                {"type": "array", "items": one},
                {"type": "object", "properties": options, "additionalProperties": False},
                {"enum": sorted(self.base.members)},
            ]
        }


def _below(place: str | int, fault: ErrorDetails) -> InitErrorDetails:
    """An error of a member as one of the field that holds it."""
    kind: str | PydanticCustomError = fault["type"]
    context = fault.get("ctx", {})
    if kind not in typing.get_args(core_schema.ErrorType):
        kind = PydanticCustomError(typing.cast(Any, kind), typing.cast(Any, fault["msg"].replace("{", "(")), context)
    return {"type": kind, "loc": (place, *fault["loc"]), "input": fault["input"], "ctx": context}


def choice_of(info: FieldInfo) -> OneOf | None:
    """The `OneOf` that a field is annotated with, if any."""
    return next((meta for meta in info.metadata if isinstance(meta, OneOf)), None)


def _is_one(value: object) -> bool:
    """Whether a value is a mapping that names one member."""
    return isinstance(value, Mapping) and isinstance(value.get("name"), str)


def expand_choices(cls: type[Config], content: Mapping[str, object]) -> dict[str, object]:
    """Content in which every choice has its name: `gru` becomes `{name: gru}`, `{lr: 1}` gets the default's.

    An override can then tell the member that is there from another one.
    """
    expanded = dict(content)
    for key, info in cls.model_fields.items():
        value, choice = content.get(key), choice_of(info)
        if isinstance(choice, ManyOf):
            members = by_name([value] if isinstance(value, str) or _is_one(value) else value)
            expanded.update({key: members} if members is not None else {})
        elif choice is not None and isinstance(value, (str, Mapping)):
            value = {"name": value} if isinstance(value, str) else value
            value = {"name": choice.default, **value} if choice.default else value
            member = choice.base.members.get(str(value.get("name")))
            expanded[key] = value if member is None else expand_choices(member.Config, value)
        elif isinstance(value, Mapping) and isinstance(info.annotation, type) and issubclass(info.annotation, Config):
            expanded[key] = expand_choices(info.annotation, value)
    return expanded
