"""Metrics of several labels for each sequence, and examples of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MultilabelAUROC,
    MultilabelAveragePrecision,
    MultilabelConfusionMatrix,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from lstm_lab.data.base import Batch
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, TaskMetrics, plain_values

METRICS = ("mean_average_precision", "micro_f1", "macro_f1", "auroc", "subset_accuracy")
"""In the order in which they are shown; the first compares models where the loss is monitored."""
MAX_WORST = 8
"""Samples with a wrong set of labels that are kept."""


class MultiLabelMetrics(MetricCollection, TaskMetrics):
    """Over all samples:

    `mean_average_precision`, the mean over labels of the area below precision over recall; `micro_f1`, over all pairs
    of sample and label; `macro_f1`, the mean over labels; `auroc`, the mean over labels; `subset_accuracy`, the share
    of samples all of whose labels are right. Means over labels are over those for which a metric is defined: that some
    samples have, and for `auroc` others have not. `details` has the counts of each label.
    """

    def __init__(self, labels: Sequence[str], threshold: float = 0.5) -> None:
        K: Any = len(labels)
        options: Any = {"threshold": threshold, "validate_args": False}
        super().__init__(
            {
                "mean_average_precision": MultilabelAveragePrecision(K, average="none", validate_args=False),
                "micro_f1": MultilabelF1Score(K, average="micro", **options),
                "macro_f1": MultilabelF1Score(K, average="none", **options),
                "auroc": MultilabelAUROC(K, average="none", validate_args=False),
                "subset_accuracy": MultilabelExactMatch(K, **options),
                "counts": MultilabelConfusionMatrix(K, **options),
            }
        )
        self.labels = tuple(labels)

    def update(self, logits: Tensor, batch: Batch) -> None:  # type: ignore[override]
        """Add logits (B, K) of a batch whose y is (B, K)."""
        super().update(logits.double().sigmoid(), batch.y.int())

    def compute(self) -> dict[str, Any]:
        """Metric -> its value."""
        found = self._by_label()
        counts = found.pop("counts")
        some, others = counts[:, 1].sum(-1) > 0, counts[:, 0].sum(-1) > 0
        for name, defined in (("mean_average_precision", some), ("macro_f1", some), ("auroc", some & others)):
            found[name] = found[name][defined].mean()
        return {name: found[name] for name in METRICS}

    def _by_label(self) -> dict[str, Any]:
        with warnings.catch_warnings():
            # Of labels that no sample has, or all; they are left out.
            warnings.filterwarnings("ignore", message="No (positive|negative) samples")
            return super().compute()

    def details(self) -> dict[str, object]:
        """For each label: samples that have it, that were given it, and that were rightly given it; its metrics."""
        found = self._by_label()
        return {"labels": label_rows(self.labels, found["counts"], found["mean_average_precision"], found["auroc"])}

    def notes(self) -> list[str]:
        """Labels that a metric leaves out."""
        counts: Any = self["counts"]
        true = counts.compute().sum(-1)  # (K, 2): samples without and with each label
        absent, always = int((true[:, 1] == 0).sum()), int((true[:, 0] == 0).sum())
        of = f"of {len(self.labels)} labels"
        notes = [f"means over labels leave out {absent} {of}, which no sample of this split has"] if absent else []
        return notes + ([f"auroc leaves out {always} {of}, which all samples of this split have"] if always else [])


def label_rows(labels: Sequence[str], counts: Tensor, average_precision: Tensor, auroc: Tensor) -> list[Row]:
    """A row of plain values for each label.

    Args:
        counts: (K, 2, 2); rows are true, columns are predicted.
        average_precision, auroc: (K,), used where they are defined.
    """
    rows = []
    for name, ((right_without, wrong), (missed, right)), precision, area in zip(
        labels, counts.tolist(), plain_values(average_precision), plain_values(auroc), strict=True
    ):
        n, without = missed + right, right_without + wrong
        rows.append({
            "name": name, "n": n, "predicted": wrong + right, "correct": right,
            "average_precision": precision if n else None, "auroc": area if n and without else None,
        })  # fmt: skip
    return rows


def label_examples(labels: Sequence[str], threshold: float, outputs: Outputs) -> Row:
    """`LabelExamples` without what the run adds."""
    metrics, logits, batches = MultiLabelMetrics(labels, threshold), [], []
    for output, batch in outputs:
        metrics.update(output, batch)
        logits.append(output)
        batches.append(batch)
    z, y = torch.cat(logits), torch.cat([batch.y for batch in batches])
    lengths = torch.cat([batch.lengths for batch in batches])
    loss = F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(-1)
    chosen = z.double().sigmoid() > threshold
    wrong = [n for n in loss.argsort(descending=True).tolist() if (chosen[n] != y[n].bool()).any()][:MAX_WORST]
    worst = [
        {"sample": n, "target": _names(labels, y[n]), "prediction": _names(labels, chosen[n]), "loss": float(loss[n]),
         "length": int(lengths[n])}
        for n in wrong
    ]  # fmt: skip
    return {"kind": "labels", **metrics.details(), "worst": worst}


def _names(labels: Sequence[str], chosen: Tensor) -> list[str]:
    return [name for name, is_chosen in zip(labels, chosen.tolist(), strict=True) if is_chosen]
