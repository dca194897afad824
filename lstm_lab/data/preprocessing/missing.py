"""Missing values in sequences: what is done about them before and after channels are standardised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lstm_lab.config import DataError

Missing = Literal["error", "forward_fill", "mask"]
"""Missing values are an error, or replaced by the last known value of the sequence, or zeros with a mask."""

WAYS_OUT = "fill it in, or set data.missing to mask or forward_fill"
"""What to do where missing values are an error, for messages."""


def filled(sequences: Sequence[np.ndarray], missing: Missing, where: str) -> list[np.ndarray]:
    """Sequences (T, F) whose missing values are replaced by the last value before them, if that was chosen.

    Args:
        where: they are from, for messages.

    Raises:
        DataError: a sequence without an earlier value to fill in.
    """
    return [
        _forward_filled(sequence, f"{where}: sequence {number}")
        if missing == "forward_fill" and np.isnan(sequence).any()
        else sequence
        for number, sequence in enumerate(sequences, 1)
    ]


def _forward_filled(sequence: np.ndarray, where: str) -> np.ndarray:
    known = ~np.isnan(sequence)
    if not known[0].all():
        raise DataError(f"{where}, channel {int(np.argmin(known[0])) + 1}: the first step has no value, and there is "
                        "no earlier one to fill in: set data.missing=mask")  # fmt: skip
    last = np.maximum.accumulate(np.where(known, np.arange(len(sequence))[:, None], 0))
    return np.take_along_axis(sequence, last, 0)


def with_mask(sequence: np.ndarray) -> np.ndarray:
    """(T, 2 F) float32: values (T, F), 0 where one is missing, and behind them 1 where one is missing."""
    missing = np.isnan(sequence)
    return np.concatenate([np.where(missing, 0.0, sequence), missing], 1, dtype=np.float32, casting="unsafe")
