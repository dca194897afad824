"""The hourly and the weekly series of the M4 competition (Makridakis, Spiliotis & Assimakopoulos, 2020)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from lstm_lab.data.kinds.series import Series, Steps, WindowedDataset
from lstm_lab.data.readers.locate import locate

HORIZONS = {"hourly": 48, "weekly": 13}


class M4(WindowedDataset, name="m4"):
    """Many series, one model: 414 hourly or 359 weekly ones, each on its own scale.

    The competition's test rows are the test part: one forecast for each series. The horizon before them validates, so
    that the scale and the denominator of MASE come of the rows before both; the competition's own takes in the latter.
    """

    class Config(WindowedDataset.Config):
        subset: Literal["hourly", "weekly"] = "hourly"
        """Which of the competition's six frequencies."""
        horizon: Steps = 48
        """Rows predicted ahead: 48 of the hourly, 13 of the weekly series."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (24,)
        """A day of the hourly series; name 1 for the weekly ones, as the competition does."""

        @model_validator(mode="after")
        def _as_in_the_competition(self) -> M4.Config:
            if self.horizon != HORIZONS[self.subset]:
                raise ValueError(
                    f"horizon={self.horizon}: the {self.subset} series are tested on {HORIZONS[self.subset]} rows; "
                    "set it to that"
                )
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.subset: str = choices["subset"]

    def read(self) -> Series:
        import pandas as pd

        place = locate(
            "m4/m4_hourly_weekly.parquet",
            "Train and Test of Hourly and Weekly (github.com/Mcompetitions/M4-methods, Dataset/) as Parquet",
            "cbc9424bae7d7e12b9c6bdce24d8773516148425f8c257741972cc7f6e3b41da",
        )
        frame = pd.read_parquet(place)
        frame = frame[frame["freq"].str.lower() == self.subset]
        parts = {part: rows.set_index("id")["y"] for part, rows in frame.groupby("split")}
        names = sorted(parts["train"].index, key=lambda name: int(name[1:]))
        series = [np.concatenate([parts["train"][name], parts["test"][name]]).astype(float) for name in names]
        return Series(
            np.concatenate(series)[:, None], ("y",), 1, str(place), names=tuple(names), rows=tuple(map(len, series))
        )

    def _borders(self, rows: int) -> tuple[int, int, int]:
        return rows - 2 * self.horizon, rows - self.horizon, rows
