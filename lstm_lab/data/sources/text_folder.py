"""Labelled texts of a user, from a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.kinds.user_text import UserText
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, Texts
from lstm_lab.data.readers.locate import candidates, find_folder
from lstm_lab.data.readers.table import read_text


class TextFolder(UserText, name="text_folder"):
    """A folder with one sub-folder for each class, which has a .txt file for each text; or folders train and test, and
    optionally validation, that have the class folders."""

    def folder(self) -> Path:
        """The folder above all others."""
        found = find_folder(self.path)
        if found is None:
            if any(path.exists() for path in candidates(self.path)):
                raise DataError(f"{self.path}: is a file: set data.path to a folder, or read it by data.name=csv_text")
            raise DataError(f"{self.path}: no such folder: set data.path")
        return found

    def _class_folders(self) -> list[tuple[str, Path]]:
        """Split, "" where none is named, and folder of each class."""
        root = self.folder()
        inside = _folders(root)
        if inside and all(folder.name.lower() in SPLIT_ALIASES for folder in inside):
            found = [(SPLIT_ALIASES[split.name.lower()], folder) for split in inside for folder in _folders(split)]
        else:
            found = [("", folder) for folder in inside]
        if not found:
            raise DataError(f"{root}: has no folders: make one for each class, or for train and test, with .txt files "
                            "in them")  # fmt: skip
        return found

    def files(self) -> list[Path]:
        return [path for _, folder in self._class_folders() for path in _text_files(folder)]

    def read(self) -> Texts:
        texts, labels, splits = [], [], []
        for split, folder in self._class_folders():
            for path in _text_files(folder):
                texts.append(read_text(path, "text", "the text"))
                labels.append(folder.name)
                splits.append(split)
        named = any(splits)
        if named and "train" not in splits:
            raise DataError(f"{self.folder()}: has a folder for {splits[0]} but none for train: make one")
        checked = self.checked_splits(np.array(splits), self.folder()) if named else None
        return Texts(texts, np.array(labels), str(self.folder()), checked)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _text_files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.txt"))
    if not found:
        raise DataError(f"{folder}: has no .txt file: put one there for each text, or remove the folder")
    return found
