"""Images read as sequences: a step is a row, or a pixel, in the order of the image or in a fixed random one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
import torch

from lstm_lab.config import DataError
from lstm_lab.data.base import NewSamples
from lstm_lab.data.kinds.labelled import LabelledInfo, LabelledSequences, LabelledSplit
from lstm_lab.data.kinds.new_samples import batches_of, on_training_scale, source_name
from lstm_lab.data.kinds.user_files import UserOptions
from lstm_lab.data.kinds.user_sequences import LabelledFiles
from lstm_lab.data.preprocessing.scaling import check_resolution, standardization
from lstm_lab.data.readers.image_file import as_images, size_text, with_colours
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.sequence_file import SequenceFile

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Steps = Literal["rows", "pixels"]
"""What a step of an image is: a row, whose W pixels are its channels; or a pixel, row by row."""
Shape = tuple[int, int, int]
"""Height, width and channels of a pixel: H, W, C."""


def as_steps(image: np.ndarray, steps: Steps, permutation: tuple[int, ...]) -> np.ndarray:
    """An image (H, W, C) as a sequence (H, W C) of rows, or (H W, C) of pixels.

    Args:
        permutation: of the H W pixels: number i of the sequence is number permutation[i] of the image; empty: none.

    >>> as_steps(np.arange(4).reshape(2, 2, 1), "pixels", (3, 0, 1, 2))[:, 0].tolist()
    [3, 0, 1, 2]
    """
    H, W, C = image.shape
    pixels = image.reshape(H * W, C)
    pixels = pixels[list(permutation)] if permutation else pixels
    return pixels.reshape(H, W * C) if steps == "rows" else pixels


def pixel_scale(images: Sequence[np.ndarray], channels: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(I,) mean and standard deviation of the channel of the pixel that each input channel is of.

    Args:
        images: (T, I) each, of pixels one behind the other.
        channels: of a pixel.
        name: of the data set, for messages.
    """
    pixels = np.concatenate(images).astype(np.float64).reshape(-1, channels)
    check_resolution(pixels, f"data '{name}'")
    mean, std = (np.tile(part, images[0].shape[1] // channels) for part in standardization([pixels]))
    return mean, std


@dataclass(frozen=True)
class ImageInfo(LabelledInfo):
    """What a model and a task need to know of images; saved with a run, so that it can read new ones."""

    shape: Shape = (0, 0, 0)
    steps: Steps = "rows"
    permutation: tuple[int, ...] = ()
    """Of the pixels, row by row; empty: none. Recorded, for another version of numpy may draw another one."""


class ImageSplit(LabelledSplit):
    """Images of one size as sequences, and the class of each."""

    def features(self) -> np.ndarray:
        """All pixels of each image: (N, H W C)."""
        found: np.ndarray = self.take(torch.arange(len(self))).x.flatten(1).numpy()
        return found

    def baselines(self) -> dict[str, ClassifierMixin]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import NearestCentroid

        return {
            "nearest class mean": NearestCentroid(),
            "logistic regression of pixels": LogisticRegression(max_iter=200, tol=1e-3),
        }


class ImageSequences(LabelledSequences):
    """Base of the sources of images of one size with one class each.

    All pixels share one mean and standard deviation for each channel of theirs, of the training split.
    """

    Info = ImageInfo
    augments = frozenset({"jitter", "scaling"})
    split_type = ImageSplit

    steps: Steps
    permute_seed: int | None
    """Of a random order of the pixels; None: they keep theirs."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Of each image."""

    @cached_property
    def permutation(self) -> tuple[int, ...]:
        """Of the pixels; empty: none."""
        if self.permute_seed is None:
            return ()
        height, width, _ = self.shape
        return tuple(np.random.default_rng(self.permute_seed).permutation(height * width).tolist())

    @cached_property
    def info(self) -> ImageInfo:
        return ImageInfo(**vars(super().info), shape=self.shape, steps=self.steps, permutation=self.permutation)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """(I,) mean and standard deviation of the channel of the pixel that each input channel is of."""
        images = [self.data.train[0][i] for i in self._train_and_validation[0]]
        return pixel_scale(images, self.shape[2], self.name)

    def read_new(self, source: NewData, info: LabelledInfo) -> NewSamples:
        assert isinstance(info, ImageInfo)
        new, name = self.new_images(source), source_name(source)
        if info.shape[2] == 3:
            new = replace(new, sequences=with_colours(new.sequences))
        if new.sequences[0].shape != info.shape:
            raise DataError(f"{name}: has images of {size_text(new.sequences[0].shape)}, but the model was trained on "
                            f"{size_text(info.shape)}")  # fmt: skip
        steps = [as_steps(image, info.steps, info.permutation) for image in new.sequences]
        sequences = on_training_scale(steps, info.input_size, info.mean, info.std, name)
        split = self.split_type(sequences, np.full(len(sequences), -1))
        ids = new.ids or range(1, len(sequences) + 1)
        return NewSamples(batches_of(split, self.batch_size), (new.id_column,), [[(id,)] for id in ids])

    def new_images(self, source: NewData) -> SequenceFile:
        """Images (H, W, C) of arrays, without classes."""
        return SequenceFile(Path("X"), as_images(source, "X"), id_column="image")


class ImageFiles(LabelledFiles, ImageSequences):
    """Images of a user with one class each, whose reader returns images (H, W, C) as `SequenceFile.sequences`."""

    def __init__(self, *, steps: Steps, permute_seed: int | None, **options: Unpack[UserOptions]) -> None:
        super().__init__(**options)
        self.steps, self.permute_seed = steps, permute_seed

    @property
    def shape(self) -> Shape:
        height, width, channels = self.files[0].sequences[0].shape
        return height, width, channels

    @cached_property
    def sequences(self) -> list[np.ndarray]:
        return [as_steps(image, self.steps, self.permutation) for file in self.files for image in file.sequences]

    def check_alike(self, file: SequenceFile, main: SequenceFile) -> None:
        found, wanted = file.sequences[0].shape, main.sequences[0].shape
        if found != wanted:
            raise DataError(f"{file.path}: has images of {size_text(found)}, but {main.path} of {size_text(wanted)}")

    def new_images(self, source: NewData) -> SequenceFile:
        if isinstance(source, str | Path):
            return self.reader.read(str(source), labelled=False)
        return self.reader.read_frame(source) if is_frame(source) else super().new_images(source)
