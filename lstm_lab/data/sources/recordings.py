"""Recordings of a user with a text for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.transcripts import BLANK, Scale, Transcripts, steps_needed
from lstm_lab.data.preprocessing.audio import AudioFeatures
from lstm_lab.data.preprocessing.splits import (
    DEFAULT_FRACTIONS,
    Fraction,
    TestFraction,
    assign_splits,
    check_fractions,
    check_groups,
    check_named_fractions,
)
from lstm_lab.data.readers.cells import splits_of
from lstm_lab.data.readers.columns import Column, check_distinct
from lstm_lab.data.readers.formats import read_rows
from lstm_lab.data.readers.locate import find_file, find_folder, sha256_of
from lstm_lab.data.readers.table import Table, quoted
from lstm_lab.data.readers.wav_file import read_wav, wav_files

Symbols = Literal["words", "characters"]
"""What a text is a sequence of."""
MAX_WORDS = 2000
"""Different words in training texts, beyond which a model of whole words has too few recordings of each."""


class Recordings(Transcripts, name="recordings"):
    """A folder of WAV files, and a table with a row for each: its file and its text."""

    class Config(Transcripts.Config):
        path: FilePath
        """The folder; looked up beside the experiment's file, in the current folder, then below the folder that
        LSTM_LAB_DATA names."""
        texts: FilePath
        """The table: CSV, TSV, Parquet, JSON or JSONL."""
        file: Column = "file"
        """Column of `texts` that names the WAV file by its path in the folder, with or without the ending."""
        text: Column = "text"
        """Column of `texts` with what is said."""
        split: Column | None = None
        """Column of `texts` with train, validation or test; null: fractions are drawn."""
        group: Column | None = None
        """Column of `texts` whose groups stay in one split, such as the speaker; null: only equal files stay
        together."""
        symbols: Symbols = "characters"
        """What the model writes: characters, of which any word can be made; or words, of which it knows those of the
        training texts alone."""
        validation: Fraction = DEFAULT_FRACTIONS[0]
        """Fraction of the recordings, where the table names no validation split."""
        test: TestFraction = DEFAULT_FRACTIONS[1]
        """Fraction of the recordings, where the table names no test split; 0: none."""
        features: AudioFeatures = AudioFeatures(sample_rate=16_000, kind="log_mel")
        """How sound becomes frames."""

        @model_validator(mode="after")
        def _columns_and_fractions_go_together(self) -> Recordings.Config:
            check_fractions(self.validation, self.test)
            check_distinct([self.file, self.text, self.split, self.group], "file, text, split and group")
            return self

    folds_by = frozenset({"samples"})

    def __init__(self, *, batch_size: int, stack: int, scale: Scale, path: str, texts: str, file: str, text: str,
                 split: str | None, group: str | None, symbols: Symbols, validation: float, test: float,
                 features: AudioFeatures) -> None:  # fmt: skip
        super().__init__(batch_size, stack, scale)
        self.path, self.texts, self.form, self.features = path, texts, symbols, features
        self.columns = (file, text)
        self.split_column, self.group_column, self.fractions = split, group, (validation, test)

    @property
    def has_test_split(self) -> bool:
        return self.fractions[1] > 0

    @property
    def joint(self) -> str:
        return " " if self.form == "words" else ""

    @cached_property
    def table(self) -> Table:
        """The rows of the table."""
        wanted = [name for name in (*self.columns, self.split_column, self.group_column) if name is not None]
        return read_rows(find_file(self.texts), wanted)

    @cached_property
    def written(self) -> list[list[str]]:
        """Words or characters of each text, spaces as one."""
        found = [text.split() for text in self.table.columns[self.columns[1]]]
        empty = next((row for row, words in enumerate(found) if not words), None)
        if empty is not None:
            raise self.table.error(empty, self.columns[1], "is empty: write what is said, or remove the row")
        return found if self.form == "words" else [list(" ".join(words)) for words in found]

    @cached_property
    def splits(self) -> np.ndarray:
        """(N,) index into SPLITS of each row."""
        path, column = str(self.table.path), self.split_column
        named = None if column is None else splits_of(self.table, column)
        if named is not None:
            check_named_fractions({*named.tolist()}, self.fractions, path)
        groups: Sequence[Hashable] = [sha256_of(file) for file in self.wavs]
        if self.group_column is not None:
            groups = self.table.columns[self.group_column]
            if named is not None:
                check_groups(np.array(groups), named, path)
        elif named is not None:
            groups = range(len(self.written))
        return assign_splits(np.zeros(len(groups), np.int64), groups, named, self.fractions, path, "recordings")

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The blank, and those of the training and validation texts; of words those of the training texts."""
        known = [text for text, split in zip(self.written, self.splits, strict=True) if split < 2]
        found = Counter(symbol for text in known for symbol in text)
        if self.form == "words" and len(found) > MAX_WORDS:
            raise DataError(f"{self.table.path}: has {len(found)} different words: set data.symbols=characters, of "
                            "which any word can be made")  # fmt: skip
        every = {symbol for text in self.written for symbol in text}
        return (BLANK, *sorted(found), *sorted(every - {*found}))

    def read(self) -> RawSplits[list[np.ndarray]]:
        files, number = self.wavs, {symbol: i for i, symbol in enumerate(self.symbols)}
        frames, targets = [], []
        for row, (file, text) in enumerate(zip(files, self.written, strict=True)):
            frames.append(self.features.of_wave(read_wav(file, self.features.sample_rate)))
            targets.append(np.array([number[symbol] for symbol in text], np.int64))
            steps = -(-len(frames[-1]) // self.stack)
            if steps < steps_needed(targets[-1].tolist()):
                raise self.table.error(row, self.columns[1], f"{quoted(self.joint.join(text))} needs "
                                       f"{steps_needed(targets[-1].tolist())} steps, and {file.name} has {steps}: "
                                       "lower data.stack or data.features.hop_ms, or remove the row")  # fmt: skip
        groups: Sequence[Hashable] = range(len(files))
        if self.group_column is not None:
            groups = self.table.columns[self.group_column]
        return RawSplits(*(
            RawSplit([frames[i] for i in index], [groups[i] for i in index], [targets[i] for i in index])
            for index in (np.flatnonzero(self.splits == part) for part in range(3))
        ))  # fmt: skip

    @cached_property
    def wavs(self) -> list[Path]:
        """The WAV file of each row."""
        if find_folder(self.path) is None:
            raise DataError(f"{self.path}: no such folder: set data.path to the folder with the WAV files")
        paths, ids = wav_files(self.path)
        known = {name: path for path, id in zip(paths, ids, strict=True) for name in (id, f"{id}{path.suffix}")}
        known |= {name: path for path in paths for name in (path.stem, path.name) if name not in known}
        found = []
        for row, name in enumerate(self.table.columns[self.columns[0]]):
            if name not in known:
                raise self.table.error(row, self.columns[0], f"{quoted(name)} is no WAV file of {self.path}: add it, or"
                                       " remove the row")  # fmt: skip
            found.append(known[name])
        return found
