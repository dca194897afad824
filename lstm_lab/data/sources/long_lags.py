"""Three generated problems with long time lags: the target depends on inputs many steps before it."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lstm_lab.data.base import InfoT
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.pre_split import SplitT, TargetsT
from lstm_lab.data.kinds.sequence_regression import RegressionInfo, RegressionSplit, SequenceRegression
from lstm_lab.data.kinds.synthetic import SyntheticDataset
from lstm_lab.data.kinds.tagged import TaggedSequences, TaggedSplit


class LongLag(SyntheticDataset[InfoT, TargetsT, SplitT]):
    """Base of the three."""

    class Config(SyntheticDataset.Config):
        length: Annotated[int, Field(ge=2, lt=2**31)] = 100
        """Steps over which inputs must be remembered, T."""

    def __init__(self, batch_size: int, length: int, **sizes: int) -> None:
        super().__init__(batch_size, **sizes)
        self.length = length


class Adding(LongLag[RegressionInfo, np.ndarray, RegressionSplit], SequenceRegression, name="adding"):
    """The sum of the two marked numbers among T (Hochreiter & Schmidhuber 1997, experiment 4).

    In the form of Le, Jaitly & Hinton (2015): channel 0 is uniform on [0, 1), channel 1 marks one step in each half
    with 1. Always predicting 1 has a mean squared error of 1/6; the problem counts as solved below 0.01, that is, with
    errors of 0.1, where a memory of only one of the two numbers would leave 1/12.
    """

    targets = ("sum",)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        T, half = self.length, self.length // 2
        x = np.zeros((n, T, 2), np.float32)
        x[:, :, 0] = rng.random((n, T), np.float32)
        rows, marked = np.arange(n), np.stack([rng.integers(half, size=n), rng.integers(half, T, size=n)])
        x[rows, marked, 1] = 1.0
        return list(x), x[rows, marked, 0].sum(0, dtype=np.float64)[:, None]


class CopyMemory(LongLag[LabelledInfo, list[np.ndarray], TaggedSplit], TaggedSequences, name="copy_memory"):
    """Ten symbols, T blanks, then the ten again (Hochreiter & Schmidhuber 1997; as in Arjovsky, Shah & Bengio 2016).

    Channels: 8 symbols, the blank, and the start sign at step T + 10; T + 20 steps. The targets are the last ten
    steps. Without a memory nothing is better than 8 equal probabilities: cross-entropy log 8 = 2.079, accuracy 1/8.
    """

    symbols, count = 8, 10
    classes = tuple(str(i + 1) for i in range(symbols))
    standardized = False

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        blank, sign = self.symbols, self.symbols + 1
        text = rng.integers(self.symbols, size=(n, self.count), dtype=np.int8)
        steps = np.full((n, self.length + 2 * self.count), blank)
        steps[:, : self.count], steps[:, self.length + self.count] = text, sign
        labels = np.full(steps.shape, -1, np.int8)
        labels[:, -self.count :] = text
        return list(np.eye(self.symbols + 2, dtype=np.uint8)[steps]), list(labels)


class Parity(LongLag[LabelledInfo, list[np.ndarray], TaggedSplit], TaggedSequences, name="parity"):
    """Whether the number of ones among the bits so far is even or odd: one bit of memory, which every one flips.

    Without a memory of all bits nothing is better than chance: accuracy 1/2.
    """

    class Config(LongLag.Config):
        target_steps: Literal["every", "last"] = "every"
        """Targets at every step, or after the last bit alone, which is much harder to learn."""

    classes = ("even", "odd")
    standardized = False

    def __init__(self, batch_size: int, length: int, target_steps: str, **sizes: int) -> None:
        super().__init__(batch_size, length, **sizes)
        self.target_steps = target_steps

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        bits = rng.integers(2, size=(n, self.length, 1), dtype=np.uint8)
        labels = (bits[..., 0].cumsum(1) % 2).astype(np.int8)
        if self.target_steps == "last":
            labels[:, :-1] = -1
        return list(bits), list(labels)
