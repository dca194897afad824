"""Equal and similar texts or sequences, and leaks between splits."""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np

SIMILARITY = 0.7
"""Minimum Jaccard index of the words and pairs of words of two similar texts."""
BANDS, ROWS = 8, 2
"""Of the min-hashes (Broder 1997): texts with a Jaccard index of 0.7 share a band with probability 0.995."""
MAX_SEQUENCES = 20_000
"""Number of sequences above which similar ones are not searched for."""


def group_numbers(keys: Sequence[Hashable]) -> np.ndarray:
    """(N,) int64 number of each key among the distinct keys."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def similar_texts(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of texts that are similar but not equal; of many similar ones, only neighbouring pairs."""
    words: dict[str, int] = {}
    rows = [np.unique(_shingles(text, words)) for text in texts]
    lengths = np.array([len(row) for row in rows])
    flat, starts = np.concatenate(rows), lengths.cumsum() - lengths
    seeds = np.random.default_rng(0).integers(1, 2**63, BANDS * ROWS, dtype=np.uint64)
    minima = np.stack([np.minimum.reduceat(_splitmix64(flat ^ seed), starts) for seed in seeds])  # (BANDS * ROWS, N)
    candidates: set[tuple[int, int]] = set()
    for band in range(BANDS):
        key = _splitmix64(minima[ROWS * band]) ^ minima[ROWS * band + 1]
        order = np.argsort(key, kind="stable")
        for a, b in pairwise(order.tolist()):
            if key[a] == key[b]:
                candidates.add((min(a, b), max(a, b)))
    pairs = []
    for a, b in sorted(candidates):
        shared = len(np.intersect1d(rows[a], rows[b], assume_unique=True))
        if SIMILARITY * (len(rows[a]) + len(rows[b]) - shared) <= shared and texts[a] != texts[b]:
            pairs.append((a, b))
    return pairs


def _shingles(text: str, words: dict[str, int]) -> np.ndarray:
    """A hash for each word and each pair of neighbouring words; one for a text without words."""
    ids = np.array([words.setdefault(word, len(words) + 1) for word in re.findall(r"\w+", text.lower())], np.uint64)
    if not len(ids):
        return np.array([zlib.crc32(text.encode())], np.uint64)
    return np.concatenate([_splitmix64(ids), _splitmix64(ids[:-1] * np.uint64(0x9E3779B97F4A7C15) + ids[1:])])


def _splitmix64(values: np.ndarray) -> np.ndarray:
    """A hash of each integer (Steele, Lea & Flood 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def similar_sequences(sequences: Sequence[np.ndarray], steps: int = 16) -> list[tuple[int, int]]:
    """Pairs of sequences (T, C) that are not equal but, resampled to equally many steps, differ by less than a
    hundredth of a standard deviation."""
    if len(sequences) < 2 or len(sequences) > MAX_SEQUENCES:
        return []
    from sklearn.neighbors import NearestNeighbors

    points = np.stack([_resampled(sequence, steps).ravel() for sequence in sequences])
    scale = np.tile(np.concatenate(sequences).std(0), steps)
    points /= np.where(scale > 0, scale, 1.0)
    distances, neighbours = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)
    limit = 0.01 * np.sqrt(points.shape[1])
    pairs = {
        (min(a, int(b)), max(a, int(b)))
        for a in range(len(points))
        for b, distance in zip(neighbours[a], distances[a], strict=True)
        if b != a and distance < limit and not np.array_equal(sequences[a], sequences[b])
    }
    return sorted(pairs)


def _resampled(sequence: np.ndarray, steps: int) -> np.ndarray:
    times = np.linspace(0, len(sequence) - 1, steps)
    return np.stack([np.interp(times, np.arange(len(sequence)), channel) for channel in sequence.T], 1)


def copy_statistics(
    keys: np.ndarray, similar: list[tuple[int, int]], labels: Sequence[str], splits: np.ndarray | None, samples: str
) -> tuple[dict[str, int], list[str]]:
    """Statistics and warnings about copies.

    Args:
        keys: (N,) equal for equal samples.
        similar: pairs of similar samples.
        labels: (N,) class of each.
        splits: (N,) split of each; None where splits are yet to be drawn.
        samples: what the samples are: "texts".
    """
    counts = np.bincount(keys)
    copies = int((counts[counts > 1] - 1).sum())
    in_pairs = len({i for pair in similar for i in pair})
    statistics = {f"copies of other {samples}": copies, f"{samples} similar to another": in_pairs}
    warnings = []
    key_and_label = np.unique(np.stack([keys, group_numbers(labels)], 1), axis=0)
    contradictions = int((np.bincount(key_and_label[:, 0]) > 1).sum())
    if copies:
        together = "" if splits is not None else ": drawing splits keeps equal ones together"
        warnings.append(f"{copies} {samples} are copies of others{together}")
    if similar and splits is None:
        warnings.append(f"{len(similar)} pairs of {samples} are similar: drawing splits may separate them; set group "
                        "to a column that keeps them together, if there is one")  # fmt: skip
    if contradictions:
        warnings.append(f"{contradictions} {samples} occur with two classes: one of them is wrong")
    if splits is not None:
        leaks, leak_warnings = _leaks(keys, similar, splits, samples)
        statistics, warnings = {**statistics, **leaks}, warnings + leak_warnings
    return statistics, warnings


def _leaks(
    keys: np.ndarray, similar: list[tuple[int, int]], splits: np.ndarray, samples: str
) -> tuple[dict[str, int], list[str]]:
    """Of the validation and the test split: samples that are in the training split too, or similar to one there."""
    statistics: dict[str, int] = {}
    warnings = []
    train = set(keys[splits == "train"].tolist())
    for split in ("validation", "test"):
        rows = np.flatnonzero(splits == split)
        if not len(rows):
            continue
        equal = sum(int(key) in train for key in keys[rows])
        close = sum({splits[a], splits[b]} == {"train", split} for a, b in similar)
        statistics |= {f"{split} {samples} in train": equal, f"{split} {samples} similar to train": close}
        if equal or close:
            warnings.append(f"leak: {equal} of the {len(rows)} {split} {samples} are in train too, {close} are "
                            "similar: they reward memorization")  # fmt: skip
    return statistics, warnings
