"""The values of one hyperparameter compared, paired over configurations that are equal otherwise."""

from __future__ import annotations

from statistics import mean, stdev

from lstm_lab.config import canonical_json
from lstm_lab.records.scores import level
from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, number_cell
from lstm_lab.report.records.hyperparameters import varying
from lstm_lab.report.statistics import MIN_PAIRS
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

Block = list[Configuration]
"""Configurations that differ only in one hyperparameter, one for each of its values."""


def blocks(sweep: SweepRecord, key: str, values: list[object]) -> list[Block]:
    """Configurations that are equal but for `key`, one per value and in the order of `values`.

    Hyperparameters inside the section that `key` chooses belong to the choice and may differ.
    """
    groups: dict[str, dict[str, Configuration]] = {}
    for row in sweep.configurations:
        others = {k: v for k, v in row.overrides.items() if k != key and not k.startswith(f"{key}.")}
        if row.mean is not None and key in row.overrides:
            groups.setdefault(canonical_json(others), {}).setdefault(canonical_json(row.overrides[key]), row)
    wanted = [canonical_json(value) for value in values]
    return [[group[value] for value in wanted] for group in groups.values() if all(value in group for value in wanted)]


def value_table(sweep: SweepRecord, key: str, values: list[object], name: str) -> Table:
    """A row per value of a hyperparameter: mean, standard deviation and best over its configurations, and wins."""
    groups = [_scored(sweep, key, value) for value in values]
    means = [[row.mean for row in group if row.mean is not None] for group in groups]
    best = max if sweep.mode == "max" else min
    columns = [
        Column(name, title=key),
        Column("mean", True, "over configurations"),
        Column("std", True, "standard deviation over configurations: includes the effect of all else that varies"),
        Column("best", True, "best configuration"),
        Column("n", True, "configurations with a value"),
        Column("completed", True, "configurations trained to completion with every seed: none stopped early, failed or "
                                  "interrupted"),
    ]  # fmt: skip
    cells = [
        [Cell(fmt.value(value), fmt.value(value)) for value in values],
        aligned(mean(row) if row else None for row in means),
        aligned(stdev(row) if len(row) > 1 else None for row in means),
        aligned(best(row) if row else None for row in means),
        [number_cell(len(row)) for row in means],
        [number_cell(sum(row.completed for row in group)) for group in groups],
    ]
    if found := blocks(sweep, key, values):
        wins = [sum(_winner(block, sweep.mode) == index for block in found) for index in range(len(values))]
        columns.append(Column("wins", True, "among configurations that are equal otherwise"))
        cells.append([Cell(f"{count} of {len(found)}", count, "number") for count in wins])
    return Table.of_columns(f"{fmt.metric(sweep.metric)} by {name}", columns, cells)


def _scored(sweep: SweepRecord, key: str, value: object) -> list[Configuration]:
    wanted = canonical_json(value)
    rows = [row for row in sweep.configurations if row.mean is not None and key in row.overrides]
    return [row for row in rows if canonical_json(row.overrides[key]) == wanted]


def _winner(block: Block, mode: str) -> int | None:
    """Index of the best configuration; None for a tie at the top."""
    means = [row.mean or 0.0 for row in block]
    top = (max if mode == "max" else min)(means)
    tops = [index for index, value in enumerate(means) if level(value, top)]
    return tops[0] if len(tops) == 1 else None


def win_counts(sweep: SweepRecord, key: str, values: list[object]) -> str:
    """How often each value is better among configurations that are equal otherwise, and how reliable that is."""
    found = blocks(sweep, key, values)
    if not found:
        return (
            "No configurations are equal in all other hyperparameters, so the comparison is not paired: differences "
            "may come from the other hyperparameters."
        )
    noun = "pair" if len(values) == 2 else "block"
    complete = [block for block in found if all(row.completed for row in block)]
    text = f"{fmt.plural(len(found), noun)} of configurations that are equal otherwise"
    text += f": {_two_values(sweep, found, values)}." if len(values) == 2 else "; the table counts wins."
    if len(complete) < len(found):
        count = f"only {len(complete)}" if complete else "none"
        text += f" In {count} of them were all trials trained to completion"
        if complete and len(values) == 2:
            text += f": in those, {_two_values(sweep, complete, values)}"
        text += f". Values of stopped trials are those of their {sweep.select} epoch before they were stopped."
    if len(complete) < MIN_PAIRS:
        text += f" Fewer than {MIN_PAIRS} complete {noun}s are weak evidence."
    return text


def _two_values(sweep: SweepRecord, found: list[Block], values: list[object]) -> str:
    """`lstm is better in 4, gru in 2; on average the validation loss of gru is 0.01200 ± 0.02000 above that of lstm`"""
    first, second = (fmt.value(value) for value in values)
    winners = [_winner(block, sweep.mode) for block in found]
    differences = [(block[1].mean or 0.0) - (block[0].mean or 0.0) for block in found]
    average = mean(differences)
    size = fmt.mean_std(abs(average), stdev(differences) if len(differences) > 1 else None)
    ties = f", {fmt.plural(winners.count(None), 'tie')}" if None in winners else ""
    return (
        f"{first} is better in {winners.count(0)}, {second} in {winners.count(1)}{ties}; on average the "
        f"{fmt.metric(sweep.metric)} of {second} is {_above(size, average)} that of {first}"
    )


def _above(size: str, difference: float) -> str:
    """`0.012 above`, `0.012 below`, or `equal to`, by the sign of a difference."""
    return f"{size} {'above' if difference > 0 else 'below'}" if difference else "equal to"


def significance(sweep: SweepRecord, key: str, values: list[object]) -> list[str]:
    """Tests over blocks, as one sentence or none; at equal numbers of epochs, so that no value had more training."""
    found = _at_equal_epochs(sweep, blocks(sweep, key, values))
    if len(found) < 2:
        return []
    names = [fmt.value(value) for value in values]
    condition = f"At equal epochs (each {'pair' if len(values) == 2 else 'block'} cut to its shortest trial)"
    if len(values) == 2:
        return [f"{condition} {_paired_test(sweep, names, [row[1] - row[0] for row in found])}"]
    ranked = statistics.ranks(names, found, sweep.mode)
    if ranked is None:
        return []
    best = names.index(ranked.names[0])
    others = [index for index in range(len(names)) if index != best]
    p_values = [statistics.signed_rank([row[index] - row[best] for row in found]) for index in others]
    text = f"{condition} the mean ranks over {ranked.blocks} blocks are " + fmt.join(
        f"{name} {rank:.2f}" for name, rank in zip(ranked.names, ranked.ranks, strict=True)
    )
    text += f"; Friedman test: {statistics.p_value(ranked.p)}."
    known = [p for p in p_values if p is not None]
    if len(known) < len(p_values):
        return [f"{text} There are too few blocks to test each against {names[best]}."]
    corrected = zip(others, statistics.holm(known), strict=True)
    tests = fmt.join(f"{names[index]} {statistics.p_value(p)}" for index, p in corrected)
    return [f"{text} Wilcoxon signed-rank tests against {names[best]}, Holm-corrected: {tests}."]


def _paired_test(sweep: SweepRecord, names: list[str], differences: list[float]) -> str:
    found = statistics.paired(differences)
    text = (
        f"the {fmt.metric(sweep.metric)} of {names[1]} is on average {_above(fmt.number(abs(found.mean)), found.mean)} "
    )
    text += f"that of {names[0]} over {fmt.plural(found.n, 'pair')}"
    text += f", 95 % confidence interval of the difference {statistics.interval(found.low, found.high)}"
    if found.p is None:
        return f"{text}; too few pairs for a test (at least {MIN_PAIRS})."
    significant = "significant" if found.significant else "not significant"
    return f"{text}; Wilcoxon signed-rank test: {statistics.p_value(found.p)}, {significant} at 5 %."


def _at_equal_epochs(sweep: SweepRecord, found: list[Block]) -> list[list[float]]:
    """Means over seeds of each configuration of each block, within the epochs of the block's shortest trial."""
    rows = []
    for block in found:
        records = [[t.record for t in row.trials if t.record and t.value is not None] for row in block]
        epochs = min((len(record.rows) for group in records for record in group), default=0)
        values = [[v for record in group if (v := record.best_within(epochs)) is not None] for group in records]
        if all(values):
            rows.append([mean(group) for group in values])
    return rows


def undecided(sweep: SweepRecord, key: str, values: list[object]) -> str:
    """That the values of a grid cannot be told apart, as one sentence; empty where they can, or nothing is paired."""
    found = _at_equal_epochs(sweep, blocks(sweep, key, values))
    names = [fmt.value(value) for value in values]
    which = f"{', '.join(names[:-1])} or {names[-1]}"
    if not found:
        return ""
    if len(found) == 1:
        return f"Whether {which} is better cannot be told from one {'pair' if len(values) == 2 else 'block'}."
    if len(values) == 2:
        low, high = statistics.confidence_interval([row[1] - row[0] for row in found])
        if low is not None and not low <= 0 <= (high or 0.0):
            return ""
        return f"Whether {which} is better is not certain: the interval of their difference holds zero."
    ranked = statistics.ranks(names, found, sweep.mode)
    if ranked is None:
        return f"Whether {which} is best cannot be told from {len(found)} blocks."
    if ranked.p < 1 - statistics.CONFIDENCE:
        return ""
    return f"Whether {which} is best is not certain: their ranks differ no more than by chance."


def lead(sweep: SweepRecord) -> statistics.Paired | None:
    """By how much the best configuration is better than the second, paired over shared seeds or folds; None without,
    and with several objectives, where the second may be better by another one."""
    ranked = [row for row in sweep.configurations if row.mean is not None]
    if len(ranked) < 2 or sweep.criteria.objectives or any(trial.lineage for trial in sweep.trials):
        return None
    first, second = ({t.repeat: t.value for t in row.trials if t.value is not None} for row in ranked[:2])
    sign = -1 if sweep.mode == "max" else 1
    differences = [sign * (second[repeat] - first[repeat]) for repeat in first if repeat in second]
    return statistics.paired(differences) if differences else None


def lead_over_second(sweep: SweepRecord) -> str:
    """Difference between the best and the second configuration over shared seeds; empty where there is none."""
    found = lead(sweep)
    if found is None:
        return ""
    ranked = [row for row in sweep.configurations if row.mean is not None]
    other = fmt.configuration(ranked[1].overrides, fmt.short_names(varying(sweep)))
    better = "better" if found.mean > 0 else "worse"
    equal, noun = level(ranked[0].mean, ranked[1].mean), sweep.repeat_noun
    size = "equal to" if equal else f"{fmt.number(abs(found.mean))} {better} than"
    if found.n == 1:
        return (
            f"With the one shared {noun}, the best configuration is {size} the second one ({other}). How much of this "
            f"is due to the {noun} is not known."
        )
    text = f"Over the {found.n} shared {noun}s, the best configuration is on average {size} the second one ({other}), "
    text += f"95 % confidence interval of the difference {statistics.interval(found.low, found.high)}"
    if found.low is not None and found.low <= 0 <= (found.high or 0.0):
        text += ", which includes zero: the order of the two is not certain"
    if found.p is not None:
        text += f"; Wilcoxon signed-rank test: {statistics.p_value(found.p)}"
    return text + "."
