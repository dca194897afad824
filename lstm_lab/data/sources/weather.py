"""Weather at Jena, as the papers on long horizons split it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstm_lab.data.kinds.long_horizon import SUITE, LongHorizon, all_columns
from lstm_lab.data.kinds.series import Series, Steps
from lstm_lab.data.readers.locate import locate


class Weather(LongHorizon, name="weather"):
    """21 measurements of the weather station at Jena every ten minutes of 2020."""

    class Config(LongHorizon.Config):
        horizon: Steps = 96
        """Future rows that are predicted."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (144,)
        """A day."""

    def read(self) -> Series:
        import pandas as pd

        path = locate(
            "ltsf_small/weather.parquet",
            f"weather.csv {SUITE} as Parquet",
            "e008ec7bdc87785b307242adb74ff45508ac13acc4bd6dacd076edc4396bb6d5",
        )
        return all_columns(pd.read_parquet(path), path)
