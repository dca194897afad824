"""How a sequence goes on: at each step, what stands there from all that stood before."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.next_step import FrameInfo, NextStepSequences, SequenceSplit, TokenInfo
from lstm_lab.tasks import frequencies
from lstm_lab.tasks.base import Task


class Frames:
    """A step is a frame of K channels that are on or off, each with a logit of its own."""

    @staticmethod
    def nll(output: Tensor, y: Tensor) -> Tensor:
        """Negative log likelihood of each step in nats, summed over channels: (B, T, K), (B, T, K) -> (B, T)."""
        return F.binary_cross_entropy_with_logits(output, y, reduction="none").sum(-1)

    @staticmethod
    def hits(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Channels rightly said to be on, and all that were on or said to be (Bay, Ehmann & Downie 2009): (B, T)."""
        said, was = output > 0, y > 0.5
        return (said & was).sum(-1), (said | was).sum(-1)


class Tokens:
    """A step is one of V tokens."""

    @staticmethod
    def nll(output: Tensor, y: Tensor) -> Tensor:
        """Negative log likelihood of each step in nats: (B, T, V), (B, T) -> (B, T)."""
        return F.cross_entropy(output.flatten(0, 1), y.clamp(min=0).flatten(), reduction="none").view(y.shape)

    @staticmethod
    def hits(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Steps whose token was the likeliest, and all: (B, T)."""
        return (output.argmax(-1) == y).long(), torch.ones_like(y)


class NextStepMetrics(Metric):
    """Over all steps asked about: `nll`, nats for each; `accuracy`, of tokens the share that was likeliest, of frames
    TP / (TP + FP + FN) over channels; of tokens `perplexity` = exp(nll) and `bits` = nll / log 2 too."""

    nats: Tensor
    steps: Tensor
    right: Tensor
    tried: Tensor

    def __init__(self, tokens: bool, predict_first: bool) -> None:
        super().__init__()
        self.tokens, self.predict_first = tokens, predict_first
        for name in ("nats", "steps", "right", "tried"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, output: Tensor, batch: Batch) -> None:
        """Add what the head gives for each step (B, T, ...) of a batch."""
        form, mask = (Tokens if self.tokens else Frames), target_mask(batch, self.predict_first)
        right, tried = form.hits(output, batch.y)
        self.nats += form.nll(output, batch.y).double().where(mask, 0.0).sum()
        self.steps += mask.sum()
        self.right += right.where(mask, 0).sum()
        self.tried += tried.where(mask, 0).sum()

    def compute(self) -> dict[str, Tensor]:
        nll = self.nats / self.steps
        found = {"nll": nll, "accuracy": self.right / self.tried.clamp(min=1)}
        return {**found, "perplexity": nll.exp(), "bits": nll / math.log(2)} if self.tokens else found


def target_mask(batch: Batch, predict_first: bool) -> Tensor:
    """(B, T) whether a step is asked about. The first step of a chunk stands behind the token before it."""
    t = torch.arange(batch.y.shape[1], device=batch.y.device)
    valid = t < batch.lengths.to(t.device).unsqueeze(1)
    if not predict_first:
        previous = batch.previous
        valid = valid & ((t > 0) if previous is None else (t > 0) | (previous.to(t.device).unsqueeze(1) > 0))
    return valid & (batch.y >= 0) if batch.y.dim() == 2 else valid


class NextStep(Task, name="next_step"):
    """Frames or tokens, one step ahead: at step t the model reads what stood at t - 1, and 0 at the first.

    The loss is the negative log likelihood of a step in nats, averaged over all steps of all sequences: of a frame the
    binary cross-entropy summed over its channels (Boulanger-Lewandowski et al. 2012), of a token its cross-entropy.
    Every sequence starts anew; chunks of one stream may begin where the chunk before them ended.
    """

    accepts = NextStepSequences
    maximised = frozenset({"accuracy"})
    per_step = True
    causal = True

    class Config(Task.Config):
        monitor: Literal["nll", "accuracy"] = "nll"
        """Metric that compares epochs and trials; nll is the loss, and of tokens perplexity and bits follow from it."""
        predict_first: bool = False
        """Ask about the first step too, of which nothing is known; published figures leave it out (Bai et al. 2018)."""

    def __init__(self, info: FrameInfo | TokenInfo, monitor: str, predict_first: bool) -> None:
        self.info, self.output_size, self.monitor, self.predict_first = info, info.input_size, monitor, predict_first
        self.tokens = hasattr(info, "tokens")

    def prepare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """x one step late, so that no step is read before it is asked about."""
        previous = batch.previous
        first = torch.zeros_like(batch.x[:, :1]) if previous is None else previous.to(batch.x.device).unsqueeze(1)
        return torch.cat([first, batch.x[:, :-1]], 1), batch.lengths

    def num_targets(self, batch: Batch) -> Tensor:
        return target_mask(batch, self.predict_first).sum()

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        mask = target_mask(batch, self.predict_first)
        # What stands where nothing is asked must not even reach the gradient: 0 * nan is nan.
        output = output.masked_fill(~mask.unsqueeze(-1), 0.0)
        surprise = (Tokens if self.tokens else Frames).nll(output, batch.y)
        return surprise.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)

    def metrics(self) -> NextStepMetrics:
        return NextStepMetrics(self.tokens, self.predict_first)

    def predictions(self, output: Tensor, batch: Any = None) -> list[Any]:
        """The likeliest token of each step, or the names of the channels that are likelier on than off."""
        if isinstance(self.info, FrameInfo):
            names = self.info.channels
            on = (output > 0).tolist()
            return [[[name for name, yes in zip(names, row, strict=True) if yes] for row in rows] for rows in on]
        return [[self.info.tokens[i] for i in row] for row in output.argmax(-1).tolist()]

    def baselines(self, train: SequenceSplit, split: SequenceSplit) -> dict[str, dict[str, float]]:
        """What knows nothing but frequencies, or no more than the step just before, or the few tokens before."""
        previous, target = self._pairs(train)
        fit: Any = frequencies.of_tokens if self.tokens else frequencies.of_frames
        scores = {}
        for name, predict in fit(previous, target, self.output_size).items():
            metrics = NextStepMetrics(self.tokens, predict_first=True)
            # So many steps at once that their outputs fill some megabytes.
            for before, y in zip(
                *(part.split(2**22 // self.output_size + 1) for part in self._pairs(split)), strict=True
            ):
                metrics.update(predict(before).unsqueeze(0), Batch(before, torch.tensor([len(y)]), y.unsqueeze(0)))
            scores[name] = {key: float(value) for key, value in metrics.compute().items()}
        return scores

    def _pairs(self, split: SequenceSplit) -> tuple[Tensor, Tensor]:
        """Of each step asked about what stood before, 0 before the first, and the step itself: frames (N, K) float32,
        the last one and this one; tokens (N, REACH) and (N,) int64, the last one first."""
        values = split.inputs.values.long() if self.tokens else split.inputs.values.float()
        begins = torch.zeros(len(values), dtype=torch.bool)
        begins[split.inputs.starts] = True
        seen: list[Tensor] = []
        for _ in range(frequencies.REACH if self.tokens else 1):
            last = seen[-1] if seen else values
            last = torch.cat([torch.zeros_like(last[:1]), last[:-1]])
            last[begins] = 0
            seen.append(last)
        asked = torch.ones_like(begins) if self.predict_first else ~begins
        previous = torch.stack(seen, 1) if self.tokens else seen[0]
        return previous[asked], values[asked]
