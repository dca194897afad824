"""The Stanford Sentiment Treebank: sentences of film reviews, and every phrase inside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lstm_lab.data.kinds.text import Text
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.readers.text_files import parquet_columns

FINE = np.array(["0 very negative", "1 negative", "2 neutral", "3 positive", "4 very positive"])


class SST(Text, name="sst"):
    """How does the sentence feel? 8,544 to train on, 1,101 to validate, 2,210 to test, as published.

    Socher et al. (EMNLP 2013). With two classes neutral ones are left out: 6,920, 872 and 1,821 sentences.
    sst/sst_sentences.parquet holds split (train, validation, test) and tree, with a label on every phrase.
    """

    class Config(Text.Config):
        classes: Literal[2, 5] = 2
        """Negative and positive, or five degrees."""
        phrases: bool = False
        """Train on every phrase inside the training sentences, as the literature does (Tai et al., ACL 2015)."""

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.classes: int = choices["classes"]
        self.phrases: bool = choices["phrases"]

    def files(self) -> list[Path]:
        return [locate("sst/sst_sentences.parquet", "the Stanford Sentiment Treebank (Socher et al. 2013, "
                       "nlp.stanford.edu/sentiment) as split, tree")]  # fmt: skip

    def read(self) -> Texts:
        (place,) = self.files()
        columns = parquet_columns(place, ("split", "tree"))
        rows = []
        for part, tree in zip(columns["split"], columns["tree"], strict=True):
            phrases = list(phrases_of(tree))  # the whole sentence comes last
            learnt = phrases if self.phrases and part == "train" else phrases[-1:]
            rows += [(text, label, part) for label, text in learnt]
        # A phrase that many sentences share is learnt once.
        rows = list(dict.fromkeys(rows)) if self.phrases else rows
        rows = [row for row in rows if self.classes == 5 or row[1] != 2]
        texts, labels, parts = zip(*rows, strict=True)
        index = np.array(labels)
        names = FINE[index] if self.classes == 5 else np.array(["negative", "positive"])[(index > 2).astype(int)]
        return Texts(texts, names, str(place), np.array(parts))


def phrases_of(tree: str) -> Iterator[tuple[int, str]]:
    """`(3 (2 It) (4 works))` -> (2, 'It'), (4, 'works'), (3, 'It works')."""
    open_: list[tuple[int, list[str]]] = []
    for word in re.findall(r"\((?=\d )|\)|[^\s()]+", tree):
        if word == "(":
            open_.append((-1, []))
        elif word == ")":
            label, words = open_.pop()
            yield label, " ".join(words)
            if open_:
                open_[-1][1].extend(words)
        elif open_[-1][0] < 0:
            open_[-1] = (int(word), [])
        else:
            open_[-1][1].append(word)
