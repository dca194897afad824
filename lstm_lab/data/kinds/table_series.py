"""Series of a table with a row for each time step: read, split, and continued by new rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, Unpack

import numpy as np
import torch

from lstm_lab.config import ConfigError, DataError, Notice
from lstm_lab.data.base import NewSamples
from lstm_lab.data.kinds.latest_windows import latest_windows
from lstm_lab.data.kinds.new_samples import plain_ids
from lstm_lab.data.kinds.series import Series, SeriesInfo
from lstm_lab.data.kinds.series_values import series_place
from lstm_lab.data.kinds.split_series import SeriesDataset, SeriesOptions
from lstm_lab.data.preprocessing.split_points import (
    SplitPoints,
    SplitRows,
    ends_of_named_splits,
    ends_of_series,
    rows_of_splits,
    shortage,
)
from lstm_lab.data.readers import one_hot, timeline
from lstm_lab.data.readers.calendar_kinds import Times
from lstm_lab.data.readers.calendars import calendar_of, times_after
from lstm_lab.data.readers.coming_rows import KnownRows, known_columns, known_values, values_of_times
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.data.readers.locate import check_sha256, find_file
from lstm_lab.data.readers.series_table import (
    ROW,
    read_new_table,
    read_untimed_table,
    regular_rows,
    rows_around_last_target,
    rows_by_series,
    with_row_numbers,
)
from lstm_lab.data.readers.table import MISSING, Table, fill_forward, list_names, read_numbers

Missing = Literal["error", "forward_fill", "mask"]

SPLIT_OF_FILE = "split of the file"
"""Column with the split of each row, where splits have files of their own."""


class TableSeries(SeriesDataset):
    """Base of the series of a table."""

    reads_new_files = True

    def __init__(
        self, *, path: str, time: str | None, targets: tuple[str, ...], features: tuple[str, ...],
        future: tuple[str, ...], calendar: tuple[timeline.Cycle, ...], id: str | None, static: tuple[str, ...],
        missing: Missing, gaps: timeline.Gaps, format: CSVFormat, sha256: str | None, categorical: tuple[str, ...],
        short_series: Literal["error", "drop"], given: Mapping[str, str] | None = None,
        **options: Unpack[SeriesOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        #: Split -> path of the file of it.
        self.given = given or {}
        self.path, self.sha256, self.time, self.id = path, sha256, time or ROW, id
        self.counts_rows = time is None
        self.roles, self.categorical = one_hot.ColumnRoles(targets, features, static, future), categorical
        self.drops_short_series = short_series == "drop"
        self.calendar, self.missing, self.gaps = calendar, missing, gaps
        self.format = format

    def read(self) -> Series:
        path = find_file(self.path)
        if self.sha256 is not None:
            check_sha256(path, self.sha256, "is not the file of this configuration", "restore it, or set data.sha256")
        return self.split_series_of(self._new_table(str(path), self.wanted[1:]))

    def _with_given_files(self, table: Table) -> Table:
        """The rows of the file at `path`, and below them those of the splits that have a file of their own."""
        if not self.given:
            return table
        others = [self._new_table(path, self._beside_time) for path in self.given.values()]
        parts = [("train", table), *zip(self.given, others, strict=True)]
        cells = [split for split, part in parts for _ in part.lines]
        table = table.with_rows_of(others)
        return table._replace(columns={**table.columns, SPLIT_OF_FILE: cells})

    def lacks(self, rows: int, splits: SplitRows) -> str | None:
        are_named = self._split_column is not None
        return shortage(rows, splits, self.window, self.horizon, self.has_test_split, are_named)

    @property
    def _split_column(self) -> str | None:
        """Column of the split of each row; None where there is none."""
        return SPLIT_OF_FILE if self.given else self.split if isinstance(self.split, str) else None

    @property
    def _beside_time(self) -> tuple[str, ...]:
        """All columns that are read but those of the time."""
        return (*self.roles.names, *([self.id] if self.id else []))

    @property
    def wanted(self) -> tuple[str, ...]:
        """All columns that are read for training, the time as one, which is the first."""
        split = (self.split,) if isinstance(self.split, str) else ()
        return (self.time, *self._beside_time, *split)

    def _numbers(self, table: Table, columns: Sequence[str], allow_missing: bool) -> np.ndarray:
        one_hot.check_words(table, [name for name in columns if name not in self.roles.targets])
        return read_numbers(self.format.plain(table, columns), columns, self.format.decimal, allow_missing)

    def _times(self, table: Table) -> Times:
        return timeline.read_times(table, self.time, self.format.decimal)

    def series_of(self, table: Table, levels: one_hot.Levels) -> Series:
        """The series of a table.

        Args:
            levels: words that have channels.

        Raises:
            DataError: a cell that cannot be read, or times that are not regular.
        """
        times = self._times(table)
        rows_of, newest_first = rows_by_series(table, self.id, times)
        notes = timeline.notes_of_times({name: times.rows(rows) for name, rows in rows_of.items()}, newest_first)
        roles = self.roles.with_levels(levels)
        values = self._numbers(one_hot.with_channels(table, levels), roles.names, allow_missing=self.missing != "error")
        pieces = [self._rows(table.rows(rows), times.rows(rows), values[rows], roles) for rows in rows_of.values()]
        names = (*roles.names, *timeline.feature_names(self.calendar))
        return Series(
            np.concatenate(pieces),
            names,
            len(roles.targets),
            str(table.path),
            num_known=len(names) - len(roles.targets) - len(roles.features),
            shared=(*roles.static, *names[len(roles.names) :]),
            names=tuple(rows_of),
            rows=tuple(len(piece) for piece in pieces) if self.id else (),
            may_be_missing=self.missing == "mask",
            step=timeline.regularity(times.rows(next(iter(rows_of.values()))[:1000]))[0],
            notes=tuple(notes),
        )

    def split_series_of(self, table: Table) -> Series:
        """The series to train on: with the words of the training rows and the rows at which `data.split` begins its
        splits, and without short series if they are to be left out."""
        table, future = self._without_future(self._with_given_files(table))
        times = self._times(table)
        rows_of = rows_by_series(table, self.id, times)[0]
        if self._split_column is not None:
            found = ends_of_named_splits(
                self._split_column, table, self.time, times, [*rows_of.values()], self.gaps, self.fractions
            )
        elif not isinstance(self.split, SplitPoints):
            found = [self._split_ends(len(rows)) for rows in rows_of.values()]
        else:
            found = [*ends_of_series(self.split, table, self.time, times, [*rows_of.values()], self.gaps)]
        ends = dict(zip(rows_of, found, strict=True))
        split_rows = {
            name: rows_of_splits(own, self.fold, train_on_validation=self.train_on_validation)
            for name, own in ends.items()
        }
        short = [name for name, rows in rows_of.items() if self.lacks(len(rows), split_rows[name]) is not None]
        if not self.drops_short_series or len(short) == len(rows_of):  # The latter is an error of `check`.
            short = []
        train = [rows[slice(*split_rows[name].train)] for name, rows in rows_of.items() if name not in short]
        levels = one_hot.learn_levels(table, self.categorical, np.concatenate(train))
        notes = [*future, *one_hot.unknown_words(table, levels)]
        if short:
            notes.append(f"{len(short)} of {len(rows_of)} series have too few rows and are left out: "
                         f"{list_names(short)}")  # fmt: skip
            table = table.rows(np.sort(np.concatenate([rows_of[name] for name in rows_of if name not in short])))
        series = self.series_of(table, levels)
        by_fractions = self._split_column is None and self.split is None
        split_ends = () if by_fractions else tuple(ends[name] for name in series.names)
        return replace(series, split_ends=split_ends, notes=(*notes, *series.notes))

    def _without_future(self, table: Table) -> tuple[Table, list[str]]:
        """The table without the rows behind the last target of each series, and a note on them. They are the future,
        and no truth to train on or to score."""
        columns = [self.format.without_missing_marks(table.columns[name]) for name in self.roles.targets]
        if not any(MISSING.fullmatch(cells[row]) for cells in columns[:1] for row in (0, -1)) and self.id is None:
            return table, []
        known = np.array([not all(map(MISSING.fullmatch, cells)) for cells in zip(*columns, strict=True)])
        later: list[int] = []
        for rows in rows_by_series(table, self.id, self._times(table))[0].values():
            if known[rows].any():
                later += rows[np.flatnonzero(known[rows])[-1] + 1 :].tolist()
        if not later:
            return table, []
        note = (f"{len(later)} rows behind the last target are the future: they are left out of training and scores, "
                "and predicted")  # fmt: skip
        return table.rows(np.setdiff1d(np.arange(len(table.lines)), later)), [note]

    def _rows(self, table: Table, times: Times, values: np.ndarray, roles: one_hot.ColumnRoles) -> np.ndarray:
        """(N, C) rows of one series at equal steps."""
        regular, steps = regular_rows(table, self.time, times, values, roles, self.gaps)
        if self.missing == "forward_fill":
            regular = fill_forward(table, roles.names, regular)
        if not self.calendar:
            return regular
        return np.concatenate([regular, timeline.regular_features(table, self.time, times, self.calendar, steps)], 1)

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
        if not self.roles.future:
            raise ConfigError("future: data.future names no columns that are known in advance (calendar and static "
                              "columns need no file): leave it out")  # fmt: skip
        return self._forecast_input(source, future, info)

    def _new_table(self, source: NewData, beside_time: Sequence[str], name: str = "DataFrame") -> Table:
        if self.counts_rows:
            return with_row_numbers(read_untimed_table(source, beside_time, self.format, name), self.id)
        return read_new_table(source, self.time, beside_time, self.format, name)

    def latest(self) -> NewSamples | None:
        return self.read_new(find_file([self.path, *self.given.values()][-1]), self.info)

    def _forecast_input(self, source: NewData, future: NewData | None, info: SeriesInfo) -> NewSamples:
        levels = one_hot.levels_in(info.columns, self.categorical)
        roles = self.roles.with_levels(levels)
        table = one_hot.with_channels(self._new_table(source, self._beside_time), levels)
        times = self._times(table)
        observed, later = self._split_at_last_target(table, times, info)
        series = self.series_of(table.rows(np.sort(np.concatenate(list(observed.values())))), levels)
        sources = [self._known_rows(table, times, later, roles)] if roles.future else []
        if future is not None:
            other = self._new_table(future, (*self.roles.future, *([self.id] if self.id else [])), "future")
            other, other_times = one_hot.with_channels(other, levels), self._times(other)
            other_rows = rows_by_series(other, self.id, other_times)[0]
            sources.append(self._known_rows(other, other_times, other_rows, roles))
        for each in (table, *(known.table for known in sources[1:])):
            for text in one_hot.unknown_words(each, levels):
                warnings.warn(text, Notice, stacklevel=2)
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
            known = (
                [known_values(sources, roles.future, name, ahead, calendar, str(table.path))] if roles.future else []
            )
            fills = self.missing == "forward_fill"
            parts = [known_columns(table, roles, known, series.values[end - 1], info.horizon, fills)]
            parts += [timeline.calendar_features(table, self.time, ahead, self.calendar)] if self.calendar else []
            coming.append(np.concatenate(parts, 1))
            id = ids[len(keys)]
            keys.append([(*id, time, step) for step, time in enumerate(values_of_times(ahead, places), 1)])
        batch = latest_windows(series, np.stack(coming), info)
        pieces = (batch.select(rows) for rows in torch.arange(len(keys)).split(self.batch_size))
        first = next(iter(observed.values()))[-info.window :]
        values = self._numbers(table.rows(first), roles.targets[:1], allow_missing=True)[:, 0].tolist()
        history = [*zip(values_of_times(times.rows(first), places), values, strict=True)]
        return NewSamples(pieces, (*([self.id] if self.id else []), self.time, "ahead"), keys, history)

    def _split_at_last_target(
        self, table: Table, times: Times, info: SeriesInfo
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Series -> its rows up to the last in which a target is known, and those behind it."""
        targets = self._numbers(table, self.roles.targets, allow_missing=True)
        rows_of = rows_by_series(table, self.id, times)[0]
        observed, later = rows_around_last_target(table, self.time, times, rows_of, targets, self.roles.targets)
        short = [name for name, rows in observed.items() if len(rows) < info.window]
        if not self.drops_short_series or len(short) == len(observed):
            return observed, later
        if short:
            warnings.warn(f"{len(short)} series have fewer rows than the {info.window} that the model reads and are "
                          f"left out: {list_names(short)}", Notice, stacklevel=2)  # fmt: skip
        return {name: rows for name, rows in observed.items() if name not in short}, later

    def _known_rows(
        self, table: Table, times: Times, rows_of: dict[str, np.ndarray], roles: one_hot.ColumnRoles
    ) -> KnownRows:
        return KnownRows(table, times, self._numbers(table, roles.future, allow_missing=True), rows_of)
