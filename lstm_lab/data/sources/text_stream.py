"""One long text of a user, from a file or a folder."""

from __future__ import annotations

from typing import Unpack

from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.text_stream import STREAM_FRACTIONS, StreamOptions, TextStream, cut
from lstm_lab.data.preprocessing.splits import check_given_fractions, given_splits
from lstm_lab.data.readers.locate import find_file, find_folder
from lstm_lab.data.readers.table import read_text


class TextFileStream(TextStream, name="text_stream"):
    """A text file, or all .txt files below a folder in the order of their names, as one long text."""

    class Config(TextStream.Config):
        path: FilePath
        """Looked up beside the experiment's file, in the current folder, then below the folder that LSTM_LAB_DATA
        names."""
        validation_path: FilePath | None = None
        """Text of the validation split; null: a part of the text at `path`."""
        test_path: FilePath | None = None
        """Text of the test split; null: a part of the text at `path`."""

        @model_validator(mode="after")
        def _fractions_have_an_effect(self) -> TextFileStream.Config:
            given = given_splits(self.validation_path, self.test_path)
            check_given_fractions(given, (self.validation, self.test), STREAM_FRACTIONS)
            return self

    def __init__(
        self, *, path: str, validation_path: str | None, test_path: str | None, **options: Unpack[StreamOptions]
    ) -> None:
        super().__init__(**options)
        self.path, self.given = path, given_splits(validation_path, test_path)

    def text(self) -> tuple[str, str]:
        return _read(self.path)

    def split_texts(self) -> tuple[tuple[str, str, str], str]:
        text, path = self.text()
        own = {split: _read(given)[0] for split, given in self.given.items()}
        validation, test = self.fractions
        parts = cut(text, 0.0 if "validation" in own else validation, 0.0 if "test" in own else test)
        return (parts[0], own.get("validation", parts[1]), own.get("test", parts[2])), path


def _read(path: str) -> tuple[str, str]:
    """The text of a file or a folder, and where it was found."""
    folder = find_folder(path)
    if folder is None:
        file = find_file(path)
        return read_text(file, "text", "a text to learn"), str(file)
    files = sorted(folder.rglob("*.txt"))
    if not files:
        raise DataError(f"{folder}: has no .txt file: put the text there, or set data.path to the file")
    return "\n".join(read_text(file, "text", "the text") for file in files), str(folder)
