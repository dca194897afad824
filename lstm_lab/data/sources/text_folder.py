"""Labelled texts of a user, from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.kinds.text import TextDataset, TextInfo
from lstm_lab.data.kinds.text_split import TextSplit
from lstm_lab.data.kinds.user_text import UserTextFiles
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, Texts
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.data.readers.locate import candidates, find_folder
from lstm_lab.data.readers.table import Table, read_text

FILE = "file"
"""What names new texts that are files of a folder."""


class TextFolder(UserTextFiles[TextInfo, TextSplit], TextDataset, name="text_folder"):
    """A folder with one sub-folder for each class, which has a .txt file for each text; or folders train and test, and
    optionally validation, that have the class folders."""

    def folder(self, path: str) -> Path:
        """The folder above all others."""
        found = find_folder(path)
        if found is None:
            if any(candidate.exists() for candidate in candidates(path)):
                raise DataError(f"{path}: is a file: set data.path to a folder, or read it by data.name=csv_text")
            raise DataError(f"{path}: no such folder: set data.path")
        return found

    def _class_folders(self, path: str) -> list[tuple[str, Path]]:
        """Split, "" where none is named, and folder of each class."""
        root = self.folder(path)
        inside = _folders(root)
        if inside and all(folder.name.lower() in SPLIT_ALIASES for folder in inside):
            found = [(SPLIT_ALIASES[split.name.lower()], folder) for split in inside for folder in _folders(split)]
        else:
            found = [("", folder) for folder in inside]
        if not found:
            raise DataError(f"{root}: has no folders: make one for each class, or for train and test, with .txt files "
                            "in them")  # fmt: skip
        return found

    def files_at(self, path: str) -> list[Path]:
        return [file for _, folder in self._class_folders(path) for file in _text_files(folder)]

    def read_at(self, path: str, split: str | None) -> Texts:
        texts, labels, splits = [], [], []
        for named, folder in self._class_folders(path):
            for file in _text_files(folder):
                texts.append(read_text(file, "text", "the text"))
                labels.append(folder.name)
                splits.append(named)
        root = str(self.folder(path))
        if any(splits) and split is not None:
            raise DataError(f"{root}: has folders for splits, but is the {split} split: name one of its folders")
        if any(splits) and "train" not in splits:
            raise DataError(f"{root}: has a folder for {splits[0]} but none for train: make one")
        return Texts(texts, np.array(labels), root, np.array(splits) if any(splits) else None)

    def _new_table(self, source: NewData) -> Table:
        """Of a folder, every .txt file in it and below it is a text."""
        folder = find_folder(str(source)) if isinstance(source, str | Path) else None
        if folder is None:
            return super()._new_table(source)
        files = sorted(folder.rglob("*.txt"))
        if not files:
            raise DataError(f"{folder}: has no .txt file: provide one for each text")
        texts = [read_text(file, "text", "the text") for file in files]
        names = [file.relative_to(folder).as_posix() for file in files]
        return Table(folder, {self.column: texts, FILE: names}, [*range(1, len(files) + 1)], "file")

    def _names(self, table: Table) -> tuple[str, Sequence[str | int]]:
        return (FILE, table.columns[FILE]) if FILE in table.columns else super()._names(table)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _text_files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.txt"))
    if not found:
        raise DataError(f"{folder}: has no .txt file: put one there for each text, or remove the folder")
    return found
