"""Texts that the package `datasets` of Hugging Face reads."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.text_files import Rows, cell, labels_of, texts_of
from lstm_lab.data.sources.own_text import NAMES, UserText


class HuggingFace(UserText, name="huggingface"):
    """A folder that `datasets` has saved, or a name on the Hub, which needs a network once."""

    class Config(UserText.Config):
        text: str = "text"
        """Column of the texts."""
        label: str = "label"
        """Column of the classes."""

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.column: str = choices["text"]
        self.label: str = choices["label"]

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """Part -> its rows; '' where the set has no parts. What is none of PARTS is passed over."""
        try:
            import datasets
        except ImportError:
            raise DataError(f"{self.path}: needs the package 'datasets': pip install datasets, or bring the texts as "
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
        splits = {NAMES[name]: rows for name, rows in found.items() if name in NAMES}
        if "train" not in splits:
            raise DataError(f"{self.path}: has the parts {', '.join(found)}, none of them train")
        return splits

    def files(self) -> list[Path]:
        files = {Path(file["filename"]) for rows in self._splits.values() for file in rows.cache_files}
        return sorted(files | {about for file in files for about in file.parent.glob("dataset_info.json")})

    def read(self) -> Texts:
        texts, labels, parts = [], [], []
        for part, rows in self._splits.items():
            missing = next((name for name in (self.column, self.label) if name not in rows.column_names), None)
            if missing is not None:
                raise DataError(f"{self.path}: no column {missing!r}; it has {', '.join(rows.column_names)}")
            table = Rows(Path(self.path, part), {}, list(range(1, len(rows) + 1)))
            names = getattr(rows.features[self.label], "names", None)
            for column in (self.column, self.label):
                values = [cell(value, table, row, column) for row, value in enumerate(rows[column])]
                table.columns[column] = values
            if names is not None:
                numbers = {str(number): name for number, name in enumerate(names)}
                table.columns[self.label] = [numbers.get(value, "") for value in table.columns[self.label]]
            texts += texts_of(table, self.column)
            labels += labels_of(table, self.label).tolist()
            parts += [part] * len(rows)
        named = self.named_parts(np.array(parts), Path(self.path)) if parts[0] else None
        return Texts(texts, np.array(labels), self.path, named)
