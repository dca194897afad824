"""The folder in which Ray keeps its files, and its token, for one sweep on this machine.

A driver that is killed cannot remove its folder. So the next command removes each one that is ours and that no process
holds: by its place, name, owner, permissions and marker, never because a record names it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PARENT = Path("/tmp")
"""Not TMPDIR: the paths of Ray's sockets have a length limit."""
PREFIX = "ll-"
MARKER = ".lstm-lab"
"""File that only a folder made here holds; its lock is held for as long as the driver lives."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that only this user can enter; removed afterwards, like those that killed drivers have left."""
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PARENT))
    marker = os.open(folder / "new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        fcntl.flock(marker, fcntl.LOCK_EX)
        (folder / "new").rename(folder / MARKER)  # From now on other processes look at it.
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(marker)


def remove_leftovers() -> None:
    """Remove the folders of drivers that were killed."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(PARENT):
            if entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(folder: Path) -> None:
    if not _is_ours(folder.lstat(), stat.S_ISDIR):
        return
    marker = os.open(folder / MARKER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _is_ours(os.fstat(marker), stat.S_ISREG):
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(marker)


def _is_ours(found: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Whether it is of that kind, belongs to this user, and is closed to all others."""
    return is_kind(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
