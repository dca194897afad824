"""Search spaces and sweeps whose result says less than it seems to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, variance

from lstm_lab.config import ConfigError
from lstm_lab.diagnosis.rules.learning_rate import left_to_learn
from lstm_lab.diagnosis.sweep import SweepRule
from lstm_lab.records.diagnosis import Chart, Finding, Series
from lstm_lab.records.run_record import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.importance import importance
from lstm_lab.report.parts.paired import lead
from lstm_lab.sweeps.space.domains.base import Domain
from lstm_lab.sweeps.space.domains.choice import Choice
from lstm_lab.sweeps.space.domains.ranges import Range
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import Configuration, Trial
from lstm_lab.sweeps.store.record import SweepRecord

TOP, MIN_CONFIGURATIONS = 3, 10
"""Best configurations that must lie at the same edge, and configurations below which no edge is named."""
BEST_WITHIN, TOP_WITHIN = 0.1, 0.25
"""Share of a range, from its edge, in which the best one and the top ones lie."""
P = 0.05
"""Below which a difference counts as none of chance."""
UNIMPORTANT, CERTAIN, MANY_TRIALS = 0.02, 0.05, 30
"""Share of the variance below which a hyperparameter does not matter, that with two standard deviations added, and
trials below which none is named."""
MOST, MIN_TRIALS, MIN_FAILURES = 0.8, 4, 3
"""Share of the trials that end too early, trials to judge by, and failures that can be clustered."""
MIN_SEEDS, MAX_SEEDS = 3, 20
"""Seeds below which an interval holds zero nearly always, and beyond which a difference is not worth deciding."""


class BestAtEdge(SweepRule):
    """The best configurations have the least or the greatest value of a range."""

    name = "best value at the edge of its range"

    def check(self, sweep: SweepRecord) -> Finding | None:
        for key, (name, arguments) in sweep.space.items():
            rows = [row for row in sweep.configurations if finite(row.mean) and finite(row.overrides.get(key))]
            is_front = bool(sweep.criteria.objectives)  # Then the first ones lie from one end of it to the other.
            if len(rows) < MIN_CONFIGURATIONS or is_front or any(trial.lineage for trial in sweep.trials):
                continue
            domain = Domain.members[name](arguments)
            wider = _wider(domain, rows, key, sweep.mode)
            if wider is None or not _is_valid(sweep, rows[0], key, wider):
                continue
            values = [float(row.overrides[key]) for row in rows]
            return self.found(
                1,
                f"the best {TOP} of {len(rows)} configurations have {fmt.short_names([*sweep.space])[key]} "
                f"{', '.join(f'{value:.3g}' for value in values[:TOP])}; its values are {_text(name, arguments)}",
                f"space.{key}={_text(name, wider)}",
                cost="the sweep again",
                chart=Chart(
                    x=key, y=fmt.metric(sweep.metric), kind="points", log_x=isinstance(domain, Range) and domain.log,
                    series=[Series(name="configuration", x=[*values], y=[row.mean for row in rows])],
                ),
            )  # fmt: skip
        return None


def _wider(domain: Domain, rows: Sequence[Configuration], key: str, mode: str) -> list[float] | None:
    """Arguments of a domain that reaches further, where the best configurations, which come first, are at an edge."""
    from scipy.stats import mannwhitneyu, spearmanr

    values = [float(row.overrides[key]) for row in rows]
    cost = [(row.mean or 0.0) * (-1 if mode == "max" else 1) for row in rows]
    if isinstance(domain, Range):
        low, high = domain.bounds
        position = [_position(value, low, high, domain.log) for value in values]
        for at_top in (False, True):
            away = [1 - each if at_top else each for each in position]
            if away[0] > BEST_WITHIN or max(away[:TOP]) > TOP_WITHIN:
                continue
            found = spearmanr(away, cost)
            if found.statistic > 0 and found.pvalue < P:
                return [*_stretched(low, high, domain, at_top=at_top), *domain.arguments[2:]]
        return None
    listed = sorted(value for value in domain.arguments if finite(value)) if isinstance(domain, Choice) else []
    if len(listed) < 3 or len(listed) < len(set(map(str, domain.arguments if isinstance(domain, Choice) else []))):
        return None
    for edge, beside, further in ((listed[-1], listed[-2], listed[-1] ** 2 / listed[-2] if listed[-2] else 0),
                                  (listed[0], listed[1], listed[0] ** 2 / listed[1] if listed[1] else 0)):  # fmt: skip
        ours = [each for each, value in zip(cost, values, strict=True) if value == edge]
        theirs = [each for each, value in zip(cost, values, strict=True) if value == beside]
        if values[0] != edge or min(len(ours), len(theirs)) < TOP or further <= 0:
            continue
        if float(mannwhitneyu(ours, theirs, alternative="less").pvalue) < P:
            added = round(further) if all(isinstance(value, int) for value in listed) else float(f"{further:.2g}")
            return sorted({*listed, added}) if added != edge else None
    return None


def _position(value: float, low: float, high: float, log: bool) -> float:
    return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)


def _stretched(low: float, high: float, domain: Range, *, at_top: bool) -> list[float]:
    """A range that reaches half of its own length further at one end."""
    if domain.log:
        step = (high / low) ** 0.5
        low, high = (low, high * step) if at_top else (low / step, high)
    else:
        step = (high - low) / 2
        low, high = (low, high + step) if at_top else (low - step, high)
    return [math.floor(low), math.ceil(high)] if domain.integer else [float(f"{low:.3g}"), float(f"{high:.3g}")]


def _is_valid(sweep: SweepRecord, best: Configuration, key: str, wider: Sequence[float]) -> bool:
    """Whether the experiment takes the new values: a dropout of 0 is an edge that nothing lies behind."""
    spec = SweepFolder.open(sweep.path).sweep
    try:
        for value in (min(wider[:2]), max(wider) if len(wider) > 2 else wider[1]):
            spec.experiment_for({**best.overrides, key: value}, 0)
    except ConfigError:
        return False
    return True


def _text(name: str, arguments: object) -> str:
    """A domain as a sweep file writes it."""
    listed = arguments if isinstance(arguments, list) else [arguments]
    return f"{{{name}: [{', '.join(f'{each:g}' if finite(each) else str(each) for each in listed)}]}}"


class DecidedByNoise(SweepRule):
    """The interval of the difference between the two best configurations holds zero."""

    name = "sweep decided by noise"

    def check(self, sweep: SweepRecord) -> Finding | None:
        found = lead(sweep)
        if found is None or found.low is None or found.high is None or found.n < MIN_SEEDS:
            return None
        if not found.low <= 0 <= found.high:
            return None
        half = (found.high - found.low) / 2
        needed = math.ceil(found.n * (half / found.mean) ** 2) if found.mean else MAX_SEEDS + 1
        told = (
            f"about {max(needed, found.n + 1)} seeds would tell them apart" if needed <= MAX_SEEDS
            else f"more than {MAX_SEEDS} seeds would be needed to tell them apart: take the cheaper one"
        )  # fmt: skip
        seeds = list(range(max(needed, found.n + 1))) if needed <= MAX_SEEDS else []
        return self.found(
            1,
            f"the best configuration is better than the second by {fmt.number(found.mean)} over "
            f"{fmt.plural(found.n, 'seed')}, 95 % confidence interval {fmt.number(found.low)} to "
            f"{fmt.number(found.high)}; {told}",
            *([f"confirm={{top: 2, seeds: {seeds}}}"] if seeds else ()),
            cost=f"the sweep again, then {2 * len(seeds)} trainings" if seeds else "",
            chart=_seeds_chart(sweep, 2),
        )


class SeedsSpread(SweepRule):
    """Seeds of the same configuration differ more than configurations do."""

    name = "seeds differ more than configurations"

    def check(self, sweep: SweepRecord) -> Finding | None:
        groups = [
            [trial.value for trial in row.trials if trial.value is not None]
            for row in sweep.configurations
            if row.completed and row.n > 1 and not any(trial.lineage for trial in row.trials)
        ]
        if len(groups) < MIN_TRIALS or len({len(group) for group in groups}) > 1:
            return None
        within = fmean(variance(group) for group in groups)
        between = len(groups[0]) * variance([fmean(group) for group in groups])
        if within <= 0 or between > within:
            return None
        return self.found(
            2,
            f"the standard deviation over seeds is {fmt.number(within**0.5)} on average, and that of the means of "
            f"{len(groups)} configurations {fmt.number((between / len(groups[0])) ** 0.5)}, no more than the seeds "
            "alone would give",
            f"seeds={list(range(max(5, 2 * len(groups[0]))))}",
            advice="or take what is cheapest: nothing in this space makes a difference that these seeds show",
            cost="as many times the sweep as there are more seeds",
            chart=_seeds_chart(sweep, len(sweep.configurations)),
        )


def _seeds_chart(sweep: SweepRecord, top: int) -> Chart:
    """The values of each seed, configuration by configuration."""
    points = [
        (rank, trial.value)
        for rank, row in enumerate(sweep.configurations[:top], 1)
        for trial in row.trials
        if trial.value is not None
    ]
    series = Series(name="trial", x=[rank for rank, _ in points], y=[value for _, value in points])
    return Chart(x="rank of the configuration", y=fmt.metric(sweep.metric), kind="points", series=[series])


class DoesNotMatter(SweepRule):
    """A hyperparameter explains nothing of the metric's variance."""

    name = "hyperparameter that does not matter"

    def check(self, sweep: SweepRecord) -> Finding | None:
        found = importance(sweep) if len(sweep.trials) >= MANY_TRIALS else None
        if found is None or found.trials < MANY_TRIALS or len(found.shares) < 3:
            return None
        names = fmt.short_names(found.shares)
        idle = [
            key for key, share in found.shares.items()
            if share < UNIMPORTANT and share + 2 * found.stds[key] < CERTAIN
        ]  # fmt: skip
        if not idle:
            return None
        return self.found(
            1,
            f"{fmt.join([names[key] for key in idle])} explain{'s' if len(idle) == 1 else ''} at most "
            f"{100 * max(found.shares[key] for key in idle):.1f} % of the variance over {found.trials} trials",
            advice=f"take {fmt.join([f'space.{key}' for key in idle])} out of the sweep file, and give the others more "
            "samples",
            cost="none: fewer configurations to try",
            chart=Chart(
                x="hyperparameter", y="share of the variance", kind="bars",
                series=[Series(name="share", x=[names[key] for key in found.shares], y=[*found.shares.values()])],
            ),
        )  # fmt: skip


class TrialsEndTooEarly(SweepRule):
    """Nearly every trial that was trained to completion was still improving."""

    name = "trials end before they converge"

    def check(self, sweep: SweepRecord) -> Finding | None:
        finished = [trial.record for trial in sweep.trials if trial.state == "finished" and trial.record]
        improvements = [share for record in finished if (share := left_to_learn(record)) is not None]
        if len(finished) < MIN_TRIALS or len(improvements) < MOST * len(finished):
            return None
        epochs = max(len(record.rows) for record in finished)
        shown = finished[:6]
        return self.found(
            2,
            f"{len(improvements)} of {len(finished)} trials that were trained to completion are best in their last "
            f"epoch, and their validation loss fell by {100 * fmean(improvements):.0f} % over the last third",
            f"trainer.max_epochs={4 * epochs}",
            cost="at most four times the time; a scheduler such as asha stops what is worse",
            chart=Chart(
                x="epoch", y="validation loss",
                series=[
                    Series(
                        name=record.name, x=[row["epoch"] for row in record.rows],
                        y=[value if finite(value := row.get("val/loss")) else None for row in record.rows],
                    )
                    for record in shown
                ],
            ),
        )  # fmt: skip


class FailuresCluster(SweepRule):
    """Trials fail with one value of a hyperparameter, or beyond one, and hardly elsewhere."""

    name = "failures clustered on one value"

    def check(self, sweep: SweepRecord) -> Finding | None:
        failed = [trial for trial in sweep.trials if trial.state == "failed"]
        ended = [trial for trial in sweep.trials if trial.state in ("finished", "stopped")]
        if len(failed) < MIN_FAILURES or len(ended) < MIN_FAILURES:
            return None
        keys = [key for key in sweep.space if all(key in trial.overrides for trial in (*failed, *ended))]
        clusters = [cluster for key in keys for cluster in _clusters(key, failed, ended)]
        p, key, where, (inside, others) = min(clusters, default=(1.0, "", "", (0, 0)))
        if p * max(len(keys), 1) > P / 5:
            return None
        name = fmt.short_names([*sweep.space])[key]
        return self.found(
            2,
            f"{inside} of {len(failed)} failed trials have {name} {where}, and {others} of {len(ended)} others; the "
            f"first reason: {failed[0].reason}",
            advice=f"leave these values out of space.{key}, or mend what they share",
            cost="none: no trial is wasted",
            chart=Chart(
                x=f"{name} {where}", y="trials", kind="bars",
                series=[
                    Series(name="failed", x=["yes", "no"], y=[inside, len(failed) - inside]),
                    Series(name="others", x=["yes", "no"], y=[others, len(ended) - others]),
                ],
            ),
        )  # fmt: skip


Cluster = tuple[float, str, str, tuple[int, int]]
"""p-value, key, which values, and how many failed and other trials have them."""


def _clusters(key: str, failed: Sequence[Trial], ended: Sequence[Trial]) -> Iterator[Cluster]:
    """How unlikely it is that failures have such values by chance (Fisher's exact test, Mann-Whitney for numbers)."""
    from scipy.stats import fisher_exact, mannwhitneyu

    bad, good = ([trial.overrides[key] for trial in trials] for trials in (failed, ended))
    if all(finite(value) for value in (*bad, *good)) and len(set(map(float, (*bad, *good)))) > 4:
        for side, edge, sign in (("greater", min(bad), 1), ("less", max(bad), -1)):
            others = sum(sign * value >= sign * edge for value in good)
            p = float(mannwhitneyu(bad, good, alternative=side).pvalue)
            if others < 0.5 * len(good):
                yield (
                    p,
                    key,
                    f"{'from' if sign > 0 else 'up to'} {edge:.3g}{' on' if sign > 0 else ''}",
                    (len(bad), others),
                )
        return
    for value in {fmt.value(value): value for value in bad}.values():
        inside, others = bad.count(value), good.count(value)
        table = [[inside, len(bad) - inside], [others, len(good) - others]]
        yield float(fisher_exact(table, alternative="greater").pvalue), key, fmt.value(value), (inside, others)
