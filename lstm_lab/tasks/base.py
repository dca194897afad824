"""The contract of a task: size of the head, loss, metrics, and which metric is monitored in which direction."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, Literal, Protocol

import torch
from torch import Tensor
from typing_extensions import TypeVar

from lstm_lab.config.registry import Named, Registered
from lstm_lab.data.base import Batch, Dataset, NewSamples, PredictionRow, Split
from lstm_lab.records.files import Row
from lstm_lab.tasks.soft_targets import SoftTargets

Mode = Literal["min", "max"]
Outputs = Iterable[tuple[Tensor, Batch]]
"""Logits of a model, and the batch that each belongs to."""
SplitT = TypeVar("SplitT", bound=Split, default=Any)


class WrittenTokens(Protocol):
    """Sequences that a model has written."""

    @property
    def tokens(self) -> Tensor:
        """(B, U) token numbers, 0 behind the last one, then -1."""

    @property
    def attention(self) -> Tensor | None:
        """(B, U, T) weights over the steps of the input, where the model has any."""


class SearchOptions(Protocol):
    """How a sequence is searched for."""

    @property
    def beams(self) -> int: ...
    @property
    def length_penalty(self) -> float: ...
    @property
    def max_length(self) -> int: ...


class Predictor(Protocol):
    """A trained model, in evaluation mode. It takes batches of the CPU, and returns what is on the CPU."""

    def logits(self, batch: Batch) -> Tensor:
        """As `Task.loss` takes them."""

    def decode(self, batch: Batch, options: SearchOptions) -> WrittenTokens:
        """The sequences that it writes, of a task that `decodes`."""


class TaskMetrics(ABC):
    """What every task's metrics can do: mixed into a `torchmetrics.Metric` or `MetricCollection`, behind it."""

    @abstractmethod
    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add the predictions for a batch."""

    @abstractmethod
    def compute(self) -> Mapping[str, Tensor]:
        """Metric -> value over all that was added."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all that was added."""

    def details(self) -> dict[str, object]:
        """Plain values that a record of an evaluation keeps beside the scores, such as a confusion matrix."""
        return {}

    def notes(self) -> list[str]:
        """What was left out of which metric, a sentence each."""
        return []


class Task(Registered, Generic[SplitT], kind="task"):
    """Built from the info of a data set and the fields of its Config."""

    class Config(Named):
        owner: ClassVar[type[Task]]

        monitor: str
        """Metric that compares epochs, trials and seeds; each task lists which it offers."""

        def check(self, data: Dataset.Config) -> None:
            """Raise ValueError where the configs of the task and of the data do not go together."""

        def input_steps(self, data: Dataset.Config) -> int | None:
            """Steps of each window that the model reads; None for a task that does not forecast."""
            return None

    accepts: ClassVar[type[Dataset]]
    """Kind of data set that it can be computed on."""
    data_hint: ClassVar[str] = ""
    """How data become of that kind, for a message that they are not."""
    maximised: ClassVar[frozenset[str]] = frozenset()
    """Metrics of which more is better; of all others, less."""
    written_metrics: ClassVar[frozenset[str]] = frozenset()
    """Metrics that `decoded_scores` adds in an evaluation."""
    per_step: ClassVar[bool] = False
    """Whether there is a target at every step; the logits are then (B, T, output_size)."""
    causal: ClassVar[bool] = False
    """Whether the target of a step is in the steps behind it, so that no model may read backward."""

    predicts_classes: ClassVar[bool] = False
    """Whether a row of predictions has one text, the most likely class, then a probability for each class."""

    soft_targets: ClassVar[SoftTargets | None] = None
    """What one model can teach another by `distillation_loss`; None: nothing."""

    decodes: ClassVar[bool] = False
    """Whether a prediction is a sequence that the model writes token by token, so that it must be one that decodes."""

    output_size: int
    """Numbers in one prediction: the size of the model's head."""
    monitor: str

    @classmethod
    def mode_of(cls, metric: str) -> Mode:
        """Whether less or more of a metric of this task is better."""
        return "max" if metric in cls.maximised else "min"

    @property
    def mode(self) -> Mode:
        """The same of the monitored metric."""
        return self.mode_of(self.monitor)

    def model_inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the model reads of a batch: x (B, T, ...) and lengths (B,)."""
        return batch.x, batch.lengths

    def postprocess(self, logits: Tensor, batch: Batch) -> Tensor:
        """The model's logits before they are scored; unchanged for most tasks."""
        return logits

    def num_targets(self, batch: Batch) -> int | Tensor:
        """Targets in a batch: what its mean loss is a mean over."""
        return len(batch.y)

    def calibrate(self, outputs: Outputs) -> object:
        """Plain values fitted on a trained model's validation outputs, for `load_calibration`; None without any.

        Args:
            outputs: of the validation split.
        """
        return None

    def load_calibration(self, calibration: object) -> None:
        """Use what `calibrate` returned in scores and predictions from now on."""

    def calibrated(self, logits: Tensor) -> Tensor:
        """Postprocessed logits by the calibration; unchanged for most tasks, whose predictions alone depend on it."""
        return logits

    @property
    def logits_form(self) -> object:
        """What postprocessed logits mean: of models for which it is equal, there is a mean prediction."""
        return self.prediction_columns

    def mean_logits(self, samples: Tensor) -> Tensor:
        """Logits whose prediction is the mean of several predictions: (S, B, ...) -> (B, ...)."""
        return samples.mean(0)

    def sampled_values(self, samples: Tensor, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Predicted values (S, N) of logits (S, B, ...), and the N targets; None where numbers are not predicted."""
        return None

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Those of `prediction_columns` that hold no numbers."""
        return self.prediction_columns[:1] if self.predicts_classes else ()

    @property
    @abstractmethod
    def prediction_columns(self) -> tuple[str, ...]:
        """Names of the values in each row of `predictions`."""

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean loss over the targets, a scalar.

        Args:
            logits: (B, output_size) or (B, T, output_size).
        """

    has_loss_gradient: bool = False
    """Whether `loss_gradient` is a closed form, of the operations that autograd would call, but without its graph."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        # A closed form is that of the loss beside it: a class with a loss of its own and no gradient has autograd's.
        if {"loss", "postprocess"} & vars(cls).keys() and "loss_gradient" not in vars(cls):
            cls.loss_gradient = Task.loss_gradient  # type: ignore[method-assign]

    @property
    def is_closed_form(self) -> bool:
        """Whether training leaves autograd out of the loss."""
        return self.has_loss_gradient and type(self).loss_gradient is not Task.loss_gradient

    def loss_gradient(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mean loss (), and its gradient in the model's logits, without a graph to differentiate further.

        Args:
            logits: as the model returned them: not postprocessed.
        """
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            loss = self.loss(self.postprocess(leaf, batch), batch)
            (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), gradient

    def distillation_loss(self, logits: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
        """The mean distance from the predictions of another model, a scalar; of a task with `soft_targets`.

        Args:
            logits: postprocessed.
            teacher: those of the other model, divided by the temperature.
            temperature: that divides probabilities' logits; 1 where values are predicted.
        """
        raise NotImplementedError

    @abstractmethod
    def metrics(self) -> TaskMetrics:
        """New, empty metrics."""

    @abstractmethod
    def baselines(self, train: SplitT, split: SplitT) -> dict[str, dict[str, float]]:
        """Methods without a network, fitted on `train` and scored on `split`: name -> metric -> value."""

    @abstractmethod
    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """The prediction for each sample, as rows of plain values: names, probabilities, numbers in the units of the
        data at full precision. A sample has one row, or one for each step.

        Args:
            batch: that the logits belong to, where samples have a length or a scale of their own.
        """

    def predict(self, model: Predictor, batch: Batch) -> list[list[PredictionRow]]:
        """`predictions` of a trained model, from whatever they are made of."""
        return self.predictions(model.logits(batch), batch)

    def decoded_scores(
        self, model: Predictor, split: SplitT, batches: Iterable[Batch]
    ) -> tuple[dict[str, float], dict[str, object]]:
        """Metrics of what a model writes, which take too long for every epoch, and the details of their record.

        Args:
            split: that is evaluated.
            batches: of it, in its order.
        """
        return {}, {}

    def collect_examples(self, model: Predictor, batches: Iterable[Batch]) -> Row:
        """`examples` of a trained model.

        Args:
            batches: of samples of the validation split.
        """
        return self.examples((model.logits(batch), batch) for batch in batches)

    def examples(self, outputs: Outputs) -> Row:
        """What a report shows of a model's predictions, as plain values for examples.json.

        Args:
            outputs: of samples of the validation split.

        Returns:
            The fields of one of `lstm_lab.records.examples`, its `kind` among them, without those that `Examples` adds
            of the run; empty for a task without examples.
        """
        return {}

    def future_example(self, logits: Tensor, batch: Batch, samples: NewSamples) -> Row:
        """What a report shows beside them of a forecast for the rows after the end of the data; empty for other tasks.

        Args:
            logits: of the batch.
            batch: the first of `samples`.
        """
        return {}


def plain_values(values: Tensor) -> list[float | None]:
    """Values (N,) with all digits; None for NaN."""
    return [value if value == value else None for value in values.tolist()]


def better(value: float, than: float | None, mode: str) -> bool:
    """Whether a finite `value` improves on `than`; ties do not."""
    if not math.isfinite(value):
        return False
    return than is None or (value > than if mode == "max" else value < than)


def score(metrics: TaskMetrics, logits: Tensor, batch: Batch) -> dict[str, float]:
    """Metrics of one big batch as plain numbers."""
    metrics.reset()
    with torch.no_grad():
        metrics.update(logits, batch)
    return {name: float(value) for name, value in metrics.compute().items()}
