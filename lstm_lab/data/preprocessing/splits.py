"""Which texts train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_lab.config import DataError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Texts:
    """What a source reads."""

    texts: Sequence[str]
    labels: np.ndarray
    """(N,) the name of each one's class."""
    place: str
    """Where they came from, for messages."""
    parts: np.ndarray | None = None
    """(N,) of PARTS, as the source publishes them; a part that it does not name is cut from the training part."""
    groups: np.ndarray | None = None
    """(N,) what must not be torn apart by a cut of ours, such as the film that reviews are about."""


def sort_out(found: Texts, fractions: tuple[float, float]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the classes, each text's class index (N,) int64, and its part (N,) int8 as an index of PARTS."""
    parts = np.zeros(len(found.texts), np.int8)
    for number, name in enumerate(PARTS if found.parts is not None else ()):
        parts[found.parts == name] = number
    names = sorted({str(label) for label in found.labels[parts == 0]})
    unknown = sorted({str(label) for label in found.labels[parts > 0]} - set(names))
    if unknown:
        raise DataError(f"{found.place}: class {unknown[0]!r} is not in the training part: nothing can learn it")
    if len(names) < 2:
        raise DataError(f"{found.place}: the training part has {len(names)} class{'' if len(names) == 1 else 'es'} "
                        f"({', '.join(map(repr, names))}): there is nothing to tell apart")  # fmt: skip
    labels = np.searchsorted(np.array(names), found.labels).astype(np.int64)
    validation, test = fractions
    for part, share in ((2, test), (1, validation / (1 - test) if not (parts == 2).any() else validation)):
        if not (parts == part).any():
            rows = np.flatnonzero(parts == 0)
            groups = [found.texts[row] for row in rows] if found.groups is None else found.groups[rows]
            parts[rows[cut(labels[rows], groups, share)]] = part
        if not (parts == part).any() or not (parts == 0).any():
            raise DataError(f"{found.place}: {len(parts)} texts leave none to the {PARTS[part]} or the training part: "
                            "bring more of them")  # fmt: skip
    return names, labels, parts


def cut(labels: np.ndarray, groups: Any, share: float) -> np.ndarray:
    """(N,) bool: about `share` of the texts of every class, and no group on both sides.

    A class with fewer than three groups stays whole. The same texts in the same order give the same cut.
    """
    numbers: dict[Any, int] = {}
    group = np.array([numbers.setdefault(name, len(numbers)) for name in groups])
    counts = np.zeros((len(numbers), labels.max() + 1), np.int64)
    np.add.at(counts, (group, labels), 1)
    shuffle, held = np.random.default_rng(0), np.zeros(len(numbers), bool)
    for label in range(counts.shape[1]):
        members = shuffle.permutation(np.flatnonzero(counts.argmax(1) == label))
        if len(members) > 2:
            held[members[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    return held[group]


def leaks(texts: Sequence[str], parts: np.ndarray) -> dict[str, tuple[int, int]]:
    """For the validation and the test part: how many of its texts are in the training part too, and how many it has."""
    known = {texts[i] for i in np.flatnonzero(parts == 0)}
    return {
        PARTS[part]: (sum(texts[i] in known for i in np.flatnonzero(parts == part)), int((parts == part).sum()))
        for part in (1, 2)
    }
