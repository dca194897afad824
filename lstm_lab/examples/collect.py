"""Predictions of a trained run on samples of its validation split, collected once for the page, W&B and the API.

The test split is never read here. Of a large split at most `MAX_SAMPLES` samples are taken, evenly spread over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, Split
from lstm_lab.evaluate import load_weights
from lstm_lab.example_records import AnyExamples, parse_examples, read_examples, write_examples
from lstm_lab.examples.next_step import next_steps
from lstm_lab.experiment import Experiment
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

Outputs = Iterable[tuple[Batch, Tensor]]
"""Batches, and the model's output for each."""
Content = dict[str, Any]
MAX_SAMPLES, BATCH_SIZE, MAX_WRONG, MAX_STEPS, MAX_TEXT = 2048, 64, 8, 120, 400
NUM_BINS = 10
MAX_VALUES = 400
"""Values of a regression that are kept."""
MAX_CLASSES, RECALL = 12, [step / 20 for step in range(21)]
"""Classes with a precision-recall curve, and the recalls at which it is read."""


def examples_of(run: Run) -> AnyExamples | None:
    """Examples of the best epoch, from examples.json, or computed and written where that is of another epoch.

    Returns:
        None where the task has no examples.

    Raises:
        Fault: there is no checkpoint, or the data are missing or not those it was trained on.
    """
    best = (run.status.get("best") or {}).get("epoch")
    examples = read_examples(run.path)
    if examples is not None and examples.epoch == best:
        return examples
    examples = compute_examples(run)
    if examples is not None:
        write_examples(run.path, examples)
    return examples


def compute_examples(run: Run) -> AnyExamples | None:
    """Predict samples of the validation split with the weights of the best epoch.

    Raises:
        Fault: as `examples_of`.
    """
    experiment = Experiment.of(run.experiment, str(run.path / "experiment.yaml"))
    dataset = experiment.data.build()
    if dataset.digest != run.about["data"]["digest"]:
        raise DataError(f"{run.path}: its data are no longer those it was trained on")
    learner = build(experiment, dataset)
    epoch = load_weights(learner, run)
    split = dataset.validation
    indices = _sample_indices(split, 4 * experiment.data.batch_size)

    def outputs() -> Iterator[tuple[Batch, Tensor]]:
        for index in indices:
            batch = split.take(index)
            yield batch, learner(batch).logits

    with torch.inference_mode():
        content = collect(learner.task, outputs())
    if not content:
        return None
    if "worst" in content:
        _name_samples(content["worst"], split, torch.cat(indices))
    samples = sum(map(len, indices))
    return parse_examples({
        "split": "validation", "epoch": epoch, "samples": samples, "total": len(split),
        "first_samples": split.stateful, **content,
    })  # fmt: skip


def _sample_indices(split: Split, batch_size: int) -> list[Tensor]:
    """Indices of the samples to predict, batch by batch."""
    if split.stateful:
        # The prediction of a chunk depends on the chunks before it: read in the order of validation, from the start.
        batches = [torch.from_numpy(rows) for rows in split.plan(batch_size).batches(None)]
        so_far = torch.tensor([len(rows) for rows in batches]).cumsum(0)
        return batches[: max(int((so_far <= MAX_SAMPLES).sum()), 1)]
    evenly = sorted(set(torch.linspace(0, len(split) - 1, min(len(split), MAX_SAMPLES)).round().long().tolist()))
    return [torch.tensor(evenly[start : start + BATCH_SIZE]) for start in range(0, len(evenly), BATCH_SIZE)]


def _name_samples(rows: list[Content], split: Split, index: Tensor) -> None:
    """Replace the positions among the predicted samples by indices in the split, and add the texts."""
    texts = split.texts()
    for row in rows:
        row["sample"] = int(index[row["sample"]])
        if len(texts):
            row["text"] = texts[row["sample"]][:MAX_TEXT]


@singledispatch
def collect(task: Task, outputs: Outputs) -> Content:
    """Plain values for examples.json from a model's outputs; empty for a task without examples."""
    return {}


@collect.register
def _(task: Classify, outputs: Outputs) -> Content:
    batches, logits = zip(*outputs, strict=True)
    probabilities, target = torch.cat(logits).softmax(-1), torch.cat([batch.y for batch in batches])  # (N, C), (N,)
    lengths = torch.cat([batch.lengths for batch in batches])
    of_target = probabilities.gather(1, target.unsqueeze(1)).squeeze(1)
    prediction = probabilities.argmax(-1)
    wrong = [n for n in of_target.argsort()[:MAX_WRONG].tolist() if prediction[n] != target[n]]
    worst = [
        {
            "sample": n, "target": task.classes[target[n]], "prediction": task.classes[prediction[n]],
            "probability": float(of_target[n]), "length": int(lengths[n]),
        }
        for n in wrong
    ]  # fmt: skip
    return {"kind": "classes", **_classification(task.classes, probabilities, target), "worst": worst}


@collect.register
def _(task: Tag, outputs: Outputs) -> Content:
    batches, logits = zip(*outputs, strict=True)
    probabilities = torch.cat([z.flatten(0, 1) for z in logits]).softmax(-1)
    target = torch.cat([batch.y.flatten() for batch in batches])
    is_target = target >= 0
    sequences = []
    for batch, output in zip(batches, logits, strict=True):
        for y, z, length in zip(batch.y, output, batch.lengths.tolist(), strict=True):
            labelled, prediction = y[:length] >= 0, z[:length].argmax(-1)
            if labelled.any():
                accuracy = float((prediction == y[:length])[labelled].float().mean())
                sequences.append((accuracy, y[:length], prediction))
    sequences.sort(key=lambda sequence: sequence[0])
    chosen = {"worst": sequences[0], "median": sequences[len(sequences) // 2]} if sequences else {}
    return {
        "kind": "tags", **_classification(task.classes, probabilities[is_target], target[is_target]),
        "sequences": [
            {"name": name, "accuracy": accuracy, "target": y[:MAX_STEPS].tolist(),
             "prediction": prediction[:MAX_STEPS].tolist(), "length": len(y)}
            for name, (accuracy, y, prediction) in chosen.items()
        ],
    }  # fmt: skip


def _classification(classes: tuple[str, ...], probabilities: Tensor, target: Tensor) -> Content:
    """Confusion matrix, calibration and precision of probabilities (N, C) for targets (N,)."""
    C = len(classes)
    confidence, prediction = probabilities.max(-1)
    confusion = torch.bincount(target * C + prediction, minlength=C * C).view(C, C)
    bin_of = (confidence * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    correct = (prediction == target).double()
    bins = [
        {"confidence": float(confidence[inside].mean()), "accuracy": float(correct[inside].mean()),
         "n": int(inside.sum())}
        for b in range(NUM_BINS) if (inside := bin_of == b).any()
    ]  # fmt: skip
    return {
        "classes": list(classes), "confusion": confusion.tolist(), "calibration": bins,
        "recall": RECALL, "precision": _precision(classes, probabilities, target),
    }  # fmt: skip


def _precision(classes: tuple[str, ...], probabilities: Tensor, target: Tensor) -> dict[str, list[float | None]]:
    """The best precision at each recall or more, of the most frequent classes against all others."""
    found = {}
    for c in torch.bincount(target, minlength=len(classes)).argsort(descending=True)[:MAX_CLASSES].tolist():
        hits = (target == c)[probabilities[:, c].argsort(descending=True)].double().cumsum(0)
        if hits[-1] == 0:
            continue
        precision = hits / torch.arange(1, len(hits) + 1)
        best = precision.flip(0).cummax(0).values.flip(0)  # At each recall, the best of it or more.
        at = torch.searchsorted(hits / hits[-1], torch.tensor(RECALL, dtype=torch.float64) - 1e-9)
        found[str(classes[c])] = _rounded(best[at])
    return found


@collect.register
def _(task: Forecast, outputs: Outputs) -> Content:
    horizon, K = task.shape
    rows, targets, pasts = [], [], []
    for batch, output in outputs:
        scale, _ = scale_of(task.info, batch)
        rows += task.predictions(output, batch)
        targets.append(batch.y * scale.std + scale.mean)
        pasts.append(batch.x[:, : task.info.window, :K] * scale.std + scale.mean)
    target, past = torch.cat(targets), torch.cat(pasts)  # (N, horizon, K), (N, window, K)
    predictions = torch.tensor(rows, dtype=torch.float64)  # (N, horizon, K * columns)
    columns = predictions.shape[-1] // K
    error = (predictions[..., ::columns] - target).abs()  # Of the point forecast.
    of_window = error.nanmean((1, 2)).nan_to_num(0.0)
    order, N = of_window.argsort(), len(of_window)
    ranks = {"median": N // 2, "90th percentile": (9 * N) // 10, "worst": N - 1}
    windows = [
        {
            "name": name, "error": float(of_window[order[rank]]),
            "past": _rounded(past[order[rank], -3 * horizon :, 0]),
            "target": _rounded(target[order[rank], :, 0]),
            "predictions": [_rounded(column) for column in predictions[order[rank], :, :columns].T],
        }
        for name, rank in ranks.items()
    ]  # fmt: skip
    return {
        "kind": "forecasts", "target_name": task.info.targets[0], "num_targets": K, "windows": windows,
        "error_by_step": _rounded(error.nanmean((0, 2))), "columns": list(task.prediction_columns[:columns]),
        "coverage": _coverage(predictions, target, columns) if columns > 1 else [],
    }  # fmt: skip


def _coverage(predictions: Tensor, target: Tensor, columns: int) -> list[Content]:
    """Share of targets (N, horizon, K) inside each interval; every `columns`-th prediction is a point forecast."""
    levels = [level for level in LEVELS if level != 0.5]
    ends = {level: predictions[..., 1 + number :: columns] for number, level in enumerate(levels)}
    known = ~target.isnan()
    return [
        {
            "level": round(high - low, 3),
            "coverage": float(((target >= ends[low]) & (target <= ends[high]))[known].float().mean()),
        }
        for low, high in zip(levels[: len(levels) // 2], levels[::-1], strict=False)
    ]


@collect.register
def _(task: NextStep, outputs: Outputs) -> Content:
    return next_steps(task, outputs)


@collect.register
def _(task: Regress, outputs: Outputs) -> Content:
    batches, values = zip(*outputs, strict=True)
    prediction, target = torch.cat(values)[:, 0], torch.cat([batch.y for batch in batches])[:, 0]
    evenly = torch.linspace(0, len(target) - 1, min(len(target), MAX_VALUES)).round().long()
    return {
        "kind": "values", "target_name": task.targets[0], "target": _rounded(target[evenly]),
        "prediction": _rounded(prediction[evenly]),
    }  # fmt: skip


def _rounded(values: Tensor) -> list[float | None]:
    """Plain values with six significant digits; None for NaN."""
    return [float(f"{value:.6g}") if value == value else None for value in values.tolist()]
