"""Texts that a user provides, with fractions of the splits as fields of the configuration."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np
from pydantic import model_validator

from lstm_lab.config.paths import FilePath
from lstm_lab.config.registry import Named
from lstm_lab.data.kinds.text_split import Keep
from lstm_lab.data.kinds.tokenized_texts import TextInfoT, TextOptions, TokenizedTexts, TokenSplitT
from lstm_lab.data.preprocessing.splits import (
    DEFAULT_FRACTIONS,
    Fraction,
    Texts,
    check_fractions,
    check_given_fractions,
    check_given_splits,
    check_groups,
    check_named_fractions,
    given_splits,
)


class UserTextOptions(TextOptions):
    """Arguments of a `UserText`, besides those that a source adds."""

    path: str
    validation: float
    test: float


class UserText(TokenizedTexts[TextInfoT, TokenSplitT]):
    """Base of the sources of texts of a user."""

    class Config(TokenizedTexts.Config):
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

    def checked_splits(self, splits: np.ndarray, path: str) -> np.ndarray:
        """(N,) names of splits as the data give them; a DataError where a fraction would then have no effect."""
        check_named_fractions(set(splits.tolist()), self.fractions, path)
        return splits


class UserTextFileOptions(UserTextOptions):
    """Arguments of a `UserTextFiles`, besides those that a source adds."""

    validation_path: str | None
    test_path: str | None


class UserTextFiles(UserText[TextInfoT, TokenSplitT]):
    """Base of the sources of texts in files or folders, of which each split may have its own."""

    class Config(UserText.Config):
        validation_path: FilePath | None = None
        """Where the texts of the validation split are, written as those at `path`; null: among those at `path`."""
        test_path: FilePath | None = None
        """Where the texts of the test split are, written as those at `path`; null: among those at `path`."""

        @model_validator(mode="after")
        def _fractions_have_an_effect(self) -> UserTextFiles.Config:
            check_given_fractions(given_splits(self.validation_path, self.test_path), (self.validation, self.test))
            return self

    def __init__(
        self, *, path: str, validation: float, test: float, tokenizer: Named, max_length: int, keep: Keep,
        tokens_per_batch: int | None, batch_size: int, validation_path: str | None, test_path: str | None,
        **reading: object,
    ) -> None:  # fmt: skip
        super().__init__(
            path=path, validation=validation, test=test, tokenizer=tokenizer, max_length=max_length, keep=keep,
            tokens_per_batch=tokens_per_batch, batch_size=batch_size, validation_path=validation_path,
            test_path=test_path, **reading,
        )  # fmt: skip
        #: Split -> path of the file or folder that was given for it.
        self.given = given_splits(validation_path, test_path)

    @abstractmethod
    def files_at(self, path: str) -> list[Path]:
        """All files that `read_at` reads."""

    @abstractmethod
    def read_at(self, path: str, split: str | None) -> Texts:
        """The texts of one file or folder.

        Args:
            split: to which all of them belong, whatever the data say; None: as the data say.
        """

    def files(self) -> list[Path]:
        return [file for path in (self.path, *self.given.values()) for file in self.files_at(path)]

    def read(self) -> Texts:
        found = self._read_files()
        if found.groups is not None and found.splits is not None:
            check_groups(found.groups, found.splits, found.path)
        return found

    def _read_files(self) -> Texts:
        main = self.read_at(self.path, None)
        if main.splits is not None:
            self.checked_splits(main.splits, main.path)
        if not self.given:
            return main
        check_given_splits(self.given, main.splits, main.path)
        parts = [main, *(self.read_at(path, split) for split, path in self.given.items())]
        first = np.full(len(main.texts), "train") if main.splits is None else main.splits
        names = [first, *(np.full(len(part.texts), split) for split, part in zip(self.given, parts[1:], strict=True))]
        groups = [part.groups for part in parts if part.groups is not None]
        return Texts(
            [text for part in parts for text in part.texts], np.concatenate([part.labels for part in parts]), main.path,
            np.concatenate(names), np.concatenate(groups) if groups else None, main.label_names,
        )  # fmt: skip
