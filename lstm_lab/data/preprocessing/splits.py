"""Which samples are for training, validation and test."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from lstm_lab.config import DataError

SPLITS = ("train", "validation", "test")

SPLIT_ALIASES = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
"""Names of splits in files and folders, in lower case -> one of SPLITS."""

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
"""Of the samples, strictly between 0 and 1."""

TestFraction = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Of the samples; 0: there is no test split."""

SplitFractions = tuple[float, float]
"""Of the validation and of the test split."""

DEFAULT_FRACTIONS: SplitFractions = (0.1, 0.2)


def check_fractions(validation: float, test: float) -> None:
    """Raise ValueError where the two fractions leave nothing to train on."""
    if validation + test >= 1:
        raise ValueError(f"validation={validation} and test={test} leave nothing to train on: keep their sum below 1")


def check_named_fractions(named: Iterable[str], fractions: SplitFractions, path: str) -> None:
    """Raise DataError where the data name a split whose fraction was set as well: it would have no effect.

    Args:
        named: the splits that the data name.
        fractions: DEFAULT_FRACTIONS count as not set.
    """
    for split, fraction, default in zip(SPLITS[1:], fractions, DEFAULT_FRACTIONS, strict=True):
        if split in named and fraction != default:
            raise DataError(f"{path}: names a {split} split, so data.{split}={fraction} has no effect: remove it")


@dataclass(frozen=True)
class Texts:
    """Labelled texts as a source reads them."""

    texts: Sequence[str]
    labels: np.ndarray
    """(N,) class name of each text."""
    path: str
    """Where they came from, for messages."""
    splits: np.ndarray | None = None
    """(N,) names of SPLITS as the source publishes them; a split that is not named is drawn from the training split."""
    groups: np.ndarray | None = None
    """(N,) texts of one group stay in one split when we draw it, such as the reviews of one film."""


def class_indices(labels: np.ndarray, splits: np.ndarray | None, path: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The sorted class names of the training split, and (N,) int64 the class index of each sample.

    Args:
        labels: (N,) class names.
        splits: (N,) names of SPLITS; None where all may be used for training.

    Raises:
        DataError: one class only, or a class that the training split lacks.
    """
    for_training = np.ones(len(labels), bool) if splits is None else ~np.isin(splits, SPLITS[1:])
    names = sorted({str(label) for label in labels[for_training]})
    unknown = sorted({str(label) for label in labels} - set(names))
    if unknown:
        raise DataError(f"{path}: class {unknown[0]!r} is not in the training split: it cannot be learned")
    if len(names) < 2:
        count = "1 class" if len(names) == 1 else "no classes"
        raise DataError(f"{path}: the training split has {count} ({', '.join(map(repr, names))}): classification needs "
                        "at least 2")  # fmt: skip
    return tuple(names), np.searchsorted(np.array(names), labels.astype(str)).astype(np.int64)


def assign_splits(
    labels: np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    named: np.ndarray | None,
    fractions: SplitFractions,
    path: str,
    samples: str,
) -> np.ndarray:
    """(N,) int8 index into SPLITS of each sample. A split that the data do not name is drawn, stratified by class.

    Args:
        labels: (N,) class indices.
        groups: (N,) samples of one group stay together.
        named: (N,) names of SPLITS that the data give; None where they give none.
        fractions: of all samples, for the validation and the test split.
        samples: what the samples are, for messages: "texts".

    Raises:
        DataError: too few samples for the splits.
    """
    splits = np.zeros(len(labels), np.int8)
    for number, name in enumerate(SPLITS if named is not None else ()):
        splits[named == name] = number
    validation, test = fractions
    of_the_rest = validation if (splits == 2).any() else validation / (1 - test)
    for split, fraction in ((2, test), (1, of_the_rest)):
        if fraction == 0:
            continue
        if not (splits == split).any():
            rows = np.flatnonzero(splits == 0)
            if len(rows):
                splits[rows[stratified_group_mask(labels[rows], [groups[row] for row in rows], fraction)]] = split
        if not (splits == split).any() or not (splits == 0).any():
            raise DataError(f"{path}: {len(splits)} {samples} leave none for the {SPLITS[split]} or the training "
                            "split: add more of them")  # fmt: skip
    return splits


def stratified_group_mask(labels: np.ndarray, groups: Iterable[Hashable], fraction: float) -> np.ndarray:
    """(N,) bool: about `fraction` of the samples of every class, where no group is on both sides.

    A class with fewer than three groups stays whole. The same samples in the same order give the same mask.

    Args:
        labels: (N,) class indices.
        groups: (N,) group of each sample.
    """
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(name, len(numbers)) for name in groups])
    counts = np.zeros((len(numbers), labels.max() + 1), np.int64)
    np.add.at(counts, (group, labels), 1)
    rng, chosen = np.random.default_rng(0), np.zeros(len(numbers), bool)
    for label in range(counts.shape[1]):
        members = rng.permutation(np.flatnonzero(counts.argmax(1) == label))
        if len(members) > 2:
            chosen[members[: min(max(1, round(fraction * len(members))), len(members) - 1)]] = True
    mask: np.ndarray = chosen[group]
    return mask


def no_test_split(data: str) -> DataError:
    """Where a test split is asked for and there is none.

    Args:
        data: name of the data set.
    """
    return DataError(f"data '{data}' has no test split: data.test is 0; evaluate on the validation split")


def count_leaks(texts: Sequence[str], splits: np.ndarray) -> dict[str, tuple[int, int]]:
    """For validation and test: how many of the split's texts are in the training split too, and how many it has."""
    train = {texts[i] for i in np.flatnonzero(splits == 0)}
    return {
        SPLITS[split]: (sum(texts[i] in train for i in np.flatnonzero(splits == split)), int((splits == split).sum()))
        for split in (1, 2)
    }
