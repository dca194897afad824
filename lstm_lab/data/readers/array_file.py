"""An .npz file of sequences and their targets: how it is written, read and checked."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.config.paths import cache_folder
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, SPLITS
from lstm_lab.data.readers.cache import write_bytes_atomic
from lstm_lab.data.readers.in_memory import as_sequences
from lstm_lab.data.readers.locate import check_sha256, find_file
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.table import list_names

FIELDS = ("X", "lengths", "y", "groups", "splits", "classes", "targets")
"""Arrays that a file may have; only X is required, and y for training."""
HDF5_ENDINGS = (".h5", ".hdf5")


def read_array_file(
    path: str, sha256: str | None = None, y_path: str | None = None, allow_missing: bool = False
) -> SequenceFile:
    """Read an .npz file, or an .npy file of X.

    Args:
        path: looked up from the current folder, then below LSTM_LAB_DATA.
        sha256: of its content; None: not checked.
        y_path: .npy file of y; None: y is in the file.
        allow_missing: whether values of X may be NaN.

    Raises:
        DataError: no such file, other content, or arrays that do not fit together.
    """
    file_path = find_file(path)
    if sha256 is not None:
        check_sha256(file_path, sha256, "is not the file of this configuration", "restore it, or set data.sha256")
    arrays = load_arrays(file_path)
    if y_path is not None:
        if "y" in arrays:
            raise DataError(f"{file_path}: has an array y, but data.y_path names another: remove data.y_path")
        arrays["y"] = load_arrays(find_file(y_path)).get("X", np.empty(0))
    if "X" not in arrays:
        raise DataError(f"{file_path}: has no array X: write the sequences under this name")
    try:
        return _array_file(file_path, arrays, allow_missing)
    except DataError as error:
        raise DataError(f"{file_path}: {error}" if not str(error).startswith(str(file_path)) else str(error)) from None


_MAGIC = (b"PK", b"\x93NUMPY")
"""First bytes of .npz and .npy files."""
UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
"""What numpy.load raises for files that are cut, damaged, encrypted, or none of its own."""


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz or HDF5 file by name, or that of an .npy file as X."""
    if path.suffix.lower() in HDF5_ENDINGS:
        return _load_hdf5(path)
    try:
        with path.open("rb") as stream:
            if not stream.read(6).startswith(_MAGIC):
                raise DataError("is no .npz or .npy file: write one by numpy.savez")
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"X": loaded}
        with loaded as file:
            return {name: file[name] for name in file.files if name in FIELDS} or _joined(file)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read as .npz or .npy without pickle "
                        f"({' '.join(str(error).split())[:120]}): write it with numpy.savez, classes as integers or "
                        "strings") from None  # fmt: skip


def array_of_steps(path: Path) -> np.ndarray:
    """(T, F) of an .npy file with one sequence; (T,) is one channel.

    Raises:
        DataError: another shape or type.
    """
    steps = load_arrays(path).get("X", np.empty(0))
    if steps.ndim not in (1, 2) or not steps.size or steps.dtype.kind not in "fiub":
        raise DataError(f"{path}: has shape {steps.shape} and type {steps.dtype}, but the array of a sequence has "
                        "numbers (T, F): a row for each step")  # fmt: skip
    return steps.reshape(len(steps), -1)


def read_array_of_steps(path: Path, channels: Sequence[str], allow_missing: bool = False) -> np.ndarray:
    """(T, F) float64 of an .npy file with one sequence.

    Args:
        channels: columns that are read, by their numbers from 0.

    Raises:
        DataError: another shape or type, no such column, or a value that is not finite.
    """
    steps = array_of_steps(path)
    names = [*map(str, range(steps.shape[1]))]
    unknown = next((name for name in channels if name not in names), None)
    if unknown is not None:
        raise DataError(f"{path}: no column {unknown!r}; it has {list_names(names)}")
    chosen = steps[:, [int(name) for name in channels]]
    return as_sequences([chosen], name=str(path), allow_missing=allow_missing)[0]


def _joined(file: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """X, y and splits of a file with x_train, y_train, x_test, ... as Keras names them; empty where it has none."""
    found = {name.lower(): file[name] for name in file}
    names = [name for name in SPLIT_ALIASES if f"x_{name}" in found]
    if "train" not in {SPLIT_ALIASES[name] for name in names}:
        return {}
    xs, ys = [found[f"x_{name}"] for name in names], [found[f"y_{name}"] for name in names if f"y_{name}" in found]
    for key, parts in (("x", xs), ("y", ys)):
        if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            shapes = ", ".join(f"{key}_{name} {part.shape}" for name, part in zip(names, parts, strict=False))
            raise DataError(f"its splits have samples of different shapes ({shapes}): write X, y and splits")
    if len(ys) not in (0, len(xs)):
        raise DataError(f"has {len(xs)} arrays x of splits, but {len(ys)} arrays y: write a y for each")
    splits = np.repeat([SPLIT_ALIASES[name] for name in names], [len(part) for part in xs])
    return {"X": np.concatenate(xs), "splits": splits} | ({"y": np.concatenate(ys)} if ys else {})


def _load_hdf5(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by name."""
    try:
        import h5py
    except ImportError:
        raise DataError(f"{path}: HDF5 files are read by the package 'h5py': pip install h5py") from None
    try:
        with h5py.File(path, "r") as file:
            found = {name: file[name] for name in FIELDS if isinstance(file.get(name), h5py.Dataset)}
            if "X" not in found:
                names = [name for name in file if isinstance(file[name], h5py.Dataset)]
                raise DataError(f"{path}: has no array X: write the sequences under this name, and the targets under "
                                f"y; it has {list_names(names)}")  # fmt: skip
            return {
                name: np.array(array.asstr()[()], str) if h5py.check_string_dtype(array.dtype) else array[()]
                for name, array in found.items()
            }
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{path}: cannot be read as HDF5 ({' '.join(str(error).split())[:120]}): write it again"
        ) from None


def _array_file(path: Path, arrays: dict[str, np.ndarray], allow_missing: bool) -> SequenceFile:
    X, lengths = arrays["X"], arrays.get("lengths")
    if X.ndim == 2 and lengths is not None:  # Packed: (sum of T, F).
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.sum() != len(X) or (lengths < 1).any():
            raise DataError(f"lengths must be positive integers whose sum is {len(X)}, the number of steps of X")
        sequences = as_sequences(np.split(X, lengths.cumsum()[:-1]), allow_missing=allow_missing)
    else:
        sequences = as_sequences(X, lengths, allow_missing=allow_missing)
    for name in ("groups", "splits"):
        if name in arrays and arrays[name].shape != (len(sequences),):
            raise DataError(f"{name} has shape {arrays[name].shape}, but must have one entry for each of the "
                            f"{len(sequences)} sequences")  # fmt: skip
    splits = arrays.get("splits")
    if splits is not None and not np.isin(splits, SPLITS).all():
        wrong = next(str(split) for split in splits if split not in SPLITS)
        raise DataError(f"splits has {wrong!r}: use {', '.join(SPLITS)}")
    classes, targets = (tuple(str(name) for name in arrays.get(key, ())) for key in ("classes", "targets"))
    return SequenceFile(path, sequences, arrays.get("y"), arrays.get("groups"), splits, classes, targets)


def write_array_file(
    sequences: Sequence[np.ndarray], folder: str | Path | None, **more: np.ndarray | None
) -> tuple[Path, str]:
    """Write an .npz file whose name is a hash of its content, unless it is there.

    Args:
        sequences: N arrays (T, F).
        folder: to write to; None: `arrays` below the cache.
        more: other arrays of FIELDS.

    Returns:
        The path of the file, and the sha256 of its content.

    Raises:
        DataError: it cannot be written.
    """
    X = np.concatenate(sequences)
    single = X.astype(np.float32)
    arrays = {"X": single if np.array_equal(single, X) else X}
    arrays["lengths"] = np.array([len(sequence) for sequence in sequences], np.int64)
    arrays |= {name: array for name, array in more.items() if array is not None}
    body = io.BytesIO()
    np.savez(body, allow_pickle=False, **arrays)
    return write_content_addressed(
        body.getvalue(), cache_folder() / "arrays" if folder is None else Path(folder), "npz"
    )


def write_content_addressed(content: bytes, folder: Path, ending: str) -> tuple[Path, str]:
    """Write a file whose name is a hash of its content, unless it is there; its absolute path and its sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder.expanduser().absolute() / f"{sha256[:16]}.{ending}"
    try:
        if not path.is_file() or path.stat().st_size != len(content):
            write_bytes_atomic(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}): give folder= or set LSTM_LAB_CACHE to a "
                        "writable folder with free space") from None  # fmt: skip
    return path, sha256
