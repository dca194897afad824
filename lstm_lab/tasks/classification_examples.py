"""Examples of classified sequences and of classified steps: confusion, calibration, precision, and mistakes.

The plain values become the typed records of `lstm_lab.records.examples`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, plain_values
from lstm_lab.tasks.class_calibration import BINS

MAX_WRONG, MAX_STEPS = 8, 120
"""Misclassified sequences, and steps of a labelled sequence that are kept."""
MAX_CLASSES, RECALL = 12, [step / 20 for step in range(21)]
"""Classes with a precision-recall curve, and the recalls at which it is read."""


def class_examples(classes: tuple[str, ...], outputs: Outputs) -> Row:
    """`ClassExamples` without what the run adds."""
    logits, batches = zip(*outputs, strict=True)
    probabilities, target = torch.cat(logits).softmax(-1), torch.cat([batch.y for batch in batches])  # (N, C), (N,)
    lengths = torch.cat([batch.lengths for batch in batches])
    of_target = probabilities.gather(1, target.unsqueeze(1)).squeeze(1)
    prediction = probabilities.argmax(-1)
    wrong = [n for n in of_target.argsort()[:MAX_WRONG].tolist() if prediction[n] != target[n]]
    worst = [
        {
            "sample": n, "target": classes[target[n]], "prediction": classes[prediction[n]],
            "probability": float(of_target[n]), "length": int(lengths[n]),
        }
        for n in wrong
    ]  # fmt: skip
    return {"kind": "classes", **_classification(classes, probabilities, target), "worst": worst}


def tag_examples(classes: tuple[str, ...], outputs: Outputs) -> Row:
    """`TagExamples` without what the run adds."""
    logits, batches = zip(*outputs, strict=True)
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
        "kind": "tags", **_classification(classes, probabilities[is_target], target[is_target]),
        "sequences": [
            {"name": name, "accuracy": accuracy, "target": y[:MAX_STEPS].tolist(),
             "prediction": prediction[:MAX_STEPS].tolist(), "length": len(y)}
            for name, (accuracy, y, prediction) in chosen.items()
        ],
    }  # fmt: skip


def _classification(classes: tuple[str, ...], probabilities: Tensor, target: Tensor) -> Row:
    """Confusion matrix, calibration and precision of probabilities (N, C) for targets (N,)."""
    C = len(classes)
    confidence, prediction = probabilities.max(-1)
    confusion = torch.bincount(target * C + prediction, minlength=C * C).view(C, C)
    bin_of = (confidence * BINS).long().clamp(max=BINS - 1)
    correct = (prediction == target).double()
    bins = [
        {"confidence": float(confidence[inside].mean()), "accuracy": float(correct[inside].mean()),
         "n": int(inside.sum())}
        for b in range(BINS) if (inside := bin_of == b).any()
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
        found[str(classes[c])] = plain_values(best[at])
    return found
