"""The values of one hyperparameter against one another, over points alike in everything else where there are such."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, categories, varying
from lstm_lab.report.statistics import ENOUGH
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord


@dataclass(frozen=True)
class Comparison:
    """What the page says of one hyperparameter."""

    name: str
    table: Table
    verdicts: list[str]


def comparisons(sweep: SweepRecord) -> list[Comparison]:
    names = fmt.short(sweep.space)
    return [
        Comparison(
            names[key],
            _table(sweep, key, values, names[key]),
            [_verdict(sweep, key, values), *tested(sweep, key, values)],
        )
        for key, values in categories(sweep).items()
    ]


def _scored(sweep: SweepRecord, key: str, value: Any) -> list[Configuration]:
    wanted = fmt.same(value)
    chosen = [point for point in sweep.configurations if point.mean is not None and key in point.overrides]
    return [point for point in chosen if fmt.same(point.overrides[key]) == wanted]


def blocks(sweep: SweepRecord, key: str, values: list[Any]) -> list[list[Configuration]]:
    """Points alike in all but `key`, one for each value and in the order of `values`.

    What stands inside the section that `key` chooses belongs to the choice and is not held equal.
    """
    alike: dict[str, dict[str, Configuration]] = {}
    for point in sweep.configurations:
        rest = {k: v for k, v in point.overrides.items() if k != key and not k.startswith(f"{key}.")}
        if point.mean is not None and key in point.overrides:
            alike.setdefault(fmt.same(rest), {}).setdefault(fmt.same(point.overrides[key]), point)
    wanted = [fmt.same(value) for value in values]
    return [[block[value] for value in wanted] for block in alike.values() if len(block) == len(wanted)]


def _table(sweep: SweepRecord, key: str, values: list[Any], name: str) -> Table:
    groups = [_scored(sweep, key, value) for value in values]
    means = [[point.mean for point in group if point.mean is not None] for group in groups]
    best = max if sweep.mode == "max" else min
    down = [
        [Cell(fmt.setting(value), fmt.setting(value)) for value in values],
        aligned(mean(row) if row else None for row in means),
        aligned(stdev(row) if len(row) > 1 else None for row in means),
        aligned(best(row) if row else None for row in means),
        [Cell(str(len(row)), len(row), "number") for row in means],
        [Cell(str(sum(point.completed for point in group)), None, "number") for group in groups],
        *_won(sweep, key, values),
    ]
    columns = [
        Column(name, title=key),
        Column("mean", True, "over points"),
        Column("spread", True, "standard deviation over points: of all that else was varied"),
        Column("best", True),
        Column("n", True, "points with a value"),
        Column("trained through", True, "points of which no seed was stopped, failed or interrupted"),
        *([Column("wins", True, "among points alike in everything else")] if len(down) > 6 else []),
    ]
    return Table(f"{name}: {fmt.metric(sweep.metric)}", columns, [list(row) for row in zip(*down, strict=True)])


def _won(sweep: SweepRecord, key: str, values: list[Any]) -> Iterator[list[Cell]]:
    found = blocks(sweep, key, values)
    if found:
        wins = [sum(_best_of(block, sweep.mode) == place for block in found) for place in range(len(values))]
        yield [Cell(f"{count} of {len(found)}", count, "number") for count in wins]


def _best_of(block: list[Configuration], mode: str) -> int | None:
    """Place of the best point; None for a tie at the top."""
    means = [point.mean or 0.0 for point in block]
    top = (max if mode == "max" else min)(means)
    return means.index(top) if means.count(top) == 1 else None


def _verdict(sweep: SweepRecord, key: str, values: list[Any]) -> str:
    found = blocks(sweep, key, values)
    if not found:
        return (
            "No two points are alike in everything else, so nothing is paired: "
            "a difference may come from what else was varied."
        )
    noun = "pair" if len(values) == 2 else "block"
    through = [block for block in found if all(point.completed for point in block)]
    text = f"In {fmt.plural(len(found), noun)} alike in everything else"
    text += f", {_difference(found, values, sweep.mode)}." if len(values) == 2 else ", wins are counted."
    if len(through) < len(found):
        text += f" In {f'only {len(through)}' if through else 'none'} of them was every trial trained through"
        if through and len(values) == 2:
            text += f": there {_difference(through, values, sweep.mode)}"
        text += "; elsewhere a value is that of the best epoch before the trial was stopped."
    if len(through) < ENOUGH:
        text += f" With fewer than {ENOUGH} whole {noun}s this is a hint, not evidence."
    return text


def _difference(found: list[list[Configuration]], values: list[Any], mode: str) -> str:
    """`lstm is better in 4 and gru in 2, and on average gru comes out 0.01200 ± 0.02000 above lstm`"""
    one, other = (fmt.setting(value) for value in values)
    places = [_best_of(block, mode) for block in found]
    counts = places.count(0), places.count(1)
    gaps = [(block[1].mean or 0.0) - (block[0].mean or 0.0) for block in found]
    average = mean(gaps)
    spread = fmt.with_spread(abs(average), stdev(gaps)) if len(gaps) > 1 else fmt.number(abs(average))
    way = "the same as" if average == 0 else f"{spread} {'above' if average > 0 else 'below'}"
    ties = f", {fmt.plural(places.count(None), 'tie')}" if None in places else ""
    return (
        f"{one} is better in {counts[0]} and {other} in {counts[1]}{ties}, and on average {other} comes out {way} {one}"
    )


def tested(sweep: SweepRecord, key: str, values: list[Any]) -> list[str]:
    """How sure that is, a sentence or none: tests over blocks at equal epochs, so that nobody had more of them."""
    found = _level(sweep, blocks(sweep, key, values))
    if len(found) < 2:
        return []
    names = [fmt.setting(value) for value in values]
    how = f"At equal epochs (each {'pair' if len(values) == 2 else 'block'} cut to its shortest trial)"
    if len(values) == 2:
        return [f"{how} {_apart(names, [row[1] - row[0] for row in found])}"]
    ranked = statistics.ranks(names, found, sweep.mode)
    if ranked is None:
        return []
    best = names.index(ranked.names[0])
    others = [place for place in range(len(names)) if place != best]
    chances = [statistics.signed_rank([row[place] - row[best] for row in found]) for place in others]
    text = f"{how} the mean ranks over {ranked.blocks} blocks are " + fmt.listed(
        f"{name} {rank:.2f}" for name, rank in zip(ranked.names, ranked.ranks, strict=True)
    )
    text += f"; Friedman's test of all alike: {statistics.chance(ranked.p)}."
    if any(chance is None for chance in chances):
        return [f"{text} For a test of each against {names[best]} there are too few blocks."]
    told = zip(others, statistics.holm([chance or 0.0 for chance in chances]), strict=True)
    against = fmt.listed(f"{names[place]} {statistics.chance(p)}" for place, p in told)
    return [f"{text} Each against {names[best]} by Wilcoxon's test, corrected for their number (Holm): {against}."]


def _apart(names: list[str], differences: list[float]) -> str:
    found = statistics.paired(differences)
    way = (
        "the same as" if found.mean == 0 else f"{fmt.number(abs(found.mean))} {'above' if found.mean > 0 else 'below'}"
    )
    text = f"{names[1]} comes out {way} {names[0]} on average over {fmt.plural(found.n, 'pair')}"
    text += f", 95 % interval of the difference {statistics.between(found.low, found.high)}"
    if found.p is None:
        return f"{text}; for a test there are too few pairs ({ENOUGH} at least)."
    sure = "more than chance would show" if found.shown else "no more than chance would show"
    return f"{text}; Wilcoxon's signed ranks: {statistics.chance(found.p)}, {sure}."


def _level(sweep: SweepRecord, found: list[list[Configuration]]) -> list[list[float]]:
    """Means over seeds of each point of each block, at the epochs of the block's shortest trial."""
    rows = []
    for block in found:
        records = [
            trial.record for point in block for trial in point.trials if trial.record and trial.value is not None
        ]
        epochs = min((len(record.rows) for record in records), default=0)
        row = [
            [v for t in p.trials if t.record and t.value is not None if (v := t.record.best_within(epochs)) is not None]
            for p in block
        ]
        if all(row):
            rows.append([mean(values) for values in row])
    return rows


def runner_up(sweep: SweepRecord) -> str:
    """How far the best point is ahead of the second over the seeds that both have; empty where nothing can be said."""
    ranked = [point for point in sweep.configurations if point.mean is not None]
    if len(ranked) < 2 or any(trial.lineage for trial in sweep.trials):
        return ""
    first, second = ({t.seed: t.value for t in point.trials if t.value is not None} for point in ranked[:2])
    sign = -1 if sweep.mode == "max" else 1
    differences = [sign * (second[seed] - first[seed]) for seed in first if seed in second]
    names = fmt.short(varying(sweep))
    if not differences:
        return ""
    found = statistics.paired(differences)
    other = fmt.settings(ranked[1].overrides, names)
    better = f"{fmt.number(abs(found.mean))} {'better' if found.mean >= 0 else 'worse'} than the next point ({other})"
    if found.n == 1:
        return f"It is {better} with one seed: how much of that is luck, more seeds would show."
    text = f"Over the {found.n} seeds that both have it is {better} on average, 95 % interval of the difference "
    text += statistics.between(found.low, found.high)
    if found.low is not None and found.low <= 0 <= (found.high or 0.0):
        text += ", which holds zero: the order of these two is not certain"
    if found.p is not None:
        text += f"; Wilcoxon's signed ranks: {statistics.chance(found.p)}"
    return text + "."
