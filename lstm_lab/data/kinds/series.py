"""Windows over regular time series: read the past, predict the future. Split by time, scaled by the training rows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NotRequired, TypedDict

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lstm_lab.config import Count, DataError
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.known_values import check_known, count_known, known_notes, untrained
from lstm_lab.data.kinds.series_values import series_place
from lstm_lab.data.kinds.windows import RowRange, Windows
from lstm_lab.data.preprocessing.scaling import check_resolution, fill_scale, series_scale, standardized
from lstm_lab.data.preprocessing.split_points import SplitRows, rows_of_splits, shortage
from lstm_lab.data.preprocessing.splits import no_test_split
from lstm_lab.data.readers.cache import digest


@dataclass(frozen=True)
class SeriesInfo:
    """What model, task and baselines need to know of series; saved with a run, so that it can forecast without them."""

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
    """Standard deviation of each column over the training rows."""
    naive_mae: tuple[float, ...]
    """Of each target: mean |y_t - y_{t-season}| over the training rows, season the first of `seasons` (1 if none).
    The denominator of MASE (Hyndman & Koehler, 2006); 0 where it is not defined."""
    num_series: int = 1
    """Number of series. Each of several has its own scale, which is in `Batch.scale`."""
    known: tuple[str, ...] = ()
    """The last columns, which are known in advance."""
    num_mask_channels: int = 0
    """Channels behind the columns that are 1 where a value is missing: one for each column, or one for all columns that
    are not known in advance."""
    step: str = ""
    """What a step is, as "1 business day"; empty where the data have no times."""
    num_unscaled: tuple[int, ...] = ()
    """Of each target: number of series that MASE is not defined for, because their seasonal naive forecast has no error
    over the training rows: they are constant or exactly periodic there."""
    untrained: tuple[str, ...] = ()
    """Targets without a value in the training split: they are neither learned nor scored."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the input channels."""
        masked = self.columns if self.num_mask_channels == len(self.columns) else self.columns[: self.num_mask_channels]
        return (*self.columns, *(f"{column} is missing" for column in masked))


@dataclass(frozen=True)
class Series:
    """Regular series as a source reads them, end to end."""

    values: np.ndarray
    """(N, C) float64: targets in the first columns, those known in advance in the last; NaN where missing."""
    columns: tuple[str, ...]
    num_targets: int
    """Number of columns to predict."""
    path: str
    """Where they came from, for messages."""
    num_known: int = 0
    """Number of columns, at the end, that are known in advance."""
    shared: tuple[str, ...] = ()
    """Columns with one scale for all series."""
    names: tuple[str, ...] = ("",)
    """Of each series."""
    rows: tuple[int, ...] = ()
    """Number of rows of each series; empty for a single one."""
    may_be_missing: bool = False
    """Whether values may be NaN: the input then has a mask for each column."""
    step: str = ""
    """What a step is; of several series, the first one's."""
    notes: tuple[str, ...] = ()
    """What to know of how they were read, a sentence each."""
    split_ends: tuple[tuple[int, int, int], ...] = ()
    """Of each series: row behind the training, the validation and the test split; empty: the data set decides."""

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First row of each series, and the row behind its last."""
        ends = np.cumsum(self.rows or (len(self.values),)).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))


Steps = Count


class WindowOptions(TypedDict):
    """Arguments of a `WindowedDataset`."""

    window: int
    horizon: int
    seasons: tuple[int, ...]
    stride: int
    batch_size: NotRequired[int]


class WindowedDataset(Dataset[SeriesInfo]):
    """Base of the sources of series that are split by time. A source writes `read` and `_split_ends`."""

    Info = SeriesInfo
    augments = frozenset({"jitter", "scaling"})
    folds_by = frozenset({"time"})

    class Config(Dataset.Config):
        window: Steps = 96
        """Past rows that are read."""
        horizon: Steps = 24
        """Future rows that are predicted."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = ()
        """Season lengths in rows, for the seasonal naive forecasts; the first scales MASE."""
        stride: Steps = 1
        """Rows between the starts of neighbouring training windows."""

        @property
        def covariates(self) -> tuple[str, ...]:
            """Fields that add columns beside the targets."""
            return ()

        @property
        def known_ahead(self) -> tuple[str, ...]:
            """Those of them whose columns are known over the horizon too."""
            return ()

        @property
        def masks_missing(self) -> bool:
            """Whether values may be missing, with a channel that flags them."""
            return False

    def __init__(
        self, *, window: int, horizon: int, seasons: tuple[int, ...], stride: int, batch_size: int = 1
    ) -> None:
        self.window, self.horizon, self.seasons, self.stride = window, horizon, seasons, stride
        self.batch_size = batch_size

    @abstractmethod
    def read(self) -> Series:
        """All rows."""

    @abstractmethod
    def _split_ends(self, rows: int) -> tuple[int, int, int]:
        """Row behind the training, the validation and the test split, of a series with so many rows."""

    def split_ends(self, series: Series) -> list[tuple[int, int, int]]:
        """Row behind the training, the validation and the test split of each series."""
        return list(series.split_ends) or [self._split_ends(end - first) for first, end in series.spans]

    def split_rows(self, series: Series) -> list[SplitRows]:
        """Rows of the training, the validation and the test split of each series, those of the fold if there is one."""
        return [rows_of_splits(ends, self.fold, train_on_validation=self.train_on_validation)
                for ends in self.split_ends(series)]  # fmt: skip

    @cached_property
    def series(self) -> Series:
        """All rows, read once and checked."""
        return self.check(self.read())

    def lacks(self, rows: int, splits: SplitRows) -> str | None:
        """What a series of so many rows lacks for its splits, as text; None where nothing."""
        return shortage(rows, splits, self.window, self.horizon, self.has_test_split)

    def check(self, series: Series) -> Series:
        """Raise DataError where a series is too short for its splits; returns it otherwise."""
        for name, (first, end), rows in zip(series.names, series.spans, self.split_rows(series), strict=True):
            lacks = self.lacks(end - first, rows)
            if lacks is not None:
                drop = ", or set data.short_series=drop" if name else ""
                folds = ", lower cross_validation.n_splits" if self.fold is not None else ""
                raise DataError(f"{series_place(series.path, name)}: {lacks}: shorten data.window or data.horizon"
                                f"{folds}, provide more rows{drop}")  # fmt: skip
        check_known(series, count_known(series, self.split_rows(series)))
        return series

    @property
    def notes(self) -> tuple[str, ...]:
        counts = count_known(self.series, self.split_rows(self.series))
        return (*self.series.notes, *known_notes(self.series, counts, self.has_test_split))

    @cached_property
    def info(self) -> SeriesInfo:
        series, scales = self.series, self._scales
        num_mask_channels = len(series.columns) if series.may_be_missing else int(series.num_known > 0)
        mean_scale = scales.mean(0)  # Of a single series: its own scale.
        return SeriesInfo(
            input_size=len(series.columns) + num_mask_channels,
            window=self.window,
            horizon=self.horizon,
            targets=series.columns[: series.num_targets],
            columns=series.columns,
            seasons=self.seasons,
            mean=tuple(mean_scale[0].tolist()),
            std=tuple(mean_scale[1].tolist()),
            naive_mae=tuple(mean_scale[2, : series.num_targets].tolist()),
            num_series=len(series.names),
            known=series.columns[len(series.columns) - series.num_known :],
            num_mask_channels=num_mask_channels,
            step=series.step,
            num_unscaled=tuple((scales[:, 2, : series.num_targets] == 0).sum(0).tolist()),
            untrained=untrained(series, count_known(series, self.split_rows(series))),
        )

    @cached_property
    def _scales(self) -> np.ndarray:
        """(series, 3, C) `series_scale` of the training rows of each series."""
        series = self.series
        # A series without training rows has the scale of its first window, which is read and never predicted.
        rows = [each.train if each.train[1] else (0, self.window) for each in self.split_rows(series)]
        trains = [
            series.values[start + first : start + end]
            for (start, _), (first, end) in zip(series.spans, rows, strict=True)
        ]
        for name, train in zip(series.names, trains, strict=True):
            check_resolution(train, series_place(series.path, name), series.columns)
        scales = fill_scale(np.stack([series_scale(train, self.seasons) for train in trains]))
        shared = [series.columns.index(name) for name in series.shared]
        if shared:
            scales[:, :, shared] = fill_scale(series_scale(np.concatenate(trains)[:, shared], ())[None])
        return scales

    @cached_property
    def _scaled(self) -> Tensor:
        """(N, C) float32, each series on its own scale."""
        series = self.series
        scaled = np.empty(series.values.shape, np.float32)
        for name, (mean, std, _), (first, end) in zip(series.names, self._scales, series.spans, strict=True):
            where = series_place(series.path, name)
            scaled[first:end] = standardized(series.values[first:end], mean, std, where, series.columns)
        return torch.from_numpy(scaled)

    def _windows(self, split: int, stride: int = 1) -> Windows:
        series = self.series
        ranges = []
        for (start, _), rows in zip(series.spans, self.split_rows(series), strict=True):
            first, end = rows[split]
            # Rows before those of the training split are not read; those before the other splits are.
            ranges.append(RowRange(start if split else start + first, start + first, start + end))
        # Later rows are cut off: no window of this split can reach them.
        values, K = self._scaled[: ranges[-1].end], series.num_targets
        scales = torch.from_numpy(self._scales[..., :K]) if len(ranges) > 1 else None
        return Windows(
            values, self.window, self.horizon, K, ranges, stride, series.num_known, self.info.num_mask_channels, scales
        )

    @cached_property
    def train(self) -> Windows:
        return self._windows(0, self.stride)

    @cached_property
    def validation(self) -> Windows:
        return self._windows(1)

    def test_split(self) -> Windows:
        if not self.has_test_split:
            raise no_test_split(self.name)
        return self._windows(2)

    @cached_property
    def digest(self) -> str:
        return self.digest_of_series()

    def digest_of_series(self) -> str:
        """Hash of the values, their columns and the splits."""
        series = self.series
        ends = self.split_ends(series)
        # Of a single series without further columns: as earlier versions recorded it.
        details = (ends, series.names, series.num_known, series.shared, series.may_be_missing)
        plain = not (series.rows or series.num_known or series.shared or series.may_be_missing)
        if self.fold is not None or self.train_on_validation:
            return digest(series.values, series.columns, details, self.split_rows(series))
        return digest(series.values, series.columns, ends[0] if plain else details)
