"""Strings of the embedded Reber grammar, one letter per step."""

from __future__ import annotations

import numpy as np

from lstm_lab.data.kinds.next_step import FrameInfo, NextStepSequences, NextStepSplit, TokenInfo
from lstm_lab.data.kinds.synthetic import SyntheticDataset

LETTERS = "BTPSXVE"
GRAMMAR = (
    (("T", 1), ("P", 2)),
    (("S", 1), ("X", 3)),
    (("T", 2), ("V", 4)),
    (("X", 2), ("S", 5)),
    (("P", 3), ("V", 5)),
)
"""State -> the two equally likely next letters, and the state that each leads to; state 5 is the end."""
END = 5


class EmbeddedReber(
    SyntheticDataset[FrameInfo | TokenInfo, None, NextStepSplit], NextStepSequences, name="embedded_reber"
):
    """Prediction of the next letter (Hochreiter & Schmidhuber 1997, experiment 1; after Reber 1967).

    B, then T or P, a Reber string (B, a walk through GRAMMAR, E), the same T or P again, E: only that last T or P needs
    a long memory. The two letters that the grammar allows are equally likely, which bounds the perplexity from below.
    There are few short strings, so the splits share some: what is learned is the grammar.
    """

    tokens = True
    names = ("<pad>", *LETTERS)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], None]:
        letter = np.array([[LETTERS.index(letter) + 1 for letter, _ in choices] for choices in GRAMMAR])
        target = np.array([[state for _, state in choices] for choices in GRAMMAR])
        state, walk = np.zeros(n, np.int64), []
        while (state != END).any():
            choice, source = rng.integers(2, size=n), np.minimum(state, END - 1)
            walk.append(np.where(state != END, letter[source, choice], 0))
            state = np.where(state != END, target[source, choice], END)
        b, t, p, e = (LETTERS.index(name) + 1 for name in "BTPE")
        outer = rng.choice([t, p], size=n)
        inner = np.stack(walk, 1)  # (n, longest), 0 behind the end
        return [np.array([b, end, b, *row[row > 0], e, end, e]) for row, end in zip(inner, outer, strict=True)], None
