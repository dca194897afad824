"""Numbers of a whole sequence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.labelled import summary_features
from lstm_lab.data.kinds.sequence_regression import RegressionInfo, RegressionSplit, SequenceRegression
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, Task, TaskMetrics, plain_values, score
from lstm_lab.tasks.number_losses import DELTA, QUANTILE, NumberLossConfig, mean_gradient, number_loss

MAX_EXAMPLES = 400
"""Targets and predictions that a report shows."""


class RegressionMetrics(Metric, TaskMetrics):
    """Squared and absolute errors over every target, in the units of the data."""

    squared: Tensor
    absolute: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("squared", "absolute", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add predictions (B, K), in the units of y."""
        error = (logits - batch.y).double()
        self.squared += error.square().sum()
        self.absolute += error.abs().sum()
        self.count += error.numel()

    def compute(self) -> dict[str, Tensor]:
        return {"mse": self.squared / self.count, "mae": self.absolute / self.count}


class Regress(Task[RegressionSplit], name="regress"):
    """Values of a sequence, standardised where the data are."""

    accepts = SequenceRegression
    soft_targets = "values"
    has_loss_gradient = True

    class Config(NumberLossConfig):
        monitor: Literal["mse", "mae", "loss"] = "mse"
        """Metric that compares epochs and trials; `loss` is what training minimises, as of a quantile."""

    def __init__(
        self, info: RegressionInfo, monitor: str, loss: str = "mse", delta: float = DELTA, quantile: float = QUANTILE
    ) -> None:
        self.error = number_loss(loss, delta, quantile)
        self.targets, self.output_size, self.monitor = info.targets, len(info.targets), monitor
        self.scale: tuple[Tensor, Tensor] | None = None
        if info.target_std:  # In float64: a target of 1e9 that varies by 1 has no digit left for it in float32.
            mean, std = (torch.tensor(part, dtype=torch.float64) for part in (info.target_mean, info.target_std))
            self.scale = mean, std

    def postprocess(self, logits: Tensor, batch: Batch) -> Tensor:
        """Predictions in the units of y, float64, where the model predicts standardised values."""
        if self.scale is None:
            return logits
        mean, std = (part.to(logits.device) for part in self.scale)
        return logits * std + mean

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.scale is None:
            return self.error(logits, batch.y).mean()
        difference = (logits - batch.y) / self.scale[1].to(logits.device)
        return self.error(difference, torch.zeros_like(difference)).mean().float()

    def loss_gradient(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.scale is None:
            losses = self.error(logits, batch.y)
            gradient = self.error.gradient(mean_gradient(losses), logits, batch.y)
            return losses.mean(), gradient.to(logits.dtype)
        std = self.scale[1].to(logits.device)
        difference = (self.postprocess(logits, batch) - batch.y) / std
        zero = torch.zeros_like(difference)
        # Through the division, then through the scale of the logits, each rounded as autograd rounds it.
        gradient = self.error.gradient(mean_gradient(difference), difference, zero) / std * std
        return self.error(difference, zero).mean().float(), gradient.to(logits.dtype)

    def distillation_loss(self, logits: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
        """The mean of the squared differences, of standardised values where the model predicts those."""
        difference = logits - teacher
        if self.scale is not None:
            difference = difference / self.scale[1].to(logits.device)
        return difference.square().mean().to(torch.get_default_dtype())

    def metrics(self) -> RegressionMetrics:
        return RegressionMetrics()

    def sampled_values(self, samples: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return samples.flatten(1), batch.y.flatten()

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return self.targets

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        return [[row] for row in logits.tolist()]

    def baselines(self, train: RegressionSplit, split: RegressionSplit) -> dict[str, dict[str, float]]:
        """The training mean, and a linear regression over each sequence's mean, std, first and last step."""
        from sklearn.linear_model import LinearRegression

        fitted, scored = train.take(torch.arange(len(train))), split.take(torch.arange(len(split)))
        linear = LinearRegression().fit(summary_features(fitted), fitted.y.numpy())
        outputs = {
            "training mean": fitted.y.mean(0).expand_as(scored.y),
            "linear regression": torch.from_numpy(linear.predict(summary_features(scored))),
        }
        return {name: score(self.metrics(), output, scored) for name, output in outputs.items()}

    def examples(self, outputs: Outputs) -> Row:
        """Targets and predictions of the first value, evenly spread over the samples."""
        logits, batches = zip(*outputs, strict=True)
        prediction, target = torch.cat(logits)[:, 0], torch.cat([batch.y for batch in batches])[:, 0]
        evenly = torch.linspace(0, len(target) - 1, min(len(target), MAX_EXAMPLES)).round().long()
        return {
            "kind": "values", "target_name": self.targets[0], "target": plain_values(target[evenly]),
            "prediction": plain_values(prediction[evenly]),
        }  # fmt: skip
