"""Windows over regular series: look back, predict ahead. Split by time, scaled on the training part of each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.config import Count, DataError
from lstm_lab.data.base import Batch, Dataset, digest
from lstm_lab.data.kinds.windows import Windows, shown


@dataclass(frozen=True)
class SeriesInfo:
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
    std: tuple[float, ...]
    naive_mae: tuple[float, ...]
    """Of each target: mean |y_t - y_{t-season}| over the training rows, season the first of `seasons` (1 if none).
    The denominator of MASE (Hyndman & Koehler, 2006)."""
    num_series: int = 1
    """How many series there are. Of more than one, each has a scale of its own, which its batches carry."""
    known: tuple[str, ...] = ()
    """The last columns, which are known ahead."""
    num_mask_channels: int = 0
    """Channels behind the columns that say what is not there: one for each column, or one for all rows ahead."""


@dataclass(frozen=True)
class Series:
    """Regular series as a source reads them, end to end."""

    values: np.ndarray
    """(N, C) float64: the targets in the first columns, what is known ahead in the last; NaN where it is missing."""
    columns: tuple[str, ...]
    targets: int
    """How many of the columns are predicted."""
    place: str
    """Where it came from, for messages."""
    known: int = 0
    """How many of the columns, at the end, are known ahead."""
    shared: tuple[str, ...] = ()
    """Columns that all series measure alike: scaled together."""
    names: tuple[str, ...] = ("",)
    rows: tuple[int, ...] = ()
    """Of each series, where there are many."""
    mask: bool = False
    """Whether values may be missing."""

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First row of each series, and the row behind its last."""
        ends = np.cumsum(self.rows or (len(self.values),)).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))


def recent(series: Series, info: SeriesInfo) -> Batch:
    """What follows the end of one series is asked: its last `window` rows, and where columns are known ahead also
    `horizon` rows behind them, in which nothing else is read.

    Raises:
        DataError: too few rows, a gap in them, or more than one series.
    """
    if len(series.names) > 1:
        raise DataError(f"{series.place}: holds {len(series.names)} series: bring a file of one, with the same columns")
    need, ahead = info.window, info.horizon if info.known else 0
    if len(series.values) < need + ahead:
        more = f" and asks for {ahead} rows more, of which it knows {', '.join(info.known)}" if ahead else ""
        raise DataError(f"{series.place}: {len(series.values)} rows, but the model looks back on {need}{more}: "
                        "bring more rows")  # fmt: skip
    scale = scale_of(series.values[: len(series.values) - ahead], info.seasons)
    if info.num_series == 1:
        scale[:2] = info.mean, info.std
    together = [info.columns.index(name) for name in series.shared]
    scale[:2, together] = np.array([info.mean, info.std])[:, together]
    values = (series.values[len(series.values) - need - ahead :] - scale[0]) / scale[1]
    both = torch.from_numpy(values.astype(np.float32))[None]
    unknown = len(info.columns) - len(info.known)
    blank = both[:, :need].isnan().any() or both[:, need:, unknown:].isnan().any()
    if blank and info.num_mask_channels <= 1:
        raise DataError(f"{series.place}: a cell is empty among the rows that the model reads: fill it in")
    x = shown(both, need, len(info.known), info.num_mask_channels)
    K, lengths = len(info.targets), torch.tensor([x.shape[1]])
    y = torch.empty(1, 0, K)
    return Batch(x, lengths, y, None if info.num_series == 1 else torch.from_numpy(scale[:, :K])[None])


def frame_values(frame: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of a pandas table of numbers: values (N, C) float64 and names of its columns."""
    return frame.to_numpy(np.float64), tuple(str(column) for column in frame.columns)


Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Steps = Count


def check_fractions(validation: float, test: float) -> None:
    """Raise ValueError where the two shares leave nothing to train on."""
    if validation + test >= 1:
        raise ValueError(f"validation={validation} and test={test} leave nothing to train on: keep their sum below 1")


class WindowedDataset(Dataset):
    """Base of the sources of series that are split by time. A source writes `read` and `_borders`."""

    Info = SeriesInfo
    augments = frozenset({"jitter", "scaling"})

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
        """The rows as read.

        Raises:
            DataError: a series is too short for its three parts.
        """
        series = self.read()
        need = self.window + self.horizon
        for name, (first, last) in zip(series.names, series.spans, strict=True):
            train, validation, end = self._borders(last - first)
            for part, have, least in (
                ("training part", train, need),
                ("validation part", validation - train, self.horizon),
                ("test part", end - validation, self.horizon),
            ):
                if have < least:
                    raise DataError(
                        f"{series.place}: {f'series {name!r}: ' if name else ''}{last - first} rows leave "
                        f"{max(have, 0)} to the {part}, but window {self.window} + horizon {self.horizon} need {least} "
                        "there: shorten data.window or data.horizon, or bring more rows"
                    )
        return series

    @cached_property
    def info(self) -> SeriesInfo:
        series, scales = self.series, self._scales
        num_mask_channels = len(series.columns) if series.mask else int(series.known > 0)
        pooled = scales.mean(0)  # Of one series: its own.
        return SeriesInfo(
            input_size=len(series.columns) + num_mask_channels,
            window=self.window,
            horizon=self.horizon,
            targets=series.columns[: series.targets],
            columns=series.columns,
            seasons=self.seasons,
            mean=tuple(pooled[0].tolist()),
            std=tuple(pooled[1].tolist()),
            naive_mae=tuple(pooled[2, : series.targets].tolist()),
            num_series=len(series.names),
            known=series.columns[len(series.columns) - series.known :],
            num_mask_channels=num_mask_channels,
        )

    @cached_property
    def _scales(self) -> np.ndarray:
        """(series, 3, C) mean, deviation and error of the seasonal naive forecast, over each one's training rows."""
        series = self.series
        trains = [series.values[first : first + self._borders(last - first)[0]] for first, last in series.spans]
        scales = np.stack([scale_of(train, self.seasons) for train in trains])
        together = [series.columns.index(name) for name in series.shared]
        if together:
            scales[:, :, together] = scale_of(np.concatenate(trains)[:, together], ())
        return scales

    @cached_property
    def _scaled(self) -> Tensor:
        scaled = np.empty(self.series.values.shape, np.float32)
        for (mean, std, _), (first, last) in zip(self._scales, self.series.spans, strict=True):
            scaled[first:last] = (self.series.values[first:last] - mean) / std
        return torch.from_numpy(scaled)

    def _windows(self, part: int, stride: int = 1) -> Windows:
        series = self.series
        stretches = []
        for begin, end in series.spans:
            borders = (0, *self._borders(end - begin))
            stretches.append((begin, begin + borders[part], begin + borders[part + 1]))
        # The rows behind the last one are cut off: no window of this part can touch them.
        values, targets = self._scaled[: stretches[-1][2]], series.targets
        scales = torch.from_numpy(self._scales[..., :targets]) if len(stretches) > 1 else None
        shape = (self.window, self.horizon, targets)
        return Windows(values, *shape, stretches, stride, series.known, self.info.num_mask_channels, scales)

    @cached_property
    def train(self) -> Windows:
        return self._windows(0, self.stride)

    @cached_property
    def validation(self) -> Windows:
        return self._windows(1)

    def test_split(self) -> Windows:
        return self._windows(2)

    @cached_property
    def digest(self) -> str:
        series = self.series
        borders = [self._borders(last - first) for first, last in series.spans]
        # Of one series without more to say: as runs of earlier versions wrote it down.
        many = (borders, series.names, series.known, series.shared, series.mask)
        plain = not (series.rows or series.known or series.shared or series.mask)
        return digest(series.values, series.columns, borders[0] if plain else many)


def scale_of(train: np.ndarray, seasons: Sequence[int]) -> np.ndarray:
    """(3, C): mean, deviation, and mean |y_t - y_{t-season}| of training rows (N, C), of which some may be missing."""
    season = next((season for season in seasons if season < len(train)), 1)
    steps = np.abs(train[season:] - train[:-season])
    if np.isnan(train).any():
        there = np.where(np.isnan(train).all(0), 0.0, train)  # A column of which nothing is known has no scale.
        mean, std, naive = np.nanmean(there, 0), np.nanstd(there, 0), _mean(steps)
        moves = np.nanmax(there, 0) > np.nanmin(there, 0)
    else:
        mean, std, naive, moves = train.mean(0), train.std(0), steps.mean(0), np.ptp(train, axis=0) > 0
    # What never moves in training has no scale: 1 keeps it finite should it move later.
    return np.stack([mean, np.where(moves & (std > 0), std, 1.0), np.maximum(naive, 1e-8)])


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the rows that are there; 0 where there is none."""
    there = ~np.isnan(values)
    return np.where(there, values, 0.0).sum(0) / np.maximum(there.sum(0), 1)


class SeriesDataset(WindowedDataset):
    """Base of the sources of one series that a person parts by shares. A source writes `read`."""

    class Config(WindowedDataset.Config):
        validation: Fraction = 0.1
        """Share of the rows, before the test part."""
        test: Fraction = 0.2
        """Share of the rows, at the end."""

        @model_validator(mode="after")
        def _leave_something_to_train_on(self) -> SeriesDataset.Config:
            check_fractions(self.validation, self.test)
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.fractions: tuple[float, float] = (choices["validation"], choices["test"])

    def _borders(self, rows: int) -> tuple[int, int, int]:
        validation, test = self.fractions
        return int(rows * (1 - validation - test) + 1e-9), int(rows * (1 - test) + 1e-9), rows
