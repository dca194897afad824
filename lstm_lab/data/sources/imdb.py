"""Film reviews: 50,000 of them, for or against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.data.kinds.text import Text
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.text_files import parquet_columns


class IMDB(Text, name="imdb"):
    """Is the review for the film or against it? 25,000 to train on, 25,000 to test, as published.

    Maas et al. (ACL 2011). imdb/imdb.parquet holds split (train, test), label (0 against, 1 for), title_id and text.
    A film's reviews stay together: nobody is judged on a film whose other reviews it has read.
    """

    def files(self) -> list[Path]:
        return [locate("imdb/imdb.parquet", "the Large Movie Review Dataset v1.0 (Maas et al. 2011, "
                       "ai.stanford.edu/~amaas/data/sentiment) as split, label, title_id, text")]  # fmt: skip

    def read(self) -> Texts:
        (place,) = self.files()
        columns = parquet_columns(place, ("split", "label", "title_id", "text"))
        return Texts(
            columns["text"],
            np.array(["against", "for"])[columns["label"]],
            str(place),
            np.array(columns["split"]),
            np.array(columns["title_id"]),
        )
