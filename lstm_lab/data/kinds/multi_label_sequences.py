"""Sequences of any length with any number of labels each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lstm_lab.data.base import Batch, NewSamples
from lstm_lab.data.kinds.labelled import summary_features
from lstm_lab.data.kinds.multi_label import MultiLabelDataset, MultiLabelSplit
from lstm_lab.data.kinds.new_samples import batches_of, on_training_scale, source_name
from lstm_lab.data.kinds.packed import PackedSequences
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit
from lstm_lab.data.preprocessing.label_codes import unlearnable_labels
from lstm_lab.data.preprocessing.scaling import check_resolution, standardization, standardized_sequences
from lstm_lab.data.readers.in_memory import NewData

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin, TransformerMixin


@dataclass(frozen=True)
class MultiLabelSequencesInfo:
    """What a model and a task need to know of sequences with several labels."""

    input_size: int
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    """Sequences with each label in the training split."""
    num_samples: int
    """Sequences of the training split."""
    mean: tuple[float, ...]
    """Of each channel over the training split."""
    std: tuple[float, ...]
    """Standard deviation of each channel over the training split."""


class MultiLabelSequencesSplit(MultiLabelSplit):
    """Sequences and the labels of each.

    Args:
        sequences: N arrays (T, I).
        targets: (N, K), 1 where a sequence has a label.
    """

    def __init__(self, sequences: Sequence[np.ndarray], targets: np.ndarray) -> None:
        self.inputs = PackedSequences([sequence.astype(np.float32) for sequence in sequences])
        self.targets = torch.from_numpy(targets.astype(np.float32))

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index)
        return Batch(x, lengths, self.targets[index])

    def features(self) -> np.ndarray:
        """Mean, standard deviation, first and last value of each channel of each sequence: (N, 4 I)."""
        return summary_features(self.take(torch.arange(len(self))))

    def baselines(self) -> dict[str, tuple[TransformerMixin, ClassifierMixin]]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        return {"logistic regression": (StandardScaler(), LogisticRegression(max_iter=2000))}


class MultiLabelSequences(
    PreSplit[MultiLabelSequencesInfo, np.ndarray, MultiLabelSequencesSplit], MultiLabelDataset[MultiLabelSequencesInfo]
):
    """Base of the sources of sequences of numbers with several labels: RawSplit.targets is (N, K). Channels are
    standardised by the training split."""

    Info = MultiLabelSequencesInfo
    augments = frozenset({"jitter", "scaling", "time_warp"})
    labels: tuple[str, ...]
    """Names of the K labels."""
    masked = False
    """Whether missing values are zeros, and a mask of them is joined to the channels."""

    @cached_property
    def info(self) -> MultiLabelSequencesInfo:
        y = self.raw.train.targets
        mean, std = (tuple(part.tolist()) for part in self._scale)
        counts = tuple(y.sum(0, dtype=np.int64).tolist())
        return MultiLabelSequencesInfo(len(mean) * (1 + self.masked), self.labels, counts, len(y), mean, std)

    @property
    def notes(self) -> tuple[str, ...]:
        return unlearnable_labels(self.info.labels, self.info.counts)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """(I,) mean and standard deviation of each channel over the training split."""
        train = self.raw.train.sequences
        check_resolution(np.concatenate(train), f"data '{self.name}'")
        return standardization(train)

    def make_split(self, raw: RawSplit[np.ndarray]) -> MultiLabelSequencesSplit:
        scaled = standardized_sequences(raw.sequences, *self._scale, f"data '{self.name}'", self.masked)
        split = MultiLabelSequencesSplit(scaled, raw.targets)
        split.num_measured = len(self._scale[0])
        return split

    def read_new(self, source: NewData, info: MultiLabelSequencesInfo) -> NewSamples:
        new = self.new_sequences(source)
        sequences = on_training_scale(new.sequences, info.input_size, info.mean, info.std, source_name(source))
        split = MultiLabelSequencesSplit(sequences, np.zeros((len(sequences), len(info.labels))))
        return NewSamples(batches_of(split, self.batch_size), (new.column,), [[(id,)] for id in new.ids])
