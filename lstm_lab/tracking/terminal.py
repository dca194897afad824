"""W&B's own terminal view, over runs that lie in many folders."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lstm_lab.config import ConfigError
from lstm_lab.records.files import runs_folder
from lstm_lab.tracking.tracker import files_folder
from lstm_lab.tracking.upload import runs_below


def link_runs(paths: Iterable[str | Path], folder: Path) -> int:
    """Make links to the W&B runs below the paths in one folder, as the view expects them; how many there are."""
    found = [
        directory for run in runs_below(paths)
        for directory in sorted(files_folder(run).glob("wandb/*run-*-*"))
    ]  # fmt: skip
    for directory in found:
        (folder / directory.name).symlink_to(directory.resolve())
    return len(found)


def tui(paths: Iterable[str | Path] = ()) -> int:
    """Show the W&B runs of runs and sweeps; of all without any. Returns the exit code of the view.

    Raises:
        ConfigError: there is no W&B run.
    """
    paths = list(paths)
    with tempfile.TemporaryDirectory(prefix="lstm-lab-tui-") as folder:
        if not link_runs(paths, Path(folder)):
            where = ", ".join(map(str, paths)) or str(runs_folder())
            raise ConfigError(f"{where}: contains no W&B run; train with --wandb offline to have one")
        environment = {"WANDB_ERROR_REPORTING": "false", **os.environ}
        return subprocess.run([sys.executable, "-m", "wandb", "leet", folder], env=environment, check=False).returncode
