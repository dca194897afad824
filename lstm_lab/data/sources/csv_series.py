"""A person's own series from one file, one or many. A fault names the line, the column, the value and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import Series, SeriesDataset, SeriesInfo, recent
from lstm_lab.data.readers.table import Table, fill_forward, find_file, read_numbers, read_table, read_text
from lstm_lab.data.readers.text_files import read_rows
from lstm_lab.data.readers.timeline import Cycle, check_order, cycles, places, read_times

Columns = Annotated[
    tuple[str, ...], Field(strict=False), BeforeValidator(lambda name: (name,) if isinstance(name, str) else name)
]
Mark = Annotated[str, BeforeValidator(lambda mark: "\t" if mark == r"\t" else mark)]


TYPED = (".jsonl", ".ndjson", ".parquet")
"""Endings of files that tell numbers from texts themselves, without separator or decimal mark."""


def check_marks(path: str, separator: str, decimal: str) -> None:
    """Raise ValueError where a separator cannot part fields, or the two marks would do nothing."""
    if path.lower().endswith(TYPED) and (separator, decimal) != (",", "."):
        raise ValueError(f"separator and decimal would do nothing: {path} is no CSV; leave them out")
    if len(separator) != 1 or separator in ('"', "\r", "\n", decimal):
        raise ValueError(f"separator {separator!r} cannot part fields: take one character that is neither a quote, "
                         f"a line end nor the decimal mark {decimal!r}")  # fmt: skip


class CSV(SeriesDataset, name="csv"):
    """A CSV, Parquet or JSONL file, a row for each step of time, oldest first; of many series, one below the other.

    With columns known ahead, a model reads on over the horizon and sees them there, and nothing else.
    """

    class Config(SeriesDataset.Config):
        path: Annotated[str, Field(min_length=1)]
        """The file, UTF-8 text, .jsonl or .parquet; looked up from the current folder, then below the folder that
        LSTM_LAB_DATA names."""
        time: str
        """Column of the time: dates (ISO 8601 is always understood) or numbers that count steps."""
        targets: Columns
        """Columns to predict."""
        features: Columns = ()
        """Further columns to look back on, not predicted."""
        future: Columns = ()
        """Columns that are known ahead, as holidays are."""
        calendar: Annotated[tuple[Cycle, ...], Field(strict=False)] = ()
        """Places in cycles of the calendar, each as sine and cosine of the time's angle; known ahead."""
        id: str | None = None
        """Column that says which series a row belongs to; null: all rows are one series."""
        static: Columns = ()
        """Columns that stay the same within a series; known ahead."""
        missing: Literal["error", "forward_fill", "mask"] = "error"
        """Empty cells: a fault, the last value known, or zeros with one channel more for each column to say so; what
        is masked is neither learnt nor scored."""
        gaps: Literal["error", "fill"] = "error"
        """Rows that are missing between two steps: a fault, or put in empty, for `missing` to deal with."""
        separator: Mark = ","
        r"""Character between fields; a tab is written \t."""
        decimal: Literal[".", ","] = "."
        """Decimal mark of the numbers."""

        @model_validator(mode="after")
        def _names_and_marks_are_distinct(self) -> CSV.Config:
            names = (
                self.time,
                *self.targets,
                *self.features,
                *self.static,
                *self.future,
                *([self.id] if self.id else []),
            )
            twice = next((name for name in names if names.count(name) > 1), None)
            if not self.targets:
                raise ValueError("targets is empty: name at least one column to predict")
            if twice is not None:
                raise ValueError(f"{twice!r} stands twice in time, targets and features: name each column once")
            if self.static and self.id is None:
                raise ValueError(
                    f"static={list(self.static)} would do nothing: there is one series; name its column id"
                )
            if self.gaps == "fill" and self.missing == "error":
                raise ValueError("gaps=fill puts in empty rows, which missing=error refuses: set missing to "
                                 "forward_fill or mask")  # fmt: skip
            if self.gaps == "fill" and self.calendar:
                raise ValueError(
                    "gaps=fill puts in rows without a time, of which calendar knows nothing: leave one out"
                )
            if len(set(self.calendar)) < len(self.calendar):
                raise ValueError(f"calendar={list(self.calendar)} names a cycle twice: name each once")
            check_marks(self.path, self.separator, self.decimal)
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.path: str = choices["path"]
        self.time: str = choices["time"]
        self.targets: tuple[str, ...] = choices["targets"]
        self.features: tuple[str, ...] = choices["features"]
        self.future: tuple[str, ...] = choices["future"]
        self.calendar: tuple[Cycle, ...] = choices["calendar"]
        self.id: str | None = choices["id"]
        self.static: tuple[str, ...] = choices["static"]
        self.missing: str = choices["missing"]
        self.gaps: str = choices["gaps"]
        self.marks: tuple[str, str] = (choices["separator"], choices["decimal"])

    def read(self) -> Series:
        columns, (separator, decimal) = (*self.targets, *self.features, *self.static, *self.future), self.marks
        place = find_file(self.path)
        wanted = (self.time, *columns, *([self.id] if self.id else []))
        if place.suffix.lower() in TYPED:
            table = read_rows(place, wanted, numbers=True)
        else:
            table = read_table(read_text(place), place, separator, wanted)
        times = read_times(table, self.time, decimal)
        values = read_numbers(table, columns, decimal, gaps=self.missing != "error")
        parts = self._parts(table)
        pieces = []
        for rows in parts.values():
            part, when, piece = table.at(rows), times.at(rows), values[rows]
            check_order(part, self.time, when.ticks)
            where = places(part, self.time, when, fill=self.gaps == "fill")
            self._check_static(part, piece)
            piece = self._spread_out(piece, where)
            pieces.append(fill_forward(part, columns, piece) if self.missing == "forward_fill" else piece)
        values, names = np.concatenate(pieces), columns
        if self.calendar:
            angles, more = cycles(table, self.time, times, self.calendar)
            values = np.concatenate([values, angles[np.concatenate(list(parts.values()))]], 1)
            names = (*columns, *more)
        known = len(self.static) + len(names) - len(columns) + len(self.future)
        shared = (*self.static, *names[len(columns) :])
        many = tuple(len(piece) for piece in pieces) if self.id else ()
        return Series(
            values,
            names,
            len(self.targets),
            str(place),
            known=known,
            shared=shared,
            names=tuple(parts),
            rows=many,
            mask=self.missing == "mask",
        )

    def _spread_out(self, piece: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Rows (N, C) of one series at their places, NaN in those between; what never changes is known there too."""
        whole = np.full((where[-1] + 1, piece.shape[1]), np.nan)
        whole[where] = piece
        first = len(self.targets) + len(self.features)
        whole[:, first : first + len(self.static)] = piece[0, first : first + len(self.static)]
        return whole

    def _parts(self, table: Table) -> dict[str, np.ndarray]:
        """Rows of each series, the series in the order of their first rows."""
        if self.id is None:
            return {"": np.arange(len(table.lines))}
        parts: dict[str, list[int]] = {}
        for row, name in enumerate(table.columns[self.id]):
            if not name:
                raise table.fault(row, self.id, "the cell is empty: write which series the row belongs to")
            parts.setdefault(name, []).append(row)
        return {name: np.array(rows) for name, rows in parts.items()}

    def _check_static(self, part: Table, values: np.ndarray) -> None:
        for name in self.static:
            column = values[:, len(self.targets) + len(self.features) + self.static.index(name)]
            odd = np.flatnonzero(~(column == column[0]))
            if len(odd):
                raise part.fault(odd[0], name, f"differs from line {part.lines[0]}, though it is named in data.static: "
                                 "write one value for all rows of a series, or name it in features")  # fmt: skip

    def read_new(self, path: str, info: SeriesInfo) -> Iterator[Batch]:
        """The last `window` rows of another file with the same columns; and `horizon` more, where some are known."""
        self.path = path
        if info.known:
            self.missing = "mask"  # Rows ahead may leave empty what is not known there.
        yield recent(self.read(), info)

    def prediction_table(
        self, answers: Sequence[Any], info: SeriesInfo, columns: Sequence[str]
    ) -> tuple[list[str], list[list[Any]]]:
        return ["ahead", *columns], [[ahead, *row] for ahead, row in enumerate(answers[0], 1)]
