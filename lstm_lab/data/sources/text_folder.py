"""Labelled texts of a user, from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.data.kinds.sample_fields import SAMPLE_FIELDS, SampleFields, check_given_groups
from lstm_lab.data.kinds.text import TextDataset, TextInfo
from lstm_lab.data.kinds.text_split import TextSplit
from lstm_lab.data.kinds.user_text import UserTextFileOptions, UserTextFiles
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, Texts
from lstm_lab.data.readers.columns import Column
from lstm_lab.data.readers.folders import FolderFile
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.data.readers.locate import candidates, find_file, find_folder
from lstm_lab.data.readers.sample_table import SampleTable
from lstm_lab.data.readers.table import Table, read_text

FILE = "file"
"""What names new texts that are files of a folder."""


class TextFolder(UserTextFiles[TextInfo, TextSplit], TextDataset, name="text_folder"):
    """A folder with one sub-folder for each class, which has a .txt file for each text; or folders train and test, and
    optionally validation, that have the class folders. A table may name splits or groups of the files."""

    class Config(SampleFields, UserTextFiles.Config):
        id: Column = "file"
        """Column of `samples` that names the file, by its path in the folder or its name, with or without .txt."""

        @model_validator(mode="after")
        def _groups_are_those_of_one_folder(self) -> TextFolder.Config:
            check_given_groups(self.group, self.validation_path or self.test_path)
            return self

        def options(self) -> dict[str, object]:
            plain = {key: value for key, value in super().options().items() if key not in SAMPLE_FIELDS}
            return {**plain, "samples": self.sample_table(self.id)}

    def __init__(self, *, samples: SampleTable | None = None, **options: Unpack[UserTextFileOptions]) -> None:
        super().__init__(**options, samples=samples)
        self.samples = samples

    def files(self) -> list[Path]:
        return [*super().files(), *([find_file(self.samples.path)] if self.samples is not None else [])]

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
        found = [(named, folder.name, file) for named, folder in self._class_folders(path)
                 for file in _text_files(folder)]  # fmt: skip
        texts = [read_text(file, "text", "the text") for *_, file in found]
        root, named, groups = self.folder(path), None, None
        if any(split for split, *_ in found):
            named = np.array([split for split, *_ in found])
        if named is not None and split is not None:
            raise DataError(f"{root}: has folders for splits, but is the {split} split: name one of its folders")
        if named is not None and "train" not in named:
            raise DataError(f"{root}: has a folder for {named[0]} but none for train: make one")
        if self.samples is not None and split is None:
            files = [FolderFile(file, file.relative_to(root).with_suffix("").as_posix(), label, of_split)
                     for of_split, label, file in found]  # fmt: skip
            splits, groups = self.samples.read(len(files), path, files)
            if splits is not None and named is not None:
                raise DataError(f"{root}: has folders for splits, and {self.samples.path} names splits too: remove "
                                "data.split")  # fmt: skip
            named = named if splits is None else splits
        return Texts(texts, np.array([label for _, label, _ in found]), str(root), named, groups)

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
