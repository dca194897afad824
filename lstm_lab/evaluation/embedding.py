"""What the head of a trained model reads of each sample: its embedding; and data on the scale that the model knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import pad

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch, DataInfo, Dataset, Split, Standardized
from lstm_lab.kernels.lengths import mask_padding
from lstm_lab.models.base import TokenDataInfo
from lstm_lab.training.learner import Learner

AT_ONCE = 256
"""Samples in one forward pass."""


@runtime_checkable
class Scaled(Standardized, Protocol):
    """Info of data whose channels may be standardised, with both numbers of the scale."""

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel over the training split; empty where channels are not standardised."""


def check_inputs(info: DataInfo, dataset: Dataset) -> None:
    """Raise DataError where data are not inputs of a model.

    Args:
        info: of the data that the model was trained on.
    """
    new = dataset.info
    if info.input_size != new.input_size:
        raise DataError(f"data '{dataset.name}': has {new.input_size} input channels, but the model was trained on "
                        f"{info.input_size}")  # fmt: skip
    tokens = info.tokens if isinstance(info, TokenDataInfo) else ()
    if tokens != (new.tokens if isinstance(new, TokenDataInfo) else ()):
        raise DataError(f"data '{dataset.name}': has other tokens than the model was trained on: choose data whose "
                        "vocabulary is the same")  # fmt: skip


def whole_split(split: Split, known: DataInfo, own: DataInfo) -> Batch:
    """All samples of a split as one batch, on the scale of the data that a model was trained on.

    Args:
        known: info of those.
        own: info of the data that the split is from, which has standardised it.
    """
    batch = split.take(torch.arange(len(split)))
    if not (isinstance(known, Scaled) and isinstance(own, Scaled) and known.mean and own.mean):
        return batch
    C = len(own.mean)  # Behind these are masks of missing values, which are zeros on either scale.
    mean, std, known_mean, known_std = (
        torch.tensor(part, dtype=torch.float64) for part in (own.mean, own.std, known.mean, known.std)
    )
    x = batch.x.double()
    values = (x[..., :C] * std + mean - known_mean) / known_std
    x[..., :C] = values * (1 - x[..., C:]) if x.shape[-1] == 2 * C else values
    return batch._replace(x=mask_padding(x, batch.lengths).to(batch.x.dtype))


def embed(learner: Learner, batch: Batch) -> Tensor:
    """(N, D) what the head reads of each sample.

    Raises:
        ConfigError: the model has no such thing.
    """
    found = []
    with torch.inference_mode():
        for index in torch.arange(len(batch.y)).split(AT_ONCE):
            features = learner(batch.select(index).to(learner.device)).features
            if features is None:
                raise ConfigError(f"model '{learner.model.name}' has no vector of a whole sequence that its head reads"
                                  ": choose a classifier by model: sequence")  # fmt: skip
            found.append(features.float().cpu())
    return torch.cat(found)


def flat(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Inputs (N, T, I) or (N, T) of several splits as vectors of one size, with zeros behind the last step."""
    longest = max(x.shape[1] for x in inputs)
    return [pad(x.flatten(2) if x.dim() > 2 else x.unsqueeze(-1), (0, 0, 0, longest - x.shape[1])).flatten(1).float()
            for x in inputs]  # fmt: skip
