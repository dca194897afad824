"""Sound as a sequence of frames: logarithms of mel bands, or mel-frequency cepstral coefficients."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from lstm_lab import config
from lstm_lab.config import Count

Positive = Annotated[float, Field(gt=0.0)]
FLOOR = 1e-10
"""Energy below which a band counts as silent: the logarithm of 0 is not finite."""


class AudioFeatures(config.Config):
    """How sound becomes frames."""

    kind: Literal["mfcc", "log_mel"] = "mfcc"
    """Of each frame: mfcc, the first coefficients of the cosine transform of the logarithms of the mel bands (Davis &
    Mermelstein 1980); log_mel, the logarithms themselves."""
    sample_rate: Annotated[int, Field(ge=1000, le=192_000)] = 8000
    """Samples a second; recordings of another rate are resampled."""
    frame_ms: Positive = 25.0
    """Length of a frame in milliseconds, weighted by Hamming's window."""
    hop_ms: Positive = 10.0
    """Milliseconds from the beginning of one frame to that of the next."""
    num_mels: Count = 40
    """Mel bands."""
    num_coefficients: Count = 13
    """Coefficients of mfcc, the first one, the mean of the bands, included."""
    f_min: Annotated[float, Field(ge=0.0)] = 20.0
    """Lowest frequency of the bands in Hz."""
    pre_emphasis: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.97
    """x_t - a x_{t-1} lifts high frequencies before anything else; 0: none."""

    @model_validator(mode="after")
    def _sizes_go_together(self) -> AudioFeatures:
        if self.num_coefficients > self.num_mels:
            raise ValueError(
                f"num_coefficients={self.num_coefficients} is more than num_mels={self.num_mels}: there are as many "
                "coefficients as bands"
            )
        if self.hop_ms > self.frame_ms:
            raise ValueError(f"hop_ms={self.hop_ms:g} is longer than frame_ms={self.frame_ms:g}: sound would be lost")
        if self.f_min >= self.sample_rate / 2:
            raise ValueError(f"f_min={self.f_min:g} is not below half of sample_rate={self.sample_rate}")
        return self

    @property
    def size(self) -> int:
        """Numbers in a frame."""
        return self.num_coefficients if self.kind == "mfcc" else self.num_mels

    @property
    def frame(self) -> int:
        """Samples in a frame."""
        return max(2, round(self.sample_rate * self.frame_ms / 1000))

    def of_wave(self, wave: np.ndarray) -> np.ndarray:
        """Frames (T, size) float32 of samples (N,) from -1 to 1, at `sample_rate`. Sound shorter than a frame is one,
        filled up with silence."""
        hop = max(1, round(self.sample_rate * self.hop_ms / 1000))
        wave = np.append(wave[:1], wave[1:] - self.pre_emphasis * wave[:-1])
        wave = np.pad(wave, (0, max(0, self.frame - len(wave))))
        frames = np.lib.stride_tricks.sliding_window_view(wave, self.frame)[::hop] * np.hamming(self.frame)
        n_fft = 1 << (self.frame - 1).bit_length()
        power = np.abs(np.fft.rfft(frames, n_fft)) ** 2 / n_fft
        bands = np.log(np.maximum(power @ mel_filters(self, n_fft).T, FLOOR))
        found = bands @ cosines(self.num_mels, self.num_coefficients).T if self.kind == "mfcc" else bands
        single: np.ndarray = found.astype(np.float32)
        return single


@lru_cache
def mel_filters(features: AudioFeatures, n_fft: int) -> np.ndarray:
    """(num_mels, n_fft / 2 + 1) triangles whose corners are at equal distances in mel = 2595 log10(1 + f / 700)."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (features.f_min, features.sample_rate / 2))
    corners = 700 * (10 ** (np.linspace(low, high, features.num_mels + 2) / 2595) - 1)
    f = np.arange(n_fft // 2 + 1) * features.sample_rate / n_fft
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    found: np.ndarray = np.maximum(0, np.minimum((f - left) / (centre - left), (right - f) / (right - centre)))
    return found


@lru_cache
def cosines(bands: int, count: int) -> np.ndarray:
    """(count, bands) the first rows of the orthonormal cosine transform (type II)."""
    k, n = np.arange(count)[:, None], np.arange(bands)
    found: np.ndarray = np.cos(np.pi * k * (2 * n + 1) / (2 * bands)) * np.sqrt(2 / bands)
    found[0] /= np.sqrt(2)
    return found


def stretched_frequencies(features: AudioFeatures, factor: float) -> np.ndarray:
    """(num_coefficients, num_coefficients) what makes of the coefficients of a sound those of the sound whose
    frequencies are multiplied by a factor: band f has what band f / factor had, linear between bands, the last one
    beyond the ends."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (features.f_min, features.sample_rate / 2))
    mel = np.linspace(low, high, features.num_mels + 2)[1:-1]
    source = 2595 * np.log10(1 + 700 * (10 ** (mel / 2595) - 1) / factor / 700)
    at = ((source - mel[0]) / (mel[1] - mel[0])).clip(0, features.num_mels - 1)
    left = np.minimum(at.astype(np.int64), features.num_mels - 2)
    moved = np.zeros((features.num_mels, features.num_mels))
    rows = np.arange(features.num_mels)
    moved[rows, left], moved[rows, left + 1] = 1 - (at - left), at - left
    C = cosines(features.num_mels, features.num_coefficients)
    found: np.ndarray = C @ moved @ C.T
    return found
