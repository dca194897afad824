"""Steps of a sequence as text, and back: the prompt of a continuation, and what is printed of it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.tokenizer import SPECIAL, Vocabulary

SHOWN_NAMES = 12
"""Names that a message lists."""


class StepText(ABC):
    """How the steps of a sequence are written as text."""

    never: tuple[int, ...] = ()
    """Numbers of tokens that no continuation may have."""

    @abstractmethod
    def parse(self, text: str) -> np.ndarray:
        """Steps of a text: token numbers (T,), or binary frames (T, K).

        Raises:
            DataError: the text names something that the model does not know.
        """

    @abstractmethod
    def write(self, steps: np.ndarray) -> str:
        """Steps as a text. That of the first steps is the beginning of that of all."""


class TokenizedText(StepText):
    """Text that a fitted tokenizer splits."""

    never = tuple(range(len(SPECIAL)))

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def parse(self, text: str) -> np.ndarray:
        return self.vocabulary.encode_beginning(text)

    def write(self, steps: np.ndarray) -> str:
        return self.vocabulary.decode(steps.tolist())


class NamedTokens(StepText):
    """Names of tokens: one after another where each is a single character, else with spaces between them.

    Args:
        names: of each token; number 0 is padding.
    """

    never = (0,)

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.numbers = {name: number for number, name in enumerate(names) if number}
        self.separator = "" if all(len(name) == 1 for name in self.numbers) else " "

    def parse(self, text: str) -> np.ndarray:
        found = text.split() if self.separator else list("".join(text.split()))
        return np.array([_number(name, self.numbers, "token") for name in found], np.int64)

    def write(self, steps: np.ndarray) -> str:
        return self.separator.join(self.names[number] for number in steps.tolist())


class NamedChannels(StepText):
    """A line for each frame, with the names of the channels that are on; `|` ends a frame as well as a line does.

    Args:
        names: of each channel.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.numbers = {name: number for number, name in enumerate(names)}

    def parse(self, text: str) -> np.ndarray:
        lines = re.split(r"[|\n]", text.removesuffix("\n")) if text else []
        frames = np.zeros((len(lines), len(self.names)), np.float32)
        for frame, line in zip(frames, lines, strict=True):
            frame[[_number(name, self.numbers, "channel") for name in line.split()]] = 1
        return frames

    def write(self, steps: np.ndarray) -> str:
        return "".join(" ".join(self.names[k] for k in np.flatnonzero(frame)) + "\n" for frame in steps)


def _number(name: str, numbers: dict[str, int], kind: str) -> int:
    if name not in numbers:
        known = list(numbers)
        more = ", ..." if len(known) > SHOWN_NAMES else ""
        raise DataError(f"prompt: {name!r} is no {kind} of the model; it has {', '.join(known[:SHOWN_NAMES])}{more}")
    return numbers[name]
