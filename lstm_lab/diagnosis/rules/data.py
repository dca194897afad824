"""Inputs, labels, splits and batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from lstm_lab.data.base import Split
from lstm_lab.diagnosis.base import Rule
from lstm_lab.diagnosis.charts import bars, losses
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.diagnosis.rules.memory import nothing_learned
from lstm_lab.records.diagnosis import Finding
from lstm_lab.records.run_record import finite

LARGE = 10.0
"""Mean or standard deviation of a channel from which on it drowns the others and saturates the gates."""
WORSE = 1.5
"""Validation over training loss in the best epoch from which on another distribution shows."""
SHIFT = 1.0
"""Difference of a channel's mean between the splits, in standard deviations, that counts as another distribution."""
COPIES = 0.02
"""Share of validation samples that are training samples too, from which on scores are not to be believed."""
PART = 1024
"""Samples that are read at once."""
MAJORITY = 0.8
"""Share of the largest class from which on classes are imbalanced."""
FEW_BATCHES = 3
"""Optimizer steps of an epoch below which a batch is too large."""


class UnscaledInputs(Rule):
    """A channel far from mean 0 and standard deviation 1."""

    name, reads = "unscaled inputs", "network"

    def check(self, evidence: Evidence) -> Finding | None:
        if not evidence.reads_numbers:
            return None
        mean, std = evidence.train_inputs
        size = np.maximum(np.abs(mean), std)
        worst = int(size.argmax())
        if size[worst] < LARGE:
            return None
        return self.found(
            2,
            f"input channel {worst + 1} has mean {mean[worst]:.3g} and standard deviation {std[worst]:.3g} as the "
            "network reads it",
            advice="standardise it by the training split; take the logarithm of a heavy tail",
            chart=bars(
                "channel", "as the network reads it", range(1, len(mean) + 1), mean=mean.tolist(), std=std.tolist()
            ),
        )


class ShiftedSplit(Rule):
    """Channels of the validation split are distributed otherwise than those of the training split, and it shows."""

    name, reads = "validation split from another distribution", "network"

    def check(self, evidence: Evidence) -> Finding | None:
        if not evidence.reads_numbers:
            return None
        train, validation = evidence.train_inputs, evidence.validation_inputs
        scale = np.where(train.std > 1e-6, train.std, 1.0)
        shift = np.abs(train.mean - validation.mean) / scale
        worst = int(shift.argmax())
        if shift[worst] < SHIFT or not (worse_on_validation(evidence) or nothing_learned(evidence)):
            return None
        return self.found(
            2,
            f"the mean of input channel {worst + 1} is {train.mean[worst]:.3g} in the training split and "
            f"{validation.mean[worst]:.3g} in the validation split, {shift[worst]:.1f} standard deviations apart",
            advice="split at random or by groups, forecast differences (task.anchor), or train on more recent data",
            chart=bars(
                "channel",
                "mean",
                range(1, len(shift) + 1),
                training=train.mean.tolist(),
                validation=validation.mean.tolist(),
            ),
        )


def worse_on_validation(evidence: Evidence) -> bool:
    """Whether the validation loss of the best epoch is far above its training loss."""
    best = evidence.record.best or {}
    train, validation = best.get("train/loss"), best.get("val/loss")
    return finite(train) and finite(validation) and validation > WORSE * train > 0


class LeakingSplit(Rule):
    """Validation samples that are training samples too."""

    name, reads = "training samples in the validation split", "data"

    def check(self, evidence: Evidence) -> Finding | None:
        train, validation = evidence.dataset.train, evidence.dataset.validation
        if train.stateful or max(len(train), len(validation)) > 50_000:
            return None
        counts = Counter(_fingerprints(train))
        copies = sum(each in counts for each in _fingerprints(validation))
        share = copies / max(len(validation), 1)
        if share < COPIES:
            return None
        repeated = sum(count for count in counts.values() if count > 1) / max(counts.total(), 1)
        return self.found(
            # Data that repeat themselves, as short or generated sequences do, are equal in any split.
            3 if share > repeated + COPIES else 1,
            f"{copies} of {len(validation)} validation samples ({100 * share:.0f} %) are equal to a training sample: "
            "the scores are too good",
            advice="remove the copies, or split by groups (data.group) so that they stay together",
            chart=bars("validation samples", "count", ("copies", "others"), count=(copies, len(validation) - copies)),
        )


def _fingerprints(split: Split) -> Iterator[int]:
    """A hash of each sample's inputs, but of those without any change, as a constant series; in parts, for windows
    overlap and would fill the memory."""
    for index in torch.arange(len(split)).split(PART):
        batch = split.take(index)
        for row, length in enumerate(batch.lengths):
            x = batch.x[row, : int(length)]
            if bool((x != x[:1]).any()):
                yield hash(x.numpy().tobytes())


class ImbalancedClasses(Rule):
    """One class has most samples, and others are hardly predicted."""

    name = "imbalanced classes"

    def check(self, evidence: Evidence) -> Finding | None:
        counts, scores = evidence.class_counts, evidence.scores
        total = sum(counts)
        if not total or max(counts) < MAJORITY * total or "macro_f1" not in scores:
            return None
        if scores["macro_f1"] > scores["accuracy"] - 0.15:
            return None
        return self.found(
            2,
            f"the largest class has {100 * max(counts) / total:.0f} % of the training samples; accuracy "
            f"{scores['accuracy']:.3g}, macro-F1 {scores['macro_f1']:.3g}",
            "task.class_weights=balanced",
            "task.monitor=macro_f1",
            cost="accuracy may fall, for the largest class is preferred less",
            chart=bars("class", "training samples", range(len(counts)), samples=counts),
        )


class BatchTooLarge(Rule):
    """So few steps in an epoch that little is learned in it."""

    name = "batch too large"

    def check(self, evidence: Evidence) -> Finding | None:
        size = evidence.experiment.data.batch_size
        if not evidence.rows or evidence.steps_per_epoch > FEW_BATCHES or size < 32 or evidence.rows[-1]["step"] > 400:
            return None
        return self.found(
            2,
            f"{evidence.steps_per_epoch:.0f} optimizer steps in an epoch with data.batch_size {size}, "
            f"{evidence.rows[-1]['step'] + 1} in all",
            f"data.batch_size={max(16, size // 8)}",
            cost="more time for each epoch",
            chart=losses(evidence),
        )


class BatchTooSmall(Rule):
    """The loss of single samples decides each step."""

    name = "batch too small"

    def check(self, evidence: Evidence) -> Finding | None:
        size = evidence.experiment.data.batch_size
        if size > 2 or not evidence.rows or evidence.steps_per_epoch < 100:
            return None
        return self.found(
            1,
            f"data.batch_size is {size}: {evidence.steps_per_epoch:.0f} optimizer steps in an epoch, each from "
            f"{'one sample' if size == 1 else 'two samples'}",
            "data.batch_size=32",
            cost="none: an epoch takes less time",
            chart=losses(evidence),
        )
