"""Texts that the package `datasets` of Hugging Face reads."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.config.paths import FilePathOrName
from lstm_lab.data.kinds.text import TextDataset, TextInfo
from lstm_lab.data.kinds.text_split import TextSplit
from lstm_lab.data.kinds.user_text import UserText, UserTextOptions
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, Texts
from lstm_lab.data.readers.cells import cell_text, labels_of, texts_of
from lstm_lab.data.readers.table import Table


class HuggingFace(UserText[TextInfo, TextSplit], TextDataset, name="huggingface"):
    """A folder that `datasets` has saved, or a name on the Hub, which needs a network once."""

    class Config(UserText.Config):
        path: FilePathOrName
        """The folder, looked up beside the experiment's file, in the current folder, then below the folder that
        LSTM_LAB_DATA names; or a name on the Hub."""
        text: str = "text"
        """Column of the texts."""
        label: str = "label"
        """Column of the classes."""

    def __init__(self, *, text: str, label: str, **options: Unpack[UserTextOptions]) -> None:
        super().__init__(**options, text=text, label=label)
        self.column, self.label = text, label

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """Split -> its rows, a `datasets.Dataset`; "" where the set has none. Splits of other names are skipped."""
        if self.path.endswith(".py"):
            raise DataError(f"{self.path}: is a script, which is not executed: name a folder that save_to_disk wrote")
        try:
            import datasets
        except ImportError:
            raise DataError(f"{self.path}: needs the package 'datasets': pip install datasets, or provide the texts as "
                            "CSV, JSONL or Parquet (data.name=csv_text)") from None  # fmt: skip
        datasets.disable_progress_bars()
        try:
            folder = Path(self.path).is_dir()
            found = datasets.load_from_disk(self.path) if folder else datasets.load_dataset(self.path)
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{self.path}: cannot be loaded by 'datasets' ({' '.join(str(error).split())[:150]}): name "
                            "a folder that save_to_disk wrote, or a set on the Hub") from None  # fmt: skip
        if not isinstance(found, dict):
            return {"": found}
        splits = {SPLIT_ALIASES[name]: rows for name, rows in found.items() if name in SPLIT_ALIASES}
        if "train" not in splits:
            raise DataError(f"{self.path}: has the splits {', '.join(found)}, none of which is train")
        return splits

    def files(self) -> list[Path]:
        files = {Path(file["filename"]) for rows in self._splits.values() for file in rows.cache_files}
        return sorted(files | {about for file in files for about in file.parent.glob("dataset_info.json")})

    def read(self) -> Texts:
        from datasets import ClassLabel

        texts, labels, splits = [], [], []
        for split, rows in self._splits.items():
            missing = next((name for name in (self.column, self.label) if name not in rows.column_names), None)
            if missing is not None:
                raise DataError(f"{self.path}: no column {missing!r}; it has {', '.join(rows.column_names)}")
            table = Table(Path(self.path, split), {}, list(range(1, len(rows) + 1)), unit="row")
            for column in (self.column, self.label):
                table.columns[column] = [cell_text(value, table, row, column) for row, value in enumerate(rows[column])]
            feature = rows.features[self.label]
            if isinstance(feature, ClassLabel):
                names = {str(number): name for number, name in enumerate(feature.names)}
                table.columns[self.label] = [names.get(value, "") for value in table.columns[self.label]]
            texts += texts_of(table, self.column)
            labels += labels_of(table, self.label).tolist()
            splits += [split] * len(rows)
        named = self.checked_splits(np.array(splits), self.path) if splits[0] else None
        return Texts(texts, np.array(labels), self.path, named)
