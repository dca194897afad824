"""New sequences for a trained model: read, checked against what it was trained on, put on its scale, and batched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch, Split, readers_of_new_files
from lstm_lab.data.preprocessing.scaling import standardized_sequences
from lstm_lab.data.readers.in_memory import NewData, as_sequences, is_frame


class NamedSequences(NamedTuple):
    """New sequences (T, F), and what they are called."""

    sequences: list[np.ndarray]
    ids: Sequence[str | int]
    """Of each sequence."""
    column: str
    """Of the ids."""


def numbered(sequences: list[np.ndarray]) -> NamedSequences:
    """Sequences without names are counted from 1."""
    return NamedSequences(sequences, range(1, len(sequences) + 1), "sequence")


def plain_ids(names: Sequence[str]) -> list[str | int]:
    """Names as they are; whole numbers where all of them are written as such."""
    whole = all(name.removeprefix("-").isdecimal() and str(int(name)) == name for name in names)
    return [int(name) for name in names] if whole else list(names)


def new_sequences(source: NewData, data: str) -> NamedSequences:
    """Sequences (T, F) of arrays.

    Args:
        data: name of the data set, which reads no new files, for messages.

    Raises:
        ConfigError: a path or a DataFrame.
        DataError: not arrays of finite numbers.
    """
    if isinstance(source, str | Path) or is_frame(source):
        raise ConfigError(f"data '{data}' takes no new samples from a file, only arrays in Python; prediction from "
                          f"files is for runs on data: {', '.join(readers_of_new_files())}")  # fmt: skip
    return numbered(as_sequences(source))


def check_recorded_scale(mean: tuple[float, ...], data: str) -> None:
    """Raise ConfigError where a run's record lacks the scale of its channels."""
    if not mean:
        raise ConfigError(f"data '{data}': the run's record has no mean and std of the channels, which earlier "
                          "versions did not write: train it again")  # fmt: skip


def on_training_scale(
    sequences: Sequence[np.ndarray], input_size: int, mean: tuple[float, ...], std: tuple[float, ...], source: str
) -> list[np.ndarray]:
    """Sequences (T, input_size) on the scale of the training split, with a mask of missing values if it had one.

    Args:
        mean, std: of each channel there; empty where channels are not standardised.
        source: where the sequences came from, for messages.

    Raises:
        DataError: another number of channels.
    """
    channels, expected = sequences[0].shape[1], len(mean) or input_size
    if channels != expected:
        raise DataError(f"{source}: has {channels} channels, but the model was trained on {expected}")
    masked = input_size == 2 * expected
    return standardized_sequences(sequences, mean, std, source, masked) if mean or std else list(sequences)


def source_name(source: NewData) -> str:
    """Of new data, for messages."""
    if isinstance(source, str | Path):
        return str(source)
    return "DataFrame" if is_frame(source) else "X"


def batches_of(split: Split, batch_size: int) -> Iterator[Batch]:
    """All samples of a split in their order."""
    return map(split.take, torch.arange(len(split)).split(batch_size))
