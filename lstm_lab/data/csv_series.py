"""A person's own series from one CSV file. A fault names the line, the column, the value and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field, model_validator

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch
from lstm_lab.data.series import Series, SeriesDataset, SeriesFacts
from lstm_lab.data.table import find_file, read_numbers, read_table, read_text
from lstm_lab.data.timeline import check_order, check_steps, read_times

Columns = Annotated[
    tuple[str, ...], Field(strict=False), BeforeValidator(lambda name: (name,) if isinstance(name, str) else name)
]
Mark = Annotated[str, BeforeValidator(lambda mark: "\t" if mark == r"\t" else mark)]


class CSV(SeriesDataset, name="csv"):
    """A CSV file with a header and one row for each step of time, oldest first."""

    class Config(SeriesDataset.Config):
        path: Annotated[str, Field(min_length=1)]
        """The file, UTF-8; looked up from the current folder, then below the folder that LSTM_LAB_DATA names."""
        time: str
        """Column of the time: dates (ISO 8601 is always understood) or numbers that count steps."""
        targets: Columns
        """Columns to predict."""
        features: Columns = ()
        """Further columns to look back on, not predicted."""
        separator: Mark = ","
        r"""Character between fields; a tab is written \t."""
        decimal: Literal[".", ","] = "."
        """Decimal mark of the numbers."""

        @model_validator(mode="after")
        def _names_and_marks_are_distinct(self) -> CSV.Config:
            names = (self.time, *self.targets, *self.features)
            twice = next((name for name in names if names.count(name) > 1), None)
            if not self.targets:
                raise ValueError("targets is empty: name at least one column to predict")
            if twice is not None:
                raise ValueError(f"{twice!r} stands twice in time, targets and features: name each column once")
            if len(self.separator) != 1 or self.separator in ('"', "\r", "\n", self.decimal):
                raise ValueError(f"separator {self.separator!r} cannot part fields: take one character that is neither "
                                 f"a quote, a line end nor the decimal mark {self.decimal!r}")  # fmt: skip
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.path: str = choices["path"]
        self.time: str = choices["time"]
        self.targets: tuple[str, ...] = choices["targets"]
        self.features: tuple[str, ...] = choices["features"]
        self.marks: tuple[str, str] = (choices["separator"], choices["decimal"])

    def read(self) -> Series:
        columns, (separator, decimal) = self.targets + self.features, self.marks
        place = find_file(self.path)
        table = read_table(read_text(place), place, separator, (self.time, *columns))
        times = read_times(table, self.time, decimal)
        check_order(table, self.time, times.ticks)
        check_steps(table, self.time, times)
        return Series(read_numbers(table, columns, decimal), columns, len(self.targets), str(place))

    def unseen(self, path: str, facts: SeriesFacts) -> Iterator[Batch]:
        """The last `window` rows of another file with the same columns."""
        self.path = path
        values = self.read().values
        if len(values) < facts.window:
            raise DataError(f"{path}: {len(values)} rows, but the model looks back on {facts.window}: bring more rows")
        recent = (values[-facts.window :] - np.array(facts.mean)) / np.array(facts.deviation)
        x = torch.from_numpy(recent.astype(np.float32))[None]
        yield Batch(x, torch.tensor([facts.window]), torch.empty(0))

    def rows(self, answers: Sequence[Any], facts: SeriesFacts) -> tuple[list[str], list[list[Any]]]:
        return ["ahead", *facts.targets], [[ahead, *row] for ahead, row in enumerate(answers[0], 1)]
