"""explanation.json of a run: what its network does with samples of the validation split, as typed plain values.

`lstm_lab.explain` writes it. Pages read it through `read_explanation`, which needs no torch.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from lstm_lab.config import DataError
from lstm_lab.records import files
from lstm_lab.records.example_shapes import Plain


class GateStatistics(Plain):
    """One gate of a layer, over all valid steps."""

    symbol: str
    mean: float
    closed: float
    """Share of values below 0.1."""
    open: float
    """Share of values above 0.9."""
    unit_means: list[float]
    always_closed: list[int]
    """Numbers of the units whose gate is below 0.1 in at least 95 % of steps."""
    always_open: list[int]
    """The same above 0.9."""


class LagProfile(Plain):
    """Norm of the gradient of the last output with respect to h, over the lag; relative to the median at lag 0."""

    same_length = ("lags", "low", "median", "high")

    lags: list[int]
    """Steps back from the last one of each sequence."""
    low: list[float]
    """10th percentile over sequences."""
    median: list[float]
    high: list[float]
    """90th percentile."""
    look_back: int | None
    """Lag from which on the median is below 1 %; None where it is above over all lags."""


class HalfLives(Plain):
    """Steps in which each unit loses half of what it stores, by its gates alone."""

    steps: list[float | None]
    """None: nothing is lost."""
    note: str | None
    """Why they may not be read as memory; None where they may."""


class Layer(Plain):
    """One cell of the network."""

    name: str
    cell: str
    units: int
    gates: list[GateStatistics]
    dead: list[int]
    """Numbers of the units with the same output in every step."""
    gradient: LagProfile
    gradient_at_start: LagProfile | None
    """The same with the weights before the first step of training."""
    half_lives: HalfLives | None
    sequence: list[list[float]]
    """Outputs of one sequence, units by steps."""


class Channel(Plain):
    """One input channel."""

    name: str
    attribution: float
    """Share of the absolute integrated gradients."""
    permuted: float | None
    """Mean increase of the loss when it is permuted over samples; None where that was left out."""
    std: float | None
    """Standard deviation over repetitions."""
    occluded: float | None = None
    """Share of the change of the prediction when it is put to zero; None where that was left out."""


class TokenAttribution(Plain):
    """A token of the shown text, and what it adds to the change of the prediction."""

    token: str
    value: float


class Slice(Plain):
    """Samples that have something in common."""

    by: str
    """What they are grouped by, as "class"."""
    name: str
    n: int
    loss: float
    """Mean."""
    error: float
    """Standard error of the mean."""


class TemperatureFit(Plain):
    """What temperature scaling does to the probabilities of classes."""

    temperature: float
    """That makes the targets most likely; above 1 the model is too sure."""
    ece_before: float
    ece_after: float
    """Expected calibration error: each half of the targets with the temperature of the other half."""
    targets: int


class SuspectedLabel(Plain):
    """A sample whose label is probably wrong."""

    sample: int
    """Number in the split."""
    label: str
    suggestion: str
    probability: float
    """Of the label."""
    suggested_probability: float
    text: str | None = None


class Errors(Plain):
    """Where the model is wrong on the validation split."""

    samples: int
    """Whose loss was measured."""
    loss: float
    """Mean over them."""
    slices: list[Slice]
    calibration: TemperatureFit | None
    """None where no classes are predicted."""
    suspects: list[SuspectedLabel]
    """The surest first."""


class Explanation(Plain):
    """What a network does."""

    epoch: int
    """Of the weights."""
    split: str
    samples: int
    """Sequences that gates, gradients and attributions were computed from."""
    sample: int
    """Number of the sequence that is shown, in the split."""
    steps: int
    """Its length."""
    median_length: float
    layers: list[Layer]
    channels: list[Channel]
    """Largest attribution first; empty for tokens."""
    lags: list[float]
    """Share of the absolute integrated gradients by lag from the last step, 0 first."""
    tokens: list[TokenAttribution]
    """Of the shown text; empty for numbers."""
    occlusion: list[float] = []
    """Share of the change of the prediction when a tenth of the steps is put to zero, the last ones first."""
    attention: list[float] = []
    """Mean attention weight by lag from the last step, 0 first; empty for a model without attention."""
    integration_error: float
    """Largest relative difference between the sum of integrated gradients and what they must sum to."""
    loss: float | None
    """Loss on the samples that channels were permuted over."""
    errors: Errors | None = None
    """None for a stream."""


def write_explanation(folder: Path, explanation: Explanation) -> None:
    """Write explanation.json."""
    files.write_json(folder / files.EXPLANATION, explanation.model_dump())


def read_explanation(folder: Path) -> Explanation | None:
    """explanation.json of a run; None where there is none, or it cannot be read."""
    path = folder / files.EXPLANATION
    if not path.is_file():
        return None
    try:
        return Explanation.model_validate(files.read_json(path))
    except (DataError, ValidationError):
        return None
