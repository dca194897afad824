"""Sequences of any length, packed into one tensor and padded when a batch is taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lstm_lab.kernels.lengths import length_mask


class PackedSequences:
    """N sequences end to end in one tensor.

    Args:
        sequences: each (T, ...), all of one dtype.
    """

    def __init__(self, sequences: Sequence[np.ndarray]) -> None:
        self.lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.values = torch.from_numpy(np.concatenate(sequences))  # (sum of T, ...)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, index: Tensor, padding: float = 0) -> tuple[Tensor, Tensor]:
        """The sequences at `index` (B,), padded to the longest of them: (B, T, ...), and their lengths (B,)."""
        lengths = self.lengths[index]
        steps = int(lengths.max())
        valid = length_mask(lengths, steps)
        padded = self.values[(self.starts[index].unsqueeze(1) + torch.arange(steps)).where(valid, 0)]
        padded[~valid] = padding
        return padded, lengths
