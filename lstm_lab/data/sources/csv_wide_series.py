"""Time series of a user, from a table with a row for each series and a column for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Unpack

from pydantic import Field, model_validator

from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.split_series import SeriesDataset, SeriesOptions
from lstm_lab.data.kinds.table_series import Missing, TableSeries
from lstm_lab.data.readers import timeline
from lstm_lab.data.readers.columns import Column, Columns, check_distinct
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS, CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.data.readers.table import Table
from lstm_lab.data.readers.wide_series import SERIES, TIME, VALUE, read_wide_series


class CSVWideSeries(TableSeries, name="csv_wide_series"):
    """A CSV, Parquet or JSONL file with a row for each series and a column for each step, as the M4 and M5 competitions
    write them. A series begins with its first value and ends with its last. In predictions the columns are the id,
    `time` and `value`."""

    class Config(CSVFields, SeriesDataset.Config):
        path: FilePath
        """The file; looked up beside the experiment's file, in the current folder, then below the folder that
        LSTM_LAB_DATA names."""
        id: Column | None = None
        """Column that names the series; null: rows are counted."""
        steps: Column | None = None
        """What the names of the columns of steps begin with: d for d_1, d_2. null: the columns whose names are dates,
        or else whole numbers such as years, or else all columns that no other field names."""
        static: Columns = ()
        """Columns that are constant within a series; known in advance."""
        categorical: Columns = ()
        """Those of static that have words: each word of the training series is a channel of 0 and 1; another word is 0
        in all of them."""
        calendar: Annotated[tuple[timeline.Cycle, ...], Field(strict=False)] = ()
        """Cycles of the calendar, where the columns of steps are dates, each as sine and cosine of the time's angle in
        it; known in advance."""
        short_series: Literal["error", "drop"] = "error"
        """Series with too few values for window, horizon and splits: an error, or left out."""
        missing: Missing = "error"
        """Empty cells within a series: an error, the last known value, or zeros with one more channel as a mask; what
        is masked is neither learned nor scored."""
        gaps: timeline.Gaps = "error"
        """Dates that are missing between two columns: an error, or inserted as empty steps, which `missing` then
        treats, or ignored: the next column is the next step."""

        @property
        def covariates(self) -> tuple[str, ...]:
            return self.known_ahead

        @property
        def known_ahead(self) -> tuple[str, ...]:
            columns = {"static": self.static, "calendar": self.calendar}
            return tuple(field for field, names in columns.items() if names)

        @property
        def masks_missing(self) -> bool:
            return self.missing == "mask"

        @model_validator(mode="after")
        def _columns_are_distinct_and_fields_have_an_effect(self) -> CSVWideSeries.Config:
            check_distinct([self.id, *self.static], "id and static")
            words = set(self.categorical) - {*self.static}
            if words:
                raise ValueError(f"categorical={list(self.categorical)} names {sorted(words)[0]!r}, which is not in "
                                 "static: add it")  # fmt: skip
            if self.gaps == "fill" and self.missing == "error":
                raise ValueError("gaps=fill inserts empty steps, which missing=error refuses: set missing to "
                                 "forward_fill or mask")  # fmt: skip
            check_format(self.path, self.format)
            return self

        def options(self) -> dict[str, object]:
            options = {key: value for key, value in super().options().items() if key not in FORMAT_FIELDS}
            return {**options, "format": self.format}

    def __init__(
        self, *, path: str, steps: str | None, id: str | None, static: tuple[str, ...], categorical: tuple[str, ...],
        calendar: tuple[timeline.Cycle, ...], short_series: Literal["error", "drop"], missing: Missing,
        gaps: timeline.Gaps, format: CSVFormat, **options: Unpack[SeriesOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            path=path, time=TIME, targets=(VALUE,), features=(), future=(), calendar=calendar, id=id or SERIES,
            static=static, missing=missing, gaps=gaps, format=format, sha256=None, categorical=categorical,
            short_series=short_series, **options,
        )  # fmt: skip
        self.steps, self.named = steps, id

    def _new_table(self, source: NewData, beside_time: Sequence[str], name: str = "DataFrame") -> Table:
        return read_wide_series(source, self.steps, self.named, self.roles.static, self.format, self.missing != "error")
