"""What took seconds to make is kept, and may be deleted at any time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class CacheEntry(NamedTuple):
    """What one entry of the cache holds."""

    arrays: dict[str, np.ndarray]
    plain: dict[str, Any]
    """What JSON can hold."""


def cache_folder() -> Path:
    """`LSTM_LAB_CACHE`, else ~/.cache/lstm_lab."""
    return Path(os.environ.get("LSTM_LAB_CACHE") or Path.home() / ".cache" / "lstm_lab")


def cached(key: str, make: Callable[[], CacheEntry]) -> CacheEntry:
    """What `make` returned when it was last asked under this key; a torn or altered file is made again."""
    place = cache_folder() / key
    found = _read(place)
    if found is not None:
        return found
    made = make()
    try:
        _write(place, made)
    except OSError as error:
        warnings.warn(f"{place}: not kept ({error.strerror}): set LSTM_LAB_CACHE to a folder with room that you can "
                      "write to, or this is done again at every start", stacklevel=2)  # fmt: skip
    return made


def _read(place: Path) -> CacheEntry | None:
    try:
        content = memoryview(place.read_bytes())
    except OSError:
        return None
    seal, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != seal:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return CacheEntry(arrays, json.loads(arrays.pop("plain").tobytes()))


def _write(place: Path, made: CacheEntry) -> None:
    """All of it or none, whatever dies meanwhile. First the sha256 of the rest."""
    body = io.BytesIO()
    plain = np.frombuffer(json.dumps(made.plain).encode(), np.uint8)
    np.savez(body, allow_pickle=False, plain=plain, **made.arrays)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(body.getbuffer()).digest())
            file.write(body.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
