"""Tables and charts that W&B draws, from what a run folder says its model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def show(run: Any, folder: Path) -> None:
    """Whatever of it the folder has."""
