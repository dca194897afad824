"""MNIST-1D: digits of one dimension, 40 steps long, generated as their authors generate them."""

from __future__ import annotations

import numpy as np

from lstm_lab.data.kinds.labelled import LabelledData, LabelledSequences
from lstm_lab.data.readers.cache import CacheEntry, cached

TEMPLATES = np.array([
    [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
    [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
    [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
    [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
    [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
    [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
    [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
    [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
    [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
    [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
])  # fmt: skip
"""The outline of each digit, seen from the side."""
PADDING = (36, 60)
LONGEST = TEMPLATES.shape[1] + PADDING[1]
STEPS = 40
EACH = 500
"""Samples of each digit."""
TRAIN = 4000


class MNIST1D(LabelledSequences, name="mnist1d"):
    """Greydanus & Kobak (2020, arXiv:2011.14439; Apache-2.0): 4,000 digits for training, 1,000 for test, as published.

    A template of twelve points is padded, stretched, scaled, shifted around a circle, sheared, and noise is added. The
    paper's accuracies are 0.32 of a logistic regression, 0.68 of an MLP, 0.91 of a GRU and 0.94 of a convolutional
    network; people reach 0.96.
    """

    def read(self) -> LabelledData:
        arrays = cached(f"{self.name}-1", lambda: CacheEntry(dict(zip(("x", "y"), generate(42), strict=True)), {}))
        x, y = arrays.arrays["x"], arrays.arrays["y"].astype(str)
        return LabelledData(train=([*x[:TRAIN]], y[:TRAIN]), test=([*x[TRAIN:]], y[TRAIN:]))


def generate(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x (5000, 40, 1), with mean 0 and standard deviation 1, and the digits y (5000,).

    Random numbers are drawn in the order of the authors' program; numpy promises to keep this stream.
    """
    from scipy.ndimage import gaussian_filter1d

    rng = np.random.RandomState(seed)
    shapes = TEMPLATES - TEMPLATES.mean(1, keepdims=True)
    shapes /= shapes.std(1, keepdims=True)
    y = np.repeat(np.arange(len(shapes)), EACH)
    rows = [_draw((shape - shape[0]) / 6, rng) for shape in shapes for _ in range(EACH)]
    x, smooth, rough, slope = (np.stack(parts) for parts in zip(*rows, strict=True))
    x = np.where(x != 0, x, gaussian_filter1d(0.25 * smooth, 2)) + 0.02 * rough
    x -= slope[:, None] * np.linspace(-0.5, 0.5, LONGEST)
    x = np.stack([_resampled(row, STEPS) for row in x])
    order = rng.permutation(len(x))
    x = x[order]
    return ((x - x.mean()) / x.std())[:, :, None], y[order]


def _draw(shape: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A template (12,), padded, stretched, scaled and shifted; two kinds of noise; and a slope."""
    low, high = PADDING
    padded = np.concatenate([shape + 1e-8, np.zeros(low + int(rng.rand() * (high - low + 1)))])
    x = _resampled(padded, LONGEST) * (1 + 0.4 * (rng.rand() - 0.5))
    x = np.roll(x, rng.choice(48))
    return x, rng.randn(LONGEST), rng.randn(LONGEST), 0.75 * (rng.rand() - 0.5)


def _resampled(x: np.ndarray, n: int) -> np.ndarray:
    """n values at equal distances, linear between those of x."""
    found: np.ndarray = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(x)), x)
    return found
