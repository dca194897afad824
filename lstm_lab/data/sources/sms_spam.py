"""5,574 short messages, spam or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.data.kinds.text import TextDataset
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.parquet_rows import parquet_columns


class SMSSpam(TextDataset, name="sms_spam"):
    """Ham or spam; one message in eight is spam. Of every ten texts seven are for training, one for validation, two for
    test.

    Almeida, Gómez Hidalgo & Yamakami (2011); UCI, CC BY 4.0. sentence_sets/sms_spam.parquet has label and text.
    """

    def files(self) -> list[Path]:
        return [locate("sentence_sets/sms_spam.parquet", "the SMS Spam Collection "
                       "(archive.ics.uci.edu/dataset/228) as label, text")]  # fmt: skip

    def read(self) -> Texts:
        (path,) = self.files()
        labels, texts = parquet_columns(path, ("label", "text")).values()
        return Texts([str(text) for text in texts], np.array(labels), str(path))
