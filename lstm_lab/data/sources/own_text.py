"""A person's own texts, from one file or from a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from lstm_lab.config import DataError
from lstm_lab.data.kinds.series import Fraction, check_fractions
from lstm_lab.data.kinds.text import Text
from lstm_lab.data.preprocessing.splits import PARTS, Texts
from lstm_lab.data.readers.table import Table, find_file, read_text, show
from lstm_lab.data.readers.text_files import labels_of, read_rows, texts_of

NAMES = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
Mark = Annotated[str, BeforeValidator(lambda mark: "\t" if mark == r"\t" else mark)]


class UserText(Text):
    """Base of what a person brings: the shares of the parts are theirs to choose."""

    class Config(Text.Config):
        path: Annotated[str, Field(min_length=1)]
        """Looked up from the current folder, then below the folder that LSTM_LAB_DATA names."""
        validation: Fraction = 0.1
        """Share of the texts, where the data name no validation part."""
        test: Fraction = 0.2
        """Share of the texts, where the data name no test part."""

        @model_validator(mode="after")
        def _leave_something_to_train_on(self) -> UserText.Config:
            check_fractions(self.validation, self.test)
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.path: str = choices["path"]
        self.fractions = (choices["validation"], choices["test"])

    def named_parts(self, parts: np.ndarray, place: Path) -> np.ndarray:
        """The parts, unless the data name one whose share was chosen too."""
        for part, share in zip(PARTS[1:], self.fractions, strict=True):
            if (parts == part).any() and share != UserText.Config.model_fields[part].default:
                raise DataError(f"{place}: names a {part} part, so data.{part}={share} would do nothing: leave it out")
        return parts


class CSVText(UserText, name="csv_text"):
    """One file with a row for each text: CSV, TSV, JSONL or Parquet, by the ending of its name."""

    class Config(UserText.Config):
        text: str = "text"
        """Column of the texts."""
        label: str = "label"
        """Column of the classes' names."""
        split: str | None = None
        """Column that says train, validation or test; null: shares are cut."""
        group: str | None = None
        """Column of what must not be torn apart by a cut, such as the author; null: only equal texts stay together."""
        separator: Mark | None = None
        r"""Character between the fields of a CSV, a tab is written \t; null: a comma, or in a .tsv file a tab."""

        @model_validator(mode="after")
        def _names_are_distinct_and_marks_alive(self) -> CSVText.Config:
            names = [name for name in (self.text, self.label, self.split, self.group) if name is not None]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{twice!r} stands twice in text, label, split and group: name each column once")
            if self.separator is not None:
                if not self.path.lower().endswith((".csv", ".tsv")):
                    raise ValueError(f"separator would do nothing: {self.path} is no CSV; leave it out")
                if len(self.separator) != 1 or self.separator in '"\r\n':
                    raise ValueError(f"separator {self.separator!r} cannot part fields: take one character that is "
                                     "neither a quote nor a line end")  # fmt: skip
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.column: str = choices["text"]
        self.label: str = choices["label"]
        self.split: str | None = choices["split"]
        self.group: str | None = choices["group"]
        self.separator = choices["separator"]

    def files(self) -> list[Path]:
        return [find_file(self.path)]

    def read(self) -> Texts:
        (place,) = self.files()
        wanted = [name for name in (self.column, self.label, self.split, self.group) if name is not None]
        table = read_rows(place, wanted, self.separator)
        texts, labels = texts_of(table, self.column), labels_of(table, self.label)
        if len(set(labels.tolist())) > 2 + len(labels) // 2:
            raise DataError(f"{place}: column {self.label!r} holds {len(set(labels.tolist()))} classes for "
                            f"{len(labels)} texts: set data.label to the column of the classes")  # fmt: skip
        parts = None if self.split is None else self.named_parts(parts_of(table, self.split), place)
        groups = None if self.group is None else np.array(table.columns[self.group])
        return Texts(texts, labels, str(place), parts, groups)


def parts_of(table: Table, column: str) -> np.ndarray:
    """(N,) of PARTS."""
    cells = table.columns[column]
    odd = [row for row, cell in enumerate(cells) if cell.lower() not in NAMES]
    if odd:
        raise table.fault(odd[0], column, f"{show(cells[odd[0]])} is no part ({len(odd)} such in all): write "
                          f"{', '.join(PARTS)}")  # fmt: skip
    return np.array([NAMES[cell.lower()] for cell in cells])


class TextFolder(UserText, name="text_folder"):
    """A folder with one sub-folder for each class and a .txt file for each text in it; or folders train and test, and
    perhaps validation, with those inside."""

    def root(self) -> Path:
        places = [Path(self.path), *([Path(root, self.path)] if (root := os.environ.get("LSTM_LAB_DATA")) else [])]
        for place in places:
            if place.is_dir():
                return place
        if any(place.exists() for place in places):
            raise DataError(f"{self.path}: is a file: name the folder, or read it by data.name=csv_text")
        raise DataError(f"{self.path}: no such folder: set data.path")

    def _classes(self) -> list[tuple[str, Path]]:
        """Part and folder of each class."""
        root = self.root()
        inside = _folders(root)
        if inside and all(folder.name.lower() in NAMES for folder in inside):
            found = [(NAMES[part.name.lower()], folder) for part in inside for folder in _folders(part)]
        else:
            found = [("", folder) for folder in inside]
        if not found:
            raise DataError(f"{root}: has no folders inside: make one for each class, or for train and test, with .txt "
                            "files in them")  # fmt: skip
        return found

    def files(self) -> list[Path]:
        return [place for _, folder in self._classes() for place in _texts(folder)]

    def read(self) -> Texts:
        texts, labels, parts = [], [], []
        for part, folder in self._classes():
            for place in _texts(folder):
                texts.append(read_text(place, "text", "the text"))
                labels.append(folder.name)
                parts.append(part)
        named = any(parts)
        if named and "train" not in parts:
            raise DataError(f"{self.root()}: has a folder for {parts[0]} but none for train: make one")
        found = self.named_parts(np.array(parts), self.root()) if named else None
        return Texts(texts, np.array(labels), str(self.root()), found)


def _folders(place: Path) -> list[Path]:
    return sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _texts(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.txt"))
    if not found:
        raise DataError(f"{folder}: holds no .txt file: put one there for each text, or take the folder out")
    return found
