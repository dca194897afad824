"""Files that are not ours to ship: they lie below the folder that LSTM_LAB_DATA names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lstm_lab.config import DataError


def locate(relative: str, origin: str, sha256: str | None = None) -> Path:
    """The file below LSTM_LAB_DATA.

    Args:
        origin: where a person gets it, for the message.
        sha256: of its bytes, where only one version will do.

    Raises:
        DataError: no folder is named, the file is not in it, or it is another one.
    """
    root = os.environ.get("LSTM_LAB_DATA")
    if not root:
        raise DataError(f"{relative}: set LSTM_LAB_DATA to the folder that holds it; it comes from {origin}")
    place = Path(root, relative)
    if not place.is_file():
        raise DataError(f"{place}: no such file below LSTM_LAB_DATA; it comes from {origin}")
    if sha256 is not None:
        found = hashlib.sha256(place.read_bytes()).hexdigest()
        if found != sha256:
            raise DataError(
                f"{place}: is not the file this was written for (sha256 {found[:12]}, not {sha256[:12]}); "
                f"get it from {origin}"
            )
    return place
