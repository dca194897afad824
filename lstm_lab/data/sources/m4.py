"""The hourly and the weekly series of the M4 competition (Makridakis, Spiliotis & Assimakopoulos, 2020)."""

from __future__ import annotations

from typing import Annotated, Literal, Unpack

import numpy as np
from pydantic import Field, model_validator

from lstm_lab.data.kinds.published_series import PublishedSeries
from lstm_lab.data.kinds.series import Series, Steps, WindowOptions
from lstm_lab.data.readers.locate import locate

HORIZONS = {"hourly": 48, "weekly": 13}


class M4(PublishedSeries, name="m4"):
    """One model for many series, 414 hourly or 359 weekly ones, each with its own scale.

    The competition's test rows are the test split: one forecast for each series. The horizon before them is for
    validation, so the scale and the denominator of MASE are those of the rows before both; the competition's own
    denominator includes the latter.
    """

    class Config(PublishedSeries.Config):
        subset: Literal["hourly", "weekly"] = "hourly"
        """Which of the competition's six frequencies."""
        horizon: Steps = 48
        """Future rows that are predicted: 48 of the hourly, 13 of the weekly series."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (24,)
        """A day of the hourly series; 1 for the weekly ones, as in the competition."""

        @model_validator(mode="after")
        def _the_horizon_is_that_of_the_competition(self) -> M4.Config:
            if self.horizon != HORIZONS[self.subset]:
                raise ValueError(f"horizon={self.horizon}: the {self.subset} series are tested on "
                                 f"{HORIZONS[self.subset]} rows: set it to that")  # fmt: skip
            return self

    time_column = None
    id_column = "id"

    def __init__(self, *, subset: str, **options: Unpack[WindowOptions]) -> None:
        super().__init__(**options)
        self.subset = subset

    def read(self) -> Series:
        import pandas as pd

        path = locate(
            "m4/m4_hourly_weekly.parquet",
            "Train and Test of Hourly and Weekly (github.com/Mcompetitions/M4-methods, Dataset/) as Parquet",
            "cbc9424bae7d7e12b9c6bdce24d8773516148425f8c257741972cc7f6e3b41da",
        )
        frame = pd.read_parquet(path)
        frame = frame[frame["freq"].str.lower() == self.subset]
        values = {split: rows.set_index("id")["y"] for split, rows in frame.groupby("split")}
        names = sorted(values["train"].index, key=lambda name: int(name[1:]))
        series = [np.concatenate([values["train"][name], values["test"][name]]).astype(float) for name in names]
        return Series(
            np.concatenate(series)[:, None], ("y",), 1, str(path), names=tuple(names), rows=tuple(map(len, series))
        )

    def _split_ends(self, rows: int) -> tuple[int, int, int]:
        return rows - 2 * self.horizon, rows - self.horizon, rows
