"""Weather and influenza, as in the papers on long horizons since Autoformer (Wu et al., NeurIPS 2021)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstm_lab.data.kinds.series import Series, Steps, WindowedDataset, frame_values
from lstm_lab.data.readers.locate import locate

SUITE = "of the Autoformer suite (github.com/thuml/Autoformer)"


class LongHorizon(WindowedDataset):
    """All columns are read and predicted; 70, 10 and 20 % of the rows in the order of time."""

    def _split_ends(self, rows: int) -> tuple[int, int, int]:
        # Training and test are rounded down and validation is the rest, as in the suite's own loader.
        return int(rows * 0.7), rows - int(rows * 0.2), rows


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
        values, columns = frame_values(pd.read_parquet(path).drop(columns="date"))
        return Series(values, columns, len(columns), str(path))


class Illness(LongHorizon, name="ili"):
    """Patients with influenza-like illness in the US, 966 weeks from 2002 on (CDC)."""

    class Config(LongHorizon.Config):
        window: Steps = 36
        """Past weeks that are read."""
        horizon: Steps = 24
        """Future weeks that are predicted."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (52,)
        """A year."""

    def read(self) -> Series:
        import pandas as pd

        path = locate(
            "ltsf_small/national_illness.csv",
            f"national_illness.csv {SUITE}",
            "93601f64d2566dc796ca4305adad8b8560c2db1a1ff04543c3bd813a7263570a",
        )
        values, columns = frame_values(pd.read_csv(path).drop(columns="date"))
        return Series(values, columns, len(columns), str(path))
