"""Classes and sets of labels as numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import list_names


class CodedLabels(NamedTuple):
    """Targets as numbers."""

    names: tuple[str, ...]
    """Of the classes or labels."""
    targets: np.ndarray
    """(N,) int64 class index, or (N, K) uint8, 1 where a sample has a label."""
    strata: np.ndarray
    """(N,) int64: splits that are drawn have the same fraction of each number."""


def coded_labels(sets: Sequence[Collection[str]], names: Sequence[str], path: str) -> CodedLabels:
    """Sets of labels as numbers. Splits are stratified by the sets; where fewer than three samples have one, by its
    rarest label.

    Args:
        sets: labels of each sample.
        names: all labels, in the order of their indices; empty: those that occur, sorted.

    Raises:
        DataError: fewer than two labels.
    """
    names = tuple(names) or tuple(sorted({label for labels in sets for label in labels}))
    if len(names) < 2:
        raise DataError(f"{path}: has {len(names)} labels ({list_names(names)}), but several need at least 2: set "
                        "data.label for one class for each sample")  # fmt: skip
    number = {name: k for k, name in enumerate(names)}
    targets = np.zeros((len(sets), len(names)), np.uint8)
    for row, labels in enumerate(sets):
        targets[row, [number[label] for label in labels]] = 1
    counts = targets.sum(0, dtype=np.int64)
    rarity = np.where(targets == 1, counts, len(sets) + 1)
    rarest = np.where(targets.any(1), rarity.argmin(1), len(names))
    _, same, sizes = np.unique(targets, axis=0, return_inverse=True, return_counts=True)
    strata = np.where(sizes[same] >= 3, same + len(names) + 1, rarest)
    return CodedLabels(names, targets, strata.astype(np.int64))


def unlearnable_labels(names: Sequence[str], counts: Sequence[int]) -> tuple[str, ...]:
    """A note on the labels that no training sample has, if there are any.

    Args:
        counts: training samples with each label.
    """
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    return (f"no training sample has the label {list_names(missing)}: it cannot be learned",) if missing else ()
