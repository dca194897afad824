"""Texts of recordings without a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lstm_lab.data.kinds.transcripts import TranscriptInfo, TranscriptSplit
from lstm_lab.tasks.transcription.error_rates import scores_of

PARTS = 8
"""Of a recording, whose means are compared."""


def baselines(info: TranscriptInfo, train: TranscriptSplit, split: TranscriptSplit) -> dict[str, dict[str, float]]:
    """The most frequent symbol at each place, as many as recordings of this duration have; and the text of the training
    recording whose means over eight parts and whose duration are nearest."""
    true = split.texts_of()
    found = {
        "most frequent symbols, by duration": most_frequent(train, split),
        "text of the nearest recording": nearest(train, split),
    }
    return {name: scores_of(info, written, true) for name, written in found.items()}


def most_frequent(train: TranscriptSplit, split: TranscriptSplit) -> list[list[int]]:
    """The first symbols of one text, which has at each place the most frequent symbol of training texts there."""
    texts = train.texts_of()
    longest = max(map(len, texts))
    usual = [Counter(text[place] for text in texts if place < len(text)).most_common(1)[0][0]
             for place in range(longest)]  # fmt: skip
    steps, lengths = train.inputs.lengths.double().numpy(), np.array([len(text) for text in texts])
    design = np.stack([np.ones_like(steps), steps], 1)
    line, *_ = np.linalg.lstsq(design, lengths, rcond=None)
    guess = np.rint(line[0] + line[1] * split.inputs.lengths.double().numpy()).clip(1, longest)
    return [usual[: int(length)] for length in guess]


def nearest(train: TranscriptSplit, split: TranscriptSplit) -> list[list[int]]:
    """The text of the nearest training recording."""
    from sklearn.neighbors import NearestNeighbors

    points = [_means(part) for part in (train, split)]
    found = NearestNeighbors(n_neighbors=1).fit(points[0]).kneighbors(points[1], return_distance=False)[:, 0]
    texts = train.texts_of()
    return [texts[row] for row in found.tolist()]


def _means(split: TranscriptSplit) -> np.ndarray:
    """(N, PARTS I + 1) means of equal parts of each recording, and the logarithm of its steps."""
    rows: list[np.ndarray] = []
    sequences: Sequence[np.ndarray] = [
        part.numpy() for part in split.inputs.values.split(split.inputs.lengths.tolist())
    ]
    for sequence in sequences:
        edges = np.linspace(0, len(sequence), PARTS + 1)
        parts = [sequence[int(a) : max(int(b), int(a) + 1)].mean(0) for a, b in pairwise(edges.tolist())]
        rows.append(np.append(np.concatenate(parts), 10 * np.log(len(sequence))))
    return np.stack(rows)
