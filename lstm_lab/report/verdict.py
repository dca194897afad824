"""The sentence that compares a model with its baselines, for pages and the command line. Imports nothing slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lstm_lab.records.scores import Metrics, compared_metric, standing
from lstm_lab.report import fmt


@dataclass(frozen=True)
class Verdict:
    """How the model compares with its baselines on one split."""

    text: str
    beaten: bool
    """Whether a baseline scores better than the model."""
    headline: str = ""
    """What a page says first where the model is not better than every baseline; else empty."""


def verdict(
    split: str, monitor: str, model: Metrics, baselines: Mapping[str, Metrics], skills: Mapping[str, float | None]
) -> Verdict | None:
    """Whether a baseline scores better than the model, as one sentence; None where nothing can be compared.

    Args:
        split: name of the split: validation or test.
        monitor: the monitored metric; where it is the loss, the first metric that the baselines have is compared.
        model: the model's scores.
        skills: of the model against each baseline (`scores.skill`); None where the baseline has no error.
    """
    metric = compared_metric(monitor, model, baselines.values())
    found = standing(metric, model, baselines, skills)
    if found.winner is None:
        return None
    values = {name: baselines[name][metric] for name in (*found.better, *found.level, *found.worse)}
    score = f"{fmt.metric(metric)} {fmt.number(model.get(metric))}"
    if found.better:
        best, *others = found.better
        text = f"{fmt.capitalized(best)} scores better than the model on the {split} split: {fmt.metric(metric)} "
        text += f"{fmt.number(values[best])} against {fmt.number(model.get(metric))}."
        if others:
            text += f" So {'does' if len(others) == 1 else 'do'} {fmt.join(others)}."
        return Verdict(text, True, f"A baseline, {best}, scores better than the model on the {split} split.")
    if found.level:
        text = f"The model is level with {fmt.join(found.level)} on the {split} split: {score}. "
        headline = f"The model is no better than {fmt.join(found.level)} on the {split} split."
        return Verdict(f"{text}No baseline scores better.", False, headline)
    known = {name: skill for name in found.worse if (skill := skills.get(name)) is not None}
    # Of a model without error the skill against every baseline is 1.
    best = min(known, key=lambda name: (known[name], abs(values[name] - model[metric])))
    text = f"The model scores better than every baseline on the {split} split: {score} against "
    text += f"{fmt.number(values[best])} for {best}, the best baseline, whose error it reduces by "
    text += f"{fmt.percent(known[best])}."
    return Verdict(text, beaten=False)
