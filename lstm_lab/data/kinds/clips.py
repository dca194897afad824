"""Clips: sequences whose steps are frames, pictures of one size, with one class for each clip."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lstm_lab.config import DataError
from lstm_lab.data.base import NewSamples
from lstm_lab.data.kinds.images import Shape, pixel_scale
from lstm_lab.data.kinds.labelled import LabelledInfo, LabelledSequences, LabelledSplit
from lstm_lab.data.kinds.new_samples import batches_of, on_training_scale, source_name
from lstm_lab.data.kinds.user_sequences import LabelledFiles
from lstm_lab.data.readers.clip_file import as_clips
from lstm_lab.data.readers.image_file import size_text
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.kernels.lengths import length_mask

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


@dataclass(frozen=True)
class ClipInfo(LabelledInfo):
    """What a model and a task need to know of clips; saved with a run, so that it can read new ones."""

    shape: Shape = (0, 0, 0)
    """Of a frame: height, width and channels of a pixel."""


def _half(features: np.ndarray, second: bool) -> np.ndarray:
    """(N, P) one half of features (N, 2 P)."""
    middle = features.shape[1] // 2
    return features[:, middle:] if second else features[:, :middle]


class ClipSplit(LabelledSplit):
    """Clips, and the class of each."""

    def features(self) -> np.ndarray:
        """The middle frame of each clip, and the mean of its frames, which has lost their order: (N, 2 H W C)."""
        x, lengths, *_ = self.take(torch.arange(len(self)))
        valid = length_mask(lengths, x.shape[1]).unsqueeze(-1)
        mean = (x * valid).sum(1) / lengths.unsqueeze(1)
        found: np.ndarray = torch.cat([x[torch.arange(len(x)), lengths // 2], mean], 1).numpy()
        return found

    def baselines(self) -> dict[str, ClassifierMixin]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        return {
            f"logistic regression of the {name} frame": make_pipeline(
                FunctionTransformer(partial(_half, second=second)), LogisticRegression(max_iter=200, tol=1e-3)
            )
            for name, second in (("middle", False), ("mean", True))
        }


class ClipSequences(LabelledSequences):
    """Base of the sources of clips, whose steps are frames (H, W, C), flat. All pixels share one mean and standard
    deviation for each channel of theirs, of the training split."""

    Info = ClipInfo
    split_type = ClipSplit

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Of a frame."""

    @cached_property
    def info(self) -> ClipInfo:
        return ClipInfo(**vars(super().info), shape=self.shape)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        return pixel_scale([self.data.train[0][i] for i in self._train_and_validation[0]], self.shape[2], self.name)

    def read_new(self, source: NewData, info: LabelledInfo) -> NewSamples:
        assert isinstance(info, ClipInfo)
        new, name = self.new_clips(source), source_name(source)
        for number, clip in enumerate(new.sequences, 1):
            if clip.shape[1:] != info.shape:
                raise DataError(f"{name}: clip {number} has frames of {size_text(clip.shape[1:])}, but the model was "
                                f"trained on {size_text(info.shape)}")  # fmt: skip
        sequences = on_training_scale(flat_frames(new.sequences), info.input_size, info.mean, info.std, name)
        split = self.split_type(sequences, np.full(len(sequences), -1))
        ids = new.ids or range(1, len(sequences) + 1)
        return NewSamples(batches_of(split, self.batch_size), (new.id_column,), [[(id,)] for id in ids])

    def new_clips(self, source: NewData) -> SequenceFile:
        """Clips (T, H, W, C) of arrays, without classes."""
        return SequenceFile(Path("X"), as_clips(source, "X"), id_column="clip")


def flat_frames(clips: list[np.ndarray]) -> list[np.ndarray]:
    """Clips (T, H, W, C) as sequences (T, H W C)."""
    return [clip.reshape(len(clip), -1) for clip in clips]


class ClipFiles(LabelledFiles, ClipSequences):
    """Clips of a user, whose reader returns (T, H, W, C) as `SequenceFile.sequences`."""

    @property
    def shape(self) -> Shape:
        height, width, channels = self.files[0].sequences[0].shape[1:]
        return height, width, channels

    @cached_property
    def sequences(self) -> list[np.ndarray]:
        return [clip for file in self.files for clip in flat_frames(file.sequences)]

    def check_alike(self, file: SequenceFile, main: SequenceFile) -> None:
        found, wanted = file.sequences[0].shape[1:], main.sequences[0].shape[1:]
        if found != wanted:
            raise DataError(f"{file.path}: has frames of {size_text(found)}, but {main.path} of {size_text(wanted)}")

    def new_clips(self, source: NewData) -> SequenceFile:
        if isinstance(source, str | Path):
            return self.reader.read(str(source), labelled=False)
        return self.reader.read_frame(source) if is_frame(source) else super().new_clips(source)
