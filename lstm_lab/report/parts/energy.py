"""Energy of trainings: measured where the machine did, else an estimate that names its assumption."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.report import fmt

CPU_WATTS, GPU_WATTS = 12.0, 400.0
"""Assumed power of a busy core with its share of the machine, and of a busy accelerator of a data centre."""
COUNTERS = {"cpu_joules": "RAPL, the processor packages", "gpu_joules": "NVML, the accelerator"}
"""Column of the record -> what has measured it."""


def watt_hours(
    records: Sequence[RunRecord], cpus: float = 1.0, gpus: float | None = None
) -> tuple[float, list[str], list[str]]:
    """Energy of some runs, by what it was measured, and what was assumed of the rest.

    Args:
        cpus: busy cores of a run.
        gpus: accelerators of a run, a share of one where several runs share it; None: one, where it ran on one.
    """
    joules, measured, assumed = 0.0, list[str](), list[str]()
    for record in records:
        on_gpu = float(str(record.about.get("device", "cpu")).startswith("cuda")) if gpus is None else gpus
        for column, count, watts, unit in (
            ("cpu_joules", cpus, CPU_WATTS, "busy core"), ("gpu_joules", on_gpu, GPU_WATTS, "accelerator"),
        ):  # fmt: skip
            known = [row[column] for row in record.rows if finite(row.get(column))]
            if record.rows and len(known) == len(record.rows):
                joules += known[-1]
                measured.append(COUNTERS[column])
            elif count:
                joules += record.seconds * count * watts
                assumed.append(f"{watts:.0f} W per {unit}")
    return joules / 3600, [*dict.fromkeys(measured)], [*dict.fromkeys(assumed)]


def energy(records: Sequence[RunRecord], cpus: float = 1.0, gpus: float | None = None) -> str:
    """The same as text."""
    hours, measured, assumed = watt_hours(records, cpus, gpus)
    amount = f"{fmt.number(hours)} Wh" if hours < 1000 else f"{fmt.number(hours / 1000)} kWh"
    if not measured:
        return f"an estimate, not measured: {amount}, assuming {', '.join(assumed)}"
    text = f"{amount}, measured ({'; '.join(measured)}) with all that ran there meanwhile"
    return f"{text}; in it, not measured, what runs with {', '.join(assumed)} would take" if assumed else text
