"""Overfitting, underfitting, and scores that no better than nothing explains."""

from __future__ import annotations

from lstm_lab.diagnosis.base import Rule
from lstm_lab.diagnosis.charts import bars, losses
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.records.diagnosis import Finding

AT_ENTROPY = 0.98
"""Share of the prior's entropy above which a loss says that nothing of the inputs is used."""
GAP = 3.0
"""Validation loss over training loss from which on the gap counts as overfitting."""
RISE = 1.5
"""Last over best validation loss from which on it does."""


class Overfitting(Rule):
    """Best after few epochs, then the validation loss rises far while the training loss falls."""

    name = "overfitting"

    def check(self, evidence: Evidence) -> Finding | None:
        train, validation = evidence.curve("train/loss"), evidence.curve("val/loss")
        if len(validation) < 6 or len(train) != len(validation) or min(validation) <= 0 or min(train) <= 0:
            return None
        best = validation.index(min(validation))
        gap, rise = validation[-1] / train[-1], validation[-1] / validation[best]
        if gap < GAP or rise < RISE or best > len(validation) // 2 or train[-1] > 0.5 * train[best]:
            return None
        dropout = 0.5
        beats_all = bool(evidence.skills) and min(evidence.skills.values()) > 0.1
        return self.found(
            1 if beats_all else 2,  # Its best epoch is from before.
            f"the validation loss is best in epoch {best} ({validation[best]:.3g}) and {validation[-1]:.3g} in epoch "
            f"{len(validation) - 1}, where the training loss is {train[-1]:.3g}",
            *_dropout(evidence, dropout),
            "optimizer.weight_decay=0.01",
            cost="slower convergence, a few more epochs",
            chart=losses(evidence),
        )


def _dropout(evidence: Evidence, share: float) -> list[str]:
    """The override that sets dropout before the head."""
    model = evidence.section("model")
    return [f"model.dropout.output={share}"] if isinstance(model.get("dropout"), dict) else [f"model.dropout={share}"]


class NothingLearned(Rule):
    """The validation loss stays at the entropy of the classes' shares."""

    name = "loss at its entropy floor"

    def check(self, evidence: Evidence) -> Finding | None:
        entropy, validation, train = evidence.prior_entropy, evidence.curve("val/loss"), evidence.curve("train/loss")
        if entropy is None or not validation or not train:
            return None
        if min(validation) < AT_ENTROPY * entropy or min(train) < 0.9 * entropy:
            return None
        return self.found(
            3,
            f"the validation loss is {min(validation):.4g} at best and the training loss {min(train):.4g}; predicting "
            f"the classes' shares alone gives {entropy:.4g}",
            advice="nothing of the inputs is used: another finding says why, or the labels do not belong to the inputs",
            chart=losses(evidence),
        )


class LabelsWithoutSignal(Rule):
    """Training samples are learned by heart, and validation stays at chance: labels shuffled, or another source."""

    name = "labels that the inputs do not explain"

    def check(self, evidence: Evidence) -> Finding | None:
        entropy, validation, train = evidence.prior_entropy, evidence.curve("val/loss"), evidence.curve("train/loss")
        if entropy is None or not validation or not train:
            return None
        if min(validation) < AT_ENTROPY * entropy or min(train) > 0.9 * entropy:
            return None
        return self.found(
            3,
            f"the training loss falls to {min(train):.3g}, the validation loss is never below {min(validation):.3g}, "
            f"where predicting the classes' shares gives {entropy:.3g}",
            advice="check that labels and inputs are in the same order, and that both splits come from the same source",
            chart=losses(evidence),
        )


class Underfitting(Rule):
    """The training loss stops falling early and far from zero, and a larger network falls faster."""

    name, reads = "too small a network", "start"

    def check(self, evidence: Evidence) -> Finding | None:
        size = evidence.record.about.get("hidden_size")
        if not isinstance(size, int) or size > 16 or evidence.dataset.train.stateful:
            return None
        model = evidence.section("model")
        if "hidden_size" not in model or model.get("max_parameters") is not None:
            return None
        trainings = evidence.short_trainings
        before, own, larger = (
            trainings.loss_before(), trainings.loss_with(), trainings.loss_with(f"model.hidden_size={8 * size}")
        )  # fmt: skip
        if before - larger <= 0 or before - own > 0.6 * (before - larger):
            return None
        return self.found(
            2,
            f"60 steps lower the training loss from {before:.3g} to {own:.3g} with {size} units, and to {larger:.3g} "
            f"with {8 * size}",
            f"model.hidden_size={8 * size}",
            cost="more time and memory for each step",
            chart=bars(
                "after 60 steps",
                "training loss",
                ("before", f"{size} units", f"{8 * size} units"),
                loss=(before, own, larger),
            ),
        )


class TooRegularized(Rule):
    """Without dropout and weight decay the loss on the training samples falls much further."""

    name, reads = "too strongly regularized", "start"

    def check(self, evidence: Evidence) -> Finding | None:
        plain = _unregularized(evidence)
        if not plain or evidence.dataset.train.stateful:
            return None
        trainings = evidence.short_trainings
        before, own, without = trainings.loss_before(), trainings.loss_with(), trainings.loss_with(*plain)
        if before - without <= 0.05 * abs(before) or before - own > 0.4 * (before - without):
            return None
        return self.found(
            2,
            f"60 steps lower the training loss from {before:.3g} to {own:.3g}, and to {without:.3g} without dropout "
            "and weight decay",
            *plain,
            cost="none",
            chart=bars(
                "after 60 steps", "training loss", ("before", "as it is", "without"), loss=(before, own, without)
            ),
        )


def _unregularized(evidence: Evidence) -> list[str]:
    """Overrides that switch off what is strong: dropout from 0.6 on, weight decay from 0.1 on."""
    dropout = evidence.section("model").get("dropout")
    found = []
    if isinstance(dropout, dict):
        found = [f"model.dropout.{site}=0" for site, share in dropout.items() if share >= 0.6]
    elif isinstance(dropout, float) and dropout >= 0.6:
        found = ["model.dropout=0"]
    return found + (
        ["optimizer.weight_decay=0"] if evidence.section("optimizer").get("weight_decay", 0.0) >= 0.1 else []
    )


class BaselineWins(Rule):
    """A method without a network scores better."""

    name = "a baseline wins"

    def check(self, evidence: Evidence) -> Finding | None:
        worse = {name: skill for name, skill in evidence.skills.items() if skill < -0.02}
        if not worse:
            return None
        name = min(worse, key=lambda each: worse[each])
        return self.found(
            1,
            f"on the validation split '{name}' has {100 / (1 - worse[name]):.0f} % of the model's error",
            advice=f"use '{name}' unless another finding is mended first",
            chart=bars("baseline", "skill of the model", [*evidence.skills], skill=[*evidence.skills.values()]),
        )
