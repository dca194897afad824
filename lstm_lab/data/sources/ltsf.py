"""Weather and influenza, as the long-horizon papers since Autoformer (Wu et al., NeurIPS 2021) take them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstm_lab.data.kinds.series import Series, Steps, WindowedDataset, frame_values
from lstm_lab.data.readers.locate import locate

SUITE = "of the Autoformer suite (github.com/thuml/Autoformer)"


class LongHorizon(WindowedDataset):
    """All columns are looked back on and predicted; 70, 10 and 20 % of the rows in the order of time."""

    def _borders(self, rows: int) -> tuple[int, int, int]:
        # The two ends are rounded down and validation takes what is between: as the suite's own loader does.
        return int(rows * 0.7), rows - int(rows * 0.2), rows


class Weather(LongHorizon, name="weather"):
    """21 measures of the weather station at Jena every ten minutes of 2020."""

    class Config(LongHorizon.Config):
        horizon: Steps = 96
        """Rows predicted ahead."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (144,)
        """A day."""

    def read(self) -> Series:
        import pandas as pd

        place = locate(
            "ltsf_small/weather.parquet",
            f"weather.csv {SUITE} as Parquet",
            "e008ec7bdc87785b307242adb74ff45508ac13acc4bd6dacd076edc4396bb6d5",
        )
        values, columns = frame_values(pd.read_parquet(place).drop(columns="date"))
        return Series(values, columns, len(columns), str(place))


class Illness(LongHorizon, name="ili"):
    """Patients with influenza-like illness in the US, 966 weeks from 2002 on (CDC)."""

    class Config(LongHorizon.Config):
        window: Steps = 36
        """Weeks looked back on."""
        horizon: Steps = 24
        """Weeks predicted ahead."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (52,)
        """A year."""

    def read(self) -> Series:
        import pandas as pd

        place = locate(
            "ltsf_small/national_illness.csv",
            f"national_illness.csv {SUITE}",
            "93601f64d2566dc796ca4305adad8b8560c2db1a1ff04543c3bd813a7263570a",
        )
        values, columns = frame_values(pd.read_csv(place).drop(columns="date"))
        return Series(values, columns, len(columns), str(place))
