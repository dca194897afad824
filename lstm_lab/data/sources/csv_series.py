"""Time series of a user, one or many, from one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Unpack

import numpy as np
import torch
from pydantic import Field, model_validator

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import NewSamples
from lstm_lab.data.kinds.latest_windows import latest_windows
from lstm_lab.data.kinds.new_samples import plain_ids
from lstm_lab.data.kinds.series import Series, SeriesDataset, SeriesInfo, SeriesOptions, series_place
from lstm_lab.data.preprocessing.split_points import ends_of_series
from lstm_lab.data.readers.calendar_kinds import Times
from lstm_lab.data.readers.calendars import calendar_of, times_after
from lstm_lab.data.readers.columns import Column, Columns, Sha256, check_distinct
from lstm_lab.data.readers.coming_rows import KnownRows, known_values, values_of_times
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS, CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import check_sha256, find_file
from lstm_lab.data.readers.series_table import read_frame_table, read_table, rows_by_series
from lstm_lab.data.readers.table import Table, fill_forward, read_numbers
from lstm_lab.data.readers.time_columns import TimeColumn
from lstm_lab.data.readers.timeline import (
    Cycle,
    Gaps,
    calendar_features,
    check_order,
    feature_names,
    notes_of_times,
    read_times,
    regular_features,
    regularity,
    step_numbers,
)
from lstm_lab.paths import FilePath

Missing = Literal["error", "forward_fill", "mask"]


class CSV(SeriesDataset, name="csv"):
    """A CSV, Parquet or JSONL file with a row for each time step, oldest or newest first; several series, one below the
    other. A CSV may be compressed by gzip, bzip2 or xz.

    With columns that are known in advance, a model also reads the rows of the horizon, in which it sees those columns.
    """

    reads_new_files = True

    class Config(CSVFields, SeriesDataset.Config):
        path: FilePath
        """The file, UTF-8 text, .jsonl or .parquet; looked up beside the experiment's file, in the current folder, then
        below the folder that LSTM_LAB_DATA names."""
        time: TimeColumn
        """Column of the time: dates (ISO 8601 is always understood), quarters (1960Q1), seconds or milliseconds since
        1970, or numbers that count steps. Several columns that make it up: [Date, Time] or [year, month, day, hour]."""
        targets: Columns
        """Columns to predict."""
        features: Columns = ()
        """Further columns of the past, not predicted."""
        future: Columns = ()
        """Columns that are known in advance, such as holidays."""
        calendar: Annotated[tuple[Cycle, ...], Field(strict=False)] = ()
        """Cycles of the calendar, each as sine and cosine of the time's angle in it; known in advance."""
        id: Column | None = None
        """Column of the series that a row belongs to; null: all rows are one series."""
        static: Columns = ()
        """Columns that are constant within a series; known in advance."""
        missing: Missing = "error"
        """Empty cells: an error, the last known value, or zeros with one more channel for each column as a mask; what
        is masked is neither learned nor scored."""
        gaps: Gaps = "error"
        """Rows that are missing between two steps: an error, or inserted as empty rows, which `missing` then treats, or
        ignored: the next row is the next step, as over holidays and the nights between sessions of trade."""
        sha256: Sha256 | None = None
        """Of the file, as hex digits, where no other content is accepted; null: not checked."""

        @property
        def covariates(self) -> tuple[str, ...]:
            return (*(["features"] if self.features else []), *self.known_ahead)

        @property
        def known_ahead(self) -> tuple[str, ...]:
            columns = {"static": self.static, "future": self.future, "calendar": self.calendar}
            return tuple(field for field, names in columns.items() if names)

        @property
        def masks_missing(self) -> bool:
            return self.missing == "mask"

        @model_validator(mode="after")
        def _columns_are_distinct_and_fields_have_an_effect(self) -> CSV.Config:
            if not self.targets:
                raise ValueError("targets is empty: name at least one column to predict")
            names = (self.time, *self.targets, *self.features, *self.static, *self.future, self.id)
            check_distinct(names, "time, targets, features, static, future and id")
            if self.static and self.id is None:
                raise ValueError(f"static={list(self.static)} would have no effect: there is one series; set id to the "
                                 "column of the series")  # fmt: skip
            if self.gaps == "fill" and self.missing == "error":
                raise ValueError("gaps=fill inserts empty rows, which missing=error refuses: set missing to "
                                 "forward_fill or mask")  # fmt: skip
            if len(set(self.calendar)) < len(self.calendar):
                raise ValueError(f"calendar={list(self.calendar)} names a cycle twice: name each once")
            check_format(self.path, self.format)
            return self

        def options(self) -> dict[str, object]:
            options = {key: value for key, value in super().options().items() if key not in FORMAT_FIELDS}
            return {**options, "format": self.format}

    def __init__(
        self, *, path: str, time: str, targets: tuple[str, ...], features: tuple[str, ...], future: tuple[str, ...],
        calendar: tuple[Cycle, ...], id: str | None, static: tuple[str, ...], missing: Missing, gaps: Gaps,
        format: CSVFormat, sha256: str | None, **options: Unpack[SeriesOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.path, self.sha256, self.time, self.id = path, sha256, time, id
        self.targets, self.features, self.future, self.static = targets, features, future, static
        self.calendar, self.missing, self.gaps = calendar, missing, gaps
        self.format = format

    @property
    def _columns(self) -> tuple[str, ...]:
        """All columns of numbers, in the order in which a model reads them."""
        return (*self.targets, *self.features, *self.static, *self.future)

    def read(self) -> Series:
        path = find_file(self.path)
        if self.sha256 is not None:
            check_sha256(path, self.sha256, "is not the file of this configuration", "restore it, or set data.sha256")
        return self.split_series_of(read_table(path, self.time, self._beside_time, self.format))

    @property
    def _beside_time(self) -> tuple[str, ...]:
        """All columns that are read but those of the time."""
        return (*self._columns, *([self.id] if self.id else []))

    @property
    def wanted(self) -> tuple[str, ...]:
        """All columns that are read, the time as one."""
        return (self.time, *self._beside_time)

    def _numbers(self, table: Table, columns: Sequence[str], allow_missing: bool) -> np.ndarray:
        return read_numbers(self.format.plain(table, columns), columns, self.format.decimal, allow_missing)

    def _times(self, table: Table) -> Times:
        return read_times(table, self.time, self.format.decimal)

    def series_of(self, table: Table) -> Series:
        """The series of a table.

        Raises:
            DataError: a cell that cannot be read, or times that are not regular.
        """
        columns = self._columns
        times = self._times(table)
        values = self._numbers(table, columns, allow_missing=self.missing != "error")
        rows_of, newest_first = rows_by_series(table, self.id, times)
        pieces = [self._regular(table.rows(rows), times.rows(rows), values[rows]) for rows in rows_of.values()]
        names = (*columns, *feature_names(self.calendar))
        return Series(
            np.concatenate(pieces),
            names,
            len(self.targets),
            str(table.path),
            num_known=len(self.static) + len(self.future) + len(names) - len(columns),
            shared=(*self.static, *names[len(columns) :]),
            names=tuple(rows_of),
            rows=tuple(len(piece) for piece in pieces) if self.id else (),
            may_be_missing=self.missing == "mask",
            step=regularity(times.rows(next(iter(rows_of.values()))[:1000]))[0],
            notes=tuple(notes_of_times({name: times.rows(rows) for name, rows in rows_of.items()}, newest_first)),
        )

    def split_series_of(self, table: Table) -> Series:
        """The same, with the rows at which `data.split` begins its splits."""
        series = self.series_of(table)
        if self.split is None:
            return series
        times = self._times(table)
        rows, _ = rows_by_series(table, self.id, times)
        ends = ends_of_series(self.split, table, self.time, times, [*rows.values()], self.gaps)
        return replace(series, split_ends=ends)

    def _regular(self, table: Table, times: Times, values: np.ndarray) -> np.ndarray:
        """(N, C) rows of one series at equal steps, those of gaps inserted.

        Raises:
            DataError: rows that are out of order or not one step apart, or a static column that changes.
        """
        check_order(table, self.time, times.ticks)
        steps = step_numbers(table, self.time, times, gaps=self.gaps)
        first = len(self.targets) + len(self.features)
        static = slice(first, first + len(self.static))
        for name, column in zip(self.static, values[:, static].T, strict=True):
            changed = np.flatnonzero(~(column == column[0]))
            if len(changed):
                raise table.error(int(changed[0]), name, f"differs from {table.unit} {table.lines[0]}, but data.static "
                                  "names this column: write one value in all rows of a series, or name the column in "
                                  "features")  # fmt: skip
        regular = np.full((steps[-1] + 1, values.shape[1]), np.nan)
        regular[steps] = values
        regular[:, static] = values[0, static]
        if self.missing == "forward_fill":
            regular = fill_forward(table, self._columns, regular)
        if not self.calendar:
            return regular
        return np.concatenate([regular, regular_features(table, self.time, times, self.calendar, steps)], 1)

    # --- new rows -----------------------------------------------------------------------------------------------------

    def read_new(self, source: NewData, info: SeriesInfo) -> NewSamples:
        """The input of a forecast for the rows that follow the last observed target of each series.

        Args:
            source: a file, or a DataFrame with the time as column or index: at least `window` rows of each series, and
                behind them, where columns are known in advance, `horizon` rows with those columns and empty targets.
        """
        return self._forecast_input(source, None, info)

    def read_with_future(self, source: NewData, future: NewData, info: SeriesInfo) -> NewSamples:
        """The same.

        Args:
            future: a file or a DataFrame with the time, the columns that are known in advance, and the id.
        """
        if not self.future:
            raise ConfigError("future: data.future names no columns that are known in advance (calendar and static "
                              "columns need no file): leave it out")  # fmt: skip
        return self._forecast_input(source, future, info)

    def _new_table(self, source: NewData, beside_time: Sequence[str], name: str = "DataFrame") -> Table:
        if isinstance(source, str | Path):
            return read_table(find_file(str(source)), self.time, beside_time, self.format)
        if is_frame(source):
            return read_frame_table(source, self.time, beside_time, name)
        raise ConfigError(f"data '{self.name}' takes no new samples from arrays, which have no time: provide a file or "
                          "a DataFrame")  # fmt: skip

    def _forecast_input(self, source: NewData, future: NewData | None, info: SeriesInfo) -> NewSamples:
        table = self._new_table(source, self._beside_time)
        times = self._times(table)
        observed, later = self._split_at_last_target(table, times)
        series = self.series_of(table.rows(np.sort(np.concatenate(list(observed.values())))))
        sources = [self._known_rows(table, times, later)] if self.future else []
        if future is not None:
            other = self._new_table(future, (*self.future, *([self.id] if self.id else [])), "future")
            other_times = self._times(other)
            sources.append(self._known_rows(other, other_times, rows_by_series(other, self.id, other_times)[0]))
        coming: list[np.ndarray] = []
        keys: list[list[tuple[object, ...]]] = []
        ids = [(id,) for id in plain_ids([*observed])] if self.id else [()]
        places = max(len(cell.partition(self.format.decimal)[2]) for cell in table.columns[self.time])
        for (name, rows), (_, end) in zip(observed.items(), series.spans, strict=True):
            if len(rows) < 2:
                raise DataError(f"{series_place(str(table.path), name)}: has one row with a target, which does not "
                                "tell how far apart rows are: provide more rows")  # fmt: skip
            own = times.rows(rows)
            calendar = calendar_of(own, info.step)
            ahead = times_after(own, calendar, info.horizon)
            known = [known_values(sources, self.future, name, ahead, calendar, str(table.path))] if self.future else []
            coming.append(self._known_columns(table, ahead, known, series.values[end - 1]))
            id = ids[len(keys)]
            keys.append([(*id, time, step) for step, time in enumerate(values_of_times(ahead, places), 1)])
        batch = latest_windows(series, np.stack(coming), info)
        pieces = (batch.select(rows) for rows in torch.arange(len(keys)).split(self.batch_size))
        return NewSamples(pieces, (*([self.id] if self.id else []), self.time, "ahead"), keys)

    def _split_at_last_target(self, table: Table, times: Times) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Series -> its rows up to the last in which a target is known, and those behind it.

        Raises:
            DataError: rows that are out of order, or a series without a target.
        """
        targets = self._numbers(table, self.targets, allow_missing=True)
        observed, later = {}, {}
        for name, rows in rows_by_series(table, self.id, times)[0].items():
            check_order(table.rows(rows), self.time, times.ticks[rows])
            known = np.flatnonzero(~np.isnan(targets[rows]).all(1))
            if not len(known):
                raise DataError(f"{series_place(str(table.path), name)}: has no value of {', '.join(self.targets)}: "
                                "provide at least the rows that the model reads")  # fmt: skip
            observed[name], later[name] = rows[: known[-1] + 1], rows[known[-1] + 1 :]
        return observed, later

    def _known_rows(self, table: Table, times: Times, rows_of: dict[str, np.ndarray]) -> KnownRows:
        return KnownRows(table, times, self._numbers(table, self.future, allow_missing=True), rows_of)

    def _known_columns(self, table: Table, coming: Times, future: Sequence[np.ndarray], last: np.ndarray) -> np.ndarray:
        """(horizon, known) the columns that are known in advance, in the rows to come of one series.

        Args:
            future: (horizon, F) those of `data.future`, if there are any.
            last: (C,) the last observed row.
        """
        first = len(self.targets) + len(self.features)
        static = np.tile(last[first : first + len(self.static)], (len(coming.ticks), 1))
        parts = [static]
        for values in future:
            before = last[first + len(self.static) :][: len(self.future)]
            filled = np.concatenate([before[None], values])
            parts.append(fill_forward(table, self.future, filled)[1:] if self.missing == "forward_fill" else values)
        if self.calendar:
            parts.append(calendar_features(table, self.time, coming, self.calendar))
        return np.concatenate(parts, 1)
