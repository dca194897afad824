"""Columns of words as one channel for each word, which is 1 in its rows and 0 in all others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import Table, list_names

Levels: TypeAlias = dict[str, tuple[str, ...]]
"""Column -> the words that have a channel."""

MAX_LEVELS = 100
"""Words of a column at most."""

NO_WORD = re.compile("(nan|na|n/a|null)?", re.IGNORECASE)
"""Matches a cell without a word; none is one."""


class ColumnRoles(NamedTuple):
    """Columns of numbers by what they are for, in the order in which a model reads them."""

    targets: tuple[str, ...]
    features: tuple[str, ...]
    static: tuple[str, ...]
    future: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.targets, *self.features, *self.static, *self.future)

    def with_levels(self, levels: Levels) -> ColumnRoles:
        """The roles with the channels of words in place of their columns."""
        return ColumnRoles(*(tuple(channel for name in names for channel in channels_of(name, levels))
                             for names in self))  # fmt: skip


def channels_of(column: str, levels: Levels) -> tuple[str, ...]:
    """Names of the channels of a column: weather=rain, weather=sun; of one that has numbers its own."""
    return tuple(f"{column}={word}" for word in levels[column]) if column in levels else (column,)


def learn_levels(table: Table, columns: Sequence[str], rows: np.ndarray) -> Levels:
    """The words of columns in the training rows.

    Args:
        rows: of the training split.

    Raises:
        DataError: too many of them, or none.
    """
    levels = {}
    for name in columns:
        cells = table.columns[name]
        words = sorted({cells[row] for row in rows.tolist()} - {cell for cell in cells if NO_WORD.fullmatch(cell)})
        if not 1 <= len(words) <= MAX_LEVELS:
            raise DataError(f"{table.path}: column {name!r} has {len(words)} different values in the training rows, "
                            f"but data.categorical reads 1 to {MAX_LEVELS}, a channel for each: leave it out, or group "
                            "them")  # fmt: skip
        levels[name] = tuple(words)
    return levels


def levels_in(channels: Sequence[str], columns: Sequence[str]) -> Levels:
    """The words that a model was trained on, from the names of its channels."""
    return {name: tuple(channel.removeprefix(f"{name}=") for channel in channels if channel.startswith(f"{name}="))
            for name in columns}  # fmt: skip


def with_channels(table: Table, levels: Levels) -> Table:
    """The table with a column for each word: 1 or 0, and empty where the cell has no word."""
    channels = {}
    for name in levels.keys() & table.columns.keys():
        cells = table.columns[name]
        for channel, word in zip(channels_of(name, levels), levels[name], strict=True):
            channels[channel] = ["1" if cell == word else "" if NO_WORD.fullmatch(cell) else "0" for cell in cells]
    return table._replace(columns={**table.columns, **channels})


def unknown_words(table: Table, levels: Levels) -> list[str]:
    """Of each column with words that the training rows lack, a sentence."""
    found = []
    for name in sorted(levels.keys() & table.columns.keys()):
        known = set(levels[name])
        others = [cell for cell in table.columns[name] if cell not in known and not NO_WORD.fullmatch(cell)]
        if others:
            found.append(f"column {name!r}: {list_names(sorted(set(others)))} ({len(others)} rows) is not among the "
                         "words of the training rows: all its channels are 0 there")  # fmt: skip
    return found


def check_words(table: Table, columns: Sequence[str]) -> None:
    """Raise DataError where columns that should have numbers have words."""
    for name in columns:
        present = [(row, cell) for row, cell in enumerate(table.columns[name]) if not NO_WORD.fullmatch(cell)]
        if present and all(cell[0].isalpha() for _, cell in present) and not _are_booleans(present):
            raise table.error(present[0][0], name, f"{present[0][1]!r} is a word: name the column in data.categorical, "
                              "which reads a channel for each word, or leave it out")  # fmt: skip


def _are_booleans(present: Sequence[tuple[int, str]]) -> bool:
    return {cell.lower() for _, cell in present} <= {"true", "false", "none", "inf", "infinity"}
