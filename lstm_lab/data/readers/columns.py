"""Types of configuration fields that name columns and marks of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field


def column_names(given: object) -> object:
    """Names of columns as a tuple: one name, names between commas without spaces (promo,holiday), or a list.

    A name in a list may have any comma. A number is the name of a column of a table without a header.
    """
    if isinstance(given, str):
        parts = re.split(r",(?=\S)", given)
        return tuple(parts) if all(parts) else (given,)
    if isinstance(given, int) and not isinstance(given, bool):
        return (str(given),)
    if isinstance(given, list | tuple):
        return tuple(_column_name(name) for name in given)
    return given


def _column_name(given: object) -> object:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


Column = Annotated[str, BeforeValidator(_column_name)]
"""Name of a column; a number names one of a table without a header."""

Columns = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(column_names)]
"""Names of columns; a single name needs no list, nor do several between commas: promo,holiday."""


def _targets(given: object) -> object:
    if isinstance(given, list | tuple):
        return tuple(_column_name(name) for name in given)
    name = _column_name(given)
    if not isinstance(name, str):
        raise ValueError(f"must be the name of a column, or a list of names, got {given!r}")
    return name


TargetColumns = Annotated[str | tuple[str, ...], BeforeValidator(_targets)]
"""Name of the column of the targets, or a list of several."""

Separator = Annotated[str, BeforeValidator(lambda mark: "\t" if mark == r"\t" else mark)]
r"""A character; a tab is written \t."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""Of a file's content, as hex digits."""


def check_distinct(names: Sequence[str | None], fields: str) -> None:
    """Raise ValueError where a column is named twice.

    Args:
        names: of columns; None where a field is not set.
        fields: that name them, for the message.
    """
    given = [name for name in names if name is not None]
    repeated = next((name for name in given if given.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is named twice in {fields}: name each column once")
