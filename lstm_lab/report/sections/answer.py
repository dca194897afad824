"""The answer that stands on top of a page: who won, by how much, against what, and at what cost."""

from __future__ import annotations

from lstm_lab.files import Row
from lstm_lab.records import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts.spec import Answer, Stat, Verdict
from lstm_lab.report.parts.tables import categories, compared, varying
from lstm_lab.report.sections.compare import runner_up, tested
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord


def verdict(part: str, model: Row, baselines: dict[str, Row], skill: Row, metric: str) -> Verdict | None:
    """One sentence on a part: the baseline that wins, or that none does; None where nothing was compared."""
    name = compared(model, baselines, metric)
    rows = {baseline: row[name] for baseline, row in baselines.items() if name in row}
    if not rows or name not in model:
        return None
    # Without an error of its own a baseline has no skill to compare with: it wins unless the model is as good.
    ahead = {
        baseline: skill.get(baseline, 0.0)
        for baseline, value in rows.items()
        if (skill.get(baseline, 0.0) is None and value != model[name]) or (skill.get(baseline) or 0.0) < 0
    }
    spelled, ours = fmt.metric(name), fmt.number(model[name])
    if ahead:
        best = min(ahead, key=lambda baseline: float("-inf") if ahead[baseline] is None else ahead[baseline])
        more = [baseline for baseline in ahead if baseline != best]
        text = f"{fmt.sentence(best)} wins on the {part} part: {spelled} {fmt.number(rows[best])} against {ours}."
        if more:
            does = "does" if len(more) == 1 else "do"
            text += f" {fmt.sentence(fmt.listed(more))} {does} better than the model too."
        return Verdict(text, True)
    known = {baseline: value for baseline, value in skill.items() if value is not None and baseline in rows}
    if not known:
        return Verdict(f"No baseline beats the model on the {part} part: {spelled} {ours}.", False)
    nearest = min(known, key=lambda baseline: (known[baseline], abs(rows[baseline] - model[name])))
    if known[nearest] == 0:
        text = f"No baseline beats the model on the {part} part, but {nearest} is level: {spelled} {ours}."
        return Verdict(text, False)
    text = (
        f"The model beats every baseline on the {part} part: {spelled} {ours} against {fmt.number(rows[nearest])} of "
        f"{nearest}, the nearest; {_percent(known[nearest])} of its error is gone."
    )
    return Verdict(text, False)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def answer_of_sweep(sweep: SweepRecord) -> Answer:
    won, metric = sweep.winner, fmt.metric(sweep.metric)
    if won is None:
        failed = sweep.count("failed")
        why = "every trial failed" if failed and failed == len(sweep.trials) else "no trial has a value"
        return Answer(f"There is no answer: {why}.", _cost(sweep))
    names = fmt.short(varying(sweep))
    point = sweep.configuration_of(won)
    score = fmt.with_spread(point.mean, point.std)
    means = f"mean and standard deviation over {point.n} seeds" if point.std is not None else "one seed"
    setting = fmt.settings(point.overrides, names)
    verb = "answers best" if sweep.summary else "leads so far"
    verdicts = []
    summary = sweep.summary or {}
    for part in ("validation", "test"):
        model = (summary.get("winner") or {}).get(part)
        rows = (summary.get("baselines") or {}).get(part)
        if model and rows:
            found = verdict(part, model, rows, (summary.get("skill") or {}).get(part) or {}, sweep.metric)
            verdicts += [found] if found else []
    return Answer(
        lede=f"{fmt.sentence(setting)} {verb}: {metric} {score} ({means}).",
        stats=[*_scores(sweep, won), *_cost(sweep)],
        verdicts=verdicts,
        sure=[text for text in (runner_up(sweep), _asked(sweep)) if text],
        notes=_notes(sweep, won),
    )


def _asked(sweep: SweepRecord) -> str:
    """What the tests say of the first hyperparameter that was crossed with all others, which the question is about."""
    for key, values in categories(sweep).items():
        if sweep.space.get(key, ("", None))[0] == "grid":
            said = tested(sweep, key, values)
            return f"{fmt.sentence(fmt.short(varying(sweep))[key])}: {said[0][0].lower()}{said[0][1:]}" if said else ""
    return ""


def _scores(sweep: SweepRecord, won: Trial) -> list[Stat]:
    point = sweep.configuration_of(won)
    seeds = fmt.plural(point.n, "seed")
    spread = fmt.with_spread(point.mean, point.std).partition(" ± ")[2]
    note = f"± {spread} over {seeds}" if spread else seeds
    stats = [Stat(fmt.metric(sweep.metric), fmt.number(point.mean), note)]
    test = ((sweep.summary or {}).get("winner") or {}).get("test")
    if test:
        name = compared(test, {}, sweep.metric)
        stats.append(Stat(f"test {fmt.metric(name)}", fmt.number(test[name]), f"{won.id} alone"))
    elif sweep.summary:
        stats.append(Stat("test", "sealed", "not opened yet"))
    return stats


def _cost(sweep: SweepRecord) -> list[Stat]:
    ends = [
        f"{count} {word}"
        for state, word in (("finished", "finished"), ("stopped", "stopped early"), ("failed", "failed"))
        if (count := sweep.count(state))
    ]
    wall = (sweep.summary or {}).get("seconds") or sweep.about.get("seconds")
    spent = sum(trial.record.seconds for trial in sweep.trials if trial.record)
    stats = [Stat("trials", f"{len(sweep.trials):,}", ", ".join(ends))]
    if wall:
        return [*stats, Stat("cost", fmt.duration(wall), f"{fmt.duration(spent)} of training")]
    return [*stats, Stat("training", fmt.duration(spent), "summed over trials")]


def _notes(sweep: SweepRecord, won: Trial) -> list[str]:
    best = won.record.best if won.record else None
    notes = []
    if best is not None:
        value = fmt.number(won.value)
        kept = f"The checkpoint is that of trial {won.id} (seed {won.seed}) at epoch {best['epoch']}: {value}."
        if len(sweep.seeds) > 1:
            kept += " Being the best of its seeds, it flatters; the mean is the fairer number."
        notes.append(kept)
    if won.lineage:
        changed = fmt.plural(len(won.lineage), "time")
        notes.append(
            f"Its numbers changed {changed} while it trained: those above are the ones it began with, and the "
            "population below says what became of them."
        )
    if sweep.summary and not any(point.completed for point in sweep.configurations):
        notes.append("No point was trained through with all its seeds: the winner might not have stayed ahead.")
    return notes


def answer_of_run(record: RunRecord) -> Answer:
    best, metric = record.best, record.monitor
    if best is None or metric is None:
        return Answer("There is no score: no epoch was completed.", [Stat("state", record.state)])
    about = record.about
    stats = [
        Stat(fmt.metric(metric), fmt.number(record.value), f"epoch {best['epoch']} of {len(record.rows)}"),
    ]
    verdicts = []
    if about.get("validation"):
        row = about["validation"]
        said = verdict("validation", row["scores"], row.get("baselines") or {}, row.get("skill") or {}, metric)
        verdicts += [said] if said else []
    if record.test_evaluations:
        row = record.test_evaluations[-1]
        name = compared(row["scores"], {}, metric)
        note = f"opened {fmt.times(len(record.test_evaluations))}"
        stats.append(Stat(f"test {fmt.metric(name)}", fmt.number(row["scores"][name]), note))
        said = verdict("test", row["scores"], row.get("baselines") or {}, row.get("skill") or {}, metric)
        verdicts += [said] if said else []
    else:
        stats.append(Stat("test", "sealed", "not opened yet"))
    if about.get("parameters"):
        stats.append(Stat("parameters", fmt.number(about["parameters"]), f"on {about.get('device', 'cpu')}"))
    stats.append(Stat("cost", fmt.duration(record.seconds), fmt.plural(len(record.rows), "epoch")))
    lede = f"{fmt.sentence(fmt.metric(metric))} {fmt.number(record.value)} at epoch {best['epoch']}, the best of "
    return Answer(f"{lede}{fmt.plural(len(record.rows), 'epoch')} counted from 0.", stats, verdicts)
