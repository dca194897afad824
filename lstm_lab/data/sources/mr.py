"""Sentences of film reviews: 10,662 of them, for or against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.data.kinds.text import Text
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.text_files import parquet_columns


class MovieReviews(Text, name="mr"):
    """Is the sentence for the film or against it? Of every ten sentences seven train, one validates, two test.

    Pang & Lee (2005). The literature takes ten folds instead. Four in five sentences of sst stand here too: never train
    on one and test on the other. sentence_sets/mr.parquet holds label (0 against, 1 for) and text.
    """

    def files(self) -> list[Path]:
        return [locate("sentence_sets/mr.parquet", "the sentence polarity data v1.0 (Pang & Lee 2005, "
                       "cs.cornell.edu/people/pabo/movie-review-data) as label, text")]  # fmt: skip

    def read(self) -> Texts:
        (place,) = self.files()
        columns = parquet_columns(place, ("label", "text"))
        return Texts(columns["text"], np.array(["against", "for"])[columns["label"]], str(place))
