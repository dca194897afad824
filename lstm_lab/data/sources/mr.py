"""10,662 sentences of film reviews, positive or negative."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.data.kinds.text import TextDataset
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.parquet_rows import parquet_columns


class MovieReviews(TextDataset, name="mr"):
    """Sentiment of sentences. Of every ten sentences seven are for training, one for validation, two for test.

    Pang & Lee (2005). The literature uses ten folds instead. Four in five sentences of sst are in this set too: never
    train on one and test on the other. sentence_sets/mr.parquet has label (0 against, 1 for) and text.
    """

    def files(self) -> list[Path]:
        return [locate("sentence_sets/mr.parquet", "the sentence polarity data v1.0 (Pang & Lee 2005, "
                       "cs.cornell.edu/people/pabo/movie-review-data) as label, text")]  # fmt: skip

    def read(self) -> Texts:
        (path,) = self.files()
        labels, texts = parquet_columns(path, ("label", "text")).values()
        return Texts([str(text) for text in texts], np.array(["against", "for"])[np.array(labels, int)], str(path))
