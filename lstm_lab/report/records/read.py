"""The run or the sweep in a folder, for a page."""

from __future__ import annotations

import os
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.records import files
from lstm_lab.records.run import Run, no_record
from lstm_lab.records.run_record import RunRecord, read_run
from lstm_lab.sweeps.store.record import SweepRecord, is_sweep, read_sweep


def read(folder: Path) -> RunRecord | SweepRecord:
    """The run or the sweep in a folder.

    Raises:
        ConfigError: there is neither.
        DataError: a file of it is incomplete.
    """
    try:
        if is_sweep(folder):
            return read_sweep(folder)
        if Run(folder).exists():
            return read_run(folder)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{folder}: its record is incomplete, or not one of lstm-lab ({reason})") from None
    raise no_record(folder)


def experiment_text(record: RunRecord) -> str:
    """experiment.yaml of a run as text; empty where there is none."""
    path = record.path / files.EXPERIMENT
    return files.read_text(path) if os.path.isfile(path) else ""


def shown_path(path: Path) -> str:
    """A path as it can be typed in the current folder: relative to it where possible."""
    absolute, current = path.resolve(), Path.cwd()
    return str(absolute.relative_to(current)) if absolute.is_relative_to(current) else str(path)
