"""Windows over one regular series: look back, predict ahead. Split by time, scaled on the training part."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.config import Count, DataError
from lstm_lab.data.base import Batch, Dataset, digest


@dataclass(frozen=True)
class SeriesFacts:
    """What model, task and baselines must know; saved with the run, so that it can predict without the data."""

    input_size: int
    window: int
    horizon: int
    targets: tuple[str, ...]
    """The first columns of the series, in order."""
    columns: tuple[str, ...]
    seasons: tuple[int, ...]
    mean: tuple[float, ...]
    """Of each column over the training rows."""
    deviation: tuple[float, ...]
    naive_mae: tuple[float, ...]
    """Of each target: mean |y_t - y_{t-season}| over the training rows, season the first of `seasons` (1 if none).
    The denominator of MASE (Hyndman & Koehler, 2006)."""


@dataclass(frozen=True)
class Series:
    """A regular series as a source reads it."""

    values: np.ndarray
    """(N, C) float64, the targets in the first columns."""
    columns: tuple[str, ...]
    targets: int
    """How many of the columns are predicted."""
    place: str
    """Where it came from, for messages."""


class Windows:
    """All windows whose horizon lies within one stretch of rows. Views into the series: no sample is copied before use.

    Args:
        values: (N, C) scaled series.
        first, last: rows of the stretch, last excluded; the look-back may reach before `first`.
    """

    def __init__(self, values: Tensor, window: int, horizon: int, targets: int, first: int, last: int, stride: int = 1):
        self.values, self.window, self.horizon, self.targets = values, window, horizon, targets
        start = max(0, first - window)
        self.starts = torch.arange(start, last - window - horizon + 1, stride)
        self._views = values.unfold(0, window + horizon, 1)  # (N - window - horizon + 1, C, window + horizon)

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, index: Tensor) -> Batch:
        both = self._views[self.starts[index]].transpose(1, 2)  # (B, window + horizon, C)
        x, y = both[:, : self.window], both[:, self.window :, : self.targets]
        return Batch(x.contiguous(), torch.full((len(index),), self.window), y.contiguous())

    def ahead(self) -> Tensor:
        """Rows that each sample predicts: (len, horizon)."""
        return self.starts.unsqueeze(1) + self.window + torch.arange(self.horizon)


def frame_values(frame: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of a pandas table of numbers: values (N, C) float64 and names of its columns."""
    return frame.to_numpy(np.float64), tuple(str(column) for column in frame.columns)


Part = Annotated[float, Field(gt=0.0, lt=1.0)]
Steps = Count


class Windowed(Dataset):
    """Base of the sources of series that are split by time. A source writes `read` and `_borders`."""

    class Config(Dataset.Config):
        window: Steps = 96
        """Rows looked back on."""
        horizon: Steps = 24
        """Rows predicted ahead."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = ()
        """Season lengths in rows, for the seasonal naive forecasts; the first scales MASE."""
        stride: Steps = 1
        """Rows between the starts of neighbouring training windows."""

    def __init__(self, **choices: Any) -> None:
        self.window: int = choices["window"]
        self.horizon: int = choices["horizon"]
        self.seasons: tuple[int, ...] = choices["seasons"]
        self.stride: int = choices["stride"]

    @abstractmethod
    def read(self) -> Series:
        """The whole series."""

    @abstractmethod
    def _borders(self, rows: int) -> tuple[int, int, int]:
        """Row after the training part, after the validation part, after the test part."""

    @cached_property
    def series(self) -> Series:
        series = self.read()
        rows = len(series.values)
        train, validation, end = self._borders(rows)
        need = self.window + self.horizon
        for part, have, least in (
            ("training part", train, need),
            ("validation part", validation - train, self.horizon),
            ("test part", end - validation, self.horizon),
        ):
            if have < least:
                raise DataError(
                    f"{series.place}: {rows} rows leave {have} to the {part}, but window {self.window} + horizon "
                    f"{self.horizon} need {least} there: shorten data.window or data.horizon, or bring more rows"
                )
        return series

    @cached_property
    def facts(self) -> SeriesFacts:
        series = self.series
        train = series.values[: self._borders(len(series.values))[0]]
        targets = train[:, : series.targets]
        season = next((season for season in self.seasons if season < len(train)), 1)
        naive = np.abs(targets[season:] - targets[:-season]).mean(0)
        deviation = train.std(0)
        return SeriesFacts(
            input_size=train.shape[1],
            window=self.window,
            horizon=self.horizon,
            targets=series.columns[: series.targets],
            columns=series.columns,
            seasons=self.seasons,
            mean=tuple(train.mean(0).tolist()),
            # What never moves in training has no scale: 1 keeps it finite should it move later.
            deviation=tuple(np.where((np.ptp(train, axis=0) > 0) & (deviation > 0), deviation, 1.0).tolist()),
            naive_mae=tuple(np.maximum(naive, 1e-8).tolist()),
        )

    @cached_property
    def _scaled(self) -> Tensor:
        values = (self.series.values - np.array(self.facts.mean)) / np.array(self.facts.deviation)
        return torch.from_numpy(values.astype(np.float32))

    def _windows(self, first: int, last: int, stride: int = 1) -> Windows:
        # The rows behind `last` are cut off: no window of this part can touch them.
        return Windows(self._scaled[:last], self.window, self.horizon, self.series.targets, first, last, stride=stride)

    @cached_property
    def train(self) -> Windows:
        return self._windows(0, self._borders(len(self.series.values))[0], self.stride)

    @cached_property
    def validation(self) -> Windows:
        train, validation, _ = self._borders(len(self.series.values))
        return self._windows(train, validation)

    def open_test(self) -> Windows:
        _, validation, rows = self._borders(len(self.series.values))
        return self._windows(validation, rows)

    @cached_property
    def digest(self) -> str:
        return digest(self.series.values, self.series.columns, self._borders(len(self.series.values)))


class SeriesDataset(Windowed):
    """Base of the sources of one series that a person parts by shares. A source writes `read`."""

    class Config(Windowed.Config):
        validation: Part = 0.1
        """Share of the rows, before the test part."""
        test: Part = 0.2
        """Share of the rows, at the end."""

        @model_validator(mode="after")
        def _leave_something_to_train_on(self) -> SeriesDataset.Config:
            if self.validation + self.test >= 1:
                raise ValueError(
                    f"validation={self.validation} and test={self.test} leave nothing to train on: "
                    "keep their sum below 1"
                )
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.shares: tuple[float, float] = (choices["validation"], choices["test"])

    def _borders(self, rows: int) -> tuple[int, int, int]:
        validation, test = self.shares
        return int(rows * (1 - validation - test) + 1e-9), int(rows * (1 - test) + 1e-9), rows
