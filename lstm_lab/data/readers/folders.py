"""Folders of a user with a file for each sample: which files they have, and which class and split each belongs to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES
from lstm_lab.data.readers.locate import candidates, find_folder
from lstm_lab.data.readers.table import ending_of

SEQUENCE_ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl", ".npy", ".txt")
"""Endings of the files that have a table or an array each; of a compressed one the ending before .gz."""


class FolderFile(NamedTuple):
    """A file with one sequence."""

    path: Path
    id: str
    """Its path from the top folder, without the ending: walk/12."""
    label: str
    """Name of the folder that it lies in; "" directly in the top folder."""
    split: str
    """One of SPLITS where the folders have these names; else ""."""


def find_sample_folder(path: str, single: str) -> Path:
    """The folder that a path names.

    Args:
        single: what reads a single file, for the message.

    Raises:
        DataError: there is none.
    """
    found = find_folder(path)
    if found is None and any(candidate.exists() for candidate in candidates(path)):
        raise DataError(f"{path}: is a file: set data.path to a folder, or read it by data.name={single}")
    if found is None:
        raise DataError(f"{path}: no such folder: set data.path")
    return found


def files_of_folder(
    root: Path, endings: tuple[str, ...] = SEQUENCE_ENDINGS, mixed: bool = False, what: str = "a sequence"
) -> list[FolderFile]:
    """All files with samples below a folder, sorted; those whose names begin with a point are left out.

    Args:
        endings: of the files that count; of a compressed one the ending before .gz.
        mixed: whether they may have several of these endings; else those with the most frequent one count.
        what: a file has, for the message.

    Raises:
        DataError: it has none.
    """
    found = []
    for path in sorted(root.rglob("*"), key=lambda path: [_natural(part) for part in path.relative_to(root).parts]):
        parts = path.relative_to(root).parts
        if any(part.startswith(".") for part in parts) or ending_of(path) not in endings or path.is_dir():
            continue
        split = SPLIT_ALIASES.get(parts[0].lower(), "") if len(parts) > 1 else ""
        inside = parts[1:-1] if split else parts[:-1]
        name = path.relative_to(root).as_posix()
        ending = name.lower().rfind(ending_of(path))
        found.append(FolderFile(path, name[:ending], "/".join(inside), split))
    # A readme beside the tables is none of them.
    counts = Counter(ending_of(file.path) for file in found)
    if not mixed:
        found = [file for file in found if ending_of(file.path) == max(counts, key=lambda name: (counts[name], name))]
    if not found:
        raise DataError(f"{root}: has no file with {what} ({', '.join(endings)}): put one there for each")
    return found


def _natural(name: str) -> tuple[int, int, str]:
    """Sorts 2.csv before 10.csv."""
    stem = name.partition(".")[0]
    return (0, int(stem), name) if stem.isdecimal() else (1, 0, name)
