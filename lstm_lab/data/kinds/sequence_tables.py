"""Sequences of a user in tables: the fields that name columns."""

from __future__ import annotations

from pydantic import model_validator

from lstm_lab.data.kinds.tagged_words import TaggedWordFiles, check_words
from lstm_lab.data.kinds.user_sequences import LabelledFiles, RegressionFiles, TaggedFiles, UserSequences
from lstm_lab.data.readers.columns import Column, Columns
from lstm_lab.data.readers.sequence_heads import HeadColumns, StepColumns


class SequenceTables(UserSequences):
    """Base of the sources whose targets, splits and groups are columns of a table."""

    class Config(UserSequences.Config):
        label: Column
        """Column of the class or of the value to predict."""
        id: Column | None = None
        """Column that names each sequence in predictions; null: they are counted."""
        split: Column | None = None
        """Column with train, validation or test; null: splits are drawn."""
        group: Column | None = None
        """Column whose groups stay in one split, such as the person; null: only equal sequences stay together."""

        @property
        def head(self) -> HeadColumns:
            """The columns of what is known of a sequence."""
            return HeadColumns(self.label, self.target, self.id, self.split, self.group)


class SequenceOrWordTables(SequenceTables):
    """Base of those whose steps may be words."""

    class Config(SequenceTables.Config):
        channels: Columns = ()
        """Columns of numbers."""
        words: Column | None = None
        """With target=tag, a column of words in place of channels: each word of the training split that occurs there
        twice is embedded."""

        @model_validator(mode="after")
        def _words_go_with_the_other_fields(self) -> SequenceOrWordTables.Config:
            check_words(self.words, self.channels, self.target, self.missing)
            return self

        @property
        def steps(self) -> StepColumns:
            """Columns of what is read of each step."""
            return StepColumns(self.channels, self.words)

        @property
        def dataset(self) -> type[LabelledFiles | RegressionFiles | TaggedFiles]:
            return super().dataset if self.words is None else TaggedWordFiles
