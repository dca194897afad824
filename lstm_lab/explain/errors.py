"""Where a model is wrong: groups of samples with a larger loss, confidence beside accuracy, and doubtful labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, quantiles, stdev

import torch
from torch import Tensor

from lstm_lab.data.base import Batch, Dataset, Split
from lstm_lab.data.kinds.series import WindowedDataset
from lstm_lab.data.kinds.windows import Windows
from lstm_lab.explain.sampling import evenly
from lstm_lab.records.explanation import Errors, SuspectedLabel, TemperatureFit
from lstm_lab.records.explanation import Slice as ErrorSlice
from lstm_lab.tasks.class_calibration import calibration_error, fit_temperature, with_target
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.tag import Tag
from lstm_lab.training.learner import Learner

SAMPLES, BATCH = 1024, 64
"""Samples of the validation split whose loss is measured, at most, and at once."""
MIN_SLICE, MAX_GROUPS = 5, 40
"""Samples of a slice at least, and groups of one kind at most."""
MIN_CALIBRATED = 100
"""Targets below which no temperature is fitted."""
MAX_SUSPECTS, MAX_TEXT = 30, 200
"""Labels that are listed, and characters of a text."""


def observe_errors(learner: Learner, dataset: Dataset) -> Errors | None:
    """Errors of a learner on samples that are evenly spread over the validation split; None for a stream.

    Args:
        learner: in evaluation mode.
    """
    split = dataset.validation
    if split.stateful:
        return None
    index = torch.tensor(evenly(len(split), SAMPLES))
    losses, logits, batches = [], [], []
    with torch.inference_mode():
        for part in index.split(BATCH):
            batch = split.take(part)
            found = learner.logits(batch)
            losses += _losses(learner, found, batch)
            logits.append(found)
            batches.append(batch)
    known = [value for value in losses if math.isfinite(value)]
    if len(known) < 2:
        return None
    groups = [*_by_target(learner, batches), *_by_length(batches), *_by_place(dataset, split, index)]
    task = learner.task
    return Errors(
        samples=len(known),
        loss=fmean(known),
        slices=[each for by, names in groups for each in _slices(by, names, losses)],
        calibration=_calibration(logits, batches) if isinstance(task, Classify | Tag) else None,
        suspects=_suspects(task, torch.cat(logits), torch.cat([batch.y for batch in batches]), split, index)
        if isinstance(task, Classify)
        else [],
    )


def _losses(learner: Learner, logits: Tensor, batch: Batch) -> list[float]:
    """The loss of each sample of a batch."""
    rows = [slice(n, n + 1) for n in range(len(batch.lengths))]
    return [float(learner.task.loss(logits[row], batch.select(row))) for row in rows]


Group = tuple[str, list[str]]
"""What samples are grouped by, and the group of each."""


def _by_target(learner: Learner, batches: list[Batch]) -> Iterator[Group]:
    y = [batch.y for batch in batches]
    if isinstance(learner.task, Classify):
        yield "class", [learner.task.classes[k] for k in torch.cat(y).tolist()]
    elif y[0].is_floating_point() and not learner.task.per_step:
        levels = [float(row.flatten().nanmean()) for part in y for row in part]
        if all(map(math.isfinite, levels)):
            yield "level of the target", _quarters(levels)


def _by_length(batches: list[Batch]) -> Iterator[Group]:
    lengths = [float(length) for batch in batches for length in batch.lengths.tolist()]
    if len(set(lengths)) > 1:
        yield "steps", _quarters(lengths)


def _by_place(dataset: Dataset, split: Split, index: Tensor) -> Iterator[Group]:
    """Of windows: where in the season their forecast begins, and of which series they are."""
    if not (isinstance(split, Windows) and isinstance(dataset, WindowedDataset)):
        return
    season = next(iter(dataset.info.seasons), 1)
    if season > 1:
        phase = (split.starts[index] + split.window - split.origins[index]) % season
        size = max(1, math.ceil(season / 24))
        yield f"first step ahead, row of the season of {season}", [_rows(int(p) // size * size, size) for p in phase]
    names = dataset.series.names
    if 1 < len(names) <= MAX_GROUPS:
        yield "series", [names[n] for n in split.series[index].tolist()]


def _rows(first: int, size: int) -> str:
    return str(first) if size == 1 else f"{first} to {first + size - 1}"


def _quarters(values: list[float]) -> list[str]:
    """The quarter that each value lies in, named by its ends; a group for each of up to four values."""
    if len(set(values)) <= 4:
        return [f"{value:.4g}" for value in values]
    edges = quantiles(values, n=4, method="inclusive")
    quarters = [sum(value > edge for edge in edges) for value in values]
    members = [[value for value, own in zip(values, quarters, strict=True) if own == n] for n in range(4)]
    names = [_between(min(each, default=0.0), max(each, default=0.0)) for each in members]
    return [names[n] for n in quarters]


def _between(low: float, high: float) -> str:
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _slices(by: str, names: list[str], losses: list[float]) -> list[ErrorSlice]:
    """Mean loss of each group, with its standard error; in the order in which groups occur."""
    groups: dict[str, list[float]] = {}
    for name, loss in zip(names, losses, strict=True):
        if math.isfinite(loss):
            groups.setdefault(name, []).append(loss)
    if len(groups) < 2:
        return []
    return [
        ErrorSlice(by=by, name=name, n=len(own), loss=fmean(own), error=stdev(own) / len(own) ** 0.5)
        for name, own in groups.items()
        if len(own) >= MIN_SLICE
    ]


def _calibration(logits: list[Tensor], batches: list[Batch]) -> TemperatureFit | None:
    """The temperature, and the calibration error before and after, each half by the temperature of the other."""
    pairs = [with_target(own, batch.y) for own, batch in zip(logits, batches, strict=True)]
    all_logits, y = torch.cat([each for each, _ in pairs]), torch.cat([each for _, each in pairs])
    if len(y) < MIN_CALIBRATED:
        return None
    even = torch.arange(len(y)) % 2 == 0
    scaled = all_logits.clone()
    for half in (even, ~even):
        scaled[half] = all_logits[half] / fit_temperature(all_logits[~half], y[~half])
    return TemperatureFit(
        temperature=fit_temperature(all_logits, y),
        ece_before=calibration_error(all_logits, y),
        ece_after=calibration_error(scaled, y),
        targets=len(y),
    )


def _suspects(task: Classify, logits: Tensor, y: Tensor, split: Split, index: Tensor) -> list[SuspectedLabel]:
    p, texts = logits.double().softmax(1), split.texts()
    return [
        SuspectedLabel(
            sample=int(index[n]),
            label=task.classes[int(y[n])],
            suggestion=task.classes[k],
            probability=float(p[n, int(y[n])]),
            suggested_probability=float(p[n, k]),
            text=texts[int(index[n])][:MAX_TEXT] if len(texts) else None,
        )
        for n, k in confident_errors(p, y)[:MAX_SUSPECTS]
    ]


def confident_errors(p: Tensor, y: Tensor) -> list[tuple[int, int]]:
    """Samples whose label is probably another class (confident learning; Northcutt, Jiang & Chuang 2021).

    A sample counts as of class k where p_k is at least the mean of p_k over the samples that are labelled k: of several
    such classes, the most likely one. It is listed where that class is more likely than its label.

    Args:
        p: (N, K) probabilities of a model that was not trained on these labels.
        y: (N,) labels.

    Returns:
        Number and other class of each, the largest difference p_k - p_y first.
    """
    # NaN of a class that does not occur, which nothing reaches.
    thresholds = torch.stack([p[y == k, k].mean() for k in range(p.shape[1])])
    confident = torch.where(p >= thresholds, p, -1.0)
    best, other = confident.max(1)
    own = p.gather(1, y.unsqueeze(1)).squeeze(1)
    found = torch.nonzero((best > own) & (other != y)).flatten().tolist()
    return sorted(((n, int(other[n])) for n in found), key=lambda pair: float(own[pair[0]] - p[pair]))
