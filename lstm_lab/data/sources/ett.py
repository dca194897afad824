"""ETT-small: two transformers' oil temperature and loads, July 2016 to June 2018 (Zhou et al., AAAI 2021)."""

from __future__ import annotations

from typing import Annotated, Literal, Unpack

from pydantic import Field

from lstm_lab.data.kinds.published_series import PublishedSeries
from lstm_lab.data.kinds.series import Series, Steps, WindowOptions
from lstm_lab.data.kinds.series_values import frame_values
from lstm_lab.data.readers.locate import locate

ORIGIN = "ETT-small (github.com/zhouhaoyi/ETDataset, CC BY-ND 4.0) as Parquet"
SHA256 = {
    "ETTh1": "048740d6cfee4a4e5b9c117354b6de37de2f53f59ffa8ac448d3ff4149bad51a",
    "ETTh2": "0eb40c4fa579bdc9e409a8e30482d73c47caec149137587b0f71bb73b4594f80",
    "ETTm1": "c7c79c9c08f03a82a99b00cb0015ed618bef06844fc4b6aa687bc13ffce0eda3",
}
ROWS_A_DAY = {"ETTh1": 24, "ETTh2": 24, "ETTm1": 96}


class ETT(PublishedSeries, name="ett"):
    """Six loads and the oil temperature, all of them read and all of them predicted, as in every paper on them.

    Months of 30 days: twelve for training, four for validation, four for test; later rows are not used.
    """

    class Config(PublishedSeries.Config):
        subset: Literal["ETTh1", "ETTh2", "ETTm1"] = "ETTh1"
        """Hourly readings of the first or second transformer, or readings of the first every quarter of an hour."""
        horizon: Steps = 96
        """Future rows that are predicted."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (24,)
        """A day of the hourly sets; 96 for ETTm1."""

    def __init__(self, *, subset: str, **options: Unpack[WindowOptions]) -> None:
        super().__init__(**options)
        self.subset = subset

    def read(self) -> Series:
        import pandas as pd

        path = locate(f"ett/{self.subset}.parquet", ORIGIN, SHA256[self.subset])
        values, columns = frame_values(pd.read_parquet(path).drop(columns="date"))
        return Series(values[: self._split_ends(0)[2]], columns, len(columns), str(path))

    def _split_ends(self, rows: int) -> tuple[int, int, int]:
        month = 30 * ROWS_A_DAY[self.subset]
        return 12 * month, 16 * month, 20 * month
