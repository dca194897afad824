"""Which samples are for training, validation and test."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import list_names

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


def given_splits(validation_path: str | None, test_path: str | None) -> dict[str, str]:
    """Split -> path, of those splits that have a file of their own."""
    return {split: path for split, path in zip(SPLITS[1:], (validation_path, test_path), strict=True) if path}


def check_given_fractions(
    given: Iterable[str], fractions: SplitFractions, defaults: SplitFractions = DEFAULT_FRACTIONS
) -> None:
    """Raise ValueError where a split has a file of its own and its fraction was set as well.

    Args:
        defaults: fractions that count as not set.
    """
    for split, fraction, default in zip(SPLITS[1:], fractions, defaults, strict=True):
        if split in given and fraction != default:
            raise ValueError(f"{split}={fraction} has no effect beside {split}_path: remove one of them")


def check_given_splits(given: Iterable[str], named: np.ndarray | None, path: str) -> None:
    """Raise DataError where the data at `path` name a split that has a file of its own.

    Args:
        named: (N,) names of SPLITS that the data give; None where they give none.
    """
    both = next((split for split in given if named is not None and split in named), None)
    if both is not None:
        raise DataError(f"{path}: names a {both} split, but data.{both}_path names a file of it: remove one of them")


@dataclass(frozen=True)
class Texts:
    """Labelled texts as a source reads them."""

    texts: Sequence[str]
    labels: np.ndarray
    """(N,) class name of each text; of texts with several labels, a tuple of their names."""
    path: str
    """Where they came from, for messages."""
    splits: np.ndarray | None = None
    """(N,) names of SPLITS as the source publishes them; a split that is not named is drawn from the training split."""
    groups: np.ndarray | None = None
    """(N,) texts of one group stay in one split when we draw it, such as the reviews of one film."""
    label_names: tuple[str, ...] = ()
    """Of texts with several labels: all of them, in the order of their indices; empty: those that occur, sorted."""


def class_indices(labels: np.ndarray, splits: np.ndarray | None, path: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The sorted class names, and (N,) int64 the class index of each sample.

    A class that only validation or test samples have is one of them: no model can learn it, so each of its samples
    counts as an error.

    Args:
        labels: (N,) class names.
        splits: (N,) names of SPLITS; None where all may be used for training.

    Raises:
        DataError: the training split has one class only.
    """
    for_training = np.ones(len(labels), bool) if splits is None else ~np.isin(splits, SPLITS[1:])
    learned = sorted({str(label) for label in labels[for_training]})
    if len(learned) < 2:
        count = "1 class" if len(learned) == 1 else "no classes"
        raise DataError(f"{path}: the training split has {count} ({', '.join(map(repr, learned))}): classification "
                        "needs at least 2")  # fmt: skip
    names = sorted({str(label) for label in labels})
    return tuple(names), np.searchsorted(np.array(names), labels.astype(str)).astype(np.int64)


def unlearnable_classes(classes: Sequence[str], counts: Sequence[int]) -> tuple[str, ...]:
    """A note on the classes without a training sample, if there are any.

    Args:
        counts: training samples of each class.
    """
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if not missing:
        return ()
    which = f"class {missing[0]!r} is" if len(missing) == 1 else f"{len(missing)} classes ({list_names(missing)}) are"
    return (f"{which} not in the training split: samples of {'it' if len(missing) == 1 else 'them'} count as errors",)


def check_groups(groups: np.ndarray, named: np.ndarray, path: str) -> None:
    """Raise DataError where the data put samples of one group into two splits.

    Args:
        groups: (N,) names.
        named: (N,) names of SPLITS that the data give; a sample of another name is for training.
    """
    split_of: dict[object, str] = {}
    for group, name in zip(groups.tolist(), named.tolist(), strict=True):
        split = name if name in SPLITS else SPLITS[0]
        if split_of.setdefault(group, split) != split:
            raise DataError(f"{path}: group {group!r} is in both the {split_of[group]} and the {split} split: move its "
                            "samples to one of them, or remove data.group")  # fmt: skip


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
        DataError: too few samples or groups for the splits.
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
            own = [groups[row] for row in rows]
            # The validation split is drawn after the test split, and needs a group of its own.
            leave = 2 if split == 2 and not (splits == 1).any() else 1
            if len(rows):
                mask = stratified_group_mask(labels[rows], own, fraction)
                if not mask.any():
                    mask = whole_group_mask(labels[rows], own, fraction, leave)
                splits[rows[mask]] = split
            if not (splits == split).any() or not (splits == 0).any():
                raise _too_few(len(set(own)), len(rows), f"{SPLITS[split]} or the training", path, samples)
        elif not (splits == 0).any():
            raise _too_few(0, 0, SPLITS[0], path, samples)
    learned = np.unique(labels[splits == 0])
    if len(learned) == 1 and len(np.unique(labels)) > 1:
        raise DataError(f"{path}: the groups leave one class for the training split: add groups of the other classes")
    return splits


def _too_few(groups: int, count: int, split: str, path: str, samples: str) -> DataError:
    if groups < count:
        return DataError(f"{path}: {groups} groups of {samples} leave none for the {split} split: a group stays in one "
                         "split, so add groups, or remove data.group")  # fmt: skip
    return DataError(f"{path}: {count} {samples} leave none for the {split} split: add more of them")


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


def whole_group_mask(labels: np.ndarray, groups: Iterable[Hashable], fraction: float, leave: int) -> np.ndarray:
    """(N,) bool: whole groups with about `fraction` of the samples, for groups too few to be stratified.

    Groups whose absence would take a class from the rest are passed over, if any other can be chosen. All False where
    there are no more than `leave` groups.

    Args:
        labels: (N,) class indices.
        groups: (N,) group of each sample.
        leave: groups to leave at least.
    """
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(name, len(numbers)) for name in groups])
    counts = np.zeros((len(numbers), labels.max() + 1), np.int64)
    np.add.at(counts, (group, labels), 1)
    chosen = np.zeros(len(numbers), bool)
    wanted = fraction * len(labels)
    for number in np.random.default_rng(0).permutation(len(numbers)):
        left, taken = counts[~chosen].sum(0), counts[chosen].sum()
        if (~chosen).sum() <= leave or (taken and taken + counts[number].sum() / 2 > wanted):
            continue
        if not ((left > 0) & (left == counts[number])).any():
            chosen[number] = True
    if not chosen.any() and len(numbers) > leave:
        lost = [((counts.sum(0) > 0) & (counts.sum(0) == own)).sum() for own in counts]
        chosen[np.lexsort((counts.sum(1), lost))[0]] = True
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
