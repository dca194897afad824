"""What it cost: time, devices, what was spent beside training, memory, and an estimate of the energy."""

from __future__ import annotations

from typing import Any

from lstm_lab.records import RunRecord, finite
from lstm_lab.report import fmt
from lstm_lab.sweeps.store.record import SweepRecord

Facts = list[tuple[str, str]]
CPU_WATTS, GPU_WATTS = 12.0, 400.0
"""Taken for one busy core with its share of the machine, and for one busy accelerator of a data centre."""


def of_sweep(sweep: SweepRecord) -> Facts:
    records = [trial.record for trial in sweep.trials if trial.record]
    trained = sum(record.seconds for record in records)
    if not trained:
        return []
    wall = (sweep.summary or {}).get("seconds") or sweep.about.get("seconds")
    resources = sweep.spec.get("resources") or {}
    cpus, gpus = _number(resources.get("cpus"), 1.0), _number(resources.get("gpus"), 0.0)
    facts: Facts = []
    if wall:
        facts.append(("wall time", f"{fmt.duration(wall)} for the whole sweep"))
    facts.append(("training", f"{fmt.duration(trained)}, summed over {fmt.plural(len(records), 'trial')}"))
    facts.append(("device time", _devices(trained, cpus, gpus)))
    if wall and trained / wall >= 1.05:
        facts.append(("at once", f"{trained / wall:.1f} trials were training on average"))
    held = [(record.wall_seconds, record.seconds) for record in records]
    known = [(whole, inside) for whole, inside in held if whole is not None and whole >= inside > 0]
    if known and sum(whole for whole, _ in known) >= 10 * len(known):
        # Both ends are written to the second: of short trials the share would be rounding.
        share = 1 - sum(inside for _, inside in known) / sum(whole for whole, _ in known)
        facts.append(("overhead", f"{100 * share:.0f} % of the time that trials were held was not spent in epochs"))
    elif wall:
        facts.append(("beside training", _beside(wall, trained)))
    stopped = sum(t.record.seconds for t in sweep.trials if t.record and t.state in ("stopped", "failed"))
    if stopped:
        facts.append(("cut short", f"{fmt.duration(stopped)} of the training went into stopped and failed trials"))
    return [*facts, *_saved(sweep), *_memory(records), _energy(trained, cpus, gpus)]


def of_run(record: RunRecord) -> Facts:
    if not record.seconds:
        return []
    epochs = len(record.rows)
    gpu = 1.0 if str(record.about.get("device", "cpu")).startswith("cuda") else 0.0
    facts: Facts = [
        ("training", f"{fmt.duration(record.seconds)}, {fmt.duration(record.seconds / epochs)} an epoch"),
        ("device time", _devices(record.seconds, 1.0, gpu)),
    ]
    whole = record.wall_seconds
    if record.state == "finished" and whole is not None and whole >= max(10.0, record.seconds):
        facts.append(("overhead", f"{100 * (1 - record.seconds / whole):.0f} % of the time it was held"))
    return [*facts, *_memory([record]), _energy(record.seconds, 1.0, gpu)]


def _beside(wall: float, trained: float) -> str:
    """Trials ran one after another at the most while this is above zero."""
    rest = max(0.0, wall - trained)
    return f"{fmt.duration(rest)} of the wall time at least: starting, scheduling, scoring"


def _devices(seconds: float, cpus: float, gpus: float) -> str:
    told = [f"{fmt.number(round(seconds * cpus / 3600, 4))} CPU hours"] if cpus else []
    told += [f"{fmt.number(round(seconds * gpus / 3600, 4))} GPU hours"] if gpus else []
    return fmt.listed(told) + ", as much as trials were given while they trained"


def _saved(sweep: SweepRecord) -> Facts:
    """What stopping early saved, against training every stopped trial as long as the longest."""
    full = max((len(t.record.rows) for t in sweep.trials if t.record and t.state == "finished"), default=0)
    stopped = [t.record for t in sweep.trials if t.record and t.state == "stopped" and t.record.rows]
    saved = sum((full - len(record.rows)) * record.seconds / len(record.rows) for record in stopped)
    if not stopped or saved <= 0:
        return []
    return [("saved", f"about {fmt.duration(saved)} of training, had the stopped trials gone on to epoch {full}")]


def _memory(records: list[RunRecord]) -> Facts:
    """Peak over all epochs and runs that recorded it."""
    held = [row["memory_mib"] for record in records for row in record.rows if finite(row.get("memory_mib"))]
    return [("peak memory", f"{max(held):,.0f} MiB, the most that one run held")] if held else []


def _energy(seconds: float, cpus: float, gpus: float) -> tuple[str, str]:
    hours = seconds * (cpus * CPU_WATTS + gpus * GPU_WATTS) / 3.6e6
    text = f"{fmt.number(hours * 1000)} Wh" if hours < 1 else f"{fmt.number(hours)} kWh"
    how = f"{CPU_WATTS:.0f} W a busy core" + (f", {GPU_WATTS:.0f} W an accelerator" if gpus else "")
    return "energy", f"an estimate, not measured: {text}, taking {how}"


def _number(value: Any, default: float) -> float:
    return float(value) if finite(value) else default
