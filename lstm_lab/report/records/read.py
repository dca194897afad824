"""The run or the sweep in a folder, for a page."""

from __future__ import annotations

from pathlib import Path

from lstm_lab import files
from lstm_lab.config import ConfigError, DataError
from lstm_lab.records import RunRecord, read_run
from lstm_lab.sweeps.store.record import SweepRecord, is_sweep, read_sweep


def read(folder: Path) -> RunRecord | SweepRecord:
    """The run or the sweep in a folder.

    Raises:
        DataError: there is neither, or a file of it is incomplete.
    """
    try:
        if is_sweep(folder):
            return read_sweep(folder)
        if (folder / files.RUN).is_file():
            return read_run(folder)
    except ConfigError as error:
        raise DataError(str(error)) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{folder}: its record is incomplete or not ours ({type(error).__name__}: {error})") from None
    raise DataError(f"{folder}: neither a run nor a sweep: there is no run.json and no sweep.yaml in it")
