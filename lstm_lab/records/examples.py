"""examples.json of a run: predictions of its best epoch, as typed plain values. `read_examples` needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, TypeAdapter, ValidationError, model_validator

from lstm_lab.config import DataError, legacy
from lstm_lab.records import files
from lstm_lab.records.example_shapes import CalibrationBin, Examples, Number, Plain, WrongSample, has_shape
from lstm_lab.records.files import Row
from lstm_lab.records.translation_examples import TranslationExamples


class Classification(Examples):
    """Counts of a classification of whole sequences or of their steps."""

    classes: list[str]
    confusion: list[list[int]]
    """Row: target, column: prediction."""
    calibration: list[CalibrationBin]
    recall: list[float] = []
    precision: dict[str, list[Number]] = {}
    """Class -> the best precision at each recall or more; of the most frequent classes."""

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if not has_shape(self.confusion, len(self.classes), len(self.classes)):
            raise ValueError("confusion must have a row and a column for each class")
        if not has_shape([*self.precision.values()], len(self.precision), len(self.recall)):
            raise ValueError("precision must have a number for each recall")
        return self


class ClassExamples(Classification):
    """Of a task that classifies sequences."""

    kind: Literal["classes"] = "classes"
    worst: list[WrongSample] = []
    """Misclassified samples, least probability of the target first."""


class LabelScores(Plain):
    """A label of which each sample may have several."""

    name: str
    n: int
    """Samples that have it."""
    predicted: int
    """Samples that were given it."""
    correct: int
    """Samples that have it and were given it."""
    average_precision: Number
    auroc: Number
    """None where it is not defined."""


class WrongLabels(Plain):
    """A sample with a wrong set of labels."""

    sample: int
    """Index in the split."""
    target: list[str]
    prediction: list[str]
    loss: float
    """Binary cross-entropy, the mean over labels, in nats."""
    length: int
    text: str | None = None


class LabelExamples(Examples):
    """Of a task with any number of labels for each sequence."""

    kind: Literal["labels"] = "labels"
    labels: list[LabelScores]
    worst: list[WrongLabels] = []
    """Samples with a wrong set of labels, the largest loss first."""


class LabelledSequence(Plain):
    """The first steps of a sequence with class indices; a target of -1 is no target."""

    name: str
    accuracy: float
    """Over the whole sequence."""
    same_length = ("target", "prediction")
    target: Annotated[list[int], Field(min_length=1)]
    prediction: list[int]
    length: int
    """Of the whole sequence."""


class TagExamples(Classification):
    """Of a task that classifies each step."""

    kind: Literal["tags"] = "tags"
    sequences: list[LabelledSequence]


class ForecastWindow(Plain):
    """One forecast, in the units of the data."""

    name: str
    error: float
    """Mean absolute error over the horizon and the targets."""
    past: list[Number]
    target: list[Number]
    predictions: list[list[Number]]
    """The point forecast, then the ends of its intervals, if there are any."""

    @model_validator(mode="after")
    def _steps_agree(self) -> Self:
        if not self.predictions or not has_shape(self.predictions, len(self.predictions), len(self.target)):
            raise ValueError("predictions must have a number for each step of the target")
        return self


class IntervalCoverage(Plain):
    """Share of targets inside the interval of a nominal level."""

    level: float
    coverage: float


class FutureForecast(Plain):
    """A forecast for the rows after the end of the data, in their units; of several series, of the first."""

    same_length = ("times", "past")
    series: str  # Its id; empty for a single one.
    num_series: int
    times: list[float | str]  # Of the rows before; numbers, or dates as ISO 8601.
    past: list[Number]
    times_ahead: list[float | str]
    predictions: list[list[Number]]
    """The point forecast, then the ends of its intervals, if there are any."""

    @model_validator(mode="after")
    def _steps_agree(self) -> Self:
        if not self.predictions or not has_shape(self.predictions, len(self.predictions), len(self.times_ahead)):
            raise ValueError("predictions must have a number for each time ahead")
        return self


class ForecastExamples(Examples):
    """Of a forecast."""

    kind: Literal["forecasts"] = "forecasts"
    target_name: str
    num_targets: int
    windows: list[ForecastWindow]
    error_by_step: list[Number]
    """Mean absolute error at each step ahead."""
    columns: list[str]
    """Names of a window's predictions."""
    coverage: list[IntervalCoverage] = []
    future: FutureForecast | None = None
    """None where the data have no times."""


class ValueExamples(Examples):
    """Of a regression."""

    kind: Literal["values"] = "values"
    same_length = ("target", "prediction")
    target_name: str
    target: list[Number]
    prediction: list[Number]


class LossShare(Plain):
    """A token or channel, and what it contributes to the loss."""

    name: str
    n: int
    """Steps at which it was the target."""
    steps: int
    """Steps in all."""
    share: float
    """Of the loss."""
    nats: float
    """Loss per occurrence."""
    correct: int
    """Steps at which it was both the target and the prediction."""
    predicted: int
    """Steps at which it was the prediction."""


class Excerpt(Plain):
    """The first steps of a sequence."""

    name: str
    length: int
    """Of the whole sequence."""
    nll: float
    """Mean over the whole sequence, in nats."""
    nats: list[Number]
    """Negative log-likelihood of each step; None where the step is no target."""


class TokenExcerpt(Excerpt):
    """Tokens, and the most probable token at each step."""

    same_length = ("nats", "tokens", "predictions")
    tokens: list[str]
    predictions: list[str]


class FrameExcerpt(Excerpt):
    """Frames of binary channels, and the probability of each channel."""

    channels: list[str]
    probabilities: list[list[Number]]
    """One row per step."""
    active: list[tuple[int, int]]
    """(step, channel) of each channel that was on."""

    @model_validator(mode="after")
    def _channels_agree(self) -> Self:
        steps, channels = len(self.nats), len(self.channels)
        if not has_shape(self.probabilities, steps, channels):
            raise ValueError("probabilities must have a row for each step, and a number for each channel")
        if not all(0 <= step < steps and 0 <= channel < channels for step, channel in self.active):
            raise ValueError("active must name steps and channels that are there")
        return self


class Continuation(Plain):
    """A token, the tokens before it, and the most probable tokens."""

    quantile: float
    """Of its loss among all steps: 1 is the largest loss."""
    context: str
    truncated: bool
    """Whether more came before the context."""
    target: str
    probability: float
    predictions: list[tuple[str, float]]
    """Token and probability, the most probable first."""


class NextStepExamples(Examples):
    """Of a model of the next step. Losses are in nats."""

    num_steps: int
    nll: float
    loss_by_position: list[Number]
    """Mean over sequences, by the position of the step."""
    largest_losses: list[LossShare]


class TokenExamples(NextStepExamples):
    """Of a sequence of tokens."""

    kind: Literal["tokens"] = "tokens"
    characters: bool
    """Whether each token is a single character."""
    excerpts: list[TokenExcerpt]
    continuations: list[Continuation] = []


class FrameExamples(NextStepExamples):
    """Of a sequence of frames with binary channels."""

    kind: Literal["frames"] = "frames"
    excerpts: list[FrameExcerpt]


AnyExamples = (
    ClassExamples | LabelExamples | TagExamples | ForecastExamples | ValueExamples | TokenExamples | FrameExamples
    | TranslationExamples
)  # fmt: skip
_ADAPTER: TypeAdapter[AnyExamples] = TypeAdapter(Annotated[AnyExamples, Discriminator("kind")])


def parse_examples(content: Row) -> AnyExamples:
    """Examples from plain values, of today's format or of format 1.

    Raises:
        ValueError: they are of neither.
    """
    return _ADAPTER.validate_python(legacy.examples(content))


def read_examples(run: Path) -> AnyExamples | None:
    """The examples of the run in a folder; None where there are none, or the file is incomplete."""
    path = run / files.EXAMPLES
    try:
        return parse_examples(files.read_json(path)) if path.is_file() else None
    except (DataError, ValueError, ValidationError, TypeError, KeyError, AttributeError):
        return None


def write_examples(run: Path, examples: AnyExamples) -> None:
    """Write examples.json, whole or not at all."""
    files.write_atomic(run / files.EXAMPLES, files.to_json(examples.model_dump(mode="json")))
