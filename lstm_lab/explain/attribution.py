"""Which inputs a prediction rests on: integrated gradients, and the loss when a channel is permuted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.data.base import Batch
from lstm_lab.models import Model
from lstm_lab.models.embedding import TokenEmbedding
from lstm_lab.training.learner import Learner

STEPS, MAX_STEPS, TOLERANCE = 32, 256, 0.01
"""Points of the path from the empty input to the sample, at first and at most; error at which they are enough."""


class Attribution(NamedTuple):
    """Integrated gradients of samples."""

    values: Tensor
    """(B, T, I), or (B, T, 1) for tokens: sums to `total` for each sample."""
    total: Tensor
    """(B,) how far the input moves the prediction from that for an empty input: |f(x) - f(0)| of the head's outputs."""
    error: float
    """Largest |sum - total| / total over samples: of the numerical integration."""


def integrated_gradients(model: Model, x: Tensor, lengths: Tensor) -> Attribution:
    """Sundararajan et al. (2017), "Axiomatic Attribution for Deep Networks", along a straight path from zeros.

    Zero is the mean of a standardised channel, and for tokens an embedding of zeros. What is explained is the change of
    the whole output, p . f(x) with p = (f(x) - f(0)) / |f(x) - f(0)|: one definition for classes, values and forecasts.

    Args:
        model: in evaluation mode.
        x, lengths: as `Model.forward` takes them.
    """
    steps = STEPS
    while (found := _integrated(model, x, lengths, steps)).error > TOLERANCE and steps < MAX_STEPS:
        steps *= 2
    return found


def _integrated(model: Model, x: Tensor, lengths: Tensor, steps: int) -> Attribution:
    """By the midpoint rule."""
    inputs = _Inputs(model, x)
    with torch.no_grad():
        end = model(x, lengths).logits.flatten(1)
        with inputs.scaled(0.0) as passed:
            start = model(passed, lengths).logits.flatten(1)
        total = (end - start).norm(dim=1)
        p = (end - start) / total.clamp(min=torch.finfo(end.dtype).tiny).unsqueeze(1)
    mean: Tensor | None = None
    for k in range(steps):
        with inputs.scaled((k + 0.5) / steps) as passed, torch.enable_grad():
            score = (model(passed, lengths).logits.flatten(1) * p).sum()
            (gradient,) = torch.autograd.grad(score, inputs.leaf())
        mean = gradient / steps if mean is None else mean + gradient / steps
    assert mean is not None
    values = mean * inputs.original()
    if not x.is_floating_point():
        values = values.sum(2, keepdim=True)
    gap = (values.flatten(1).sum(1) - total).abs() / total.clamp(min=1e-12)
    return Attribution(values.detach(), total, float(gap[total > 1e-9].max()) if (total > 1e-9).any() else 0.0)


class _Inputs:
    """The numbers that enter a model, times a factor: channels, or the embeddings of tokens."""

    def __init__(self, model: Model, x: Tensor) -> None:
        self.x = x
        self.embeddings = [module for module in model.modules() if isinstance(module, TokenEmbedding)]
        self._leaf: Tensor | None = None
        self._original: Tensor | None = None

    @contextmanager
    def scaled(self, factor: float | Tensor) -> Iterator[Tensor]:
        """What to pass to the model.

        Args:
            factor: one number, or one for each step (B, T, 1) or channel (1, 1, I).
        """
        if self.x.is_floating_point():
            self._original = self.x
            self._leaf = (self.x * factor).requires_grad_()
            yield self._leaf
            return

        def scale(module: nn.Module, args: object, output: Tensor) -> Tensor:
            self._original = output.detach()
            self._leaf = (self._original * factor).requires_grad_()
            return self._leaf

        handles = [module.register_forward_hook(scale) for module in self.embeddings]
        try:
            yield self.x
        finally:
            for handle in handles:
                handle.remove()

    def leaf(self) -> Tensor:
        """What the last pass has read."""
        assert self._leaf is not None
        return self._leaf

    def original(self) -> Tensor:
        """The same for a factor of 1."""
        assert self._original is not None
        return self._original


WINDOWS = 10
"""Parts of a sequence, by distance from its last step, that are occluded one after another."""


class Occlusion(NamedTuple):
    """How far the prediction moves when a part of the input is put to zero (Zeiler & Fergus, 2014)."""

    windows: list[float]
    """Share of each tenth of the steps, the last ones first."""
    channels: list[float]
    """Share of each channel; empty for tokens, and for more than `MAX_CHANNELS`."""


def occlusion(model: Model, x: Tensor, lengths: Tensor, max_channels: int) -> Occlusion:
    """|f(x) - f(x without the part)|, the mean over samples, as shares of the sum over parts.

    Args:
        model: in evaluation mode.
        x, lengths: as `Model.forward` takes them.
        max_channels: above which no channel is occluded.
    """
    inputs = _Inputs(model, x)
    back = lengths.unsqueeze(1) - 1 - torch.arange(x.shape[1])  # (B, T) steps back from the last one
    tenth = (WINDOWS * back / lengths.unsqueeze(1)).floor().unsqueeze(2)
    with torch.no_grad():
        whole = model(x, lengths).logits.flatten(1)

        def moved(factor: Tensor) -> float:
            with inputs.scaled(factor) as passed:
                return float((model(passed, lengths).logits.flatten(1) - whole).norm(dim=1).mean())

        windows = [moved((tenth != part).to(whole)) for part in range(WINDOWS)]
        channels = []
        if x.is_floating_point() and x.shape[2] <= max_channels:
            channels = [moved((torch.arange(x.shape[2]) != channel).to(whole)) for channel in range(x.shape[2])]
    return Occlusion(_shares(windows), _shares(channels))


def _shares(values: list[float]) -> list[float]:
    total = sum(values)
    return [value / total for value in values] if total > 0 else [0.0] * len(values)


def permutation_importance(learner: Learner, batch: Batch, channel: int, repeats: int, seed: int = 0) -> list[float]:
    """Increase of the loss when a channel is taken from other samples, which keeps its distribution (Breiman, 2001).

    Where lengths differ, the other sample's channel is stretched to the sample's own.

    Args:
        batch: of numbers, with targets.

    Returns:
        One value per repetition.
    """
    generator = torch.Generator().manual_seed(seed)
    loss = _loss(learner)
    with torch.inference_mode():
        before = loss(batch)
        found = []
        for _ in range(repeats):
            donor = torch.randperm(len(batch.x), generator=generator)
            steps = torch.arange(batch.x.shape[1])
            source = (steps * batch.lengths[donor].unsqueeze(1) / batch.lengths.unsqueeze(1)).long()  # (B, T)
            source = source.clamp(max=batch.x.shape[1] - 1)
            x = batch.x.clone()
            x[..., channel] = batch.x[..., channel][donor].gather(1, source)
            found.append(loss(batch._replace(x=x)) - before)
    return found


def _loss(learner: Learner) -> Callable[[Batch], float]:
    return lambda batch: float(learner.task.loss(learner.logits(batch), batch))
