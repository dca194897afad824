"""The learning rate, clipping, and the number of steps."""

from __future__ import annotations

import math
from statistics import median

from lstm_lab.diagnosis.base import Rule
from lstm_lab.diagnosis.charts import by_rate, curves, losses
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.records.diagnosis import Finding
from lstm_lab.records.run_record import RunRecord, finite, selected

CATCHES_UP = 0.5
"""Share of the progress of a lower rate from which on later epochs decide."""
SLOW = 0.15
"""Share of the progress of a tenfold rate below which the rate counts as too low."""
TINY = 1e-5
"""A rate so low that a thousand times as high may bring the loss no further in sixty steps."""
SPIKE = 20.0
"""Gradient norm of an epoch over the median of those before it, from which on gradients count as exploding."""
LEARNED = 0.05
"""Share of the first epoch's loss below which there is little left to learn."""
FALLING = 0.08
"""Share by which the validation loss falls over the last third of a run from which on it was stopped too early."""
FEW_STEPS = 150
"""Optimizer steps in all, below which training can hardly have begun."""


class LearningRateTooHigh(Rule):
    """Sixty steps from the same weights on the same batches lower the loss further with a lower rate."""

    name, reads = "learning rate too high", "start"

    def check(self, evidence: Evidence) -> Finding | None:
        if evidence.dataset.train.stateful:
            return None
        trainings, lr = evidence.short_trainings, evidence.lr
        own = trainings.loss_at_rate(1.0)
        losses = {factor: trainings.loss_at_rate(factor) for factor in (0.3, 0.1)}
        if own <= min(losses.values()):
            return None
        losses |= {factor: trainings.loss_at_rate(factor) for factor in (0.03, 0.01)}
        best = min(losses, key=lambda factor: losses[factor])
        before = trainings.loss_before()
        # The loss itself may be small: what counts is the share of the way down.
        gained, possible = before - own, before - losses[best]
        if possible <= 0 or (math.isfinite(own) and gained > CATCHES_UP * possible):
            return None
        return self.found(
            3,
            f"60 steps from the first weights end at a training loss of {own:.3g} with optimizer.lr {lr:g}, and of "
            f"{losses[best]:.3g} with {lr * best:.2g} (before: {before:.3g})",
            f"optimizer.lr={lr * best:.2g}",
            cost="none",
            chart=by_rate(trainings, {1.0: own, **losses}),
        )


class LearningRateTooLow(Rule):
    """The loss hardly moves in sixty steps in which one ten to a thousand times as high, or more, brings it down."""

    name, reads = "learning rate too low", "start"

    def check(self, evidence: Evidence) -> Finding | None:
        # The monitored metric may not move at all: an accuracy, where no prediction changes.
        record = evidence.record
        if evidence.dataset.train.stateful or not (still_improving(record) or still_improving(record, by_loss=True)):
            return None
        trainings, lr = evidence.short_trainings, evidence.lr
        before, own = trainings.loss_before(), trainings.loss_at_rate(1.0)
        factors = (10.0, 100.0, 1000.0, *([1e4] if lr <= TINY else []))
        losses = {factor: trainings.loss_at_rate(factor) for factor in factors}
        best = min(losses, key=lambda factor: losses[factor])
        possible = before - losses[best]
        if possible < 0.05 * abs(before) or before - own > SLOW * possible:
            return None
        return self.found(
            3,
            f"60 steps lower the training loss from {before:.3g} to {own:.3g} with optimizer.lr {lr:g}, and to "
            f"{losses[best]:.3g} with {lr * best:.2g}",
            f"optimizer.lr={lr * best:.2g}",
            cost="none",
            chart=by_rate(trainings, {1.0: own, **losses}),
        )


class ExplodingGradients(Rule):
    """No clipping, and gradient norms of some epochs far above those of the others; or the loss became NaN."""

    name = "exploding gradients without clipping"

    def check(self, evidence: Evidence) -> Finding | None:
        if evidence.experiment.trainer.gradient_clip_val is not None:
            return None
        norms = evidence.curve("train/grad_norm")
        diverged = evidence.record.state == "failed" and "loss is" in (evidence.record.reason or "")
        # To those before: of a run that converges they fall, and the first one is far above the median of all.
        before = [median(norms[:epoch]) for epoch in range(1, len(norms))]
        ratio = max((norm / usual for norm, usual in zip(norms[1:], before, strict=True) if usual > 0), default=0.0)
        if not diverged and ratio < SPIKE and (not norms or max(norms) < 1e3):
            return None
        measured = (
            f"the loss is no longer a number ({evidence.record.reason})" if diverged
            else f"the mean gradient norm of an epoch is up to {max(norms):.3g}, {ratio:.0f} times the median before it"
        )  # fmt: skip
        return self.found(
            3,
            f"{measured}, and trainer.gradient_clip_val is null",
            "trainer.gradient_clip_val=1.0",
            cost="none",
            chart=curves(evidence, "train/grad_norm", y="gradient norm", log_y=True) if norms else None,
        )


class StoppedTooEarly(Rule):
    """The last epoch is the best one by far, at a rate that was not annealed."""

    name = "stopped too early"

    def check(self, evidence: Evidence) -> Finding | None:
        improvement = left_to_learn(evidence.record)
        if improvement is None:
            return None
        epochs, steps = len(evidence.rows), evidence.rows[-1]["step"] + 1
        return self.found(
            2,
            f"the best epoch is the last of {epochs} ({steps} optimizer steps); the validation loss fell by "
            f"{100 * improvement:.0f} % over the last third",
            f"trainer.max_epochs={4 * evidence.experiment.trainer.max_epochs}",
            cost="at most four times the time; trainer.patience ends it earlier",
            chart=losses(evidence),
        )


def left_to_learn(run: RunRecord) -> float | None:
    """Share by which the validation loss fell over the last third of a finished run, whose last epoch is its best.

    Returns:
        None where training more epochs cannot be expected to bring much.
    """
    if run.state != "finished" or not still_improving(run):
        return None
    losses = [row["val/loss"] for row in run.rows if finite(row.get("val/loss"))]
    if len(losses) > 1 and 0 <= losses[-1] < LEARNED * losses[0]:
        return None
    third = losses[-max(len(losses) // 3, 1) - 1 :]
    improvement = (third[0] - third[-1]) / abs(third[0]) if len(third) > 1 and third[0] else 0.0
    return improvement if improvement >= FALLING or run.rows[-1]["step"] < FEW_STEPS else None


def still_improving(run: RunRecord, by_loss: bool = False) -> bool:
    """Whether the best epoch is the last one, and the learning rate did not end near zero by its schedule.

    Args:
        by_loss: the best by the validation loss, not by the monitored metric.
    """
    best = selected(run.rows, *(("val/loss", "min") if by_loss else (run.monitor, run.mode)))
    if best is None:
        return False
    rates = [row["lr"] for row in run.rows if finite(row.get("lr"))]
    annealed = bool(rates) and rates[-1] < 0.3 * max(rates)
    return bool(best["epoch"] == run.rows[-1]["epoch"]) and not annealed
