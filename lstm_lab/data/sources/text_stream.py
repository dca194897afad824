"""One long text of a user, from a file or a folder."""

from __future__ import annotations

from typing import Unpack

from lstm_lab.config import DataError
from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.text_stream import StreamOptions, TextStream
from lstm_lab.data.readers.locate import find_file, find_folder
from lstm_lab.data.readers.table import read_text


class TextFileStream(TextStream, name="text_stream"):
    """A .txt file, or all .txt files below a folder in the order of their names, as one long text."""

    class Config(TextStream.Config):
        path: FilePath
        """Looked up beside the experiment's file, in the current folder, then below the folder that LSTM_LAB_DATA
        names."""

    def __init__(self, *, path: str, **options: Unpack[StreamOptions]) -> None:
        super().__init__(**options)
        self.path = path

    def text(self) -> tuple[str, str]:
        folder = find_folder(self.path)
        if folder is None:
            path = find_file(self.path)
            return read_text(path, "text", "a text to learn"), str(path)
        files = sorted(folder.rglob("*.txt"))
        if not files:
            raise DataError(f"{folder}: has no .txt file: put the text there, or set data.path to the file")
        return "\n".join(read_text(file, "text", "the text") for file in files), str(folder)
