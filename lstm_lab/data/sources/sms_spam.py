"""Short messages: 5,574 of them, wanted or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.data.kinds.text import Text
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.text_files import parquet_columns


class SMSSpam(Text, name="sms_spam"):
    """Is the message ham or spam? One in eight is spam; of every ten texts seven train, one validates, two test.

    Almeida, Gómez Hidalgo & Yamakami (2011); UCI, CC BY 4.0. sentence_sets/sms_spam.parquet holds label and text.
    """

    def files(self) -> list[Path]:
        return [locate("sentence_sets/sms_spam.parquet", "the SMS Spam Collection "
                       "(archive.ics.uci.edu/dataset/228) as label, text")]  # fmt: skip

    def read(self) -> Texts:
        (place,) = self.files()
        columns = parquet_columns(place, ("label", "text"))
        return Texts(columns["text"], np.array(columns["label"]), str(place))
