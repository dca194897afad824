"""Runs and sweeps -> what is compared: one entry for each experiment, over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.files import Row
from lstm_lab.records import RunRecord, finite
from lstm_lab.report import fmt
from lstm_lab.report.records.wandb_offline import by_epoch
from lstm_lab.sweeps.store.record import SweepRecord

LARGER = ("acc", "accuracy", "f1", "auc", "auroc", "precision", "recall", "r2", "bleu", "iou", "dice", "score")
"""Words in a foreign metric's name by which more of it is taken to be better."""


@dataclass(frozen=True)
class Entry:
    """One experiment over its seeds; of a sweep its best point."""

    name: str
    kind: str
    """run, sweep, or W&B."""
    settings: Row
    """Dotted key -> value, without the seed."""
    seeds: list[Any]
    records: list[RunRecord]
    """One for each seed; failed ones have no value."""
    digest: str | None
    """Of the data; None where a foreign run does not say."""
    sweep: SweepRecord | None = None

    @property
    def data(self) -> str:
        """What its data are called; empty where nothing says it."""
        for key in ("data.name", "data", "dataset.name", "dataset"):
            if isinstance(self.settings.get(key), str):
                return str(self.settings[key])
        return ""

    @property
    def values(self) -> dict[str, float]:
        """Seed -> the deciding metric at the best epoch."""
        held = zip(self.seeds, self.records, strict=True)
        return {str(seed): r.value for seed, r in held if r.value is not None and r.state != "failed"}

    @property
    def mean(self) -> float | None:
        return mean(self.values.values()) if self.values else None

    @property
    def spread(self) -> float | None:
        return stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.records)

    def tested(self, metric: str) -> list[float]:
        """The metric on the test part, of each seed that opened it."""
        rows = [record.test_evaluations[-1]["scores"] for record in self.records if record.test_evaluations]
        return [row[metric] for row in rows if finite(row.get(metric))]


@dataclass(frozen=True)
class Arena:
    """Entries that can be compared: on the same data, by the same metric."""

    data: str
    metric: str
    mode: str
    entries: list[Entry]
    """Best first; those without a value last."""
    notes: list[str]


def arenas(found: Sequence[RunRecord | SweepRecord], foreign: Sequence[RunRecord], metric: str | None = None,
           mode: str | None = None) -> list[Arena]:  # fmt: skip
    """Everything that was found, by data.

    Raises:
        ConfigError: entries on the same data have no metric in common.
    """
    entries = _entries(found, foreign)
    own: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.digest is not None:
            own.setdefault(entry.digest, []).append(entry)
    names = {digest: group[0].data for digest, group in own.items()}
    notes: dict[str, list[str]] = {}
    for entry in entries:
        if entry.digest is None:
            home = next((digest for digest, name in names.items() if name == entry.data), None)
            home = home or (next(iter(own)) if len(names) == 1 and not entry.data else f"?{entry.data}")
            own.setdefault(home, []).append(entry)
            if home in names:
                notes[home] = ["Whether the W&B runs saw the same data, split the same way, is not known."]
    labels = [group[0].data for group in own.values()]
    return [
        _arena(
            group[0].data + (f" ({key})" if labels.count(group[0].data) > 1 and not key.startswith("?") else ""),
            group, notes.get(key, []), metric, mode,
        )
        for key, group in own.items()
    ]  # fmt: skip


def _arena(data: str, group: list[Entry], notes: list[str], metric: str | None, mode: str | None) -> Arena:
    chosen = metric or _common(group)
    known = [record for entry in group for record in entry.records if record.about.get("monitor") == chosen]
    if mode is None:
        if known:
            mode = known[0].mode
        else:
            tail = chosen.lower().replace("/", "_").replace("-", "_").split("_")
            mode = "max" if any(word in LARGER for word in tail) else "min"
            notes = [
                *notes,
                f"{'More' if mode == 'max' else 'Less'} of {fmt.metric(chosen)} is taken to be better.",
            ]
    placed = [_by(entry, chosen, mode) for entry in group]
    if not any(entry.values for entry in placed):
        held = sorted(
            {name for e in group for r in e.records for row in r.rows[-1:] for name in row if finite(row[name])}
        )
        raise ConfigError(
            f"compare: no run on {data or 'these data'} holds {chosen}; there are: {', '.join(held[:12])}"
        )
    sign = -1 if mode == "max" else 1
    placed.sort(key=lambda entry: (entry.mean is None, sign * (entry.mean or 0.0)))
    return Arena(data or "the data", chosen, mode, placed, notes)


def _common(group: list[Entry]) -> str:
    """The metric that decides in all of them; else one of the deciding ones that all have; else any loss."""
    records = [record for entry in group for record in entry.records if record.rows]
    held = [{name for row in record.rows for name in row if finite(row[name])} for record in records]
    shared = set.intersection(*held) if held else set()
    decided = list(dict.fromkeys(record.about["monitor"] for record in records if record.about.get("monitor")))
    losses = [name for name in sorted(shared) if "val" in name and "loss" in name]
    found = [name for name in decided if name in shared] + losses + [n for n in sorted(shared) if "loss" in n]
    if found:
        return found[0]
    some = ", ".join(sorted(shared - {"epoch", "step", "seconds"})[:12]) or "none"
    raise ConfigError(f"compare: the runs have no deciding metric in common; name one with --metric; all have: {some}")


def _by(entry: Entry, metric: str, mode: str) -> Entry:
    """The entry judged by one metric."""
    told = {"monitor": metric, "mode": mode}
    records = [
        replace(record, about={**record.about, **told}, rows=by_epoch(record.rows, metric)) for record in entry.records
    ]
    return replace(entry, records=records)


def _entries(found: Sequence[RunRecord | SweepRecord], foreign: Sequence[RunRecord]) -> list[Entry]:
    runs = [record for record in found if isinstance(record, RunRecord)]
    sweeps = [_of_sweep(sweep) for sweep in found if isinstance(sweep, SweepRecord)]
    ours = _grouped(((record, _settings_of(record)) for record in runs), "run")
    theirs = _grouped(((record, config.flatten(record.about["config"])) for record in foreign), "W&B")
    entries = [*ours, *(entry for entry in sweeps if entry), *theirs]
    names = [entry.name for entry in entries]
    return [
        replace(entry, name=f"{entry.name} ({place + 1})") if names.count(entry.name) > 1 else entry
        for place, entry in enumerate(entries)
    ]


def _grouped(records: Iterable[tuple[RunRecord, Row]], kind: str) -> list[Entry]:
    """Runs that differ in nothing but their seed are one entry."""
    groups: dict[str, list[tuple[RunRecord, Row]]] = {}
    for record, settings in records:
        rest = {key: value for key, value in settings.items() if not _is_seed(key)}
        digest = (record.about.get("data") or {}).get("digest")
        groups.setdefault(fmt.same([rest, digest]), []).append((record, settings))
    entries = []
    for group in groups.values():
        (first, settings), more = group[0], len(group) - 1
        name = str(first.about.get("name") or first.name)
        seeds = [next((value for key, value in s.items() if _is_seed(key)), None) for _, s in group]
        if len(set(map(str, seeds))) < len(seeds):  # Repeats without a seed of their own: each stands for itself.
            seeds = [f"{seed}, {record.name}" for seed, (record, _) in zip(seeds, group, strict=True)]
        entries.append(Entry(
            name=f"{name} ({more + 1} seeds)" if more else name, kind=kind,
            settings={key: value for key, value in settings.items() if not _is_seed(key)},
            seeds=seeds, records=[record for record, _ in group],
            digest=(first.about.get("data") or {}).get("digest"),
        ))  # fmt: skip
    return entries


def _of_sweep(sweep: SweepRecord) -> Entry | None:
    won = sweep.winner
    if won is None or won.record is None:
        return None
    point = sweep.configuration_of(won)
    trials = [trial for trial in point.trials if trial.record]
    # In a sweep the trial's state is known better: a stopped one was left by its process as interrupted.
    records = [replace(trial.record, state=trial.state) for trial in trials if trial.record]
    settings = {key: value for key, value in _settings_of(won.record).items() if not _is_seed(key)}
    digest = (won.record.about.get("data") or {}).get("digest")
    return Entry(sweep.path.resolve().name, "sweep", settings, [t.seed for t in trials], records, digest, sweep)


def _settings_of(record: RunRecord) -> Row:
    path = record.path / "experiment.yaml"
    return config.flatten(config.load(path)) if path.is_file() else {}


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2].lower() in ("seed", "random_seed", "random_state")
