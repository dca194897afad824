"""Where the numbers of a page come from: code, versions, data, commands, and each opening of the test part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lstm_lab.files import Row
from lstm_lab.records import RunRecord
from lstm_lab.report import fmt
from lstm_lab.sweeps.store.record import SweepRecord

Facts = list[tuple[str, str]]


def shown(path: Path) -> str:
    """A folder as it is typed from here: where it can be, without what only this machine calls it."""
    absolute, here = path.resolve(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def of_sweep(sweep: SweepRecord) -> Facts:
    records = [trial.record for trial in sweep.trials if trial.record]
    won = sweep.winner.record if sweep.winner and sweep.winner.record else None
    first = won or next(iter(records), None)
    run = first.about if first else {}
    spec, summary = sweep.spec, sweep.summary or {}
    about = {**run, **sweep.about}
    wandb = summary.get("wandb") or {}
    digests = {digest for record in records if (digest := (record.about.get("data") or {}).get("digest"))}
    facts = [
        ("command", summary.get("command") or about.get("command") or fmt.NONE),
        ("code", _git(about.get("git"))),
        ("versions", _versions(about.get("versions"))),
        *_data((spec.get("experiment") or {}).get("data") or {}, run.get("data") or {}),
    ]
    if len(digests) > 1:
        facts.append(("warning", f"the trials saw {len(digests)} different data sets: {', '.join(sorted(digests))}"))
    facts += [
        ("space", "; ".join(f"{key}: {_domain(*domain)}" for key, domain in sweep.space.items())),
        ("draws", f"{spec.get('num_samples', 1)} for each combination of the grids, seed {spec.get('seed', 0)}"),
        ("seeds", ", ".join(map(str, sweep.seeds))),
        ("searcher", fmt.setting(spec.get("searcher") or fmt.NONE)),
        ("scheduler", fmt.setting(spec.get("scheduler") or fmt.NONE)),
        ("resources", fmt.setting(spec.get("resources") or fmt.NONE) + " for each trial"),
    ]
    if wandb:
        facts.append(("W&B", f"{wandb.get('mode')}, {fmt.plural(wandb.get('runs') or 0, 'run')}"))
    openings = [(trial.id, row) for trial in sweep.trials if trial.record for row in trial.record.test_evaluations]
    facts.append(("test part", _openings([f"{name}, {fmt.when(row.get('at'))}" for name, row in openings])))
    return facts


def of_run(record: RunRecord) -> Facts:
    from lstm_lab import config

    about, path = record.about, record.path / "experiment.yaml"
    experiment = config.load(path) if path.is_file() else {}
    facts = [
        ("command", about.get("command") or fmt.NONE),
        ("code", _git(about.get("git"))),
        ("versions", _versions(about.get("versions"))),
        *_data(experiment.get("data") or {}, about.get("data") or {}),
        ("seed", str(experiment.get("seed", fmt.NONE))),
        ("device", about.get("device") or fmt.NONE),
        ("test part", _openings([fmt.when(row.get("at")) for row in record.test_evaluations])),
    ]
    if about.get("group"):
        facts.insert(0, ("sweep", about["group"]))
    return facts


def _git(git: Row | None) -> str:
    if not git:
        return "not from a git repository"
    return f"commit {git['commit']}" + (", with uncommitted changes" if git.get("dirty") else "")


def _versions(versions: Row | None) -> str:
    return ", ".join(f"{package} {version}" for package, version in (versions or {}).items()) or fmt.NONE


def _data(chosen: Any, data: Row) -> Facts:
    facts = [("data", fmt.setting(chosen)), ("data digest", data.get("digest") or fmt.NONE)]
    if data.get("info"):
        facts.append(("data info", "; ".join(f"{key} {_fact(value)}" for key, value in data["info"].items())))
    facts += [("data note", note) for note in data.get("notes") or ()]
    return facts


def _fact(value: Any) -> str:
    """A long list is counted, not spelled out, and so is a long text."""
    if isinstance(value, str) and len(value) > 200:
        return f"({len(value)} characters)"
    if isinstance(value, list | dict) and len(value) > 6:
        return f"({len(value)} values)"
    return fmt.setting(value)


def _domain(kind: str, arguments: Any) -> str:
    return f"{kind} {fmt.setting(arguments)}"


def _openings(when: list[str]) -> str:
    if not when:
        return "sealed: never opened"
    return f"opened {fmt.times(len(when))}: {'; '.join(when)}"
