"""Provenance: code, versions, data, commands, configuration, and each test evaluation."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.files import Row
from lstm_lab.records.requests import requests_of
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.tables import Cell, Column, Table
from lstm_lab.report.records.experiments import ComparisonGroup, ExperimentRecord
from lstm_lab.report.records.read import experiment_text, shown_path
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.extension import describe_changes
from lstm_lab.sweeps.store.record import SweepRecord

Items = list[tuple[str, str]]


class Provenance(ReportSection):
    """Everything that is needed to reproduce the numbers of a page."""

    title, order = "Provenance", 90

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        return [Subsection("Configuration", code=experiment_text(run)), Subsection("Origin", items=run_origin(run))]

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        return [
            Subsection("Best configuration", code=sweep.best_experiment or ""),
            Subsection("Origin", items=sweep_origin(sweep)),
        ]

    def of_comparison(self, groups: list[ComparisonGroup]) -> Subsections:
        return [Subsection("", warnings(groups), [sources([row for group in groups for row in group.experiments])])]


def sweep_origin(sweep: SweepRecord) -> Items:
    """Origin of a sweep's results."""
    records = [trial.record for trial in sweep.trials if trial.record]
    best = sweep.winner.record if sweep.winner and sweep.winner.record else None
    first = best or next(iter(records), None)
    run = first.about if first else {}
    spec, summary = sweep.spec, sweep.summary or {}
    about = {**run, **sweep.about}
    wandb = summary.get("wandb") or {}
    digests = _digests(sweep)
    items = [
        ("command", summary.get("command") or about.get("command") or fmt.MISSING),
        ("code", _code(about.get("git"))),
        ("versions", _versions(about.get("versions"))),
        *_data((spec.get("experiment") or {}).get("data") or {}, run.get("data") or {}),
    ]
    if len(digests) > 1:
        items.append(("warning", f"trials used {len(digests)} different data sets: {', '.join(sorted(digests))}"))
    space = (f"{key}: {name} {fmt.value(arguments)}" for key, (name, arguments) in sweep.space.items())
    items += [
        ("search space", "; ".join(space)),
        ("samples", f"{spec.get('num_samples', 1)} per combination of the grids, seed {spec.get('seed', 0)}"),
        ("seeds", ", ".join(map(str, sweep.seeds))),
        *([("cross-validation", fmt.value(folds))] if (folds := spec.get("cross_validation")) else []),
        ("searcher", fmt.value(spec.get("searcher") or fmt.MISSING)),
        (
            "scheduler",
            fmt.value(spec.get("scheduler") or fmt.MISSING) + (", stop_sick" if spec.get("stop_sick") else ""),
        ),
        ("resources", fmt.value(spec.get("resources") or fmt.MISSING) + " per trial"),
        ("decisions", _order(spec)),
        *_by_hand(sweep),
    ]
    for each in about.get("extensions") or []:
        items.append((f"version {each['version']}", f"{fmt.timestamp(each['at'])}: {describe_changes(each)}"))
    if wandb:
        items.append(("W&B", f"{wandb.get('mode')}, {fmt.plural(wandb.get('runs') or 0, 'run')}"))
    evaluations = [(trial.id, row) for trial in sweep.trials if trial.record for row in trial.record.test_evaluations]
    items.append(("test split", _evaluations([f"{id}, {_evaluation(row)}" for id, row in evaluations])))
    return items


def _digests(sweep: SweepRecord) -> set[str]:
    """Of the data of the trials: of each fold one, where nothing is wrong; then only the first fold's."""
    by_fold: dict[int | None, set[str]] = {}
    for trial in sweep.trials:
        if trial.record and (digest := (trial.record.about.get("data") or {}).get("digest")):
            by_fold.setdefault(trial.fold, set()).add(digest)
    return max(by_fold.values(), key=len, default=set())


def _order(spec: Row) -> str:
    """In which order configurations were suggested and trials were stopped."""
    if spec.get("order") != "virtual":
        return "as results arrived: another machine, or another run, may decide otherwise"
    return f"on the virtual clock, {spec.get('max_concurrent_trials')} trials at once: the same on any machine"


def _by_hand(sweep: SweepRecord) -> Items:
    """What people asked for while it ran: the sweep is then no function of its file alone."""
    made = requests_of(sweep.path)
    texts = (f"{each.action} {each.trial or 'the sweep'}: {each.by}, {fmt.timestamp(each.at)}" for each in made)
    return [("by hand", "; ".join(texts))] if made else []


def run_origin(run: RunRecord) -> Items:
    """Origin of a run's results."""
    about = run.about
    experiment = Run(run.path).experiment if experiment_text(run) else {}
    items = [
        ("command", about.get("command") or fmt.MISSING),
        ("code", _code(about.get("git"))),
        ("versions", _versions(about.get("versions"))),
        *_data(experiment.get("data") or {}, about.get("data") or {}),
        ("seed", str(experiment.get("seed", fmt.MISSING))),
        ("device", about.get("device") or fmt.MISSING),
        ("test split", _evaluations([_evaluation(row) for row in run.test_evaluations])),
    ]
    if about.get("group"):
        items.insert(0, ("sweep", about["group"]))
    return items


def _code(git: Row | None) -> str:
    if not git:
        return "not from a git repository"
    return f"commit {git['commit']}" + (", with uncommitted changes" if git.get("dirty") else "")


def _versions(versions: Row | None) -> str:
    return ", ".join(f"{package} {version}" for package, version in (versions or {}).items()) or fmt.MISSING


def _data(config: Row, data: Row) -> Items:
    items = [("data", fmt.value(config)), ("data digest", data.get("digest") or fmt.MISSING)]
    if data.get("info"):
        items.append(("data info", "; ".join(f"{key} {_brief(value)}" for key, value in data["info"].items())))
    return items + [("data note", note) for note in data.get("notes") or ()]


def _brief(value: object) -> str:
    """The length of a long list or text; any other value as text."""
    if isinstance(value, str) and len(value) > 200:
        return f"({len(value)} characters)"
    if isinstance(value, list | dict) and len(value) > 6:
        return f"({len(value)} values)"
    return fmt.value(value)


def _evaluation(row: Row) -> str:
    return fmt.timestamp(row.get("at")) + ("" if row["scores"] else " (not completed)")


def _evaluations(times: list[str]) -> str:
    if not times:
        return "not evaluated"
    return f"evaluated {fmt.times(len(times))}: {'; '.join(times)}"


def warnings(groups: list[ComparisonGroup]) -> list[str]:
    """Differences between the experiments that should not be."""
    records = [record for group in groups for row in group.experiments for record in row.records]
    commits = {git["commit"][:12] for record in records if (git := record.about.get("git"))}
    torches = {v["torch"] for record in records if (v := record.about.get("versions")) and "torch" in v}
    # Two engines round differently, so that trainings drift apart.
    engines = {engine for record in records if (engine := (record.about.get("code") or {}).get("engine"))}
    found = (("commits of the code", commits), ("versions of torch", torches), ("engines of the cells", engines))
    return [
        f"The experiments ran with different {noun}: {fmt.join(sorted(values))}."
        for noun, values in found
        if len(values) > 1
    ]


def sources(experiments: list[ExperimentRecord]) -> Table:
    """Origin of each experiment."""
    evaluations = [sum(len(record.test_evaluations) for record in row.records) for row in experiments]
    return Table.of_columns(
        "Origin of the experiments",
        [
            Column("experiment"), Column("folder"), Column("command"), Column("code"), Column("data digest"),
            Column("test evaluations", True), Column("state"),
        ],
        [
            [Cell(row.name, row.name) for row in experiments],
            [Cell(shown_path(row.path), None, "ids") for row in experiments],
            [Cell(row.records[0].about.get("command") or fmt.MISSING, None, "ids") for row in experiments],
            [Cell(_commit(row.records[0].about.get("git") or {}), None, "ids") for row in experiments],
            [Cell(row.digest or "not known", None, "ids") for row in experiments],
            [
                Cell(fmt.MISSING if row.digest is None else str(count), count, "number")
                for row, count in zip(experiments, evaluations, strict=True)
            ],
            [Cell(", ".join(dict.fromkeys(record.state for record in row.records))) for row in experiments],
        ],
    )  # fmt: skip


def _commit(git: Row) -> str:
    return git["commit"][:12] + (" with changes" if git.get("dirty") else "") if git else fmt.MISSING
