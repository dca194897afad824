"""Series that are split by fractions, at given times or rows, or by a column."""

from __future__ import annotations

from typing import ClassVar, NotRequired, Unpack

from pydantic import model_validator

from lstm_lab.data.kinds.series import WindowedDataset, WindowOptions
from lstm_lab.data.preprocessing.split_points import SeriesSplit, SplitPoints
from lstm_lab.data.preprocessing.splits import DEFAULT_FRACTIONS, Fraction, TestFraction, check_fractions


class SeriesOptions(WindowOptions):
    """Arguments of a `SeriesDataset`."""

    validation: float
    test: float
    split: NotRequired[SplitPoints | str | None]


class SeriesDataset(WindowedDataset):
    """Base of the sources of series that are split by fractions, or at given times or rows. A source writes `read`."""

    class Config(WindowedDataset.Config):
        validation: Fraction = DEFAULT_FRACTIONS[0]
        """Fraction of the rows, before those of the test split."""
        test: TestFraction = DEFAULT_FRACTIONS[1]
        """Fraction of the rows, at the end; 0: no test split."""
        split: SeriesSplit = None
        """Dates or numbers of rows at which the splits begin, instead of fractions."""

        names_splits: ClassVar[bool] = False
        """Whether `split` may be a column."""

        @model_validator(mode="after")
        def _training_rows_are_left(self) -> SeriesDataset.Config:
            check_fractions(self.validation, self.test)
            if isinstance(self.split, str) and not self.names_splits:
                raise ValueError(f"split={self.split}: must have validation_from, test_from and until; data "
                                 f"'{self.name}' has no column of splits")  # fmt: skip
            if isinstance(self.split, SplitPoints) and (self.validation, self.test) != DEFAULT_FRACTIONS:
                raise ValueError("validation and test, which are fractions, have no effect beside split: remove them")
            return self

    def __init__(
        self,
        *,
        validation: float,
        test: float,
        split: SplitPoints | str | None = None,
        **options: Unpack[WindowOptions],
    ) -> None:
        super().__init__(**options)
        self.fractions, self.split = (validation, test), split

    @property
    def has_test_split(self) -> bool:
        return self.split.test_from is not None if isinstance(self.split, SplitPoints) else self.fractions[1] > 0

    def _split_ends(self, rows: int) -> tuple[int, int, int]:
        if isinstance(self.split, SplitPoints):
            return self.split.ends(rows, None, None, self.name)
        validation, test = self.fractions
        return int(rows * (1 - validation - test) + 1e-9), int(rows * (1 - test) + 1e-9), rows
