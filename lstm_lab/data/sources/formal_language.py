"""Strings of formal languages: what a counter or a stack would know, and how far beyond the training lengths."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import model_validator

from lstm_lab.config import Count
from lstm_lab.config.validation import restore
from lstm_lab.data.kinds.next_step import FrameInfo, NextStepSequences, NextStepSplit, TokenInfo
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.synthetic import SyntheticDataset

LanguageName = Literal["anbn", "anbncn", "dyck"]
END = "$"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_BRACKETS = len(LETTERS)


class Language(ABC):
    """A set of strings, each with a size n. Token 0 is padding."""

    names: tuple[str, ...]
    """Of the tokens, from number 1."""

    @abstractmethod
    def string(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(T,) token numbers of a string of size n."""

    @abstractmethod
    def choices(self, string: np.ndarray) -> np.ndarray:
        """(T, V) bool: at each step the tokens of which the steps before leave exactly one; none at a step that they do
        not determine."""


class Counting(Language):
    """x^n y^n ... and an end: from the second letter on, every step is determined.

    Args:
        letters: in their order.
    """

    def __init__(self, letters: str) -> None:
        self.letters, self.names = letters, (*letters, END)

    def string(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.array([*np.repeat(np.arange(len(self.letters)) + 1, n), len(self.names)])

    def choices(self, string: np.ndarray) -> np.ndarray:
        second = string == 2
        determined: np.ndarray = np.cumsum(second) - second > 0  # Behind the first of the second letters.
        every = np.arange(len(self.names) + 1) > 0
        return determined[:, None] & every


class Dyck(Language):
    """Balanced brackets of k kinds, n pairs: which bracket closes is determined, not when.

    Args:
        kinds: k.
    """

    def __init__(self, kinds: int) -> None:
        self.kinds = kinds
        self.names = tuple(f"{mark}{LETTERS[i]}" for mark in "()" for i in range(kinds))

    def string(self, n: int, rng: np.random.Generator) -> np.ndarray:
        found: list[int] = []
        stack: list[int] = []
        while len(found) < 2 * n:
            left = 2 * n - len(found)
            if not stack or (len(stack) < left and rng.random() < 0.5):
                stack.append(int(rng.integers(self.kinds)) + 1)
                found.append(stack[-1])
            else:
                found.append(stack.pop() + self.kinds)
        return np.array(found)

    def choices(self, string: np.ndarray) -> np.ndarray:
        closing = np.arange(2 * self.kinds + 1) > self.kinds
        return (string > self.kinds)[:, None] & closing


@dataclass(frozen=True)
class LanguageInfo(TokenInfo):
    """What a model and a task need to know of the strings of a language."""

    language: LanguageName = "anbn"
    brackets: int = 1

    @property
    def rules(self) -> Language:
        """The language itself."""
        return language_of(self.language, self.brackets)


def language_of(name: LanguageName, brackets: int) -> Language:
    """A language by its name."""
    return {"anbn": Counting("ab"), "anbncn": Counting("abc"), "dyck": Dyck(brackets)}[name]


class FormalLanguage(
    SyntheticDataset[FrameInfo | TokenInfo, None, NextStepSplit], NextStepSequences, name="formal_language"
):
    """The next symbol in strings of a formal language (Gers & Schmidhuber 2001; Suzgun et al. 2019).

    Training and validation strings have a size n of 1 to `max_n`; those of the test split are larger, up to `test_n`:
    what is learned there must be a rule. n is a^n b^n and its end, a^n b^n c^n, or n pairs of brackets (Dyck). There
    are few short strings, so training and validation share some.
    """

    tokens = True

    class Config(SyntheticDataset.Config):
        train_size: Count = 2000
        """Strings in the training split."""
        eval_size: Count = 200
        """Strings in the validation split, and as many in the test split."""
        language: LanguageName = "anbn"
        """anbn, a^n b^n; anbncn, a^n b^n c^n, which no stack alone accepts; or dyck, balanced brackets."""
        brackets: Count = 2
        """Kinds of brackets of `dyck`."""
        max_n: Count = 50
        """n of the largest training string."""
        test_n: Count = 100
        """n of the largest test string; the smallest has max_n + 1."""

        @model_validator(mode="after")
        def _fields_have_an_effect(self) -> FormalLanguage.Config:
            if self.test_n <= self.max_n:
                raise ValueError(f"test_n={self.test_n} is not beyond max_n={self.max_n}, the largest training string: "
                                 "raise it")  # fmt: skip
            if self.language != "dyck" and self.brackets != 2:
                raise ValueError(f"brackets={self.brackets} would do nothing: language is {self.language}; leave it out"
                                 ", or choose dyck")  # fmt: skip
            if self.brackets > MAX_BRACKETS:
                raise ValueError(f"brackets={self.brackets} is more than {MAX_BRACKETS}: choose fewer kinds")
            return self

    def __init__(self, batch_size: int, train_size: int, eval_size: int, seed: int, language: LanguageName,
                 brackets: int, max_n: int, test_n: int) -> None:  # fmt: skip
        super().__init__(batch_size, train_size, eval_size, seed)
        self.language, self.brackets, self.largest = language, brackets, (max_n, test_n)
        self.rules = language_of(language, brackets)

    @property
    def names(self) -> tuple[str, ...]:
        return ("<pad>", *self.rules.names)

    @cached_property
    def info(self) -> LanguageInfo:
        return LanguageInfo(len(self.names), self.names, None, self.language, self.brackets)

    @classmethod
    def restore_info(cls, plain: Mapping[str, object]) -> LanguageInfo:
        return restore(LanguageInfo, plain, "run.json: data.info")

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], None]:
        return self._strings(n, rng, 1, self.largest[0]), None

    def _strings(self, count: int, rng: np.random.Generator, smallest: int, largest: int) -> list[np.ndarray]:
        return [self.rules.string(int(n), rng) for n in rng.integers(smallest, largest + 1, size=count)]

    def read(self) -> RawSplits[None]:
        found = super().read()
        rng = np.random.default_rng(self.seed).spawn(4)[3]
        test = self._strings(self.sizes[2], rng, self.largest[0] + 1, self.largest[1])
        return RawSplits(found.train, found.validation, RawSplit(test, [2] * len(test), None))
