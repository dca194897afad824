"""What a trained run answers to its validation part, as plain values: examples.json beside its record.

The test part is never opened here. Of a large part samples evenly over it are taken, `SAMPLES` at most.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch
from lstm_lab.evaluate import load_weights
from lstm_lab.examples.next_step import next_steps
from lstm_lab.experiment import Experiment
from lstm_lab.files import write_atomic
from lstm_lab.run import Run
from lstm_lab.tasks.base import Task
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting.outputs import LEVELS
from lstm_lab.tasks.forecasting.scale import scale_of
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.tasks.regress import Regress
from lstm_lab.tasks.tag import Tag
from lstm_lab.training import build

Answer = tuple[Batch, Tensor]
"""A batch, and what the model put out for it."""
SAMPLES, CHUNK, WORST, STEPS = 2048, 64, 8, 120
BINS = 10
CURVES, RECALL = 12, [step / 20 for step in range(21)]
"""Classes that get a curve of precision over recall, and where it is read."""


def examples_of(run: Run) -> dict[str, Any]:
    """Answers of the best epoch, and what is to be seen in them; empty where the task has nothing to show.

    Raises:
        Fault: there is no checkpoint, or the data are gone or not those it was trained on.
    """
    experiment = Experiment.of(run.experiment, str(run.path / "experiment.yaml"))
    dataset = experiment.data.build()
    if dataset.digest != run.about["data"]["digest"]:
        raise DataError(f"{run.path}: its data are no longer those it was trained on")
    learner = build(experiment, dataset)
    epoch = load_weights(learner, run)
    split = dataset.validation
    index = _asked(split, 4 * experiment.data.batch_size)

    def answers() -> Iterator[Answer]:
        for rows in index:
            batch = split.take(rows)
            yield batch, learner(batch).logits

    with torch.inference_mode():
        found = shown(learner.task, answers())
    if not found:
        return {}
    if found["kind"] == "classes":
        texts = split.features() if hasattr(split, "features") else ()
        places = torch.cat(index)
        for row in found["worst"]:
            row["sample"] = int(places[row["sample"]])
            if len(texts) > row["sample"] and isinstance(texts[row["sample"]], str):
                row["text"] = texts[row["sample"]][:400]
    how = {"first": True} if split.stateful else {}
    return {"part": "validation", "epoch": epoch, "samples": sum(map(len, index)), "of": len(split), **how, **found}


def _asked(split: Any, batch_size: int) -> list[Tensor]:
    """Places of the samples that are asked for, batch by batch."""
    if split.stateful:
        # What a chunk is answered depends on the chunks before it: as validation reads them, from the beginning.
        batches = [torch.from_numpy(rows) for rows in split.plan(batch_size).batches(None)]
        so_far = torch.tensor([len(rows) for rows in batches]).cumsum(0)
        return batches[: max(int((so_far <= SAMPLES).sum()), 1)]
    return list(torch.linspace(0, len(split) - 1, min(len(split), SAMPLES)).round().long().unique().split(CHUNK))


def keep(run: Run) -> dict[str, Any]:
    """examples.json, made anew where the run has a better epoch by now."""
    path = run.path / "examples.json"
    best = (run.status.get("best") or {}).get("epoch")
    if path.is_file():
        try:
            kept = json.loads(path.read_bytes())
        except ValueError:
            kept = {}
        if kept and kept.get("epoch") == best:
            return kept
    found = examples_of(run)
    if found:
        write_atomic(path, json.dumps(found))
    return found


@singledispatch
def shown(task: Task, answers: Iterable[Answer]) -> dict[str, Any]:
    """What there is to see in the answers; a task without anything to show says nothing."""
    return {}


@shown.register
def _(task: Classify, answers: Iterable[Answer]) -> dict[str, Any]:
    batches, outputs = zip(*answers, strict=True)
    chances, truth = torch.cat(outputs).softmax(-1), torch.cat([batch.y for batch in batches])  # (N, C), (N,)
    lengths = torch.cat([batch.lengths for batch in batches])
    worst = chances.gather(1, truth.unsqueeze(1)).squeeze(1).argsort()[:WORST]
    rows = [
        {
            "sample": int(place), "truth": task.classes[truth[place]], "answer": task.classes[chances[place].argmax()],
            "chance": float(chances[place, truth[place]]),
            "length": int(lengths[place]),
        }
        for place in worst
        if chances[place].argmax() != truth[place]
    ]  # fmt: skip
    return {"kind": "classes", **_classes(task.classes, chances, truth), "worst": rows}


@shown.register
def _(task: Tag, answers: Iterable[Answer]) -> dict[str, Any]:
    batches, outputs = zip(*answers, strict=True)
    chances = torch.cat([output.flatten(0, 1) for output in outputs]).softmax(-1)
    truth = torch.cat([batch.y.flatten() for batch in batches])
    asked = truth >= 0
    strips = []
    for batch, output in zip(batches, outputs, strict=True):
        for y, z, length in zip(batch.y, output, batch.lengths.tolist(), strict=True):
            there = y[:length] >= 0
            if there.any():
                right = float((z[:length].argmax(-1) == y[:length])[there].float().mean())
                strips.append((right, y[:length], z[:length].argmax(-1)))
    strips.sort(key=lambda strip: strip[0])
    chosen = {"the worst": strips[0], "one in the middle": strips[len(strips) // 2]} if strips else {}
    return {
        "kind": "tags", **_classes(task.classes, chances[asked], truth[asked]),
        "strips": [
            {"name": name, "right": right, "truth": y[:STEPS].tolist(), "answer": z[:STEPS].tolist(), "length": len(y)}
            for name, (right, y, z) in chosen.items()
        ],
    }  # fmt: skip


def _classes(classes: tuple[str, ...], chances: Tensor, truth: Tensor) -> dict[str, Any]:
    """Confusion (rows are the truth), and how often the answer is right at each level of confidence."""
    C = len(classes)
    sure, answer = chances.max(-1)
    confusion = torch.bincount(truth * C + answer, minlength=C * C).view(C, C)
    place = (sure * BINS).long().clamp(max=BINS - 1)
    right = (answer == truth).double()
    bins = [
        {"sure": float(sure[place == b].mean()), "right": float(right[place == b].mean()), "n": int((place == b).sum())}
        for b in range(BINS)
        if (place == b).any()
    ]
    return {
        "classes": list(classes), "confusion": confusion.tolist(), "calibration": bins,
        "recall": RECALL, "precision": _precision(classes, chances, truth),
    }  # fmt: skip


def _precision(classes: tuple[str, ...], chances: Tensor, truth: Tensor) -> dict[str, list[float | None]]:
    """The best precision at each recall or more, of the most frequent classes against all others."""
    found = {}
    for place in torch.bincount(truth, minlength=len(classes)).argsort(descending=True)[:CURVES].tolist():
        hits = (truth == place)[chances[:, place].argsort(descending=True)].double().cumsum(0)
        if hits[-1] == 0:
            continue
        precision = hits / torch.arange(1, len(hits) + 1)
        best = precision.flip(0).cummax(0).values.flip(0)  # At each recall the best of it or more.
        at = torch.searchsorted(hits / hits[-1], torch.tensor(RECALL, dtype=torch.float64) - 1e-9)
        found[str(classes[place])] = _plain(best[at])
    return found


@shown.register
def _(task: Forecast, answers: Iterable[Answer]) -> dict[str, Any]:
    batches, outputs = zip(*answers, strict=True)
    horizon, K = task.shape
    rows, truths, pasts = [], [], []
    for batch, output in zip(batches, outputs, strict=True):
        scale, _ = scale_of(task.info, batch)
        rows += task.predictions(output, batch)
        truths.append(batch.y * scale.std + scale.mean)
        pasts.append(batch.x[:, : task.info.window, :K] * scale.std + scale.mean)
    truth, past = torch.cat(truths), torch.cat(pasts)  # (N, horizon, K), (N, window, K)
    said = torch.tensor(rows, dtype=torch.float64)  # (N, horizon, K * parts)
    parts = said.shape[-1] // K
    error = (said[..., ::parts] - truth).abs()  # Of the medians.
    each = error.nanmean((1, 2)).nan_to_num(0.0)
    order = each.argsort()
    N = len(order)
    wanted = {"one in the middle": N // 2, "worse than nine in ten": (9 * N) // 10, "the worst": N - 1}
    windows = [
        {
            "name": name, "error": float(each[order[rank]]), "past": _plain(past[order[rank], -3 * horizon :, 0]),
            "truth": _plain(truth[order[rank], :, 0]),
            "said": [_plain(column) for column in said[order[rank], :, :parts].T],
        }
        for name, rank in wanted.items()
    ]  # fmt: skip
    found: dict[str, Any] = {
        "kind": "forecasts", "target": task.info.targets[0], "targets": K, "windows": windows,
        "steps": _plain(error.nanmean((0, 2))), "parts": list(task.prediction_columns[:parts]),
    }  # fmt: skip
    if parts > 1:
        levels = [level for level in LEVELS if level != 0.5]
        ends = {level: said[..., 1 + place :: parts] for place, level in enumerate(levels)}
        there = ~truth.isnan()
        found["inside"] = [
            {
                "level": round(high - low, 3),
                "share": float(((truth >= ends[low]) & (truth <= ends[high]))[there].float().mean()),
            }
            for low, high in zip(levels[: len(levels) // 2], levels[::-1], strict=False)
        ]  # fmt: skip
    return found


@shown.register
def _(task: NextStep, answers: Iterable[Answer]) -> dict[str, Any]:
    return next_steps(task, answers)


@shown.register
def _(task: Regress, answers: Iterable[Answer]) -> dict[str, Any]:
    batches, outputs = zip(*answers, strict=True)
    said, truth = torch.cat(outputs)[:, 0], torch.cat([batch.y for batch in batches])[:, 0]
    drawn = torch.linspace(0, len(said) - 1, min(len(said), 400)).round().long()
    return {
        "kind": "numbers", "target": task.targets[0], "truth": _plain(truth[drawn]), "said": _plain(said[drawn]),
    }  # fmt: skip


def _plain(values: Tensor) -> list[float | None]:
    """Six digits are more than a page shows; a gap has none."""
    return [float(f"{value:.6g}") if value == value else None for value in values.tolist()]
