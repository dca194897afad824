"""How far a recurrent layer remembers: the gradient of its last output over the lag, and the half-life of each unit."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lstm_lab.cells.base import TraceableCell
from lstm_lab.config import DataError
from lstm_lab.explain.gates import valid_steps
from lstm_lab.explain.observe import ObservedCell, observed
from lstm_lab.models import Model
from lstm_lab.records.explanation import HalfLives, LagProfile

MAX_LAGS = 120
"""Lags of a profile at most, evenly spread."""
MIN_SEQUENCES = 3
"""Sequences that must be long enough for a lag to be part of the profile."""
LOOK_BACK = 0.01
"""Share of the gradient at lag 0 below which a step counts as forgotten."""
GOOD_FIT = 0.9
"""R^2 of log |gradient| over the lag above which its decay counts as exponential."""
NO_DECAY = 0.1
"""Fall of log |gradient| over all lags below which it does not decay."""
SMALLEST = 1e-12
"""Relative gradient below which float32 rounding decides."""


class Layer:
    """One observed cell, and the gradient of a score with respect to its states.

    Attributes:
        h: (B, T) norm of the gradient with respect to h after each step, in the order of reading.
        c: the same of the memory cell; that of h where there is none.
    """

    def __init__(self, cell: ObservedCell, h: Tensor, c: Tensor) -> None:
        self.cell, self.h, self.c = cell, h, c


def observe_layers(model: Model, x: Tensor, lengths: Tensor, seed: int = 0) -> list[Layer]:
    """Pass sequences through a model, and the gradient of its last output back.

    The score is u . y of each sequence, y the output of the top layer after the last step (both directions), u a random
    unit vector: what is measured is how far back the recurrence carries a gradient, whatever the pooling and the loss.

    Args:
        model: in evaluation mode.
        x, lengths: as `Model.forward` takes them.

    Raises:
        DataError: the model has no encoder.
    """
    with observed(model) as cells, torch.enable_grad():
        encoded = model(x, lengths).encoded
    if encoded is None or not cells:
        raise DataError("this model has no recurrent encoder to observe")
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(encoded.final.shape, generator=generator).to(encoded.final)
    score = (encoded.final * u / u.norm(dim=1, keepdim=True)).sum()
    hidden = [state.h for cell in cells for state in cell.states]
    memory = [_memory(state) for cell in cells for state in cell.states]
    gradients = torch.autograd.grad(score, [*hidden, *memory], allow_unused=True, materialize_grads=True)
    norms = [gradient.norm(dim=1) for gradient in gradients]
    layers, start = [], 0
    for cell in cells:
        end = start + len(cell.states)
        h, c = torch.stack(norms[start:end], 1), torch.stack(norms[len(hidden) + start : len(hidden) + end], 1)
        layers.append(Layer(cell, h, c))
        start = end
    return layers


def _memory(state: object) -> Tensor:
    """The memory cell of a state; its h where it has none."""
    parts = state._asdict()  # type: ignore[attr-defined]
    memory: Tensor = parts.get("c", parts["h"])
    return memory


def by_lag(norms: Tensor, lengths: Tensor) -> np.ndarray:
    """Norms (B, T) in the order of reading -> (B, T) by lag from each sequence's last step; NaN where there is none."""
    steps = torch.arange(norms.shape[1])
    index = lengths.cpu().unsqueeze(1) - 1 - steps  # (B, T): the step that lies so far back
    values = norms.detach().cpu().gather(1, index.clamp(min=0)).double()
    return torch.where(index >= 0, values, torch.full_like(values, torch.nan)).numpy()


def lag_profile(norms: Tensor, cell: ObservedCell) -> LagProfile:
    """Median and the band from the 10th to the 90th percentile over sequences, relative to the median at lag 0."""
    table = by_lag(norms, cell.lengths)
    enough = np.isfinite(table).sum(0) >= min(MIN_SEQUENCES, len(table))
    lags = np.flatnonzero(enough)
    median = np.nanmedian(table[:, lags], 0)
    scale = median[0] if median[0] > 0 else 1.0
    low, high = np.nanpercentile(table[:, lags], (10, 90), axis=0)
    remembered = np.flatnonzero(median / scale >= LOOK_BACK)
    last = int(remembered[-1]) if len(remembered) else 0
    chosen = np.unique(np.linspace(0, len(lags) - 1, min(len(lags), MAX_LAGS)).round().astype(int))
    return LagProfile(
        lags=(lags[chosen] * cell.dilation).tolist(),
        low=(low[chosen] / scale).tolist(),
        median=(median[chosen] / scale).tolist(),
        high=(high[chosen] / scale).tolist(),
        look_back=None if last == len(lags) - 1 else (last + 1) * cell.dilation,
    )


def half_lives(layer: Layer) -> HalfLives | None:
    """Steps in which each unit loses half of what it stores, by its gates alone; None for a cell without such gates.

    ln 2 / -mean(log f) over all steps. It may be read as memory only while the gradient with respect to the cell decays
    exponentially (arXiv 2111.03282): `note` says where it does not.
    """
    cell = layer.cell.cell
    if not isinstance(cell, TraceableCell):
        return None
    retention = cell.retention(layer.cell.stacked())
    if retention is None:
        return None
    rate = -valid_steps(retention, layer.cell).double().clamp(min=1e-6).log().mean(0)
    steps = [math.log(2) / value * layer.cell.dilation if value > 1e-9 else None for value in rate.tolist()]
    fit = exponential_fit(np.nanmedian(by_lag(layer.c, layer.cell.lengths), 0))
    if fit is None:
        note = "too few steps to tell whether the gradient decays exponentially: half-lives may not be read as memory"
    elif fit < GOOD_FIT:
        note = (
            f"the gradient does not decay exponentially (R^2 {fit:.2f}, below {GOOD_FIT}): half-lives may not be read "
            "as memory"
        )
    else:
        note = None
    return HalfLives(steps=steps, note=note)


def exponential_fit(median: np.ndarray) -> float | None:
    """R^2 of a straight line through log(median) over the lag, 0 where it rises; None for fewer than five lags."""
    usable = np.isfinite(median) & (median > SMALLEST * np.nanmax(median, initial=0.0)) & (median > 0)
    lags = np.flatnonzero(usable)
    if len(lags) < 5:
        return None
    logs = np.log(median[lags])
    slope, intercept = np.polyfit(lags, logs, 1)
    if slope * (lags[-1] - lags[0]) > -NO_DECAY:
        return 0.0
    total = float(((logs - logs.mean()) ** 2).sum())
    return 1.0 - float(((logs - slope * lags - intercept) ** 2).sum()) / total
