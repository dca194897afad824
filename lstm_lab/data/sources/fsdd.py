"""Spoken digits: 13 mel cepstral coefficients a frame, a frame every 10 ms."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np

from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.labelled import LabelledData, LabelledSequences
from lstm_lab.data.readers.locate import locate

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


class FSDD(LabelledSequences, name="fsdd"):
    """Free Spoken Digit Dataset (Jackson et al. 2018, CC BY-SA 4.0): which digit, in 3,000 recordings by 6 speakers.

    Officially takes 0-4 of each speaker and digit are the test part; here takes 5-9 validate.
    """

    class Config(Dataset.Config):
        test_speaker: Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"] | None = None
        """Speaker who is the whole test part, the next one being the validation part; null: the official split."""

    def __init__(self, batch_size: int, test_speaker: str | None) -> None:
        super().__init__(batch_size)
        self.test_speaker = test_speaker

    @cached_property
    def _table(self) -> Any:
        """All recordings, with `part`: 0 training, 1 validation, 2 test."""
        import pandas as pd

        origin = (
            "github.com/Jakobovski/free-spoken-digit-dataset (digit, speaker, index, mfcc13: c0..c12 of each frame)"
        )
        table = pd.read_parquet(locate("fsdd/fsdd_mfcc13.parquet", origin))
        if self.test_speaker is None:
            part = 2 - np.minimum(table["index"].to_numpy() // 5, 2)
        else:
            speakers = [self.test_speaker, SPEAKERS[(SPEAKERS.index(self.test_speaker) + 1) % len(SPEAKERS)]]
            part = 2 * (table["speaker"] == speakers[0]) + (table["speaker"] == speakers[1])
        return table.assign(part=part)

    def read(self) -> LabelledData:
        def rows(test: bool) -> tuple[list[np.ndarray], np.ndarray]:
            table = self._table[(self._table["part"] == 2) == test]
            return [coefficients.reshape(-1, 13) for coefficients in table["mfcc13"]], table["digit"].to_numpy(str)

        return LabelledData(train=rows(False), test=rows(True))

    @cached_property
    def _held_out(self) -> tuple[np.ndarray, np.ndarray]:
        part = self._table["part"].to_numpy()
        validates = part[part < 2] == 1
        return np.flatnonzero(~validates), np.flatnonzero(validates)
