"""Dates as people write them, and as ISO 8601 does: pairs of short texts that any number can be made of."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Unpack

import numpy as np
from pydantic import Field, model_validator

from lstm_lab.config import Count
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.kinds.text_pairs import TextPairOptions, TextPairs
from lstm_lab.data.preprocessing.splits import SPLITS, Texts
from lstm_lab.data.preprocessing.tokenizer import Character, Tokenizer

FIRST, LAST = date(1900, 1, 1).toordinal(), date(2099, 12, 31).toordinal()
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
FORMS = (
    "{weekday}, {day} {month} {year}", "{day} {short} {year}", "{month} {day}, {year}", "{short} {day}, {year}",
    "{day}.{number}.{year}", "{year}/{number}/{day}", "{weekday} {month} {day} {year}", "day {day} of {month}, {year}",
)  # fmt: skip


class WrittenDates(TextPairs, name="written_dates"):
    """Saturday, 3 May 2014 -> 2014-05-03, character by character. A date of the years 1900 to 2099 is in one split, in
    one of eight forms."""

    class Config(TextPairs.Config):
        tokenizer: Annotated[Named, OneOf(Tokenizer, default="character")] = Character.Config()
        """How texts are split into tokens; fitted on the training split."""
        train_size: Count = 10_000
        """Pairs in the training split."""
        eval_size: Count = 1000
        """Pairs in the validation split, and as many in the test split."""
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
        """Of the pairs: it stays the same while the experiment's seed varies."""

        @model_validator(mode="after")
        def _there_are_enough_dates(self) -> WrittenDates.Config:
            wanted, dates = self.train_size + 2 * self.eval_size, LAST - FIRST + 1
            if wanted > dates:
                raise ValueError(f"train_size={self.train_size} and twice eval_size={self.eval_size} are more than the "
                                 f"{dates} dates: lower one of them")  # fmt: skip
            return self

    def __init__(self, *, train_size: int, eval_size: int, seed: int, **options: Unpack[TextPairOptions]) -> None:
        super().__init__(**options, train_size=train_size, eval_size=eval_size, seed=seed)
        # Training pairs come last: their number changes no other split.
        self.sizes, self.seed = (eval_size, eval_size, train_size), seed

    def files(self) -> list[Path]:
        return []

    def read(self) -> Texts:
        rng, count = np.random.default_rng(self.seed), sum(self.sizes)
        dates = [date.fromordinal(FIRST + int(day)) for day in rng.permutation(LAST - FIRST + 1)[:count]]
        forms = rng.integers(len(FORMS), size=count)
        sources = [written(day, FORMS[form]) for day, form in zip(dates, forms, strict=True)]
        targets = np.array([day.isoformat() for day in dates], object)
        return Texts(sources, targets, self.name, np.repeat(SPLITS[::-1], self.sizes))


def written(day: date, form: str) -> str:
    """A date in one of `FORMS`, whatever the language of the machine.

    >>> written(date(2014, 5, 3), FORMS[0])
    'Saturday, 3 May 2014'
    """
    month = MONTHS[day.month - 1]
    return form.format(weekday=WEEKDAYS[day.weekday()], day=day.day, month=month, short=month[:3], number=day.month,
                       year=day.year)  # fmt: skip
