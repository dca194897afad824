"""Tagged words in the columns of CoNLL's shared tasks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from lstm_lab.config import Count, DataError
from lstm_lab.data.kinds.sample_fields import SampleFields, check_given_groups
from lstm_lab.data.kinds.tagged_words import TaggedWordFiles
from lstm_lab.data.kinds.user_files import SequenceReader, no_frames
from lstm_lab.data.kinds.user_sequences import Kind, UserSequences
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sample_table import SampleTable
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.table import read_text

DOCUMENT = "-DOCSTART-"
"""Word of a line between two documents."""
_NO_WORD = re.compile(r"\d+[-.]\d+")
"""Matches the first column of a line of CoNLL-U that is not one word, but several joined ones or an omitted one."""


@dataclass(frozen=True)
class ColumnFile:
    """Which columns are read, counted from 1; the last one has the tags where `tag_column` is None."""

    word_column: int
    tag_column: int | None
    samples: SampleTable | None = None

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        file = find_file(path)
        sentences = self._sentences(file, labelled)
        if not sentences:
            raise DataError(f"{file}: has no sentence: write a word and its tag on each line, and an empty line after "
                            "each sentence")  # fmt: skip
        words = [np.array([line[self.word_column - 1] for line in sentence]) for sentence in sentences]
        tag = -1 if self.tag_column is None else self.tag_column - 1
        tags = np.array([line[tag] for sentence in sentences for line in sentence]) if labelled else None
        splits = groups = None
        if self.samples is not None and labelled and split is None:
            splits, groups = self.samples.read(len(words), path)
        return SequenceFile(file, words, tags, groups, splits, id_column="sentence")

    def read_frame(self, frame: Any) -> SequenceFile:
        raise no_frames("conll", "a file with columns, or a list of words for each sentence")

    def _sentences(self, file: Path, labelled: bool) -> list[list[list[str]]]:
        """The columns of each line of each sentence."""
        lines = read_text(file, "columns of words and tags", "a word and its tag on each line").split("\n")
        rows = [line.rstrip().split("\t") if "\t" in line.rstrip() else line.split() for line in lines]
        needed = max(self.word_column, (self.tag_column or 2) if labelled else 0)
        counts = Counter(len(row) for row in rows if row and row[0]).most_common(1)
        usual = counts[0][0] if counts else needed
        found: list[list[list[str]]] = [[]]
        for number, row in enumerate(rows, 1):
            if not row or row == [""]:
                found.append([])
            elif row[0] == DOCUMENT or (row[0].startswith("#") and len(row) != usual):
                continue  # Between documents, or a comment.
            elif self.word_column > 1 and _NO_WORD.fullmatch(row[0]):
                continue  # The words themselves have lines of their own.
            elif len(row) < needed or (labelled and len(row) != usual):
                raise DataError(f"{file}: line {number}: has {len(row)} columns, where {max(needed, usual)} are needed:"
                                " separate columns by one tab, or all of them by blanks")  # fmt: skip
            elif not row[self.word_column - 1].strip():
                raise DataError(f"{file}: line {number}: column {self.word_column}, that of the words, is empty: write "
                                "a word there, or leave the whole line empty between sentences")  # fmt: skip
            else:
                found[-1].append(row)
        return [sentence for sentence in found if sentence]


class CoNLL(UserSequences, name="conll"):
    """A text file with a word and its tag on each line and an empty line after each sentence, as of CoNLL's shared
    tasks. Columns are separated by a tab, or by blanks; comments (`# ...`), -DOCSTART- lines, and of CoNLL-U lines of
    joined and omitted words (`3-4`, `3.1`) are left out."""

    class Config(SampleFields, UserSequences.Config):
        target: Literal["tag"] = "tag"
        """A class for each word."""
        word_column: Count = 1
        """Column of the words, counted from 1."""
        tag_column: Count | None = None
        """Column of the tags, counted from 1; null: the last one."""

        @model_validator(mode="after")
        def _words_are_not_missing(self) -> CoNLL.Config:
            if self.missing != "error":
                raise ValueError(f"missing={self.missing} would have no effect on words: remove it")
            if self.tag_column == self.word_column:
                raise ValueError(f"tag_column={self.tag_column} is the column of the words: choose another")
            check_given_groups(self.group, self.given)
            return self

        @property
        def reader(self) -> SequenceReader:
            return ColumnFile(self.word_column, self.tag_column, self.sample_table())

        @property
        def dataset(self) -> Kind:
            return TaggedWordFiles
