"""Spoken digits: 13 mel-frequency cepstral coefficients per frame, a frame every 10 ms."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from lstm_lab.data.kinds.labelled import LabelledArrays, LabelledData, LabelledSequences
from lstm_lab.data.readers.locate import locate

if TYPE_CHECKING:
    import pandas as pd

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def fsdd_table() -> pd.DataFrame:
    """All recordings: digit, speaker, index, and mfcc13, 13 coefficients of each frame."""
    import pandas as pd

    origin = "github.com/Jakobovski/free-spoken-digit-dataset (digit, speaker, index, mfcc13: c0..c12 of each frame)"
    return pd.read_parquet(locate("fsdd/fsdd_mfcc13.parquet", origin))


class FSDD(LabelledSequences, name="fsdd"):
    """Free Spoken Digit Dataset (Jackson et al. 2018, CC BY-SA 4.0): the digit in 3,000 recordings by 6 speakers.

    Recordings 0-4 of each speaker and digit are the official test split; recordings 5-9 are the validation split here.
    """

    class Config(LabelledSequences.Config):
        test_speaker: Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"] | None = None
        """Speaker of the test split, the next one being that of the validation split; null: the official split."""

    def __init__(self, batch_size: int, test_speaker: str | None) -> None:
        super().__init__(batch_size)
        self.test_speaker = test_speaker

    @cached_property
    def _table(self) -> pd.DataFrame:
        """All recordings, with `split`: 0 training, 1 validation, 2 test."""
        table = fsdd_table()
        if self.test_speaker is None:
            split = 2 - np.minimum(table["index"].to_numpy() // 5, 2)
        else:
            speakers = [self.test_speaker, SPEAKERS[(SPEAKERS.index(self.test_speaker) + 1) % len(SPEAKERS)]]
            split = 2 * (table["speaker"] == speakers[0]) + (table["speaker"] == speakers[1])
        return table.assign(split=split)

    def read(self) -> LabelledData:
        def arrays(test: bool) -> LabelledArrays:
            table = self._table[(self._table["split"] == 2) == test]
            return [coefficients.reshape(-1, 13) for coefficients in table["mfcc13"]], table["digit"].to_numpy(str)

        return LabelledData(train=arrays(False), test=arrays(True))

    @property
    def _train_groups(self) -> Sequence[Hashable]:
        if self.test_speaker is None:  # The official split has recordings of every speaker on both sides.
            return super()._train_groups
        table = self._table
        return [str(speaker) for speaker in table["speaker"][table["split"] < 2]]

    def _own_split(self) -> tuple[np.ndarray, np.ndarray]:
        split = self._table["split"].to_numpy()
        validation = split[split < 2] == 1
        return np.flatnonzero(~validation), np.flatnonzero(validation)
