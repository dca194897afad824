"""Time series of a user, one or many, from one file."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.split_series import SeriesDataset
from lstm_lab.data.kinds.table_series import Missing, TableSeries
from lstm_lab.data.preprocessing.split_points import SeriesSplit
from lstm_lab.data.preprocessing.splits import DEFAULT_FRACTIONS, check_given_fractions, given_splits
from lstm_lab.data.readers import timeline
from lstm_lab.data.readers.columns import Column, Columns, Sha256, check_distinct
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS, CSVFields, check_format
from lstm_lab.data.readers.series_table import ROW
from lstm_lab.data.readers.time_columns import TimeColumn


class CSV(TableSeries, name="csv"):
    """A CSV, Parquet or JSONL file with a row for each time step, oldest or newest first; several series, one below the
    other. A CSV may be compressed by gzip, bzip2 or xz.

    With columns that are known in advance, a model also reads the rows of the horizon, in which it sees those columns.
    """

    class Config(CSVFields, SeriesDataset.Config):
        path: FilePath
        """The file, UTF-8 text, .jsonl or .parquet; looked up beside the experiment's file, in the current folder, then
        below the folder that LSTM_LAB_DATA names."""
        time: TimeColumn | None
        """Column of the time: dates (ISO 8601 is always understood), quarters (1960Q1), seconds or milliseconds since
        1970, or numbers that count steps. Several columns that make it up: [Date, Time] or [year, month, day, hour].
        null: there is none, and each row is one step after the row before."""
        targets: Columns
        """Columns to predict."""
        features: Columns = ()
        """Further columns of the past, not predicted."""
        future: Columns = ()
        """Columns that are known in advance, such as holidays."""
        calendar: Annotated[tuple[timeline.Cycle, ...], Field(strict=False)] = ()
        """Cycles of the calendar, each as sine and cosine of the time's angle in it; known in advance."""
        id: Column | None = None
        """Column of the series that a row belongs to; null: all rows are one series."""
        static: Columns = ()
        """Columns that are constant within a series; known in advance."""
        categorical: Columns = ()
        """Those of features, static and future that have words: each word of the training rows is a channel of 0 and 1;
        another word is 0 in all of them."""
        short_series: Literal["error", "drop"] = "error"
        """Series with too few rows for window, horizon and splits: an error, or left out."""
        missing: Missing = "error"
        """Empty cells: an error, the last known value, or zeros with one more channel for each column as a mask; what
        is masked is neither learned nor scored."""
        gaps: timeline.Gaps = "error"
        """Rows that are missing between two steps: an error, or inserted as empty rows, which `missing` then treats, or
        ignored: the next row is the next step, as over holidays and the nights between sessions of trade."""
        split: SeriesSplit = None
        """Dates or numbers of rows at which the splits begin, or the column with train, validation or test for each
        row, instead of fractions. A series may be in one split alone; one without training rows has the scale of its
        first window."""
        validation_path: FilePath | None = None
        """A file with the rows of the validation split, written as the one at `path`, whose rows they follow; null: the
        last of the training rows."""
        test_path: FilePath | None = None
        """A file with the rows of the test split, which follow all others; null: as `test` says."""
        sha256: Sha256 | None = None
        """Of the file at `path`, as hex digits, where no other content is accepted; null: not checked."""

        names_splits: ClassVar[bool] = True

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
            split = self.split if isinstance(self.split, str) else None
            names = (self.time or ROW, *self.targets, *self.features, *self.static, *self.future, self.id, split)
            check_distinct(names, "time, targets, features, static, future, id and split")
            if self.static and self.id is None:
                raise ValueError(f"static={list(self.static)} would have no effect: there is one series; set id to the "
                                 "column of the series")  # fmt: skip
            words = set(self.categorical) - {*self.features, *self.static, *self.future}
            if words:
                raise ValueError(f"categorical={list(self.categorical)} names {sorted(words)[0]!r}, which is none of "
                                 "features, static and future: add it to one of them")  # fmt: skip
            if self.short_series == "drop" and self.id is None:
                raise ValueError("short_series=drop would have no effect: there is one series; set id to the column of "
                                 "the series")  # fmt: skip
            if self.gaps == "fill" and self.missing == "error":
                raise ValueError("gaps=fill inserts empty rows, which missing=error refuses: set missing to "
                                 "forward_fill or mask")  # fmt: skip
            if self.time is None and (self.calendar or self.gaps != "error"):
                field = "calendar" if self.calendar else "gaps"
                raise ValueError(f"{field} needs times, but time is null: name the column of the time, or remove it")
            if len(set(self.calendar)) < len(self.calendar):
                raise ValueError(f"calendar={list(self.calendar)} names a cycle twice: name each once")
            check_format(self.path, self.format)
            given = given_splits(self.validation_path, self.test_path)
            check_given_fractions(given, (self.validation, self.test or DEFAULT_FRACTIONS[1]))
            if given and self.split is not None:
                raise ValueError(f"split has no effect beside {next(iter(given))}_path: remove one of them")
            if given and (self.test_path is None) != (self.test == 0):
                raise ValueError("validation_path without test_path leaves no test split: set test_path, or test=0"
                                 if self.test_path is None else "test=0 has no effect beside test_path: remove one of "
                                 "them")  # fmt: skip
            return self

        def options(self) -> dict[str, object]:
            left_out = {*FORMAT_FIELDS, "validation_path", "test_path"}
            options = {key: value for key, value in super().options().items() if key not in left_out}
            return {**options, "format": self.format, "given": given_splits(self.validation_path, self.test_path)}
