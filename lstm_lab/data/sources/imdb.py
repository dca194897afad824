"""50,000 film reviews, positive or negative."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.data.kinds.text import TextDataset
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.parquet_rows import parquet_columns


class IMDB(TextDataset, name="imdb"):
    """Sentiment of film reviews: 25,000 for training, 25,000 for test, as published.

    Maas et al. (ACL 2011). imdb/imdb.parquet has split (train, test), label (0 against, 1 for), title_id and text.
    Reviews of one film stay in one split: no film of the validation split has reviews in the training split.
    """

    def files(self) -> list[Path]:
        return [locate("imdb/imdb.parquet", "the Large Movie Review Dataset v1.0 (Maas et al. 2011, "
                       "ai.stanford.edu/~amaas/data/sentiment) as split, label, title_id, text")]  # fmt: skip

    def read(self) -> Texts:
        (path,) = self.files()
        columns = parquet_columns(path, ("split", "label", "title_id", "text"))
        return Texts(
            [str(text) for text in columns["text"]],
            np.array(["against", "for"])[np.array(columns["label"], int)],
            str(path),
            np.array(columns["split"]),
            np.array(columns["title_id"]),
        )
