"""A cache on disk for what takes seconds to compute. It may be deleted at any time."""

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

from lstm_lab.config.paths import cache_folder

FORMAT = 3
"""Part of every file's name, so that versions that share a folder never read each other's entries: one more whenever
the arrays or the metadata of an entry change their names or meaning, or a file its layout."""


class CacheEntry(NamedTuple):
    """Content of one file of the cache."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]
    """Plain values, as JSON can hold them."""


def cached(key: str, compute: Callable[[], CacheEntry]) -> CacheEntry:
    """The entry of the cache under `key`, computed and stored if there is none, or if its file is damaged."""
    path = cache_folder() / f"{key}-{FORMAT}"
    found = read_entry(path)
    if found is not None:
        return found
    entry = compute()
    try:
        _write(path, entry)
    except OSError as error:
        warnings.warn(f"{path}: not cached ({error.strerror}), so this is computed again at every start: set "
                      "LSTM_LAB_CACHE to a writable folder with free space", stacklevel=2)  # fmt: skip
    return entry


def read_entry(path: Path) -> CacheEntry | None:
    """The entry in a file; None where there is none, or it is damaged."""
    try:
        content = memoryview(path.read_bytes())
    except OSError:
        return None
    checksum, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != checksum:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    metadata = arrays.pop("metadata", None)
    return None if metadata is None else CacheEntry(arrays, json.loads(metadata.tobytes()))


def _write(path: Path, entry: CacheEntry) -> None:
    """The whole file or nothing, even if the process dies. Its first 32 bytes are the sha256 of the rest."""
    body = io.BytesIO()
    metadata = np.frombuffer(json.dumps(entry.metadata).encode(), np.uint8)
    np.savez(body, allow_pickle=False, metadata=metadata, **entry.arrays)
    write_bytes_atomic(path, hashlib.sha256(body.getbuffer()).digest() + body.getvalue())


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write the whole file or nothing, even if the process dies. Folders above it are made.

    Raises:
        OSError: no space, or no permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(*parts: object) -> str:
    """First 16 hex digits of the sha256 of arrays and plain values."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(str((part.dtype, part.shape)).encode())
            sha.update(np.ascontiguousarray(part).tobytes())
        else:
            sha.update(repr(part).encode())
    return sha.hexdigest()[:16]
