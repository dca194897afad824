"""Random inputs of an exported model, on which it is compared with the run."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from lstm_lab.data.base import DataInfo
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.next_step import FrameInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.data.preprocessing.missing import with_mask
from lstm_lab.models.base import TokenDataInfo

Arrays = dict[str, np.ndarray]
"""Name of an input -> its value."""


def series_steps(info: SeriesInfo) -> int:
    """Rows that a model of a series reads: the window, and those ahead where columns are known in advance."""
    return info.window + (info.horizon if info.known else 0)


def draw_inputs(info: DataInfo, batch: int, length: int, rng: np.random.Generator) -> tuple[Arrays, np.ndarray]:
    """Random inputs of a graph, and x as the model in torch reads it.

    Args:
        length: of the longest sequence, where it is not fixed.
    """
    if isinstance(info, TokenDataInfo):
        lengths = _lengths(batch, length, rng)
        x = rng.integers(1, max(info.input_size, 2), (batch, length)) * _valid(lengths, length)
        return {"x": x, "lengths": lengths}, x
    return draw_numbers(info, batch, length, rng)


@singledispatch
def draw_numbers(info: DataInfo, batch: int, length: int, rng: np.random.Generator) -> tuple[Arrays, np.ndarray]:
    """The same of data whose steps are numbers."""
    lengths = _lengths(batch, length, rng)
    x = rng.normal(size=(batch, length, info.input_size)).astype(np.float32)
    x = (x > 0).astype(np.float32) if isinstance(info, FrameInfo) else x
    x *= _valid(lengths, length)[:, :, None]
    return {"x": x, "lengths": lengths}, x


@draw_numbers.register(LabelledInfo)
@draw_numbers.register(RegressionInfo)
def _(
    info: LabelledInfo | RegressionInfo, batch: int, length: int, rng: np.random.Generator
) -> tuple[Arrays, np.ndarray]:
    if not info.mean:
        return draw_numbers.dispatch(object)(info, batch, length, rng)
    lengths, mean, std = _lengths(batch, length, rng), np.array(info.mean), np.array(info.std)
    x = rng.normal(size=(batch, length, len(mean))) * std + mean
    masked = info.input_size == 2 * len(mean)
    if masked:
        x[rng.random(x.shape) < 0.1] = np.nan
    scaled = ((x - mean) / std).astype(np.float32)
    return {"x": x, "lengths": lengths}, np.stack([with_mask(each) for each in scaled]) if masked else scaled


@draw_numbers.register(SeriesInfo)
def _(info: SeriesInfo, batch: int, length: int, rng: np.random.Generator) -> tuple[Arrays, np.ndarray]:
    steps, mean, std = series_steps(info), np.array(info.mean), np.array(info.std)
    x = rng.normal(size=(batch, steps, len(mean))) * std + mean
    x[:, info.window :, : len(mean) - len(info.known)] = np.nan
    scaled = ((x - mean) / std).astype(np.float32)
    inputs = {"x": x, "lengths": np.full(batch, steps)}
    if info.num_series > 1:
        inputs |= {name: np.tile(part, (batch, 1)) for name, part in (("mean", mean), ("std", std))}
    if not info.num_mask_channels:
        return inputs, scaled
    masks = np.isnan(scaled[..., : info.num_mask_channels]).astype(np.float32)
    return inputs, np.concatenate([np.nan_to_num(scaled), masks], 2)


def _lengths(batch: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """(B,) lengths from 1, one of them `length`."""
    lengths = rng.integers(1, length + 1, batch)
    lengths[rng.integers(batch)] = length
    return lengths


def _valid(lengths: np.ndarray, steps: int) -> np.ndarray:
    """(B, T) whether a step is no padding."""
    valid: np.ndarray = np.arange(steps) < lengths[:, None]
    return valid
