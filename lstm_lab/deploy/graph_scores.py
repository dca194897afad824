"""An ONNX model scored on a split, beside the run that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
import onnx
import torch
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, DataInfo, Split
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.data.loader import Loader
from lstm_lab.deploy.drawn_inputs import Arrays
from lstm_lab.deploy.onnx_writer.states import StatePart
from lstm_lab.deploy.to_onnx import run_session, session_of
from lstm_lab.evaluation.evaluate import scores_of_outputs
from lstm_lab.tasks.base import Task
from lstm_lab.tasks.forecast import Forecast


def graph_scores(
    model: onnx.ModelProto, task: Task, info: DataInfo, split: Split, batch_size: int, parts: Sequence[StatePart] = ()
) -> dict[str, float]:
    """Loss and metrics of a graph on a split, by onnxruntime.

    Args:
        parts: of its state, where that is an input.

    Raises:
        ConfigError: the split is not what a graph reads: several series, each with its own scale.
    """
    session = session_of(model)

    def logits(batch: Batch) -> Tensor:
        first = {part.given: part.start(len(batch.x)) for part in parts}
        found, *_ = run_session(session, {**graph_inputs(task, info, batch), **first})
        return task.postprocess(torch.from_numpy(found), batch)

    return scores_of_outputs(task, ((logits(batch), batch) for batch in Loader(split, batch_size)))[0]


def graph_inputs(task: Task, info: DataInfo, batch: Batch) -> Arrays:
    """What a graph reads for a batch: values in the units of the data, which it standardises itself."""
    x, lengths = (batch.x, batch.lengths) if isinstance(task, Forecast) else task.model_inputs(batch)
    return {"x": _in_units(info, x), "lengths": lengths.numpy()}


@singledispatch
def _in_units(info: DataInfo, x: Tensor) -> np.ndarray:
    values: np.ndarray = x.numpy()
    return values


@_in_units.register(LabelledInfo)
@_in_units.register(RegressionInfo)
def _(info: LabelledInfo | RegressionInfo, x: Tensor) -> np.ndarray:
    values: np.ndarray = x.numpy()
    if not info.mean:
        return values
    masked = len(info.mean) if info.input_size == 2 * len(info.mean) else 0
    return _restored(values, np.array(info.mean), np.array(info.std), masked)


@_in_units.register(SeriesInfo)
def _(info: SeriesInfo, x: Tensor) -> np.ndarray:
    if info.num_series > 1:
        raise ConfigError("several series have scales of their own: score the run itself")
    return _restored(x.numpy(), np.array(info.mean), np.array(info.std), info.num_mask_channels)


def _restored(values: np.ndarray, mean: np.ndarray, std: np.ndarray, masked: int) -> np.ndarray:
    """(B, T, C) float64 of standardised values with masks of the first `masked` channels behind them."""
    columns = len(mean)
    found: np.ndarray = values[..., :columns].astype(np.float64) * std + mean
    if masked:
        found[..., :masked][values[..., columns:] > 0.5] = np.nan
    return found
