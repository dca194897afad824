"""What the disk refuses: no room, no permission, no such thing; as one line with the way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lstm_lab.config import ConfigError, DataError, Fault

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class DiskFull(DataError):
    """There is no room for what has to be written."""


@contextmanager
def explained(folder: Path, again: str) -> Iterator[None]:
    """Turn what the disk refuses inside into one line with the way out.

    Args:
        folder: that is written, where the error names no file.
        again: the command that goes on once there is room.

    Raises:
        DiskFull: make room.
        ConfigError: the folder may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (*FULL, *FORBIDDEN):
            raise
        raise explain(error, folder, again) from error


def explain(error: OSError, folder: Path | None = None, again: str = "run the command again") -> Fault:
    """The error of the disk as one line with the way out.

    Args:
        folder, again: as of `explained`; None: it is not known whether something was to be written.
    """
    place = error.filename2 or error.filename or folder or "a file"
    if error.errno in FULL:
        return DiskFull(f"{place}: cannot be written: {error.strerror}: make room, then: {again}")
    if error.errno in FORBIDDEN and (folder is not None or error.errno == errno.EROFS):
        return unwritable(Path(place), error)
    return ConfigError(f"{place}: {error.strerror or error}: check its name, what it is, and its permissions")


def unwritable(place: Path, error: OSError) -> ConfigError:
    """The error to raise where a file, or nothing in a folder, may be written."""
    return ConfigError(f"{place}: cannot be written: {error.strerror}; change its permissions, or copy the folder to "
                       "where you can write")  # fmt: skip


def unreadable(path: Path, error: OSError) -> DataError:
    """The error to raise where a file that is there cannot be read."""
    return DataError(f"{path}: cannot be read: {error.strerror}; check what it is, and its permissions")


def closed(path: Path) -> ConfigError | None:
    """The error for a folder that this user may not look into, which does not tell whether it is a run; else None."""
    folders = (path, *path.absolute().parents)
    found = next((p for p in folders if os.path.isdir(p) and not os.access(p, os.X_OK)), None)
    if found is None:
        return None
    return ConfigError(
        f"{path}: cannot be opened: {found} is closed to this user (Permission denied); check its permissions"
    )
