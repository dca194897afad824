"""Captions of photographs in English, German and French, translations of each other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.data.kinds.text_pairs import TextPairOptions, TextPairs
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.parquet_rows import parquet_texts

Language = Literal["de", "en", "fr"]


class Multi30k(TextPairs, name="multi30k"):
    """Translation of captions: 29,000 pairs for training, 1,014 for validation, 1,000 for test (test_2016_flickr).

    Elliott, Frank, Sima'an & Specia (2016), task 1, raw text. multi30k/multi30k.parquet has split (train, validation,
    test), en, de and fr. For research only.
    """

    class Config(TextPairs.Config):
        source: Language = "de"
        """Language that is read."""
        target: Language = "en"
        """Language that is written."""

        @model_validator(mode="after")
        def _two_languages(self) -> Multi30k.Config:
            if self.source == self.target:
                raise ValueError(f"source and target are both {self.source}: choose two of de, en and fr")
            return self

    def __init__(self, *, source: str, target: str, **options: Unpack[TextPairOptions]) -> None:
        super().__init__(**options, source=source, target=target)
        self.languages = (source, target)
        self.column = source

    def files(self) -> list[Path]:
        return [locate("multi30k/multi30k.parquet", "Multi30K, task 1 (Elliott et al. 2016, github.com/multi30k/dataset"
                       ") as split, en, de, fr")]  # fmt: skip

    def read(self) -> Texts:
        (path,) = self.files()
        splits, sources, targets = parquet_texts(path, "split", *self.languages)
        return Texts(sources, np.array(targets, object), str(path), np.array(splits))
