"""Texts that a user provides, with fractions of the splits as fields of the configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import model_validator

from lstm_lab.data.kinds.text import Keep, TextDataset, TextOptions
from lstm_lab.data.preprocessing.splits import DEFAULT_FRACTIONS, Fraction, check_fractions, check_named_fractions
from lstm_lab.paths import FilePath
from lstm_lab.registry import Named


class UserTextOptions(TextOptions):
    """Arguments of a `UserText`, besides those that a source adds."""

    path: str
    validation: float
    test: float


class UserText(TextDataset):
    """Base of the sources of texts of a user."""

    class Config(TextDataset.Config):
        path: FilePath
        """Looked up beside the experiment's file, in the current folder, then below the folder that LSTM_LAB_DATA
        names."""
        validation: Fraction = DEFAULT_FRACTIONS[0]
        """Fraction of the texts, where the data name no validation split."""
        test: Fraction = DEFAULT_FRACTIONS[1]
        """Fraction of the texts, where the data name no test split."""

        @model_validator(mode="after")
        def _training_texts_are_left(self) -> UserText.Config:
            check_fractions(self.validation, self.test)
            return self

    def __init__(
        self, *, path: str, validation: float, test: float, tokenizer: Named, max_length: int, keep: Keep,
        tokens_per_batch: int | None, batch_size: int, **reading: object,
    ) -> None:  # fmt: skip
        super().__init__(tokenizer=tokenizer, max_length=max_length, keep=keep, tokens_per_batch=tokens_per_batch,
                         batch_size=batch_size, **reading, path=path, validation=validation, test=test)  # fmt: skip
        self.path = path
        self.fractions = (validation, test)

    def checked_splits(self, splits: np.ndarray, path: Path) -> np.ndarray:
        """(N,) names of splits as the data give them; a DataError where a fraction would then have no effect."""
        check_named_fractions(set(splits.tolist()), self.fractions, str(path))
        return splits
