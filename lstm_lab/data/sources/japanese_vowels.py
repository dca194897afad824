"""Nine speakers say /ae/: 12 cepstral coefficients per frame, 7 to 29 frames. Shipped with `aeon`."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.kinds.labelled import LabelledArrays, LabelledData, LabelledSequences
from lstm_lab.data.readers.cache import CacheEntry, cached, digest
from lstm_lab.data.readers.locate import sha256_of


class JapaneseVowels(LabelledSequences, name="japanese_vowels"):
    """Speaker identification: 270 utterances for training, 370 for test, as published.

    Kudo, Toyama & Shimbo (1999); UCI, CC BY 4.0.
    """

    def read(self) -> LabelledData:
        package = find_spec("aeon")
        if package is None or package.origin is None:
            raise DataError("japanese_vowels is shipped with the package 'aeon': pip install aeon")
        folder = Path(package.origin).parent / "datasets" / "data" / "JapaneseVowels"
        files = [sha256_of(folder / f"JapaneseVowels_{split}.ts") for split in ("TRAIN", "TEST")]
        # Each process of a sweep reads it: importing aeon takes ten times as long as training an epoch.
        arrays = cached(f"{self.name}-{digest(*files, version('aeon'))}", self._read).arrays

        def split(name: str) -> LabelledArrays:
            ends = np.cumsum(arrays[f"{name} lengths"])
            return np.split(arrays[f"{name} values"], ends[:-1]), arrays[f"{name} labels"]

        return LabelledData(train=split("train"), test=split("test"))

    def _read(self) -> CacheEntry:
        from aeon.datasets import load_classification

        arrays = {}
        for split in ("train", "test"):
            # Without load_equal_length=False the sequences come padded.
            sequences, labels = load_classification("JapaneseVowels", split=split, load_equal_length=False)
            arrays[f"{split} values"] = np.concatenate([sequence.T for sequence in sequences])
            arrays[f"{split} lengths"] = np.array([sequence.shape[1] for sequence in sequences])
            arrays[f"{split} labels"] = labels
        return CacheEntry(arrays, {})
