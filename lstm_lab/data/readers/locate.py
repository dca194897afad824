"""Where data lie that no package ships."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lstm_lab.config import DataError

FOLDER = "LSTM_LAB_DATA"


def locate(relative: str, origin: str, sha256: str | None = None) -> Path:
    """The file or folder `relative` below the folder that LSTM_LAB_DATA names.

    Args:
        origin: what it is and where it comes from, for whoever lacks it.
        sha256: of the file's content, where only the published file will do.

    Raises:
        DataError: no such folder, no such file, or another content.
    """
    root = os.environ.get(FOLDER)
    if not root:
        raise DataError(f"{relative}: not found, because {FOLDER} is not set: put the file ({origin}) into a folder "
                        f"and set {FOLDER} to that folder")  # fmt: skip
    place = Path(root, relative)
    if not place.exists():
        raise DataError(f"{place}: no such file; it holds {origin}: put it there, or set {FOLDER} (now {root}) to the "
                        "folder that has it")  # fmt: skip
    if sha256 is not None:
        found = sha256_of(place)
        if found != sha256:
            raise DataError(f"{place}: is not the published file ({origin}): its sha256 is {found[:12]}..., not "
                            f"{sha256[:12]}...: bring it again")  # fmt: skip
    return place


def sha256_of(place: Path) -> str:
    """Of a file's content, as hex digits."""
    try:
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror}): check its permissions") from None
