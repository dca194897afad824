"""Sequences of a user in tables: the fields that name columns."""

from __future__ import annotations

from pydantic import model_validator

from lstm_lab.data.kinds.tagged_words import TaggedWordFiles, check_words
from lstm_lab.data.kinds.user_sequences import Kind, UserSequences
from lstm_lab.data.readers.columns import Column, Columns, Separator, TargetColumns
from lstm_lab.data.readers.sequence_heads import HeadColumns, StepColumns


class SequenceTables(UserSequences):
    """Base of the sources whose targets, splits and groups are columns of a table."""

    class Config(UserSequences.Config):
        label: TargetColumns
        """Column of the class; with target=value, of the value to predict, or several; with target=labels, of all
        labels of a sequence, or a column of 0 and 1 for each label."""
        label_separator: Separator | None = None
        """With target=labels, the character between the labels of a cell; null: a cell is a JSON list."""
        id: Column | None = None
        """Column that names each sequence in predictions; null: they are counted."""
        split: Column | None = None
        """Column with train, validation or test; null: splits are drawn."""
        group: Column | None = None
        """Column whose groups stay in one split, such as the person; null: only equal sequences stay together."""

        @property
        def head(self) -> HeadColumns:
            """The columns of what is known of a sequence."""
            names = (self.label,) if isinstance(self.label, str) else self.label
            return HeadColumns(names, self.target, self.id, self.split, self.group, self.label_separator)

        @model_validator(mode="after")
        def _labels_go_with_the_target(self) -> SequenceTables.Config:
            names = self.head.labels
            if not names or (len(names) > 1 and self.target not in ("value", "labels")):
                raise ValueError(f"label={list(names)} names {len(names)} columns, but target={self.target} needs one: "
                                 "set target to value or labels, or name one column")  # fmt: skip
            if self.label_separator is not None and (self.target != "labels" or len(names) > 1):
                raise ValueError(f"label_separator={self.label_separator!r} would have no effect: it needs "
                                 "target=labels and one column with all labels of a sequence")  # fmt: skip
            return self


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
        def dataset(self) -> Kind:
            return super().dataset if self.words is None else TaggedWordFiles
