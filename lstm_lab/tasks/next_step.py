"""Prediction of the next step of a sequence from all steps before it."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.next_step import FrameInfo, NextStepSequences, NextStepSplit, TokenInfo
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.records.files import Row
from lstm_lab.tasks import next_step_baselines
from lstm_lab.tasks.base import Outputs, Task, TaskMetrics
from lstm_lab.tasks.classification import mean_of_binary, mean_of_classes
from lstm_lab.tasks.soft_targets import binary_distance, class_distance
from lstm_lab.tasks.step_losses import Reduction, count_of, divisor


class StepForm:
    """What a step is: how its loss and its hits are computed."""

    @staticmethod
    def nll(logits: Tensor, y: Tensor) -> Tensor:
        """Negative log likelihood of each step in nats: (B, T, output_size), y -> (B, T)."""
        raise NotImplementedError

    @staticmethod
    def with_gradient(logits: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and the gradient in the logits, of that of each step, d (B, T)."""
        raise NotImplementedError

    @staticmethod
    def hits(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Correct predictions of each step, and how many there could be: (B, T)."""
        raise NotImplementedError

    @staticmethod
    def distance(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Of the probabilities of each step from those of another model: (B, T, output_size) twice -> (B, T)."""
        raise NotImplementedError

    @staticmethod
    def mean(samples: Tensor) -> Tensor:
        """Logits of the mean of the probabilities of several logits, along the first dimension."""
        raise NotImplementedError


class Frames(StepForm):
    """A step is a frame of K channels that are on or off, with a logit each."""

    @staticmethod
    def nll(logits: Tensor, y: Tensor) -> Tensor:
        """Summed over channels: (B, T, K), (B, T, K) -> (B, T)."""
        return F.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(-1)

    @staticmethod
    def with_gradient(logits: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        return Frames.nll(logits, y), (logits.sigmoid() - y) * d.unsqueeze(-1)

    @staticmethod
    def hits(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Channels that are on and predicted on, and all that are either (Bay, Ehmann & Downie 2009): (B, T)."""
        predicted, on = logits > 0, y > 0.5
        return (predicted & on).sum(-1), (predicted | on).sum(-1)

    @staticmethod
    def distance(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        return binary_distance(logits, teacher, temperature).sum(-1)

    @staticmethod
    def mean(samples: Tensor) -> Tensor:
        return mean_of_binary(samples)


class Tokens(StepForm):
    """A step is one of V tokens."""

    @staticmethod
    def nll(logits: Tensor, y: Tensor) -> Tensor:
        """(B, T, V), (B, T) -> (B, T)."""
        return F.cross_entropy(logits.flatten(0, 1), y.clamp(min=0).flatten(), reduction="none").view(y.shape)

    @staticmethod
    def with_gradient(logits: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        p, index, aten = logits.flatten(0, 1).log_softmax(1), y.clamp(min=0).flatten(), torch.ops.aten
        losses, total = aten.nll_loss_forward.default(p, index, None, 0, -100)
        dp = aten.nll_loss_backward.default(d.flatten(), p, index, None, 0, -100, total)
        return losses.view(y.shape), aten._log_softmax_backward_data.default(dp, p, 1, logits.dtype).view_as(logits)

    @staticmethod
    def hits(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Steps whose token was the most likely one, and all: (B, T)."""
        return (logits.argmax(-1) == y).long(), torch.ones_like(y)

    @staticmethod
    def distance(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        return class_distance(logits, teacher, temperature)

    @staticmethod
    def mean(samples: Tensor) -> Tensor:
        return mean_of_classes(samples)


class NextStepMetrics(Metric, TaskMetrics):
    """Over all steps with a target: `nll`, in nats per step; `accuracy`, of tokens the share that was most likely, of
    frames TP / (TP + FP + FN) over channels; of tokens `perplexity` = exp(nll) and `bits` = nll / log 2 too."""

    nats: Tensor
    steps: Tensor
    correct: Tensor
    possible: Tensor

    def __init__(self, form: type[StepForm], predict_first: bool) -> None:
        super().__init__()
        self.form, self.predict_first = form, predict_first
        for name in ("nats", "steps", "correct", "possible"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add logits (B, T, output_size) of a batch."""
        mask = target_mask(batch, self.predict_first)
        correct, possible = self.form.hits(logits, batch.y)
        self.nats += self.form.nll(logits, batch.y).double().where(mask, 0.0).sum()
        self.steps += mask.sum()
        self.correct += correct.where(mask, 0).sum()
        self.possible += possible.where(mask, 0).sum()

    def compute(self) -> dict[str, Tensor]:
        nll = self.nats / self.steps
        found = {"nll": nll, "accuracy": self.correct / self.possible.clamp(min=1)}
        return {**found, "perplexity": nll.exp(), "bits": nll / math.log(2)} if self.form is Tokens else found


def target_mask(batch: Batch, predict_first: bool) -> Tensor:
    """(B, T) whether a step has a target. The first step of a chunk has one if the stream has a token before it."""
    device = batch.y.device
    mask = length_mask(batch.lengths.to(device), batch.y.shape[1])
    if not predict_first:
        if batch.previous is None:
            mask[:, 0] = False
        else:
            mask[:, 0] &= batch.previous.to(device) > 0
    return mask & (batch.y >= 0) if batch.y.dim() == 2 else mask


class NextStep(Task[NextStepSplit], name="next_step"):
    """Frames or tokens, one step ahead: at step t the model reads step t - 1, and 0 at the first.

    The loss is the negative log likelihood of a step in nats, averaged over all steps of all sequences: of a frame the
    binary cross-entropy summed over its channels (Boulanger-Lewandowski et al. 2012), of a token its cross-entropy.
    Every sequence starts from the initial state; chunks of one stream may start from the state of the chunk before.
    """

    accepts = NextStepSequences
    maximised = frozenset({"accuracy"})
    per_step = True
    causal = True
    has_loss_gradient = True
    soft_targets = "probabilities"

    class Config(Task.Config):
        monitor: Literal["nll", "accuracy"] = "nll"
        """Metric that compares epochs and trials; nll is the loss of a step; of tokens perplexity and bits follow from
        it."""
        predict_first: bool = False
        """Whether to predict the first step too, before which nothing is known; published figures leave it out (Bai et
        al. 2018)."""
        reduction: Reduction = "mean"
        """Of the losses of steps: mean, over all steps of a batch; sum, over those of a sequence, whose mean over
        sequences is the loss. The metric nll is per step in any case."""

    def __init__(
        self, info: FrameInfo | TokenInfo, monitor: str, predict_first: bool, reduction: Reduction = "mean"
    ) -> None:
        self.reduction: Reduction = reduction
        self.info, self.output_size, self.monitor = info, info.input_size, monitor
        self.predict_first = predict_first
        self.form: type[StepForm] = Tokens if isinstance(info, TokenInfo) else Frames

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tokens, or of the channels."""
        return self.info.tokens if isinstance(self.info, TokenInfo) else self.info.channels

    def model_inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """x one step late, so that no step is read before it is predicted."""
        previous = batch.previous
        first = torch.zeros_like(batch.x[:, :1]) if previous is None else previous.to(batch.x.device).unsqueeze(1)
        return torch.cat([first, batch.x[:, :-1]], 1), batch.lengths

    def num_targets(self, batch: Batch) -> int | Tensor:
        return count_of(self.reduction, target_mask(batch, self.predict_first))

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        mask = target_mask(batch, self.predict_first)
        # Logits without a target must not even reach the gradient: 0 * nan is nan.
        logits = logits.masked_fill(~mask.unsqueeze(-1), 0.0)
        losses = self.form.nll(logits, batch.y).masked_fill(~mask, 0.0)
        return losses.sum() / divisor(count_of(self.reduction, mask), losses)

    def loss_gradient(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        mask = target_mask(batch, self.predict_first)
        without = ~mask.unsqueeze(-1)
        z, count = logits.masked_fill(without, 0.0), divisor(count_of(self.reduction, mask), logits)
        losses, gradient = self.form.with_gradient(z, batch.y, mask / count)
        return losses.masked_fill(~mask, 0.0).sum() / count, gradient.masked_fill(without, 0.0)

    def distillation_loss(self, logits: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
        mask = target_mask(batch, self.predict_first)
        without = ~mask.unsqueeze(-1)
        losses = self.form.distance(logits.masked_fill(without, 0.0), teacher.masked_fill(without, 0.0), temperature)
        return losses.masked_fill(~mask, 0.0).sum() / divisor(count_of(self.reduction, mask), losses)

    def metrics(self) -> NextStepMetrics:
        return NextStepMetrics(self.form, self.predict_first)

    def mean_logits(self, samples: Tensor) -> Tensor:
        return self.form.mean(samples)

    @property
    def text_columns(self) -> tuple[str, ...]:
        return ("token",) if self.form is Tokens else ()

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return ("token", "probability") if self.form is Tokens else tuple(f"probability {name}" for name in self.names)

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """Of each step the most likely token and its probability, or the probability of each channel to be on."""
        if self.form is not Tokens:
            frames: list[list[PredictionRow]] = logits.double().sigmoid().tolist()
            return frames
        probabilities, best = logits.double().softmax(-1).max(-1)
        return [
            [[self.names[i], p] for i, p in zip(*sequence, strict=True)]
            for sequence in zip(best.tolist(), probabilities.tolist(), strict=True)
        ]

    def baselines(self, train: NextStepSplit, split: NextStepSplit) -> dict[str, dict[str, float]]:
        """Models of frequencies alone, of the step just before, or of the few tokens before."""
        previous, target = self._pairs(train)
        tokens = self.form is Tokens
        fit = next_step_baselines.of_tokens if tokens else next_step_baselines.of_frames
        scores = {}
        for name, predict in fit(previous, target, self.output_size).items():
            metrics = NextStepMetrics(self.form, predict_first=True)
            # As many steps at once as have outputs of some megabytes.
            size = 2**22 // self.output_size + 1
            for before, y in zip(*(values.split(size) for values in self._pairs(split)), strict=True):
                metrics.update(predict(before).unsqueeze(0), Batch(before, torch.tensor([len(y)]), y.unsqueeze(0)))
            scores[name] = {key: float(value) for key, value in metrics.compute().items()}
        return scores

    def examples(self, outputs: Outputs) -> Row:
        from lstm_lab.tasks.next_step_examples import next_step_examples

        return next_step_examples(self, outputs)

    def _pairs(self, split: NextStepSplit) -> tuple[Tensor, Tensor]:
        """For each step with a target the steps before, 0 before the first, and the step itself: frames (N, K) float32,
        the last one and this one; tokens (N, MAX_CONTEXT) and (N,) int64, the last one first."""
        tokens = self.form is Tokens
        values = split.inputs.values.long() if tokens else split.inputs.values.float()
        is_first = torch.zeros(len(values), dtype=torch.bool)
        is_first[split.inputs.starts] = True
        before: list[Tensor] = []
        for _ in range(next_step_baselines.MAX_CONTEXT if tokens else 1):
            last = before[-1] if before else values
            last = torch.cat([torch.zeros_like(last[:1]), last[:-1]])
            last[is_first] = 0
            before.append(last)
        mask = torch.ones_like(is_first) if self.predict_first else ~is_first
        previous = torch.stack(before, 1) if tokens else before[0]
        return previous[mask], values[mask]
