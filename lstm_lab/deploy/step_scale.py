"""The values of one step on the scale of the training split, without the work that is the same for every step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import DataInfo
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.multi_label_sequences import MultiLabelSequencesInfo
from lstm_lab.data.kinds.new_samples import on_training_scale
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.data.preprocessing.scaling import FARTHEST, standardized_sequences

Scaled = LabelledInfo | RegressionInfo | MultiLabelSequencesInfo
"""Info of sequences that may be standardised."""


class StepScale:
    """Values (C,) in the units of the data -> what the model reads, (1, I) float32.

    Most steps have every value, and none that is far away: they are subtracted and divided. All others take the way of
    whole sequences, which masks missing values, and refuses what cannot be read. Both give the same numbers.

    Args:
        info: of data whose steps are numbers.
    """

    def __init__(self, info: DataInfo) -> None:
        self.info, self.size = info, num_values(info)
        mean, std = (info.mean, info.std) if isinstance(info, SeriesInfo | Scaled) else ((), ())
        self._is_scaled = len(mean) == len(std) == self.size
        self._mean, self._std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        self._low, self._high = self._mean - FARTHEST / 2 * self._std, self._mean + FARTHEST / 2 * self._std

    def __call__(self, values: np.ndarray) -> Tensor:
        """
        Raises:
            DataError: a value is missing, where none was in training, or too far away.
        """
        size = self.size
        # A comparison with NaN is false.
        if self._is_scaled and np.count_nonzero(values > self._low) == np.count_nonzero(values < self._high) == size:
            found = np.zeros((1, self.info.input_size), np.float32)  # Behind the values a mask: none is missing.
            found[0, :size] = (values - self._mean) / self._std
        else:
            found = scaled_step(self.info, values[None])
        return torch.from_numpy(found)


def num_values(info: DataInfo) -> int:
    """Values of a step, without masks of missing ones."""
    if isinstance(info, SeriesInfo):
        return len(info.columns)
    if isinstance(info, Scaled) and info.mean:
        return len(info.mean)
    return info.input_size


def scaled_step(info: DataInfo, values: np.ndarray) -> np.ndarray:
    """Values (1, C) in the units of the data as the model reads them, (1, I) float32.

    Raises:
        DataError: as of `StepScale`.
    """
    if isinstance(info, SeriesInfo):
        masked = info.num_mask_channels
        scaled = standardized_sequences([values], info.mean, info.std, "step")[0].astype(np.float32)
        mask = np.isnan(scaled[:, :masked]).astype(np.float32)
        found = np.concatenate([np.nan_to_num(scaled), mask], 1) if masked else scaled
    elif isinstance(info, Scaled):
        found = on_training_scale([values], info.input_size, info.mean, info.std, "step")[0]
    else:
        found = values
    if np.isnan(found).any():
        raise DataError("a value is missing, and the model was trained without missing values (data.missing=mask)")
    return found.astype(np.float32)
