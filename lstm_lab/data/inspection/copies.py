"""Copies among texts or sequences: equal ones, and nearly equal ones."""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np

ALIKE = 0.7
"""Least share of words and pairs of words that two nearly equal texts have in common (Jaccard)."""
BANDS, ROWS = 8, 2
"""Of the min-hashes (Broder 1997): at 0.7 alike, two texts meet in one of the bands with probability 0.995."""
MANY = 20_000
"""Sequences beyond which nearly equal ones are not looked for."""


def groups_of(keys: Sequence[Hashable]) -> np.ndarray:
    """(N,) a number for each distinct key."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def near_texts(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of texts that are not equal but nearly so; of many alike, neighbours."""
    words: dict[str, int] = {}
    rows = [np.unique(_shingles(text, words)) for text in texts]
    lengths = np.array([len(row) for row in rows])
    flat, starts = np.concatenate(rows), lengths.cumsum() - lengths
    seeds = np.random.default_rng(0).integers(1, 2**63, BANDS * ROWS, dtype=np.uint64)
    least = np.stack([np.minimum.reduceat(_mixed(flat ^ seed), starts) for seed in seeds])  # (BANDS * ROWS, N)
    found: set[tuple[int, int]] = set()
    for band in range(BANDS):
        key = _mixed(least[ROWS * band]) ^ least[ROWS * band + 1]
        order = np.argsort(key, kind="stable")
        for a, b in pairwise(order.tolist()):
            if key[a] == key[b]:
                found.add((min(a, b), max(a, b)))
    kept = []
    for a, b in sorted(found):
        shared = len(np.intersect1d(rows[a], rows[b], assume_unique=True))
        if ALIKE * (len(rows[a]) + len(rows[b]) - shared) <= shared and texts[a] != texts[b]:
            kept.append((a, b))
    return kept


def _shingles(text: str, words: dict[str, int]) -> np.ndarray:
    """A hash for each word and each pair of neighbours; one for a text without words."""
    ids = np.array([words.setdefault(word, len(words) + 1) for word in re.findall(r"\w+", text.lower())], np.uint64)
    if not len(ids):
        return np.array([zlib.crc32(text.encode())], np.uint64)
    return np.concatenate([_mixed(ids), _mixed(ids[:-1] * np.uint64(0x9E3779B97F4A7C15) + ids[1:])])


def _mixed(values: np.ndarray) -> np.ndarray:
    """splitmix64 (Steele, Lea & Flood 2014): every bit of a number depends on all of them."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def near_sequences(sequences: Sequence[np.ndarray], steps: int = 16) -> list[tuple[int, int]]:
    """Pairs of sequences (T, C) that are not equal but, stretched to equally many steps, differ by less than a
    hundredth of a deviation."""
    if len(sequences) < 2 or len(sequences) > MANY:
        return []
    from sklearn.neighbors import NearestNeighbors

    points = np.stack([_stretched(sequence, steps).ravel() for sequence in sequences])
    scale = np.tile(np.concatenate(sequences).std(0), steps)
    points /= np.where(scale > 0, scale, 1.0)
    distance, neighbour = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)
    near = 0.01 * np.sqrt(points.shape[1])
    pairs = {
        (min(a, int(b)), max(a, int(b)))
        for a in range(len(points))
        for b, far in zip(neighbour[a], distance[a], strict=True)
        if b != a and far < near and not np.array_equal(sequences[a], sequences[b])
    }
    return sorted(pairs)


def _stretched(sequence: np.ndarray, steps: int) -> np.ndarray:
    at = np.linspace(0, len(sequence) - 1, steps)
    return np.stack([np.interp(at, np.arange(len(sequence)), channel) for channel in sequence.T], 1)


def copies(
    keys: np.ndarray, near: list[tuple[int, int]], labels: Sequence[str], parts: np.ndarray | None, what: str
) -> tuple[dict[str, int], list[str]]:
    """Facts and warnings about copies.

    Args:
        keys: (N,) equal where two are equal.
        labels: (N,) class of each.
        parts: (N,) name of the part that each was given to; None where they are yet to be cut.
    """
    counts = np.bincount(keys)
    again = int((counts[counts > 1] - 1).sum())
    info, said = (
        {f"copies of other {what}": again, f"{what} nearly equal to another": len({i for pair in near for i in pair})},
        [],
    )
    label = groups_of(labels)
    pairs = np.unique(np.stack([keys, label], 1), axis=0)
    torn = int((np.bincount(pairs[:, 0]) > 1).sum())
    if again:
        sides = "" if parts is not None else ": a cut of ours keeps them on one side"
        said.append(f"{again} {what} are copies of others{sides}")
    if near and parts is None:
        said.append(f"{len(near)} pairs of {what} are nearly equal: a cut may part them; name a group that keeps them "
                    "together, if there is one")  # fmt: skip
    if torn:
        said.append(f"{torn} {what} stand there with two classes: one of them is wrong")
    if parts is None:
        return info, said
    known = set(keys[parts == "train"].tolist())
    close = {frozenset((parts[a], parts[b])) for a, b in near}
    for part in ("validation", "test"):
        here = np.flatnonzero(parts == part)
        leaked = sum(int(key) in known for key in keys[here])
        nearly = sum(frozenset((parts[a], parts[b])) == {"train", part} for a, b in near) if close else 0
        if len(here):
            info[f"{part} {what} that stand in train"], info[f"{part} {what} nearly in train"] = leaked, nearly
        if leaked or nearly:
            said.append(f"leak: {leaked} of the {len(here)} {part} {what} stand in train too, {nearly} nearly: they "
                        "reward learning by heart")  # fmt: skip
    return info, said
