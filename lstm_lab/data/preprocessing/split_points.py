"""Splits of a series at given times or rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from lstm_lab.config import Config, DataError
from lstm_lab.data.preprocessing.cross_validation import Fold
from lstm_lab.data.preprocessing.splits import SPLITS, SplitFractions, check_named_fractions
from lstm_lab.data.readers.calendar_kinds import Times
from lstm_lab.data.readers.cells import splits_of
from lstm_lab.data.readers.columns import Column
from lstm_lab.data.readers.table import Table
from lstm_lab.data.readers.timeline import Gaps, step_numbers


def _checked(point: int | str) -> int | str:
    if isinstance(point, int):
        return point
    try:
        date = datetime.fromisoformat(point)
    except ValueError:
        raise ValueError(f"{point!r} is neither a number of rows nor a date such as 2017-07-01 or "
                         "2017-07-01T12:00") from None  # fmt: skip
    if date.tzinfo is not None:
        raise ValueError(f"{point!r} has an offset: write the local time of the data, without an offset")
    return point


Point = Annotated[int | str, AfterValidator(_checked)]
"""Number of a row, counted from 0, or a date as ISO 8601, in the local time of the data."""


class SplitPoints(Config):
    """Where the splits of a series begin: at dates, or at rows. Rows before the first one are for training."""

    validation_from: Point
    """First row of the validation split."""
    test_from: Point | None = None
    """First row of the test split; null: there is none."""
    until: Point | None = None
    """First row that is left out; null: all rows are used."""

    @model_validator(mode="after")
    def _points_are_of_one_kind_and_in_order(self) -> SplitPoints:
        given = self.points
        if len({type(point) for point in given.values()}) > 1:
            raise ValueError(f"mixes dates and numbers of rows ({_written(given)}): use one of them")
        first, *later = given
        for name in later:
            if _order(given[name]) <= _order(given[first]):
                raise ValueError(f"{name}={given[name]} is not after {first}={given[first]}: put the points in order")
            first = name
        return self

    @property
    def points(self) -> dict[str, int | str]:
        """Those that are set, in order."""
        every = {"validation_from": self.validation_from, "test_from": self.test_from, "until": self.until}
        return {name: point for name, point in every.items() if point is not None}

    def ends(self, rows: int, dates: np.ndarray | None, steps: np.ndarray | None, path: str) -> tuple[int, int, int]:
        """Row behind the training, the validation and the test split of one series.

        Args:
            rows: number of rows, those of gaps included.
            dates: (N,) datetime64 local time of each row that the data have; None where there are no dates.
            steps: (N,) number of each of them among all rows; None: they are all rows.
            path: of the data, for messages.

        Raises:
            DataError: dates where the data have none, or a point outside of the series.
        """
        found = {name: self._row(name, point, rows, dates, steps, path) for name, point in self.points.items()}
        end = found.get("until", rows)
        return found["validation_from"], found.get("test_from", end), end

    @staticmethod
    def _row(
        name: str, point: int | str, rows: int, dates: np.ndarray | None, steps: np.ndarray | None, path: str
    ) -> int:
        if isinstance(point, int):
            row, span = point, f"0 to {rows - 1}"
        elif dates is None:
            raise DataError(f"{path}: data.split.{name}={point} is a date, but the data have none: write the number of "
                            "a row")  # fmt: skip
        else:
            first = int(np.searchsorted(dates, np.datetime64(datetime.fromisoformat(point))))
            row = rows if first == len(dates) else first if steps is None else int(steps[first])
            span = f"{dates[0].astype('datetime64[s]')} to {dates[-1].astype('datetime64[s]')}"
        if name == "until":  # Behind the end, it leaves nothing out.
            return min(row, rows)
        if not 0 < row < rows:
            raise DataError(f"{path}: data.split.{name}={point} is outside of the rows, {span}: choose a point within")
        return row


def _column_or_points(given: object, validate: ValidatorFunctionWrapHandler) -> object:
    """The name of a column, or points, whose errors name the field of the point."""
    if isinstance(given, Mapping):
        return SplitPoints.model_validate(given)
    if not isinstance(given, str | int | SplitPoints | None):
        raise ValueError(f"must be validation_from, test_from and until, or the name of a column, got {given!r}")
    return validate(given)


SeriesSplit = Annotated[SplitPoints | Column | None, WrapValidator(_column_or_points)]
"""Points, or the column that names the split of each row."""


def ends_of_series(
    points: SplitPoints, table: Table, time: str, times: Times, rows: Sequence[np.ndarray], gaps: Gaps
) -> tuple[tuple[int, int, int], ...]:
    """Of each series of a table: row behind the training, the validation and the test split.

    Args:
        time: column of the times.
        times: of all rows of the table.
        rows: of each series, in the order of time.
        gaps: as of `step_numbers`.
    """
    ends = []
    for own in rows:
        own_times = times.rows(own)
        steps = step_numbers(table.rows(own), time, own_times, gaps)
        dates = None if own_times.local is None else own_times.local.to_numpy()
        ends.append(points.ends(int(steps[-1]) + 1, dates, steps, str(table.path)))
    return tuple(ends)


def ends_of_named_splits(
    column: str, table: Table, time: str, times: Times, rows: Sequence[np.ndarray], gaps: Gaps,
    fractions: SplitFractions,
) -> list[tuple[int, int, int]]:  # fmt: skip
    """The same, where a column of the table names the split of each row. A validation split that it does not name is
    the last part of the training rows of each series.

    Args:
        fractions: for the validation split, of the training rows; for the test split, 0 where there is none.

    Raises:
        DataError: a cell that is no split, no training or test rows, or splits that are out of order.
    """
    names, path = splits_of(table, column), str(table.path)
    check_named_fractions(set(names.tolist()), fractions, path)
    for split, is_needed, way_out in (("train", True, ""), ("test", fractions[1] > 0, ", or set data.test=0")):
        if is_needed and split not in names:
            raise DataError(f"{path}: column {column!r} names no {split} split: write one{way_out}")
    number = {split: i for i, split in enumerate(SPLITS)}
    order = np.array([number[name] for name in names.tolist()])
    held_out = 0.0 if (order == 1).any() else fractions[0]
    ends = []
    for own in rows:
        steps = np.append(step_numbers(table.rows(own), time, times.rows(own), gaps), 0)
        steps[-1] = steps[-2] + 1
        back = np.flatnonzero(np.diff(order[own]) < 0)
        if len(back):
            row, before = int(own[back[0] + 1]), int(own[back[0]])
            raise table.error(row, column, f"{names[row]} follows {names[before]}: of each series, the rows of train, "
                              "validation and test follow each other in the order of time")  # fmt: skip
        train_end, validation_end = (int(steps[np.searchsorted(order[own], split)]) for split in (1, 2))
        ends.append((train_end - int(train_end * held_out), validation_end, int(steps[-1])))
    return ends


class SplitRows(NamedTuple):
    """Of a series: first row of each split, and the row behind its last."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]


def rows_of_splits(ends: tuple[int, int, int], fold: Fold | None, *, train_on_validation: bool = False) -> SplitRows:
    """The rows of the splits of a series.

    Args:
        ends: row behind the training, the validation and the test split.
        fold: which of the rows in front of the test split are for training and for validation; None: as `ends` says.
        train_on_validation: whether the training split has those for validation too.
    """
    train_end, validation_end, test_end = ends
    train, validation = fold.rows(validation_end) if fold else ((0, train_end), (train_end, validation_end))
    train = (train[0], validation[1]) if train_on_validation else train
    return SplitRows(train, validation, (validation_end, test_end))


def shortage(
    rows: int, splits: SplitRows, window: int, horizon: int, has_test: bool, are_named: bool = False
) -> str | None:
    """What a series lacks for its splits, as text; None where nothing.

    Args:
        rows: number of its rows.
        splits: those of the series.
        has_test: whether there is a test split.
        are_named: whether the data name the splits: a series may then be in one of them alone.
    """
    if are_named:
        for name, (first, end) in zip(SPLITS, splits, strict=True):
            if first < end < max(first, window) + horizon:
                return (f"the rows up to the end of its {name} split are {end}, but window {window} + horizon "
                        f"{horizon} need {max(first, window) + horizon}")  # fmt: skip
        return None
    for split, (first, end), needed in (
        ("training", splits.train, window + horizon),
        ("validation", splits.validation, horizon),
        ("test", splits.test, horizon if has_test else 0),
    ):
        found = end - first
        if found < needed:
            return (f"{rows} rows leave {max(found, 0)} for the {split} split, but window {window} + horizon {horizon} "
                    f"need {needed}")  # fmt: skip
    return None


def _order(point: int | str) -> float:
    return point if isinstance(point, int) else (datetime.fromisoformat(point) - datetime(1970, 1, 1)).total_seconds()


def _written(points: dict[str, int | str]) -> str:
    return ", ".join(f"{name}={point}" for name, point in points.items())
