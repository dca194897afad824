"""The Stanford Sentiment Treebank: sentences of film reviews, and every phrase inside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Unpack

import numpy as np

from lstm_lab.data.kinds.text import TextDataset
from lstm_lab.data.kinds.tokenized_texts import TextOptions
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.parquet_rows import parquet_columns

FINE = np.array(["0 very negative", "1 negative", "2 neutral", "3 positive", "4 very positive"])


class SST(TextDataset, name="sst"):
    """Sentiment of sentences: 8,544 for training, 1,101 for validation, 2,210 for test, as published.

    Socher et al. (EMNLP 2013). With two classes neutral ones are left out: 6,920, 872 and 1,821 sentences.
    sst/sst_sentences.parquet has split (train, validation, test) and tree, with a label on every phrase.
    """

    class Config(TextDataset.Config):
        classes: Literal[2, 5] = 2
        """Negative and positive, or five degrees."""
        phrases: bool = False
        """Train on every phrase inside the training sentences, as the literature does (Tai et al., ACL 2015)."""

    def __init__(self, *, classes: int, phrases: bool, **options: Unpack[TextOptions]) -> None:
        super().__init__(**options, classes=classes, phrases=phrases)
        self.classes, self.phrases = classes, phrases

    def files(self) -> list[Path]:
        return [locate("sst/sst_sentences.parquet", "the Stanford Sentiment Treebank (Socher et al. 2013, "
                       "nlp.stanford.edu/sentiment) as split, tree")]  # fmt: skip

    def read(self) -> Texts:
        (path,) = self.files()
        columns = parquet_columns(path, ("split", "tree"))
        rows = []
        for split, tree in zip(columns["split"], columns["tree"], strict=True):
            phrases = list(phrases_of(str(tree)))  # The whole sentence comes last.
            used = phrases if self.phrases and split == "train" else phrases[-1:]
            rows += [(text, label, str(split)) for label, text in used]
        # A phrase that is in many sentences is trained on once.
        rows = list(dict.fromkeys(rows)) if self.phrases else rows
        rows = [row for row in rows if self.classes == 5 or row[1] != 2]
        texts, labels, splits = zip(*rows, strict=True)
        index = np.array(labels)
        names = FINE[index] if self.classes == 5 else np.array(["negative", "positive"])[(index > 2).astype(int)]
        return Texts(texts, names, str(path), np.array(splits))


def phrases_of(tree: str) -> Iterator[tuple[int, str]]:
    """`(3 (2 It) (4 works))` -> (2, 'It'), (4, 'works'), (3, 'It works')."""
    stack: list[tuple[int, list[str]]] = []
    for word in re.findall(r"\((?=\d )|\)|[^\s()]+", tree):
        if word == "(":
            stack.append((-1, []))
        elif word == ")":
            label, words = stack.pop()
            yield label, " ".join(words)
            if stack:
                stack[-1][1].extend(words)
        elif stack[-1][0] < 0:
            stack[-1] = (int(word), [])
        else:
            stack[-1][1].append(word)
