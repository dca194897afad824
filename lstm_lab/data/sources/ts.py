"""Sequences of a user, from a .ts file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from lstm_lab.data.kinds.sample_fields import SampleFields, check_given_groups
from lstm_lab.data.kinds.user_files import SequenceReader, no_frames
from lstm_lab.data.kinds.user_sequences import UserSequences
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sample_table import SampleTable
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.ts_file import read_ts


@dataclass(frozen=True)
class TSReader:
    """How .ts files are read."""

    target: Literal["class", "value"] = "class"
    allow_missing: bool = False
    samples: SampleTable | None = None

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        file = find_file(path)
        sequences, y = read_ts(file, self.target if labelled else None, self.allow_missing)
        if self.samples is None or not labelled or split is not None:
            return SequenceFile(file, sequences, y)
        splits, groups = self.samples.read(len(sequences), path)
        return SequenceFile(file, sequences, y, groups, splits)

    def read_frame(self, frame: Any) -> SequenceFile:
        raise no_frames("ts", "a .ts file, or arrays (T, F)")


class TS(UserSequences, name="ts"):
    """A .ts file of the UEA and UCR archives: one line for each sequence, its channels separated by colons, its class
    or its value last. Read by aeon, which converts class names to lower case."""

    class Config(SampleFields, UserSequences.Config):
        target: Literal["class", "value"] = "class"
        """What is last on each line: a class (@classLabel true), or a value to predict (@targetLabel true)."""

        @model_validator(mode="after")
        def _groups_are_those_of_one_file(self) -> TS.Config:
            check_given_groups(self.group, self.given)
            return self

        @property
        def reader(self) -> SequenceReader:
            return TSReader(self.target, self.missing != "error", self.sample_table())
