"""Recordings and what is said in them: sequences of frames, and a text of symbols for each, without alignment."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import Count, DataError
from lstm_lab.data.base import Batch, Dataset, NewSamples, Split
from lstm_lab.data.kinds.new_samples import NamedSequences, batches_of, check_recorded_scale, on_training_scale
from lstm_lab.data.kinds.packed import PackedSequences
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit
from lstm_lab.data.kinds.user_files import no_frames
from lstm_lab.data.preprocessing.audio import AudioFeatures
from lstm_lab.data.preprocessing.batching import LengthBuckets
from lstm_lab.data.preprocessing.scaling import standardization, standardized_sequences
from lstm_lab.data.readers.cache import digest
from lstm_lab.data.readers.in_memory import NewData, as_sequences, is_frame
from lstm_lab.data.readers.wav_file import as_wave, read_wav, wav_files

BLANK = "<blank>"
"""Name of symbol 0, which stands for no symbol in an alignment."""
Scale = Literal["recording", "training"]


@dataclass(frozen=True)
class TranscriptInfo:
    """What a model and a task need to know of recordings; saved with a run, so that it can read new ones."""

    input_size: int
    symbols: tuple[str, ...]
    """Number 0 is the blank."""
    joint: str
    """Between two symbols of a text: a space between words, nothing between characters."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def text(self, numbers: Sequence[int]) -> str:
        """The text of symbol numbers."""
        return self.joint.join(self.symbols[number] for number in numbers)


class TranscriptSplit(Split):
    """Recordings and their texts.

    Args:
        sequences: N arrays (T, I).
        targets: N arrays (U,) of symbol numbers; empty for new recordings.
    """

    def __init__(self, sequences: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> None:
        self.inputs, self.targets = PackedSequences(sequences), PackedSequences(targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def plan(self, batch_size: int) -> LengthBuckets:
        return LengthBuckets(self.inputs.lengths.numpy(), batch_size)

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index)
        if not len(self.targets.values):
            return Batch(x, lengths, torch.full((len(lengths), 0), -1))
        return Batch(x, lengths, self.targets.take(index, padding=-1)[0])

    def texts_of(self) -> list[list[int]]:
        """Symbol numbers of each recording."""
        return [part.tolist() for part in self.targets.values.split(self.targets.lengths.tolist())]


def steps_needed(target: Sequence[int]) -> int:
    """Steps of the shortest recording with a text: one for each symbol, and one between two equal ones.

    >>> steps_needed([4, 4, 7])
    4
    """
    return len(target) + sum(a == b for a, b in pairwise(target))


class Transcripts(PreSplit[TranscriptInfo, list[np.ndarray], TranscriptSplit]):
    """Base of the sources of recordings with texts. RawSplit has frames (T, F), and symbol numbers (U,) from 1."""

    Info = TranscriptInfo
    augments = frozenset({"jitter", "scaling", "time_warp"})
    reads_new_files = True

    class Config(Dataset.Config):
        stack: Count = 1
        """Frames that are one step: fewer steps are faster to learn (Sak et al. 2015)."""
        scale: Scale = "training"
        """What frames are standardised by, each number of a frame for itself: mean and standard deviation of the
        training split; or before that of the recording itself, which takes out voice and microphone where recordings
        are long enough to have most sounds."""

    features: AudioFeatures
    """How new sound becomes frames."""

    def __init__(self, batch_size: int, stack: int, scale: Scale) -> None:
        super().__init__(batch_size)
        self.stack, self.scale = stack, scale

    @property
    @abstractmethod
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbols, BLANK first."""

    @property
    @abstractmethod
    def joint(self) -> str:
        """Between two symbols of a text."""

    @cached_property
    def info(self) -> TranscriptInfo:
        mean, std = standardization([self.as_steps(frames) for frames in self.raw.train.sequences], np.float64)
        return TranscriptInfo(len(mean), self.symbols, self.joint, tuple(mean.tolist()), tuple(std.tolist()))

    @property
    def notes(self) -> tuple[str, ...]:
        known = {number for target in self.raw.train.targets for number in target.tolist()}
        found = Counter(number for target in self.raw.validation.targets for number in target.tolist())
        missing = [self.symbols[number] for number in sorted(found) if number not in known]
        if not missing:
            return ()
        return (f"no training text has {', '.join(missing[:8])}: where the validation split has one, it counts as an "
                "error",)  # fmt: skip

    def as_steps(self, frames: np.ndarray) -> np.ndarray:
        """Frames (T, F) as steps (ceil(T / stack), F stack), the last one filled up with its last frame."""
        if self.scale == "recording":
            frames = (frames - frames.mean(0)) / np.maximum(frames.std(0), 1e-3)
        if self.stack > 1:
            frames = np.pad(frames, ((0, -len(frames) % self.stack), (0, 0)), mode="edge")
            frames = frames.reshape(len(frames) // self.stack, -1)
        return frames.astype(np.float32)

    def make_split(self, raw: RawSplit[list[np.ndarray]]) -> TranscriptSplit:
        steps = [self.as_steps(frames) for frames in raw.sequences]
        for frames, target in zip(steps, raw.targets, strict=True):
            if len(frames) < steps_needed(target.tolist()):
                text = self.joint.join(self.symbols[number] for number in target)
                raise DataError(f"data '{self.name}': the text {text[:60]!r} needs a recording of at least "
                                f"{steps_needed(target.tolist())} steps, and its own has {len(frames)}: lower "
                                "data.stack, shorten the frames, or leave it out")  # fmt: skip
        scaled = standardized_sequences(steps, self.info.mean, self.info.std, f"data '{self.name}'")
        return TranscriptSplit(scaled, raw.targets)

    @cached_property
    def digest(self) -> str:
        lengths = [[len(target) for target in split.targets] for split in self.raw.named().values()]
        return digest(PreSplit.digest.func(self), lengths)  # type: ignore[attr-defined]

    def new_sequences(self, source: NewData) -> NamedSequences:
        """Frames (T, F) of WAV files, of waves (N,) at the sample rate, or as they are."""
        if isinstance(source, str | Path):
            files, names = wav_files(str(source))
            waves = [read_wav(file, self.features.sample_rate) for file in files]
            return NamedSequences([self.features.of_wave(wave) for wave in waves], names, "file")
        if is_frame(source):
            raise no_frames(self.name, "a WAV file, a folder of them, or waves (N,)")
        arrays = [np.asarray(array) for array in source]
        if arrays and all(array.ndim == 1 and array.dtype.kind in "iuf" for array in arrays):
            frames = [self.features.of_wave(as_wave(wave, f"X[{i}]")) for i, wave in enumerate(arrays)]
        else:
            frames = as_sequences(source)
        return NamedSequences(frames, range(1, len(frames) + 1), "recording")

    def read_new(self, source: NewData, info: TranscriptInfo) -> NewSamples:
        new = self.new_sequences(source)
        check_recorded_scale(info.mean, self.name)
        steps = [self.as_steps(frames) for frames in new.sequences]
        name = str(source) if isinstance(source, str | Path) else "X"
        sequences = on_training_scale(steps, info.input_size, info.mean, info.std, name)
        split = TranscriptSplit(sequences, [np.empty(0, np.int64)] * len(sequences))
        return NewSamples(batches_of(split, self.batch_size), (new.column,), [[(id,)] for id in new.ids])
