"""Strings of spoken digits, made of single ones."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from lstm_lab.config import Count
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.transcripts import BLANK, Scale, Transcripts
from lstm_lab.data.preprocessing.audio import AudioFeatures, stretched_frequencies
from lstm_lab.data.sources.fsdd import SPEAKERS, fsdd_table

if TYPE_CHECKING:
    import pandas as pd

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class FSDDStrings(Transcripts, name="fsdd_strings"):
    """Strings of digits by one speaker each, from the Free Spoken Digit Dataset (Jackson et al. 2018, CC BY-SA 4.0).

    A string has `min_digits` to `max_digits` digits, each equally likely; its recordings follow each other without a
    pause. No speaker is in two splits: one is for test, the next for validation, four are for training.
    """

    symbols = (BLANK, *DIGITS)
    joint = " "
    features = AudioFeatures()
    folds_by = frozenset()  # Speakers are kept apart, and strings can be drawn for every split.

    class Config(Transcripts.Config):
        train_size: Count = 3000
        """Strings in the training split."""
        eval_size: Count = 300
        """Strings in the validation split, and as many in the test split."""
        min_digits: Count = 3
        """Digits of the shortest string."""
        max_digits: Count = 7
        """Digits of the longest string."""
        test_speaker: Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"] = "george"
        """Speaker of the test split, the next one being that of the validation split."""
        vocal_tracts: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
        """The frequencies of each training string are stretched by a factor between 1 - this and 1 + this, as by a
        longer or shorter vocal tract: more voices than there are speakers (Jaitly & Hinton 2013)."""
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
        """Of the strings: it stays the same while the experiment's seed varies."""

        @model_validator(mode="after")
        def _lengths_are_ordered(self) -> FSDDStrings.Config:
            if self.min_digits > self.max_digits:
                raise ValueError(
                    f"min_digits={self.min_digits} is more than max_digits={self.max_digits}: exchange them"
                )
            return self

    def __init__(self, *, batch_size: int, stack: int, scale: Scale, train_size: int, eval_size: int, min_digits: int,
                 max_digits: int, test_speaker: str, vocal_tracts: float, seed: int) -> None:  # fmt: skip
        super().__init__(batch_size, stack, scale)
        self.sizes, self.lengths, self.seed = (train_size, eval_size, eval_size), (min_digits, max_digits), seed
        self.test_speaker, self.vocal_tracts = test_speaker, vocal_tracts

    @cached_property
    def speakers(self) -> tuple[tuple[str, ...], ...]:
        """Of the training, the validation and the test split."""
        at = SPEAKERS.index(self.test_speaker)
        order = [SPEAKERS[(at + k) % len(SPEAKERS)] for k in range(len(SPEAKERS))]
        return tuple(order[2:]), (order[1],), (order[0],)

    def read(self) -> RawSplits[list[np.ndarray]]:
        table = fsdd_table()
        streams = np.random.default_rng(self.seed).spawn(3)
        return RawSplits(*(
            self._strings(table[table["speaker"].isin(names)], n, rng, stretch)
            for names, n, rng, stretch in zip(
                self.speakers, self.sizes, streams, (self.vocal_tracts, 0.0, 0.0), strict=True
            )
        ))  # fmt: skip

    def _strings(
        self, table: pd.DataFrame, n: int, rng: np.random.Generator, stretch: float
    ) -> RawSplit[list[np.ndarray]]:
        """n strings of the recordings in a table.

        Args:
            stretch: most that frequencies are stretched by.
        """
        frames = [frames.reshape(-1, 13) for frames in table["mfcc13"]]
        speaker, digit = table["speaker"].to_numpy(str), table["digit"].to_numpy()
        rows = {(name, d): np.flatnonzero((speaker == name) & (digit == d)) for name in {*speaker.tolist()} for d in
                range(len(DIGITS))}  # fmt: skip
        names = sorted({*speaker.tolist()})
        sequences, targets, groups = [], [], []
        for _ in range(n):
            name = names[rng.integers(len(names))]
            said = rng.integers(len(DIGITS), size=rng.integers(self.lengths[0], self.lengths[1] + 1))
            string = np.concatenate([frames[rng.choice(rows[name, int(d)])] for d in said])
            if stretch:
                string = string @ stretched_frequencies(self.features, rng.uniform(1 - stretch, 1 + stretch)).T
            sequences.append(string.astype(np.float32))
            targets.append(said + 1)
            groups.append(name)
        return RawSplit(sequences, groups, targets)
