"""The plan of a sweep, computed without starting anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lstm_lab.records.files import runs_folder
from lstm_lab.sweeps.space.search_space import format_overrides
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store.folder import earlier_results


def plan(sweep: Sweep, file: str, name: str | None, address: str | None, storage: str | None = None) -> Iterator[str]:
    """Lines: the trials, the resources of each, how many run at once, where they write.

    Args:
        file: of the sweep, which gives its folder a name without `name`.
        address: of a Ray cluster; None: this machine.
        storage: URI that the trials write to, where nodes share no disk.

    Raises:
        ConfigError: `warm_start` does not fit.
    """
    experiment, resources = sweep.base, sweep.resources
    configurations, repeats = sweep.num_configurations, len(sweep.repeats)
    yield sweep.title
    yield (
        f"trials     {configurations * repeats}: {configurations} configurations x {_repeats(sweep)}, at most "
        f"{experiment.trainer.max_epochs} epochs each; searcher {sweep.searcher.name}, scheduler {sweep.scheduler.name}"
    )
    if sweep.earlier_sweeps:
        told, outside = earlier_results(sweep)
        yield f"warm start {len(told)} earlier configurations; {outside} lie outside the space and are left out"
    if sweep.monitor is not None:
        yield f"objectives {', '.join(sweep.monitor)}{_measured(sweep)}"
    if sweep.criteria.limits:
        yield f"kept       {', '.join(limit.text for limit in sweep.criteria.limits)}: by the best configuration"
    yield f"example    {format_overrides(next(iter(sweep.search_space.corners())))}"
    if sweep.confirm:
        listed = ", ".join(map(str, sweep.confirm.seeds))
        yield f"confirm    the best {sweep.confirm.top} configurations with seeds {listed}"
    if sweep.order == "arrival":
        yield "order      arrival: what is stopped or suggested depends on the speed of this machine"
    elif sweep.learns_from_results:
        yield f"order      virtual: {sweep.max_concurrent_trials} trials are considered at once"
    each = f"{resources.cpus:g} CPUs" + (f", {resources.gpus:g} GPUs" if resources.gpus else "")
    workers = f" for each of {resources.workers} workers" if resources.workers > 1 else ""
    yield f"resources  {each}{workers} per trial"
    if address is not None:
        yield f"at once    as many as fit on the cluster at {address}, including nodes that join later"
    else:
        yield from _local_capacity(sweep)
    if sweep.timeout is not None:
        yield f"timeout    a trial without an epoch for {sweep.timeout:g} s is ended"
    folder = runs_folder().resolve() / (name or f"{Path(file).stem}-N")
    existing = next(parent for parent in folder.parents if parent.exists())
    free = shutil.disk_usage(existing).free / 1024**3
    yield f"folder     {folder} ({free:.0f} GiB free)" + (f", each trial to {storage}" if storage else "")


def _measured(sweep: Sweep) -> str:
    found = sweep.criteria.not_reproducible
    return f"; another run measures another {' and '.join(found)}" if found else ""


def _repeats(sweep: Sweep) -> str:
    if sweep.cross_validation is None:
        return f"{len(sweep.seeds)} seeds"
    folds = f"{sweep.fold(0).num_folds} folds ({sweep.cross_validation.name})"
    return folds if len(sweep.seeds) == 1 else f"{folds} x {len(sweep.seeds)} seeds"


def _local_capacity(sweep: Sweep) -> Iterator[str]:
    """How many trials run at once on this machine, and what prevents them."""
    import torch

    resources = sweep.resources
    gpus, cpus = torch.cuda.device_count(), os.cpu_count() or 1
    capacity = int(cpus / resources.cpus / resources.workers)
    if resources.gpus:
        capacity = min(capacity, int(gpus / resources.gpus / resources.workers))
    trials = sweep.num_configurations * len(sweep.repeats)
    yield f"at once    {min(capacity, trials)}, on {cpus} CPUs and {gpus} GPUs of this machine"
    if capacity == 0:
        yield "problem    no trial fits on this machine: lower resources, or give --address of a cluster"
    elif sweep.is_population_based and sweep.order == "arrival" and capacity < trials:
        yield (
            f"problem    {sweep.scheduler.name} trains all of its {trials} trials at once: lower num_samples, or write "
            "order: virtual"
        )
