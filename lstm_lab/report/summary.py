"""The summary on top of a page: best result, its uncertainty, the baselines, the test split and the cost."""

from __future__ import annotations

from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord
from lstm_lab.records.scores import compared_metric, level
from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.content import Stat, Summary
from lstm_lab.report.parts.experiments import lead_over_second as lead_of_experiment
from lstm_lab.report.parts.paired import lead, lead_over_second, significance, undecided
from lstm_lab.report.parts.pareto import objective_text, pareto_front
from lstm_lab.report.records.experiments import ComparisonGroup
from lstm_lab.report.records.hyperparameters import categorical, is_grid, varying
from lstm_lab.report.sections.baselines import sweep_scores
from lstm_lab.report.verdict import Verdict, verdict
from lstm_lab.sweeps.store.leaderboard import Trial, why_no_best
from lstm_lab.sweeps.store.record import SweepRecord

HELD_OUT = Stat("test split", "held out", "not evaluated yet")
MAX_STATS, MAX_SENTENCES = 6, 3
"""Data sets with a number, and with a sentence of their own, in a comparison."""


def sweep_summary(sweep: SweepRecord) -> Summary:
    """Best configuration of a sweep."""
    best = sweep.winner
    if best is None:
        all_failed = sweep.trials and sweep.count("failed") == len(sweep.trials)
        why = "every trial failed" if all_failed else why_no_best(sweep.configurations)
        return Summary(f"No result: {why}.", _costs(sweep))
    row = sweep.configuration_of(best)
    over = f"mean ± standard deviation over {row.n} seeds" if row.std is not None else "one seed"
    setting = fmt.configuration(row.overrides, fmt.short_names(varying(sweep)))
    label = "Best configuration" if sweep.summary else "Best configuration so far"
    if front := len(pareto_front(sweep)):
        by = "compromise" if sweep.criteria.weights else fmt.metric(sweep.metric)
        label = f"{label} by {by}, of {front} on the Pareto front"
    verdicts = [
        found for _, split, model, baselines, skills in sweep_scores(sweep)
        if (found := verdict(split, sweep.metric, model, baselines, skills))
    ]  # fmt: skip
    first = _not_better(verdicts) or _undecided(sweep)
    result = f"{label}: {setting}: {fmt.metric(sweep.metric)} {fmt.mean_std(row.mean, row.std)} ({over})"
    shown = [each for each in sweep.criteria.measured if each.name != sweep.metric]
    others = [objective_text(each, row.objectives.get(each.name)) for each in shown]
    result += f"; {', '.join(others)}." if others else "."
    return Summary(
        headline=f"{first} {result}".strip(),
        stats=[*_scores(sweep, best), *_costs(sweep)],
        verdicts=verdicts,
        comparisons=[text for text in (lead_over_second(sweep), _first_grid(sweep)) if text],
        notes=_notes(sweep, best),
    )


def _not_better(verdicts: list[Verdict]) -> str:
    """What the page says first where the model does not win on the last split scored: on the test split if it was."""
    return verdicts[-1].headline if verdicts else ""


def _undecided(sweep: SweepRecord) -> str:
    """That the records do not tell which value, or which configuration, is better; empty where they do."""
    for key, values in categorical(sweep).items():
        if is_grid(sweep, key) and (text := undecided(sweep, key, values)):
            return text
    found = lead(sweep)
    if found is None or found.low is None or not found.low <= 0 <= (found.high or 0.0):
        return ""
    return "The two best configurations cannot be told apart: the interval of their difference holds zero."


def _first_grid(sweep: SweepRecord) -> str:
    """Tests of the first hyperparameter that was crossed with all others, which is what the sweep compares."""
    for key, values in categorical(sweep).items():
        if is_grid(sweep, key):
            tests = significance(sweep, key, values)
            name = fmt.capitalized(fmt.short_names(varying(sweep))[key])
            return f"{name}: {tests[0][0].lower()}{tests[0][1:]}" if tests else ""
    return ""


def _scores(sweep: SweepRecord, best: Trial) -> list[Stat]:
    row = sweep.configuration_of(best)
    seeds = fmt.plural(row.n, sweep.repeat_noun)
    std = fmt.mean_std(row.mean, row.std).partition(" ± ")[2]
    stats = [Stat(fmt.metric(sweep.metric), fmt.number(row.mean), f"± {std} over {seeds}" if std else seeds)]
    won = (sweep.summary or {}).get("winner") or {}
    if test := won.get("test"):
        metric = compared_metric(sweep.metric, test)
        if trials := won.get("test_trials"):
            spread = fmt.mean_std(test.get(metric), (won.get("test_std") or {}).get(metric)).partition(" ± ")[2]
            note = f"± {spread} over {fmt.plural(len(trials), sweep.repeat_noun)}"
        else:
            note = f"best trial, {best.id}, only"
        stats.append(Stat(f"test {fmt.metric(metric)}", fmt.number(test.get(metric)), note))
    elif sweep.summary:
        stats.append(HELD_OUT)
    return stats


def _costs(sweep: SweepRecord) -> list[Stat]:
    words = {"finished": "finished", "stopped": "stopped early", "failed": "failed"}
    words |= {state: state for state in ("running", "interrupted", "pending")}
    ends = [f"{count} {word}" for state, word in words.items() if (count := sweep.count(state))]
    wall = (sweep.summary or {}).get("seconds") or sweep.about.get("seconds")
    training = fmt.duration(sum(trial.seconds for trial in sweep.trials))
    trials = Stat("trials", f"{len(sweep.trials):,}", ", ".join(ends))
    if wall:
        return [trials, Stat("wall time", fmt.duration(wall), f"{training} of training")]
    return [trials, Stat("training time", training, "summed over trials")]


def _notes(sweep: SweepRecord, best: Trial) -> list[str]:
    notes = []
    if best.epoch is not None:
        text = f"Checkpoint: trial {best.id} (seed {best.repeat}), epoch {best.epoch}, with {fmt.number(best.value)}."
        if best.fold is not None:
            text += " Of all folds, its value is closest to their mean; best.yaml has the data set's own splits."
        elif len(sweep.seeds) > 1:
            text += " It is the best of several seeds, so this value is optimistic; the mean is the fairer estimate."
        notes.append(text)
    if best.lineage:
        count = fmt.plural(len(best.lineage), "time")
        notes.append(
            f"Its hyperparameters changed {count} during training: those above are the initial ones; the changes "
            "are listed under Training curves, Population."
        )
    if refit := (sweep.summary or {}).get("refit"):
        notes.append(_refit(refit))
    if sweep.summary and not any(row.completed for row in sweep.configurations):
        notes.append(
            "No configuration was trained to completion with all of its seeds: the best one might not have stayed best."
        )
    return notes


def _refit(refit: Row) -> str:
    """What the refit was trained on, for how long, and its scores on the test split."""
    if refit["state"] != "finished":
        return f"The refit of {refit['trial']} has failed: {refit['reason'] or 'it did not end'}."
    epochs = fmt.join([f"{trial} {count}" for trial, count in refit["best_epochs"].items()])
    test = refit["test"] or {}
    scores = fmt.join([f"{fmt.metric(name)} {fmt.number(value)}" for name, value in test.items() if value is not None])
    scored = f"on the test split: {scores}" if scores else "not evaluated on the test split yet"
    return (
        f"Refit: {refit['run']} has the configuration and seed of {refit['trial']}, trained on the training and the "
        f"validation split for {fmt.plural(refit['epochs'], 'epoch')}, the median of the best ({epochs}); {scored}."
    )


def run_summary(run: RunRecord) -> Summary:
    """Best epoch of a run."""
    best, metric, about = run.best, run.monitor, run.about
    if best is None or metric is None:
        return Summary("No result: no epoch was completed.", [Stat("state", run.state)])
    value, epochs = fmt.number(run.value), fmt.plural(len(run.rows), "epoch")
    stats = [Stat(fmt.metric(metric), value, f"epoch {best['epoch']} of {len(run.rows)}")]
    verdicts = [_verdict("validation", metric, about["validation"])] if about.get("validation") else []
    if run.test_results:
        row = run.test_results[-1]
        name = compared_metric(metric, row["scores"])
        note = f"evaluated {fmt.times(len(run.test_evaluations))}"
        stats.append(Stat(f"test {fmt.metric(name)}", fmt.number(row["scores"].get(name)), note))
        verdicts.append(_verdict("test", metric, row))
    else:
        count = len(run.test_evaluations)
        note = f"evaluation started {fmt.times(count)}, not completed"
        stats.append(Stat(HELD_OUT.label, "no scores", note) if count else HELD_OUT)
    if about.get("parameters"):
        stats.append(Stat("parameters", fmt.number(about["parameters"]), f"on {about.get('device', 'cpu')}"))
    stats.append(Stat("training time", fmt.duration(run.seconds), epochs))
    shown = [found for found in verdicts if found]
    at = f"epoch {best['epoch']}, the {run.select} of {epochs} (counted from 0)"
    result = f"{fmt.capitalized(fmt.metric(metric))} {value} at {at}."
    return Summary(f"{_not_better(shown)} {result}".strip(), stats, shown)


def _verdict(split: str, metric: str, row: Row) -> Verdict | None:
    return verdict(split, metric, row["scores"], row.get("baselines") or {}, row.get("skill") or {})


def comparison_summary(groups: list[ComparisonGroup], ranks: statistics.Ranks | None, noun: str) -> Summary:
    """Best experiment on each data set.

    Args:
        ranks: over the data sets, where there are enough of them.
        noun: what is ranked.
    """
    best = [(group, group.ranked[0]) for group in groups if group.ranked]
    experiments = [experiment for group in groups for experiment in group.experiments]
    if not best:
        return Summary("No result: no experiment has a value.")
    several = len(groups) > 1
    count = Stat("experiments", str(len(experiments)))
    values = [
        Stat(
            f"{fmt.metric(group.metric)}" + (f" on {group.data}" if several else ""), fmt.number(row.mean),
            f"{row.name}, {fmt.plural(len(row.values), 'seed')}",
        )
        for group, row in best[:MAX_STATS]
    ]  # fmt: skip
    seconds = fmt.duration(sum(experiment.seconds for experiment in experiments))
    time = Stat("training time", seconds, "of all experiments")
    stats = [count, Stat("data sets", str(len(groups))), *values, time] if several else [*values, count, time]
    if ranks:
        top = [name for name, rank in zip(ranks.names, ranks.ranks, strict=True) if rank == ranks.ranks[0]]
        verb = "has" if len(top) == 1 else "have"
        headline = (
            f"{fmt.capitalized(noun)} {fmt.join(top)} {verb} the best mean rank over {ranks.blocks} data sets: "
            f"{ranks.ranks[0]:.2f}."
        )
        return Summary(headline, stats, comparisons=[f"Friedman test of equal ranks: {statistics.p_value(ranks.p)}."])
    sentences = [
        f"{_best_of(group)}{f' on {group.data}' if several else ''}: {fmt.metric(group.metric)} "
        f"{fmt.mean_std(row.mean, row.std)} ({fmt.plural(len(row.values), 'seed')})."
        for group, row in best[:MAX_SENTENCES]
    ]
    leads = [text for group in groups[:MAX_SENTENCES] for text in lead_of_experiment(group)]
    return Summary(" ".join(sentences), stats, comparisons=leads)


def _best_of(group: ComparisonGroup) -> str:
    """`a is best`, `a and b are level` where the best score the same, or `a is first, but ...` without evidence."""
    first = group.ranked[0]
    names = [row.name for row in group.ranked if level(row.mean, first.mean)]
    if len(names) > 1:
        return f"{fmt.join(names)} are level"
    if len(group.ranked) < 2:
        return f"{first.name} is best"
    second = group.ranked[1]
    low, high = statistics.confidence_interval(group.paired_differences(first, second))
    if low is not None and low <= 0 <= (high or 0.0):
        return f"{first.name} is first, but not certainly better than {second.name}"
    return f"{first.name} is best"
