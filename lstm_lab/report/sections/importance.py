"""Which hyperparameters decide the metric: the share of its variance that each explains (fANOVA; Hutter et al., 2014).

Compared are values at a common rung: the best of as many epochs as every trial was given. So a trial that was stopped
early counts, with what it had reached when the others stood where it was stopped.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import mean, quantiles, stdev
from typing import Any

from lstm_lab.records import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, as_json, axis, layout_of, plain
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, varying
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

FEWEST = 20
"""Trials below which the answer is noise."""
SEEDS, MOST = 4, 96
"""Forests that are averaged over, and trials at most that one is grown from: it slows with their square."""


@dataclass(frozen=True)
class Importance:
    shares: dict[str, float]
    """Hyperparameter -> share of the variance, the largest first; they sum to 1."""
    spreads: dict[str, float]
    """Standard deviation over forests."""
    trials: int
    points: int
    epochs: int
    """The common rung."""
    longest: int
    """Epochs of the trial that was trained longest."""
    left_out: list[str]
    """Hyperparameters that not every trial has."""


def rung(trials: list[Trial]) -> int:
    """Epochs that every trial was given which did not fail."""
    counts = [len(t.record.rows) for t in trials if t.record and t.record.rows and t.state in ("finished", "stopped")]
    return min(counts, default=0)


def importance(sweep: SweepRecord) -> Importance | None:
    """None with fewer than 20 trials, fewer than two hyperparameters, or values that changed while trials ran."""
    return _among(sweep, sweep.trials)


def arms(sweep: SweepRecord) -> tuple[str, dict[str, Importance]] | None:
    """What the others depend on under each value of a grid: the first grid that has 20 trials at each of its values.

    Returns:
        Its key, and what was found at each value; None where no grid has as many.
    """
    for key in varying(sweep):
        if sweep.space.get(key, ("", None))[0] != "grid":
            continue
        split: dict[str, list[Trial]] = {}
        for trial in sweep.trials:
            if key in trial.overrides:
                split.setdefault(fmt.setting(trial.overrides[key]), []).append(trial)
        found = {value: _among(sweep, trials) for value, trials in split.items()}
        whole = {value: one for value, one in found.items() if one is not None}
        if len(whole) == len(found) > 1:
            return key, whole
    return None


def _among(sweep: SweepRecord, trials: list[Trial]) -> Importance | None:
    if any(trial.lineage for trial in trials):
        return None
    # Of the whole sweep, so that what is said of a part of it can be compared.
    epochs = rung(sweep.trials)
    held = [(t, t.record.best_within(epochs)) for t in trials if t.record and len(t.record.rows) >= epochs > 0]
    scored = [(trial, value) for trial, value in held if value is not None]
    everywhere = [
        key
        for key in varying(sweep)
        if all(key in trial.overrides for trial, _ in scored)
        and len({fmt.same(trial.overrides[key]) for trial, _ in scored}) > 1
    ]
    if len(scored) < FEWEST or len(everywhere) < 2 or len({value for _, value in scored}) < 2:
        return None
    shares = [_shares(sweep, scored, everywhere, seed) for seed in range(SEEDS)]
    means = {key: mean(row[key] for row in shares) for key in everywhere}
    order = sorted(everywhere, key=lambda key: -means[key])
    return Importance(
        shares={key: means[key] for key in order},
        spreads={key: stdev(row[key] for row in shares) for key in order},
        trials=len(scored),
        points=len({trial.configuration for trial, _ in scored}),
        epochs=epochs,
        longest=max(len(trial.record.rows) for trial, _ in scored if trial.record),
        left_out=[key for key in varying(sweep) if key not in everywhere],
    )


def _shares(sweep: SweepRecord, scored: list[tuple[Trial, float]], keys: list[str], seed: int) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        drawn = random.Random(seed).sample(scored, min(MOST, len(scored)))
        low, high = fences([value for _, value in drawn])
        domains = {key: _domain(sweep, key, [trial.overrides[key] for trial, _ in scored]) for key in keys}
        study = optuna.create_study()
        study.add_trials([
            optuna.trial.create_trial(
                params={key: _told(trial.overrides[key], domains[key]) for key in keys}, distributions=domains,
                value=min(max(value, low), high),
            )
            for trial, value in drawn
        ])  # fmt: skip
        evaluator = FanovaImportanceEvaluator(n_trees=24, seed=seed)
        found = get_param_importances(study, evaluator=evaluator, params=keys)
    finally:
        optuna.logging.set_verbosity(said)
    return {key: float(found.get(key, 0.0)) for key in keys}


def fences(values: list[float]) -> tuple[float, float]:
    """Tukey's outer ones: what lies beyond counts as lying there, or one trial that went wrong would explain it all."""
    first, _, third = quantiles(values, n=4)
    return first - 3 * (third - first), third + 3 * (third - first)


def _domain(sweep: SweepRecord, key: str, values: list[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    kind = sweep.space.get(key, ("", None))[0]
    if all(finite(value) for value in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=kind in ("loguniform", "qloguniform") and low > 0)
    return CategoricalDistribution(sorted({fmt.same(value) for value in values}))


def _told(value: Any, domain: Any) -> Any:
    return float(value) if hasattr(domain, "low") else fmt.same(value)


def figure(found: Importance, metric: str) -> Figure:
    """Bars with their error, the largest on top."""
    names = fmt.short(found.shares)
    keys = list(found.shares)[::-1]
    height = 96 + 34 * len(keys)
    trace = {
        "type": "bar", "orientation": "h", "y": [plain(names[key]) for key in keys],
        "x": [found.shares[key] for key in keys], "marker": {"color": "--c1"},
        "error_x": {"type": "data", "array": [found.spreads[key] for key in keys], "color": "--ink", "thickness": 1.4},
        "hovertemplate": "%{y}: %{x:.0%}<extra></extra>",
    }  # fmt: skip
    layout = layout_of(
        height, xaxis=axis("share of the variance explained", range=[0, 1.02], tickformat=".0%"),
        yaxis=axis("", ticks="", showgrid=False, tickfont={"color": "--ink"}), bargap=0.45,
    )  # fmt: skip
    at = "points" if found.points < found.trials else "trials"
    caption = (
        f"Share of the variance of {fmt.metric(metric)} that each hyperparameter explains by "
        f"itself (fANOVA), from {found.trials} trials"
        + (f" of {found.points} points" if at == "points" else "")
        + f", each with the best of its first {fmt.plural(found.epochs, 'epoch')}, which all were given; mean and "
        f"standard deviation over {SEEDS} forests."
    )
    if found.epochs < found.longest:
        caption += " So what makes learning fast counts beside what makes it good."
    if found.points < FEWEST:
        caption += f" With fewer than {FEWEST} different points this is a hint."
    if found.left_out:
        caption += f" Left out, for not every trial has them: {fmt.listed(found.left_out)}."
    told = [f"{names[key]} {100 * share:.0f} %" for key, share in found.shares.items()]
    alt = f"Bars of the importance of each hyperparameter for {fmt.metric(metric)}: {fmt.listed(told)}."
    return Figure("importance", "importance", caption, alt, as_json([trace], layout), height)


def table(found: Importance) -> Table:
    """The same in numbers."""
    names = fmt.short(found.shares)
    down = [
        [Cell(names[key]) for key in found.shares],
        aligned(found.shares.values(), lambda share: f"{100 * share:.1f} %"),
        aligned(found.spreads.values(), lambda share: f"{100 * share:.1f} %"),
    ]
    columns = [Column("hyperparameter"), Column("share", True), Column("spread", True, "over forests")]
    return Table("Importance", columns, [list(row) for row in zip(*down, strict=True)])


def arms_table(key: str, found: dict[str, Importance]) -> Table:
    """A row for each value of the grid, a column for each hyperparameter, those that matter most on average first."""
    keys = {other for one in found.values() for other in one.shares}
    order = sorted(keys, key=lambda other: (-mean(one.shares.get(other, 0.0) for one in found.values()), other))
    names = fmt.short([key, *order])
    down = [
        [Cell(value) for value in found],
        aligned(one.trials for one in found.values()),
        *(
            aligned((one.shares.get(other) for one in found.values()), lambda share: f"{100 * share:.0f} %")
            for other in order
        ),
    ]
    columns = [Column(names[key]), Column("trials", True), *(Column(names[other], True) for other in order)]
    caption = f"Share of the variance that each hyperparameter explains under each {names[key]}"
    return Table(caption, columns, [list(row) for row in zip(*down, strict=True)])
