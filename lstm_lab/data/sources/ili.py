"""Influenza-like illness in the US, as the papers on long horizons split it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstm_lab.data.kinds.long_horizon import SUITE, LongHorizon, all_columns
from lstm_lab.data.kinds.series import Series, Steps
from lstm_lab.data.readers.locate import locate


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
        return all_columns(pd.read_csv(path), path)
