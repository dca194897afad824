"""The base of every configuration, its errors, and how YAML and dotted overrides become plain content."""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from lstm_lab.display import printable

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

__all__ = [
    "Config", "ConfigError", "Count", "DataError", "Fault", "Interrupted", "Notice",
    "by_name", "canonical_json", "docs", "flatten", "load", "merge", "parse_overrides", "to_yaml",
]  # fmt: skip


class Fault(Exception):
    """An error that the user can correct. Printed as one line; `exit_code` is the exit status of the command."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable.message(message))


class ConfigError(Fault):
    """A wrong file, key, value or combination of them."""

    exit_code = 2


class DataError(Fault):
    """Data that cannot be read, or that lack what is needed."""

    exit_code = 3


class Notice(UserWarning):
    """Something that the user should know, and that stops nothing. The command prints it as one line."""


class Interrupted(Fault):
    """Interrupted from outside, with everything saved. The message is the command that resumes."""

    exit_code = 130


class Config(BaseModel):
    """Base of every nested `Config`: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=False,
    )

    @classmethod
    def class_name(cls) -> str:
        """The name of the class this configures: `GRU` for `GRU.Config`."""
        parts = cls.__qualname__.split(".")
        return parts[-2] if parts[-1] == "Config" and len(parts) > 1 else parts[-1]

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: object) -> object:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "no such field in {title}",
                        {"title": cls.class_name(), "key": str(key), "siblings": list(cls.model_fields)},
                    )
        return data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        fields = handler.resolve_ref_schema(written).get("properties", {})
        for name, doc in docs(cls).items():
            if name in fields:
                fields[name]["description"] = doc
        return written


@cache
def docs(cls: type[Config]) -> dict[str, str]:
    """Field -> the docstring below it, the class's own or inherited.

    Read from the source on first use. Pydantic would read it for every class at import, and its search through
    all modules takes longer than importing torch.
    """
    return {field: doc for base in reversed(cls.__mro__) for field, doc in _written(base.__module__, base.__qualname__)}


def _written(module: str, qualname: str) -> Iterator[tuple[str, str]]:
    """Fields of one class with a docstring below them, as its source has them."""
    body = _classes(module).get(qualname, [])
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                yield name, inspect.cleandoc(doc)


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """Qualified name -> body of each class of a module; none where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):
        return {}
    found: dict[str, list[ast.stmt]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = prefix
            if isinstance(child, ast.ClassDef):
                found[prefix + child.name] = child.body
                inside = f"{prefix}{child.name}."
            elif isinstance(child, ast.FunctionDef):
                inside = f"{prefix}{child.name}.<locals>."
            visit(child, inside)

    visit(tree, "")
    return found


M = TypeVar("M", bound=Config)

Count = Annotated[int, Field(ge=1, lt=2**31)]
"""How many of something: at least one, and few enough for a tensor's size."""


def load(path: str | Path) -> dict[str, object]:
    """Read a YAML file into plain dicts and lists. `1e-3` is a number in every place, and `${...}` is text.

    Raises:
        ConfigError: no such file, not YAML, or not a mapping at the top.
    """
    from lstm_lab.config import yaml_text

    path = Path(path)
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; {_near_file(path)}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check its name and permissions") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    try:
        content = yaml_text.parse(text) if text.strip() else {}
    except yaml_text.YAMLTextError as error:
        raise ConfigError(f"{path}: not valid YAML: {printable.shortened(str(error))}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of `key: value` lines")
    return {str(key): value for key, value in content.items()}


def to_yaml(content: Mapping[str, object]) -> str:
    """Plain content as YAML text, in the order it has; `load` reads it back equal."""
    from lstm_lab.config import yaml_text

    return yaml_text.write(content)


MARKS = ",;|:!@%&*>#`'\"-?[]{}"
"""Characters that are no YAML, or something else than themselves, where they stand alone."""


def parse_overrides(pairs: Iterable[str]) -> list[tuple[str, object]]:
    """`["optimizer.lr=3e-4"]` -> `[("optimizer.lr", 0.0003)]`, values read as YAML."""
    from lstm_lab.config import yaml_text

    parsed: list[tuple[str, object]] = []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key or not all(key.split(".")):
            raise ConfigError(f"override '{pair}': must be key=value, as in optimizer.lr=3e-4")
        if len(text) == 1 and text in MARKS:  # A shell removes the quotes of decimal=','.
            parsed.append((key, text))
            continue
        try:
            value = yaml_text.parse(f"value: {text}")["value"]
        except (yaml_text.YAMLTextError, KeyError, TypeError) as error:
            reason = printable.shortened(str(error))
            raise ConfigError(f"override '{pair}': the value is not YAML: {reason}") from None
        parsed.append((key, value))
    return parsed


def merge(base: dict[str, object], delta: Mapping[str, object]) -> dict[str, object]:
    """A new dict: `delta` over `base`, dotted keys expanded, a section replaced when another `name` is chosen.

    The order of the keys does not matter: sections and names are applied first, then the fields inside them. A dotted
    key addresses a member of a list of named ones by its name.
    """
    merged = dict(base)
    for key, value in sorted(delta.items(), key=lambda pair: str(pair[0]).removesuffix(".name").count(".")):
        head, _, rest = str(key).partition(".")
        if rest:
            value = {rest: value}
        old = merged.get(head)
        if rest and isinstance(old, list):  # `regularizers.ar.alpha` over `regularizers: [ar, tar]`
            old = by_name(old)
        if isinstance(value, Mapping) and isinstance(old, str):
            old = {"name": old}
        if isinstance(value, str) and isinstance(old, Mapping) and ("name" in old or not old):
            value = {"name": value}
        if isinstance(value, Mapping) and not (isinstance(old, Mapping) and _same_member(old, value)):
            old = {}
        merged[head] = (
            merge(dict(old) if isinstance(old, Mapping) else {}, value) if isinstance(value, Mapping) else value
        )
    return merged


def by_name(members: object) -> dict[str, object] | None:
    """A list of members that are chosen by name, as a mapping of their options by name; None where it is no such list.

    >>> by_name(["tar", {"name": "ar", "alpha": 1.0}])
    {'tar': {}, 'ar': {'alpha': 1.0}}
    """
    if not isinstance(members, list):
        return None
    found: dict[str, object] = {}
    for member in members:
        content = {"name": member} if isinstance(member, str) else member
        if not isinstance(content, Mapping) or not isinstance(content.get("name"), str) or content["name"] in found:
            return None
        found[content["name"]] = {key: value for key, value in content.items() if key != "name"}
    return found


def flatten(
    content: Mapping[str, object],
    section: Callable[[str, object], Mapping[str, object] | None] | None = None,
    prefix: str = "",
) -> dict[str, object]:
    """Nested content as dotted keys.

    Args:
        section: dotted key and value -> the content to descend into, None for a value; by default every mapping that
            is not empty is descended into.

    >>> flatten({"model": {"cell": {"name": "gru"}}, "seed": 0})
    {'model.cell.name': 'gru', 'seed': 0}
    """
    flat: dict[str, object] = {}
    for name, value in content.items():
        key = f"{prefix}{name}"
        inside = section(key, value) if section else (value or None) if isinstance(value, Mapping) else None
        flat.update({key: value} if inside is None else flatten(inside, section, f"{key}."))
    return flat


def canonical_json(value: object) -> str:
    """JSON with sorted keys: equal for equal content, so that values can be compared and used as keys."""
    return json.dumps(value, sort_keys=True)


def _same_member(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    return "name" not in new or "name" not in old or old["name"] == new["name"]


def _near_file(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    if near:
        return f"did you mean '{folder / near[0]}'?"
    files = [name for name in names if name.endswith((".yaml", ".yml"))][:5]
    return f"{folder} holds {', '.join(files)}" if files else "name a YAML file"
