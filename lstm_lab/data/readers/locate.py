"""Where data files are: named by a path of the user, or shipped by no package and found below LSTM_LAB_DATA."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.config.paths import DATA_FOLDER, near_name


def candidates(path: str) -> list[Path]:
    """Where a path of the user may be: in the current folder, then below the folder that LSTM_LAB_DATA names."""
    root = os.environ.get(DATA_FOLDER)
    return [Path(path)] if not root or Path(path).is_absolute() else [Path(path), Path(root, path)]


def find_file(path: str, key: str = "data.path") -> Path:
    """The file, from the current folder or else below LSTM_LAB_DATA.

    Args:
        key: of the field that names it, for messages.

    Raises:
        DataError: no such file.
    """
    paths = candidates(path)
    for candidate in paths:
        if candidate.is_file():
            return candidate
    if any(candidate.exists() for candidate in paths):
        raise DataError(f"{path}: is a folder or a device: set {key} to a file")
    near = near_name(Path(path).name, [candidate.parent for candidate in paths])
    where = f", neither in the current folder nor below {DATA_FOLDER}={os.environ.get(DATA_FOLDER)}"
    raise DataError(f"{path}: no such file{where if len(paths) > 1 else ''}{near or f': set {key}'}")


def find_folder(path: str) -> Path | None:
    """The folder, from the current folder or else below LSTM_LAB_DATA; None where there is none."""
    return next((candidate for candidate in candidates(path) if candidate.is_dir()), None)


def locate(relative: str, origin: str, sha256: str | None = None) -> Path:
    """The file or folder `relative` below the folder that LSTM_LAB_DATA names.

    Args:
        origin: what it is and where to get it, for the message.
        sha256: of the file's content, where only the published file is accepted.

    Raises:
        DataError: no such folder, no such file, or other content.
    """
    root = os.environ.get(DATA_FOLDER)
    if not root:
        raise DataError(f"{relative}: not found, because {DATA_FOLDER} is not set: put the file ({origin}) into a "
                        f"folder and set {DATA_FOLDER} to that folder")  # fmt: skip
    path = Path(root, relative)
    if not path.exists():
        raise DataError(f"{path}: no such file; it holds {origin}: put it there, or set {DATA_FOLDER} (now {root}) to "
                        "the folder that has it")  # fmt: skip
    if sha256 is not None:
        check_sha256(path, sha256, f"is not the published file ({origin})", "download it again")
    return path


def check_sha256(path: Path, expected: str, what: str, way_out: str) -> None:
    """Raise DataError where a file does not have the expected content.

    Args:
        what: what is wrong then, for the message.
        way_out: what to do then, for the message.
    """
    found = sha256_of(path)
    if found != expected:
        raise DataError(f"{path}: {what}: its sha256 is {found[:12]}..., not {expected[:12]}...: {way_out}")


def sha256_of(path: Path) -> str:
    """Of a file's content, as hex digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
