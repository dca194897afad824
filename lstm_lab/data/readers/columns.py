"""Types of configuration fields that name columns and marks of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from lstm_lab.data.readers.formats import TYPED

Columns = Annotated[
    tuple[str, ...], Field(strict=False), BeforeValidator(lambda name: (name,) if isinstance(name, str) else name)
]
"""Names of columns; a single name needs no list."""

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


def check_separator(path: str, separator: str, decimal: str) -> None:
    """Raise ValueError where a separator cannot separate fields, or the two marks would have no effect."""
    if path.lower().endswith(TYPED) and (separator, decimal) != (",", "."):
        raise ValueError(f"separator and decimal would have no effect: {path} is not a CSV; remove them")
    if len(separator) != 1 or separator in ('"', "\r", "\n", decimal):
        raise ValueError(f"separator {separator!r} cannot separate fields: use one character that is neither a quote, "
                         f"a line end nor the decimal mark {decimal!r}")  # fmt: skip
