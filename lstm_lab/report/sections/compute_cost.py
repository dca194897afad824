"""Compute cost: time, devices, overhead, memory, and an estimate of the energy."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.energy import energy
from lstm_lab.report.parts.experiments import costs_table
from lstm_lab.report.records.experiments import ComparisonGroup
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord

Items = list[tuple[str, str]]
MIN_SECONDS = 10
"""Mean time of a trial from which its overhead is measured: start and end are recorded to the second."""


class ComputeCost(ReportSection):
    """What the training cost."""

    title, order = "Compute cost", 80

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        return [Subsection(items=run_costs(run))]

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        return [Subsection(items=sweep_costs(sweep))]

    def of_comparison(self, groups: list[ComparisonGroup]) -> Subsections:
        return [Subsection(tables=[costs_table([row for group in groups for row in group.experiments])])]


def sweep_costs(sweep: SweepRecord) -> Items:
    """Costs of all trials of a sweep; empty where nothing was trained."""
    records = [trial.record for trial in sweep.trials if trial.record]
    training = sum(record.seconds for record in records)
    if not training:
        return []
    wall = (sweep.summary or {}).get("seconds") or sweep.about.get("seconds")
    resources = sweep.spec.get("resources") or {}
    cpus, gpus = _number(resources.get("cpus"), 1.0), _number(resources.get("gpus"), 0.0)
    items: Items = []
    if wall:
        items.append(("wall time", f"{fmt.duration(wall)} for the whole sweep"))
    items.append(("training time", f"{fmt.duration(training)}, summed over {fmt.plural(len(records), 'trial')}"))
    items.append(("device time", _device_time(training, cpus, gpus)))
    if wall and training / wall >= 1.05:
        items.append(("parallelism", f"{training / wall:.1f} trials in training at a time on average"))
    if share := _overhead(records):
        items.append(("overhead", f"{share} of the time of the trials was not spent in epochs"))
    elif wall and wall > training:
        rest = fmt.duration(wall - training)
        items.append(("overhead", f"at least {rest} of the wall time: start-up, scheduling, evaluation"))
    stopped = sum(trial.seconds for trial in sweep.trials if trial.state in ("stopped", "failed"))
    if stopped:
        items.append(("incomplete trials", f"{fmt.duration(stopped)} of the training time, stopped early or failed"))
    return [*items, *_saved_by_stopping(sweep), *_peak_memory(records), ("energy", energy(records, cpus, gpus))]


def run_costs(run: RunRecord) -> Items:
    """Costs of one run; empty where nothing was trained."""
    if not run.seconds:
        return []
    gpus = 1.0 if str(run.about.get("device", "cpu")).startswith("cuda") else 0.0
    per_epoch = fmt.duration(run.seconds / len(run.rows))
    items: Items = [
        ("training time", f"{fmt.duration(run.seconds)}, {per_epoch} per epoch"),
        ("device time", _device_time(run.seconds, 1.0, gpus)),
    ]
    if run.state == "finished" and (share := _overhead([run])):
        items.append(("overhead", f"{share} of the time of the run was not spent in epochs"))
    return [*items, *_peak_memory([run]), ("energy", energy([run]))]


def _overhead(records: list[RunRecord]) -> str:
    """Share of the time from creation to end outside of epochs; empty where it is unknown or too short to measure."""
    times = [(record.wall_seconds, record.seconds) for record in records]
    known = [(wall, training) for wall, training in times if wall is not None and wall >= training > 0]
    total = sum(wall for wall, _ in known)
    if not known or total < MIN_SECONDS * len(known):
        return ""
    return f"{100 * (1 - sum(training for _, training in known) / total):.0f} %"


def _device_time(seconds: float, cpus: float, gpus: float) -> str:
    short = seconds * max(cpus, gpus) < 60
    hours = [
        f"{fmt.number(round(seconds * count / (1 if short else 3600), 1 if short else 4))} {device} "
        f"{'seconds' if short else 'hours'}"
        for count, device in ((cpus, "CPU"), (gpus, "GPU"))
        if count
    ]
    return f"{fmt.join(hours)}, as allocated during training"


def _saved_by_stopping(sweep: SweepRecord) -> Items:
    """Training time saved by early stopping, had the stopped trials been as long as the longest finished one."""
    longest = max((len(t.record.rows) for t in sweep.trials if t.record and t.state == "finished"), default=0)
    stopped = [t.record for t in sweep.trials if t.record and t.state == "stopped" and t.record.rows]
    saved = sum((longest - len(record.rows)) * record.seconds / len(record.rows) for record in stopped)
    if saved <= 0:
        return []
    text = f"about {fmt.duration(saved)} of training time, compared with {longest} epochs for each stopped trial"
    return [("saved by early stopping", text)]


def _peak_memory(records: list[RunRecord]) -> Items:
    """Peak over all epochs and runs that recorded it."""
    values = [row["memory_mib"] for record in records for row in record.rows if finite(row.get("memory_mib"))]
    of = ", the maximum over runs" if len(records) > 1 else ""
    return [("peak memory", f"{max(values):,.0f} MiB{of}")] if values else []


def _number(value: object, default: float) -> float:
    return float(value) if finite(value) else default
