"""Nine speakers say /ae/: 12 cepstral coefficients a frame, 7 to 29 frames. Ships inside `aeon`."""

from __future__ import annotations

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.labelled import Labelled, LabelledParts


class JapaneseVowels(Labelled, name="japanese_vowels"):
    """Who speaks? 270 utterances to train on, 370 to test, as published.

    Kudo, Toyama & Shimbo (1999); UCI, CC BY 4.0.
    """

    def read(self) -> LabelledParts:
        try:
            from aeon.datasets import load_classification
        except ImportError:
            raise DataError("japanese_vowels ships in the package 'aeon': pip install 'lstm-lab[datasets]'") from None

        def part(split: str) -> tuple[list[np.ndarray], np.ndarray]:
            # Without load_equal_length=False the set comes padded.
            sequences, labels = load_classification("JapaneseVowels", split=split, load_equal_length=False)
            return [sequence.T for sequence in sequences], labels

        return LabelledParts(train=part("train"), test=part("test"))
