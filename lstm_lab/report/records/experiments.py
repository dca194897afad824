"""Runs and sweeps -> experiments over their seeds, grouped by the data that they can be compared on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from lstm_lab.config import ConfigError, canonical_json, flatten
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.report import fmt
from lstm_lab.report.records.wandb_offline import by_epoch
from lstm_lab.sweeps.store.record import SweepRecord

MAXIMISED = ("acc", "accuracy", "f1", "auc", "auroc", "precision", "recall", "r2", "bleu", "iou", "dice", "score")
"""Words in the name of an unknown metric by which larger values are taken to be better."""
DATA_KEYS = ("data.name", "data", "dataset.name", "dataset")
"""Where configurations of other code name their data."""
NOT_SAME_DATA = "Whether the W&B runs were trained on the same data with the same splits is not known."


@dataclass(frozen=True)
class ExperimentRecord:
    """One experiment over its seeds; of a sweep, its best configuration."""

    name: str
    kind: str
    """run, sweep, or W&B run."""
    config: Row
    """Dotted key -> value, without the seed."""
    seeds: list[object]
    records: list[RunRecord]
    """One per seed; a failed one has no value."""
    digest: str | None
    """Of the data; None for a W&B run of other code."""
    sweep: SweepRecord | None = None

    @property
    def data(self) -> str:
        """Name of its data; empty where it is not known."""
        return next((str(self.config[key]) for key in DATA_KEYS if isinstance(self.config.get(key), str)), "")

    @property
    def values(self) -> dict[str, float]:
        """Seed -> the monitored metric at the best epoch."""
        pairs = zip(self.seeds, self.records, strict=True)
        return {str(seed): r.value for seed, r in pairs if r.value is not None and r.state != "failed"}

    @property
    def mean(self) -> float | None:
        """Mean over seeds."""
        return mean(self.values.values()) if self.values else None

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two."""
        return stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def seconds(self) -> float:
        """Training time, summed over seeds."""
        return sum(record.seconds for record in self.records)

    @property
    def parameters(self) -> int | None:
        """Parameters of its model."""
        return next((n for record in self.records if isinstance(n := record.about.get("parameters"), int)), None)

    @property
    def path(self) -> Path:
        """Folder of the sweep, or of the first run."""
        return self.sweep.path if self.sweep else self.records[0].path

    def test_values(self, metric: str) -> list[float]:
        """A metric on the test split, of each seed that was evaluated on it: at its last test evaluation."""
        rows = [record.test_results[-1]["scores"] for record in self.records if record.test_results]
        return [row[metric] for row in rows if finite(row.get(metric))]


@dataclass(frozen=True)
class ComparisonGroup:
    """Experiments that can be compared: on the same data, by the same metric."""

    data: str
    metric: str
    mode: str
    experiments: list[ExperimentRecord]
    """Best first; those without a value last."""
    notes: list[str]

    @property
    def ranked(self) -> list[ExperimentRecord]:
        """Those with a value, best first."""
        return [experiment for experiment in self.experiments if experiment.mean is not None]

    def paired_differences(self, best: ExperimentRecord, other: ExperimentRecord) -> list[float]:
        """By how much `best` is better than `other`, for each seed that both have."""
        sign = -1 if self.mode == "max" else 1
        theirs = other.values
        return [sign * (theirs[seed] - value) for seed, value in best.values.items() if seed in theirs]


def comparison_groups(
    records: Sequence[RunRecord | SweepRecord], wandb_runs: Sequence[RunRecord], metric: str | None = None,
    mode: str | None = None,
) -> list[ComparisonGroup]:  # fmt: skip
    """Everything that was read, grouped by data.

    Args:
        wandb_runs: of other code; they join the group whose data have the same name, if there is one.
        metric: by which to compare; None: the monitored one, or one that all have.
        mode: min or max: which end of the metric is better; None: as the records or the metric's name say.

    Raises:
        ConfigError: experiments on the same data have no metric in common.
    """
    by_data: dict[str, list[ExperimentRecord]] = {}
    experiments = _experiments(records, wandb_runs)
    for experiment in experiments:
        if experiment.digest is not None:
            by_data.setdefault(experiment.digest, []).append(experiment)
    names = {digest: group[0].data for digest, group in by_data.items()}
    notes: dict[str, list[str]] = {}
    for experiment in experiments:
        if experiment.digest is None:
            key = next((digest for digest, name in names.items() if name == experiment.data), None)
            key = key or (next(iter(by_data)) if len(names) == 1 and not experiment.data else f"?{experiment.data}")
            by_data.setdefault(key, []).append(experiment)
            if key in names:
                notes[key] = [NOT_SAME_DATA]
    labels = [group[0].data for group in by_data.values()]
    return [
        _group(
            group[0].data + (f" ({key})" if labels.count(group[0].data) > 1 and not key.startswith("?") else ""),
            group, notes.get(key, []), metric, mode,
        )
        for key, group in by_data.items()
    ]  # fmt: skip


def _group(
    data: str, experiments: list[ExperimentRecord], notes: list[str], metric: str | None, mode: str | None
) -> ComparisonGroup:
    chosen = metric or _common_metric(experiments)
    if mode is None:
        known = [r.mode for e in experiments for r in e.records if r.about.get("monitor") == chosen]
        mode = known[0] if known else _mode_by_name(chosen)
        if not known:
            better = "Larger" if mode == "max" else "Smaller"
            notes = [*notes, f"{better} values of {fmt.metric(chosen)} are taken to be better, by the metric's name."]
    ranked = [_monitoring(experiment, chosen, mode) for experiment in experiments]
    if not any(experiment.values for experiment in ranked):
        rows = [row for e in experiments for r in e.records for row in r.rows[-1:]]
        names = sorted({name for row in rows for name in row if finite(row[name])})
        raise ConfigError(f"compare: no run on {data or 'these data'} has {chosen}; there are: {', '.join(names[:12])}")
    sign = -1 if mode == "max" else 1
    ranked.sort(key=lambda experiment: (experiment.mean is None, sign * (experiment.mean or 0.0)))
    return ComparisonGroup(data or "the data", chosen, mode, ranked, notes)


def _mode_by_name(metric: str) -> str:
    words = metric.lower().replace("/", "_").replace("-", "_").split("_")
    return "max" if any(word in MAXIMISED for word in words) else "min"


def _common_metric(experiments: list[ExperimentRecord]) -> str:
    """The metric that all monitor; else a monitored one that all have; else a loss that all have."""
    records = [record for experiment in experiments for record in experiment.records if record.rows]
    metrics = [{name for row in record.rows for name in row if finite(row[name])} for record in records]
    shared = set.intersection(*metrics) if metrics else set()
    monitored = list(dict.fromkeys(record.monitor for record in records if record.monitor))
    losses = [name for name in sorted(shared) if "val" in name and "loss" in name]
    found = [name for name in monitored if name in shared] + losses + [n for n in sorted(shared) if "loss" in n]
    if found:
        return found[0]
    some = ", ".join(sorted(shared - {"epoch", "step", "seconds"})[:12]) or "none"
    raise ConfigError(f"compare: the runs have no monitored metric in common; choose one by --metric; all have: {some}")


def _monitoring(experiment: ExperimentRecord, metric: str, mode: str) -> ExperimentRecord:
    """The experiment with its best epochs chosen by a metric."""
    monitored = {"monitor": metric, "mode": mode}
    records = [
        replace(record, about={**record.about, **monitored}, rows=by_epoch(record.rows, metric))
        for record in experiment.records
    ]
    return replace(experiment, records=records)


def _experiments(records: Sequence[RunRecord | SweepRecord], wandb_runs: Sequence[RunRecord]) -> list[ExperimentRecord]:
    runs = [record for record in records if isinstance(record, RunRecord)]
    sweeps = [_best_of_sweep(sweep) for sweep in records if isinstance(sweep, SweepRecord)]
    experiments = [
        *_by_config(((record, _config_of(record)) for record in runs), "run"),
        *(experiment for experiment in sweeps if experiment),
        *_by_config(((record, flatten(record.about["config"])) for record in wandb_runs), "W&B run"),
    ]
    names = [experiment.name for experiment in experiments]
    return [
        replace(experiment, name=f"{experiment.name} ({number})") if names.count(experiment.name) > 1 else experiment
        for number, experiment in enumerate(experiments, 1)
    ]


def _by_config(records: Iterable[tuple[RunRecord, Row]], kind: str) -> list[ExperimentRecord]:
    """Runs that differ only in their seed make one experiment."""
    groups: dict[str, list[tuple[RunRecord, Row]]] = {}
    for record, flat in records:
        groups.setdefault(canonical_json([_without_seed(flat), _digest(record)]), []).append((record, flat))
    experiments = []
    for group in groups.values():
        first, flat = group[0]
        name = str(first.about.get("name") or first.name)
        seeds = [next((value for key, value in values.items() if _is_seed(key)), None) for _, values in group]
        if len(set(map(str, seeds))) < len(seeds):  # Repeated runs of the same seed are told apart by their names.
            seeds = [f"{seed}, {record.name}" for seed, (record, _) in zip(seeds, group, strict=True)]
        experiments.append(ExperimentRecord(
            name=f"{name} ({len(group)} seeds)" if len(group) > 1 else name, kind=kind, config=_without_seed(flat),
            seeds=seeds, records=[record for record, _ in group], digest=_digest(first),
        ))  # fmt: skip
    return experiments


def _best_of_sweep(sweep: SweepRecord) -> ExperimentRecord | None:
    best = sweep.winner
    if best is None or best.record is None:
        return None
    trials = [trial for trial in sweep.configuration_of(best).trials if trial.record]
    # The driver knows the state of a trial better: a stopped one left its own record as interrupted.
    records = [replace(trial.record, state=trial.state) for trial in trials if trial.record]
    return ExperimentRecord(
        name=sweep.name, kind="sweep", config=_without_seed(_config_of(best.record)),
        seeds=[trial.repeat for trial in trials], records=records, digest=_digest(best.record), sweep=sweep,
    )  # fmt: skip


def _digest(record: RunRecord) -> str | None:
    return (record.about.get("data") or {}).get("digest")


def _config_of(record: RunRecord) -> Row:
    return flatten(Run(record.path).experiment) if (record.path / files.EXPERIMENT).is_file() else {}


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2].lower() in ("seed", "random_seed", "random_state")


def _without_seed(values: Row) -> Row:
    return {key: value for key, value in values.items() if not _is_seed(key)}
