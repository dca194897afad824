"""Series that others published: new rows for a forecast come in a table of the user."""

from __future__ import annotations

from typing import ClassVar

from lstm_lab.data.base import NewSamples
from lstm_lab.data.kinds.series import SeriesInfo, WindowedDataset
from lstm_lab.data.kinds.table_series import TableSeries
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.in_memory import NewData


class PublishedSeries(WindowedDataset):
    """Base of their sources. A source may name the columns of time and series that new rows have beside the targets."""

    reads_new_files = True

    time_column: ClassVar[str | None] = "date"
    """Column of the time in new rows; None: each row is one step after the row before."""
    id_column: ClassVar[str | None] = None
    """Column of the series in new rows; None: they are one series."""

    def read_new(self, source: NewData, info: SeriesInfo) -> NewSamples:
        """The input of a forecast for the rows that follow the last observed target of each series.

        Args:
            source: a CSV, Parquet or JSONL file, or a DataFrame, with the columns of the data set: at least `window`
                rows of each series.
        """
        table = TableSeries(
            path="", time=self.time_column, id=self.id_column, targets=info.targets, features=(), future=(),
            calendar=(), static=(), categorical=(), missing="error",
            gaps="error" if self.time_column is None else "ignore", format=CSVFormat(), sha256=None,
            short_series="error", validation=0.1, test=0.2, window=info.window, horizon=info.horizon,
            seasons=info.seasons, stride=1, batch_size=self.batch_size,
        )  # fmt: skip
        return table.read_new(source, info)
