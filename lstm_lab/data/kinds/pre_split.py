"""Sequences of any length that come in three parts, none of which knows a group of another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Dataset, digest


@dataclass(frozen=True)
class RawSplit:
    """One part as a source reads it."""

    sequences: Sequence[np.ndarray]
    """N of them, each (T, I), or (T,) tokens."""
    groups: Sequence[Hashable]
    """N: whose it is (a person, a protein, a piece). No group stands in two parts."""
    targets: Any = None
    """What is asked of each: N arrays (T,) of class indices, or one array (N, K); None where it is its own."""

    def __len__(self) -> int:
        return len(self.sequences)

    def without(self, groups: set[Hashable]) -> RawSplit:
        """What is left when some groups go."""
        kept = [i for i, group in enumerate(self.groups) if group not in groups]
        targets = self.targets
        if targets is not None:
            targets = targets[kept] if isinstance(targets, np.ndarray) else [targets[i] for i in kept]
        return RawSplit([self.sequences[i] for i in kept], [self.groups[i] for i in kept], targets)


@dataclass(frozen=True)
class RawSplits:
    """The three parts of a data set."""

    train: RawSplit
    validation: RawSplit
    test: RawSplit

    def without_copies(self) -> RawSplits:
        """As they are, but what is asked about later is not learned from before: the copy in the earlier part goes."""
        test = set(self.test.groups)
        validation = self.validation.without(test)
        return RawSplits(self.train.without(test | set(validation.groups)), validation, self.test)


class PackedSequences:
    """Sequences end to end in one tensor.

    Args:
        sequences: each (T, ...), of one type.
    """

    def __init__(self, sequences: Sequence[np.ndarray]) -> None:
        self.lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.values = torch.from_numpy(np.concatenate(sequences))  # (sum of T, ...)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, index: Tensor, padding: int) -> tuple[Tensor, Tensor]:
        """Those at `index` (B,), padded to the longest: (B, T, ...), and their lengths (B,)."""
        lengths = self.lengths[index]
        t = torch.arange(int(lengths.max()))
        valid = t < lengths.unsqueeze(1)  # (B, T)
        padded = self.values[(self.starts[index].unsqueeze(1) + t).where(valid, torch.zeros_like(t))]
        padded[~valid] = padding
        return padded, lengths


class PreSplit(Dataset):
    """Base of sources that come in three parts. A source writes `read`, a kind of target writes `split`."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    @abstractmethod
    def read(self) -> RawSplits:
        """All three parts."""

    @abstractmethod
    def split(self, part: RawSplit) -> Any:
        """A part as batches are taken from it."""

    @cached_property
    def parts(self) -> RawSplits:
        parts = self.read()
        named = {"training": parts.train, "validation": parts.validation, "test": parts.test}
        seen: dict[Hashable, str] = {}
        for name, part in named.items():
            if not len(part):
                raise DataError(f"{self.name}: the {name} part is empty: it needs one sequence at least")
            for group in dict.fromkeys(part.groups):
                if group in seen:
                    said = repr(group) if len(repr(group)) < 40 else f"a group of {name}"
                    raise DataError(
                        f"{self.name}: {said} stands in the {seen[group]} and in the {name} part: "
                        "what is asked there would be known"
                    )
                seen[group] = name
        return parts

    @cached_property
    def train(self) -> Any:
        return self.split(self.parts.train)

    @cached_property
    def validation(self) -> Any:
        return self.split(self.parts.validation)

    def test_split(self) -> Any:
        return self.split(self.parts.test)

    @cached_property
    def digest(self) -> str:
        content: list[Any] = []
        for part in (self.parts.train, self.parts.validation, self.parts.test):
            content += [np.concatenate(part.sequences), [len(sequence) for sequence in part.sequences]]
            if part.targets is not None:
                content.append(np.concatenate(part.targets) if isinstance(part.targets, list) else part.targets)
        return digest(*content)
