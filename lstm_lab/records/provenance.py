"""What made a number: versions of the packages, and the state of the code."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("lstm-lab", "torch", "pytorch-lightning", "torchmetrics", "ray", "optuna", "wandb", "numpy")


@cache
def versions() -> dict[str, str]:
    """Version of Python and of every installed package of `PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_state() -> dict[str, object] | None:
    """Commit of the code and whether it has been changed since; None outside a repository or without git."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def command_line() -> str:
    """The command of this process, as a person would type it again."""
    return shlex.join(["lstm-lab" if sys.argv[0].endswith(("lstm-lab", "__main__.py")) else sys.argv[0], *sys.argv[1:]])


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
