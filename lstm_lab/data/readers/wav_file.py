"""Recordings in WAV files."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.folders import files_of_folder
from lstm_lab.data.readers.locate import find_file, find_folder

ENDINGS = (".wav",)


def read_wav(path: Path, sample_rate: int) -> np.ndarray:
    """Samples (N,) from -1 to 1 of a WAV file, the mean of its channels, at a sample rate.

    Args:
        sample_rate: samples a second; a recording of another rate is resampled.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # Of chunks that are no sound, such as its title.
            rate, samples = wavfile.read(path)
    except (OSError, ValueError, EOFError, struct.error, UnboundLocalError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: cannot be read as WAV ({reason}): write it again, as PCM or floats") from None
    wave = as_wave(samples, str(path))
    common = math.gcd(rate, sample_rate)
    return wave if rate == sample_rate else resample_poly(wave, sample_rate // common, rate // common)


def as_wave(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples (N,) or (N, channels) of any type as (N,) float64, integers from -1 to 1.

    Args:
        name: of the recording, for messages.

    Raises:
        DataError: empty, or not finite.
    """
    if not samples.size or samples.dtype.kind not in "iuf":
        raise DataError(f"{name}: has no sound: leave it out")
    wave = samples.astype(np.float64)
    if samples.dtype.kind in "iu":
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)
        wave = (wave - (half if samples.dtype.kind == "u" else 0)) / half
    wave = wave if wave.ndim == 1 else wave.mean(1)
    if not np.isfinite(wave).all():
        raise DataError(f"{name}: sample {int(np.argmin(np.isfinite(wave))) + 1} is not finite: leave it out")
    return wave


def wav_files(path: str) -> tuple[list[Path], Sequence[str]]:
    """One WAV file, or all of a folder, and the name of each: its path in the folder without the ending.

    Raises:
        DataError: there is none.
    """
    root = find_folder(path)
    if root is None:
        file = find_file(path)
        return [file], [file.stem]
    found = files_of_folder(root, ENDINGS, what="a recording")
    return [file.path for file in found], [file.id for file in found]
