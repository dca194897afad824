"""Hyperparameter importance: the share of the metric's variance that each explains (fANOVA; Hutter et al., 2014).

Trials are compared by their best value within the epochs that every trial was given. So a trial that was stopped early
counts with its value at the epoch at which the others were compared with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean, quantiles, stdev
from types import ModuleType
from typing import TYPE_CHECKING

from lstm_lab.config import canonical_json
from lstm_lab.records import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, number_cell, percentages
from lstm_lab.report.records.hyperparameters import is_grid, is_logarithmic, varying
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MIN_TRIALS = 20
"""Trials below which the estimate is noise."""
NUM_FORESTS, NUM_TREES, MAX_TRIALS = 4, 24, 96
"""Random forests that are averaged, their trees, and trials that one is fitted to: its time grows with their square."""


@dataclass(frozen=True)
class Importance:
    """Importance of the hyperparameters of a sweep, or of the trials with one value of a grid."""

    shares: dict[str, float]
    """Hyperparameter -> share of the variance, the largest first; they sum to 1."""
    stds: dict[str, float]
    """Standard deviation over forests."""
    trials: int
    configurations: int
    epochs: int
    """Epochs within which trials are compared."""
    max_epochs: int
    """Epochs of the longest trial."""
    left_out: list[str]
    """Hyperparameters that not every trial has, or that do not vary."""


def shared_epochs(trials: list[Trial]) -> int:
    """Epochs that every trial was given that did not fail."""
    counts = [len(t.record.rows) for t in trials if t.record and t.record.rows and t.state in ("finished", "stopped")]
    return min(counts, default=0)


def importance(sweep: SweepRecord) -> Importance | None:
    """Importance over all trials.

    Returns:
        None for fewer than 20 trials, fewer than two hyperparameters, or hyperparameters that changed during training.
    """
    return _importance(sweep, sweep.trials)


def importance_by_value(sweep: SweepRecord) -> tuple[str, dict[str, Importance]] | None:
    """Importance of the others for each value of a grid: the first grid that has 20 trials at each of its values.

    Returns:
        Its key, and the importance for each value; None where there is no such grid.
    """
    for key in varying(sweep):
        if not is_grid(sweep, key):
            continue
        groups: dict[str, list[Trial]] = {}
        for trial in sweep.trials:
            if key in trial.overrides:
                groups.setdefault(fmt.value(trial.overrides[key]), []).append(trial)
        found = {value: one for value, trials in groups.items() if (one := _importance(sweep, trials)) is not None}
        if len(found) == len(groups) > 1:
            return key, found
    return None


def _importance(sweep: SweepRecord, trials: list[Trial]) -> Importance | None:
    if any(trial.lineage for trial in trials):
        return None
    epochs = shared_epochs(sweep.trials)  # Of the whole sweep, so that groups of its trials can be compared.
    long_enough = [(t, t.record) for t in trials if t.record and len(t.record.rows) >= epochs > 0]
    scored = [(trial, value) for trial, r in long_enough if (value := r.best_within(epochs)) is not None]
    keys = [
        key
        for key in varying(sweep)
        if all(key in trial.overrides for trial, _ in scored)
        and len({canonical_json(trial.overrides[key]) for trial, _ in scored}) > 1
    ]
    if len(scored) < MIN_TRIALS or len(keys) < 2 or len({value for _, value in scored}) < 2:
        return None
    forests = [_shares(sweep, scored, keys, seed) for seed in range(NUM_FORESTS)]
    means = {key: mean(shares[key] for shares in forests) for key in keys}
    order = sorted(keys, key=lambda key: -means[key])
    return Importance(
        shares={key: means[key] for key in order},
        stds={key: stdev(shares[key] for shares in forests) for key in order},
        trials=len(scored),
        configurations=len({trial.configuration for trial, _ in scored}),
        epochs=epochs,
        max_epochs=max(len(record.rows) for _, record in long_enough),
        left_out=[key for key in varying(sweep) if key not in keys],
    )


def _shares(sweep: SweepRecord, scored: list[tuple[Trial, float]], keys: list[str], seed: int) -> dict[str, float]:
    """Importance by one forest."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    drawn = random.Random(seed).sample(scored, min(MAX_TRIALS, len(scored)))
    low, high = outlier_bounds([value for _, value in drawn])
    distributions = {key: _distribution(sweep, key, [trial.overrides[key] for trial, _ in scored]) for key in keys}
    with _quiet(optuna):
        study = optuna.create_study()
        study.add_trials([
            optuna.trial.create_trial(
                params={key: _parameter(trial.overrides[key], distributions[key]) for key in keys},
                distributions=distributions, value=min(max(value, low), high),
            )
            for trial, value in drawn
        ])  # fmt: skip
        evaluator = FanovaImportanceEvaluator(n_trees=NUM_TREES, seed=seed)
        found = get_param_importances(study, evaluator=evaluator, params=keys)
    return {key: float(found.get(key, 0.0)) for key in keys}


@contextmanager
def _quiet(optuna: ModuleType) -> Iterator[None]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def outlier_bounds(values: list[float]) -> tuple[float, float]:
    """Tukey's outer fences. Values are clipped to them, or one diverged trial would explain all the variance."""
    first, _, third = quantiles(values, n=4)
    return first - 3 * (third - first), third + 3 * (third - first)


def _distribution(sweep: SweepRecord, key: str, values: list[object]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    numbers = [value for value in values if finite(value)]
    if len(numbers) == len(values):
        low, high = float(min(numbers)), float(max(numbers))
        return FloatDistribution(low, high, log=is_logarithmic(sweep, key) and low > 0)
    return CategoricalDistribution(sorted({canonical_json(value) for value in values}))


def _parameter(value: object, distribution: BaseDistribution) -> object:
    from optuna.distributions import FloatDistribution

    return float(value) if isinstance(distribution, FloatDistribution) and finite(value) else canonical_json(value)


def importance_figure(found: Importance, metric: str) -> Figure:
    """Bars with their standard deviation, the largest on top."""
    names = fmt.short_names(found.shares)
    keys = list(found.shares)[::-1]
    height = 96 + 34 * len(keys)
    trace = {
        "type": "bar", "orientation": "h", "y": [plain_text(names[key]) for key in keys],
        "x": [found.shares[key] for key in keys], "marker": {"color": "--c1"},
        "error_x": {"type": "data", "array": [found.stds[key] for key in keys], "color": "--text", "thickness": 1.4},
        "hovertemplate": "%{y}: %{x:.0%}<extra></extra>",
    }  # fmt: skip
    layout = base_layout(
        height, xaxis=axis("share of the variance explained", range=[0, 1.02], tickformat=".0%"),
        yaxis=axis("", ticks="", showgrid=False, tickfont={"color": "--text"}), bargap=0.45,
    )  # fmt: skip
    of = f" of {found.configurations} configurations" if found.configurations < found.trials else ""
    caption = (
        f"Share of the variance of {fmt.metric(metric)} that each hyperparameter explains by itself (fANOVA), from "
        f"{found.trials} trials{of}, each with the best of its first {fmt.plural(found.epochs, 'epoch')}, which all "
        f"were given. Mean and standard deviation over {NUM_FORESTS} random forests."
    )
    if found.epochs < found.max_epochs:
        caption += " So hyperparameters that speed up training count as well as those that improve its result."
    if found.configurations < MIN_TRIALS:
        caption += f" With fewer than {MIN_TRIALS} distinct configurations the estimate is weak."
    if found.left_out:
        caption += f" Left out, because not every trial has them: {fmt.join(found.left_out)}."
    shares = [f"{names[key]} {100 * share:.0f} %" for key, share in found.shares.items()]
    alt = f"Bar chart of hyperparameter importance for {fmt.metric(metric)}: {fmt.join(shares)}."
    return Figure("importance", "hyperparameter importance", caption, alt, to_json([trace], layout), height)


def importance_table(found: Importance) -> Table:
    """The same as numbers."""
    names = fmt.short_names(found.shares)
    return Table.of_columns(
        "Hyperparameter importance",
        [Column("hyperparameter"), Column("share", True, "of the variance"), Column("std", True, "over forests")],
        [
            [Cell(names[key]) for key in found.shares],
            percentages(found.shares.values()),
            percentages(found.stds.values()),
        ],
    )


def importance_by_value_table(key: str, found: dict[str, Importance]) -> Table:
    """A row per value of the grid, a column per hyperparameter, the most important ones on average first."""
    keys = {other for one in found.values() for other in one.shares}
    order = sorted(keys, key=lambda other: (-mean(one.shares.get(other, 0.0) for one in found.values()), other))
    names = fmt.short_names([key, *order])
    return Table.of_columns(
        f"Share of the variance that each hyperparameter explains for each {names[key]}",
        [Column(names[key]), Column("trials", True), *(Column(names[other], True) for other in order)],
        [
            [Cell(value) for value in found],
            [number_cell(one.trials) for one in found.values()],
            *(percentages((one.shares.get(other) for one in found.values()), 0) for other in order),
        ],
    )
