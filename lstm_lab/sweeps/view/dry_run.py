"""What a sweep would start, worked out without starting anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lstm_lab.files import runs_folder
from lstm_lab.sweeps.space.search_space import format_overrides
from lstm_lab.sweeps.spec import Sweep


def plan(sweep: Sweep, file: str, name: str | None, address: str | None, storage: str | None = None) -> Iterator[str]:
    """Lines: trials, what each holds, how many at once, where they write."""
    import torch

    resources, experiment = sweep.resources, sweep.base
    configurations, seeds = sweep.num_configurations, len(sweep.seeds)
    yield sweep.title
    yield (
        f"trials     {configurations * seeds}: {configurations} configurations x {seeds} seeds, at most "
        f"{experiment.trainer.max_epochs} epochs each; searcher {sweep.searcher.name}, scheduler {sweep.scheduler.name}"
    )
    corner = next(iter(sweep.search_space.corners()))
    yield f"for one    {format_overrides(corner)}"
    if sweep.confirm:
        yield f"then       the best {sweep.confirm.top} points with seeds {', '.join(map(str, sweep.confirm.seeds))}"
    each = f"{resources.cpus:g} CPUs" + (f", {resources.gpus:g} GPUs" if resources.gpus else "")
    workers = f" for each of {resources.workers} workers" if resources.workers > 1 else ""
    yield f"each holds {each}{workers}"
    if address is not None:
        yield f"at once    as many as the cluster at {address} has room for, nodes that join included"
    else:
        gpus, cpus = torch.cuda.device_count(), os.cpu_count() or 1
        room = int(cpus / resources.cpus / resources.workers)
        if resources.gpus:
            room = min(room, int(gpus / resources.gpus / resources.workers))
        yield f"at once    {min(room, configurations * seeds)}, on {cpus} CPUs and {gpus} GPUs of this machine"
        if room == 0:
            yield "problem    no trial has room here: lower resources, or give --address of a cluster"
        elif sweep.is_population_based and room < configurations:
            yield f"problem    {sweep.scheduler.name} trains its {configurations} trials at once: lower num_samples"
    if sweep.timeout is not None:
        yield f"hung       after {sweep.timeout:g} s without an epoch"
    folder = runs_folder().resolve() / (name or f"{Path(file).stem}-N")
    existing = next(place for place in folder.parents if place.exists())
    free = shutil.disk_usage(existing).free / 1024**3
    yield f"writes to  {folder} ({free:.0f} GiB free)" + (f", each trial to {storage}" if storage else "")
