"""Splits and groups of samples whose own files have no columns: the fields that name a table beside them."""

from __future__ import annotations

from pydantic import model_validator

from lstm_lab.config import Config
from lstm_lab.config.paths import FilePath
from lstm_lab.data.readers.columns import Column, check_distinct
from lstm_lab.data.readers.sample_table import SampleTable

SAMPLE_FIELDS = frozenset({"samples", "split", "group", "id"})
"""Names of the fields, and of the column of files where there is one."""


class SampleFields(Config):
    """Fields of a configuration for a table with a row for each sample."""

    samples: FilePath | None = None
    """A table (CSV, TSV, Parquet, JSONL) with a row for each sample at `path`, in their order, or of a folder with
    their names in the column `id`; null: splits are drawn, unless files or folders name them."""
    split: Column | None = None
    """Column of `samples` with train, validation or test; null: none."""
    group: Column | None = None
    """Column of `samples` whose groups stay in one split, such as the person or the author; null: only equal samples
    stay together."""

    @model_validator(mode="after")
    def _columns_are_those_of_a_table(self) -> SampleFields:
        if self.samples is None and (self.split or self.group):
            raise ValueError("split and group would have no effect without samples, the table whose columns they name")
        if self.samples is not None and not (self.split or self.group):
            raise ValueError("samples would have no effect without split or group: name a column of it")
        check_distinct([self.split, self.group], "split and group")
        return self

    def sample_table(self, id: str | None = None) -> SampleTable | None:
        """The table; None where there is none.

        Args:
            id: column that names the files of the samples; None: rows are in the order of the samples.
        """
        return None if self.samples is None else SampleTable(self.samples, self.split, self.group, id)


def check_given_groups(group: str | None, given: object) -> None:
    """Raise ValueError where groups are those of one file, but splits have files of their own.

    Args:
        given: path of a split; None or empty: there is none.
    """
    if group is not None and given:
        raise ValueError(f"group={group} is known of the samples at path alone: remove it, or the files of the other "
                         "splits")  # fmt: skip
