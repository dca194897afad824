"""Whether a run's folder still holds what was written: checkpoints by checksum, the metric record by status.json.

torch writes a checkpoint as a zip archive with a CRC-32 of every record, and reads it without comparing them: a block
that a disk has lost would load as weights. Comparing costs 0.9 ms per MB, loading itself about 7.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.records.scores import level

TRAINED = ("finished", "stopped")
"""States of a run that has a result."""


def verify_checkpoint(path: Path) -> None:
    """Compare every record of a checkpoint with its checksum.

    Raises:
        DataError: one differs, or the file is no complete checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except FileNotFoundError:
        raise DataError(f"{path}: missing") from None
    except (OSError, RuntimeError, ValueError, EOFError, NotImplementedError, struct.error, zipfile.BadZipFile,
            zlib.error) as error:  # fmt: skip
        raise DataError(f"{path}: incomplete or not ours ({type(error).__name__})") from None
    if damaged is not None:
        raise DataError(f"{path}: damaged: the checksum of its record {damaged} does not match")


def lost_rows(run: Run, record: RunRecord | None = None) -> str | None:
    """What the metric record lacks of what status.json says of a run that has ended; None where it is whole.

    Args:
        record: of the run, where it is read already.

    Raises:
        DataError: one of the two cannot be read.
    """
    status = run.status
    epochs, best = status.get("epochs"), status.get("best") or {}
    if status["state"] not in TRAINED or epochs is None:
        return None
    rows = {row["epoch"]: row for row in (run.rows() if record is None else record.rows)}
    lost = sum(epoch not in rows for epoch in range(epochs))
    if lost:
        return f"{files.METRICS}: {lost} of {epochs} epochs are missing"
    monitor, value = (run.about if record is None else record.about).get("monitor"), best.get("value")
    if monitor is not None and finite(value) and not level(_value(rows, best.get("epoch"), monitor), value):
        return (
            f"{files.METRICS}: the best epoch, {best.get('epoch')}, does not have the value that {files.STATUS} names"
        )
    return None


def _value(rows: dict[int, Row], epoch: object, monitor: str) -> float | None:
    value = rows[epoch].get(monitor) if isinstance(epoch, int) and epoch in rows else None
    return value if finite(value) else None


def lost_best(run: Run) -> str | None:
    """What is wrong with the checkpoint of the best epoch of a run that has ended; None where it is whole."""
    try:
        if run.status["state"] in TRAINED and run.rows():
            verify_checkpoint(run.best_checkpoint)
    except DataError as error:
        return f"{files.CHECKPOINTS}/{files.BEST}: {str(error).partition(': ')[2]}"
    return None


def start_over(run: Run) -> None:
    """Remove the checkpoints, the rows and the state of a run, so that it is trained again from the beginning."""
    for path in (*run.checkpoints.glob("*.ckpt"), run.path / files.METRICS, run.path / files.STATUS):
        path.unlink(missing_ok=True)
    files.make_folder(run.checkpoints)


def set_aside(path: Path, *, folder: bool = False) -> Path | None:
    """Rename what stands where a file of a record belongs and is none; its new path, or None where nothing was wrong.

    Args:
        folder: whether a folder belongs there.
    """
    if not os.path.lexists(path) or (os.path.isdir(path) if folder else os.path.isfile(path)):
        return None
    number = 1
    while os.path.lexists(new := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    return path.rename(new)
