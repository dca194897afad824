"""What the records of all examples have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

Number = float | None
"""None where the data have a gap."""


class Plain(BaseModel):
    """Immutable plain values."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, ser_json_inf_nan="constants")
    same_length: ClassVar[tuple[str, ...]] = ()
    """Fields that are lists of the same length."""

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        if len({len(vars(self)[name]) for name in self.same_length}) > 1:
            raise ValueError(f"{' and '.join(self.same_length)} must have the same length")
        return self


def has_shape(rows: Sequence[Sequence[object]], num_rows: int, num_columns: int) -> bool:
    """Whether rows are a matrix of a size."""
    return len(rows) == num_rows and all(len(row) == num_columns for row in rows)


class Examples(Plain):
    """What the predictions of every task have in common."""

    split: str
    epoch: int
    """Of the weights that predicted."""
    samples: int
    """Samples predicted."""
    total: int
    """Samples of the split."""
    first_samples: bool = False
    """Whether they are the first ones, as of a stateful stream; else they are spread evenly over the split."""


class CalibrationBin(Plain):
    """Predictions of similar confidence."""

    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float
    n: int


class WrongSample(Plain):
    """A misclassified sample."""

    sample: int
    """Index in the split."""
    target: str
    prediction: str
    probability: float
    """Given to the target."""
    length: int
    text: str | None = None
