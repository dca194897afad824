"""Digits that move: what no single frame can tell, made from scikit-learn's handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.data.kinds.clips import ClipSequences
from lstm_lab.data.kinds.images import Shape
from lstm_lab.data.kinds.labelled import LabelledArrays, LabelledData

SIZE, DIGIT = 16, 8
"""Pixels of the sides of a frame, and of a digit."""
DIRECTIONS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
SPEEDS = (1, 2, 3)
"""Pixels in each frame."""
Question = Literal["direction", "speed", "order"]


class MovingDigits(ClipSequences, name="moving_digits"):
    """Clips of 16 x 16 pixels, in which what leaves a side comes in at the other.

    - `direction`: where a digit moves, up, down, left or right, by one or two pixels in a frame.
    - `speed`: by 1, 2 or 3 pixels in a frame, in any of eight directions.
    - `order`: three different digits take turns, from any of them on: do they rise, as in 2 5 7 2, or fall, as in
      5 2 7 5?

    In any one frame the digit, its place and its turn are drawn in the same way for every class, so that a classifier
    of single frames is at chance. Images of digits of one split are in no other.
    """

    class Config(ClipSequences.Config):
        question: Question = "direction"
        """What the class of a clip is."""
        frames: Annotated[int, Field(ge=3, lt=2**16, multiple_of=3)] = 9
        """Of each clip; a multiple of three."""
        train_size: Count = 2000
        """Clips in the training split."""
        eval_size: Count = 500
        """Clips in the validation split, and as many in the test split."""
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
        """Of the clips: it stays the same while the experiment's seed varies."""

    shape: Shape = (SIZE, SIZE, 1)

    def __init__(
        self, batch_size: int, question: Question, frames: int, train_size: int, eval_size: int, seed: int
    ) -> None:
        super().__init__(batch_size)
        self.question, self.frames, self.seed = question, frames, seed
        self.sizes = (train_size, eval_size, eval_size)

    def read(self) -> LabelledData:
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        images = images.reshape(-1, DIGIT, DIGIT).astype(np.uint8)
        part = np.random.default_rng(0).permutation(len(images)) % 5  # 0..2 training, 3 validation, 4 test
        draw: Callable[..., LabelledArrays] = {
            "direction": self._moving, "speed": self._moving, "order": self._taking_turns,
        }[self.question]  # fmt: skip
        streams = np.random.default_rng(self.seed).spawn(3)
        (x, y), (x_validation, y_validation), test = (
            draw(n, images[chosen], digits[chosen], rng)
            for n, chosen, rng in zip(self.sizes, (part < 3, part == 3, part == 4), streams, strict=True)
        )
        return LabelledData(train=([*x, *x_validation], np.concatenate([y, y_validation])), test=test)

    def _own_split(self) -> tuple[np.ndarray, np.ndarray]:
        train = self.sizes[0]
        return np.arange(train), np.arange(train, train + self.sizes[1])

    def _moving(self, n: int, images: np.ndarray, digits: np.ndarray, rng: np.random.Generator) -> LabelledArrays:
        """n clips of one digit each, which moves."""
        clips, labels = [], []
        for number in range(n):
            if self.question == "direction":
                name = [*DIRECTIONS][number % len(DIRECTIONS)]
                step = np.array(DIRECTIONS[name]) * rng.integers(1, 3)
            else:
                speed = SPEEDS[number % len(SPEEDS)]
                name = f"{speed} pixel{'s' if speed > 1 else ''}"
                step = speed * np.array([(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c][rng.integers(8)])
            first = _placed(images[rng.integers(len(images))], rng)
            clips.append(_flat([np.roll(first, tuple(t * step), (0, 1)) for t in range(self.frames)]))
            labels.append(name)
        return clips, np.array(labels)

    def _taking_turns(self, n: int, images: np.ndarray, digits: np.ndarray, rng: np.random.Generator) -> LabelledArrays:
        """n clips of three digits, each in a place of its own."""
        clips, labels = [], []
        for number in range(n):
            rises = number % 2 == 0
            turns = np.sort(rng.choice(10, 3, replace=False))[:: 1 if rises else -1]
            shown = [_placed(images[rng.choice(np.flatnonzero(digits == digit))], rng) for digit in turns]
            begin = rng.integers(self.frames)
            clips.append(_flat([shown[(t + begin) * 3 // self.frames % 3] for t in range(self.frames)]))
            labels.append("rising" if rises else "falling")
        return clips, np.array(labels)


def _placed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image (DIGIT, DIGIT) anywhere in a frame (SIZE, SIZE), over its sides too."""
    frame = np.zeros((SIZE, SIZE), np.uint8)
    frame[:DIGIT, :DIGIT] = image
    placed: np.ndarray = np.roll(frame, rng.integers(SIZE, size=2), (0, 1))
    return placed


def _flat(frames: list[np.ndarray]) -> np.ndarray:
    """(T, SIZE SIZE)"""
    return np.stack(frames).reshape(len(frames), -1)
