"""Hyperparameter importance: the share of the metric's variance that each explains (fANOVA; Hutter et al., 2014).

Trials are compared by their best value within the epochs that every trial was given. So a trial that was stopped early
counts with its value at the epoch at which the others were compared with it.

Each share has an interval from a bootstrap over configurations (Efron 1979): a forest is fitted to each resample. Where
intervals overlap, or a forest does not predict the configurations that it was not fitted to, the order of what matters
is not known yet: forests find something in noise too, and more in numbers than in a choice of two.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean, quantiles, stdev
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.config import canonical_json
from lstm_lab.records.run_record import finite
from lstm_lab.report import fmt
from lstm_lab.report.records.hyperparameters import is_grid, is_logarithmic, varying
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MIN_CONFIGURATIONS = 4
"""Distinct ones, below which there is nothing to resample."""
MIN_TRIALS = 20
"""Trials with each value of a grid, below which the other hyperparameters are not compared between its values."""
NUM_FORESTS, NUM_TREES, MAX_TRIALS = 4, 24, 96
"""Random forests that are averaged, their trees, and trials that one is fitted to: its time grows with their square."""
NUM_RESAMPLES, RESAMPLE_TREES, RESAMPLE_TRIALS = 16, 6, 64
"""The same of the forests that the intervals come from, one for each resample."""
ENDS = (0.05, 0.95)
"""Quantiles at the ends of an interval."""


@dataclass(frozen=True)
class Importance:
    """Importance of the hyperparameters of a sweep, or of the trials with one value of a grid."""

    shares: dict[str, float]
    """Hyperparameter -> share of the variance, the largest first; they sum to 1."""
    stds: dict[str, float]
    """Standard deviation over forests."""
    intervals: dict[str, tuple[float, float]]
    """The middle 90 % of the share over resamples."""
    predicts: float | None
    """R^2 of a forest for configurations that it was not fitted to; None where there are too few to tell."""
    trials: int
    configurations: int
    epochs: int
    """Epochs within which trials are compared."""
    max_epochs: int
    """Epochs of the longest trial."""
    left_out: list[str]
    """Hyperparameters that not every trial has, or that do not vary."""

    def is_known(self, key: str) -> bool:
        """Whether the place of a hyperparameter is known: its interval overlaps with no other one."""
        low, high = self.intervals[key]
        others = [ends for other, ends in self.intervals.items() if other != key]
        return (self.predicts or 0.0) > 0.0 and all(high < below or above < low for below, above in others)


def shared_epochs(trials: list[Trial]) -> int:
    """Epochs that every trial was given that did not fail."""
    counts = [len(t.record.rows) for t in trials if t.record and t.record.rows and t.state in ("finished", "stopped")]
    return min(counts, default=0)


def importance(sweep: SweepRecord) -> Importance | None:
    """Importance over all trials.

    Returns:
        None for fewer than 4 configurations, fewer than two hyperparameters, or some that changed during training.
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
        found = {
            value: one
            for value, trials in groups.items()
            if len(trials) >= MIN_TRIALS and (one := _importance(sweep, trials)) and one.trials >= MIN_TRIALS
        }
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
    by_number: dict[int, list[tuple[Trial, float]]] = {}
    for trial, value in scored:
        by_number.setdefault(trial.configuration, []).append((trial, value))
    if len(by_number) < MIN_CONFIGURATIONS or len(keys) < 2 or len({value for _, value in scored}) < 2:
        return None
    distributions = {key: _distribution(sweep, key, [trial.overrides[key] for trial, _ in scored]) for key in keys}
    forests = [
        _shares(random.Random(seed).sample(scored, min(MAX_TRIALS, len(scored))), distributions, seed, NUM_TREES)
        for seed in range(NUM_FORESTS)
    ]
    resampled = [
        _shares(_resampled(by_number, seed), distributions, seed, RESAMPLE_TREES) for seed in range(NUM_RESAMPLES)
    ]
    means = {key: mean(shares[key] for shares in forests) for key in keys}
    order = sorted(keys, key=lambda key: -means[key])
    # A resample of fewer trials varies more than one of all would.
    scale = math.sqrt(min(1.0, RESAMPLE_TRIALS / len(scored)))
    return Importance(
        shares={key: means[key] for key in order},
        stds={key: stdev(shares[key] for shares in forests) for key in order},
        intervals={key: _interval(means[key], [shares[key] for shares in resampled], scale) for key in order},
        predicts=_prediction(by_number, distributions),
        trials=len(scored),
        configurations=len(by_number),
        epochs=epochs,
        max_epochs=max(len(record.rows) for _, record in long_enough),
        left_out=[key for key in varying(sweep) if key not in keys],
    )


Scored = list[tuple[Trial, float]]


def _resampled(by_number: dict[int, Scored], seed: int) -> Scored:
    """Trials of as many configurations as there are, drawn with replacement: their seeds belong together."""
    rng = random.Random(seed)
    numbers = sorted(by_number)
    while True:
        drawn = [each for number in rng.choices(numbers, k=len(numbers)) for each in by_number[number]][
            :RESAMPLE_TRIALS
        ]
        if len({value for _, value in drawn}) > 1:
            return drawn


def _interval(share: float, resampled: list[float], scale: float) -> tuple[float, float]:
    """The ends of the middle 90 % of resampled shares around that of all trials.

    Their distance from their own mean counts, scaled: a forest for a resample, in which trials are missing, is biased.
    """
    low, high = (scale * (float(np.quantile(resampled, end)) - mean(resampled)) for end in ENDS)
    return max(0.0, min(share, share + low)), min(1.0, max(share, share + high))


def _prediction(by_number: dict[int, Scored], distributions: dict[str, BaseDistribution]) -> float | None:
    """R^2 of a random forest for the means of configurations that its trees have not seen."""
    from sklearn.ensemble import RandomForestRegressor

    rows, values = [], []
    for each in by_number.values():
        overrides = each[0][0].overrides
        rows.append([float(d.to_internal_repr(_parameter(overrides[key], d))) for key, d in distributions.items()])
        values.append(mean(value for _, value in each))
    if len(values) < 2 * MIN_CONFIGURATIONS:
        return None
    low, high = outlier_bounds(values)
    forest = RandomForestRegressor(64, oob_score=True, random_state=0)
    forest.fit(np.array(rows), np.clip(values, low, high))
    return float(forest.oob_score_)


def _shares(drawn: Scored, distributions: dict[str, BaseDistribution], seed: int, trees: int) -> dict[str, float]:
    """Importance by one forest."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    keys = list(distributions)
    low, high = outlier_bounds([value for _, value in drawn])
    with _quiet(optuna):
        study = optuna.create_study()
        study.add_trials([
            optuna.trial.create_trial(
                params={key: _parameter(trial.overrides[key], distributions[key]) for key in keys},
                distributions=distributions, value=min(max(value, low), high),
            )
            for trial, value in drawn
        ])  # fmt: skip
        evaluator = FanovaImportanceEvaluator(n_trees=trees, seed=seed)
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
