"""What a file holds, before any training: and the experiment that trains on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection.look import Look

__all__ = ["Look", "inspect"]


def inspect(path: str, choices: Mapping[str, Any] | None = None) -> Look:
    """Look at a CSV, TSV, Parquet or JSONL file, a .ts file, a .txt file, or a folder of texts.

    Args:
        choices: fields of `data` in the experiment, where a guess of ours is wrong: `targets`, `label`, `name`, ...

    Raises:
        DataError: no such file, or one that cannot be read.
        ConfigError: a choice that names no column.
    """
    choices = dict(choices or {})
    for key in ("path", "data"):
        if key in choices:
            raise ConfigError(f"{key}={choices[key]}: names no field that can be chosen here; the file comes first")
    root = os.environ.get("LSTM_LAB_DATA")
    places = [Path(path), *([Path(root, path)] if root else [])]
    folder = next((place for place in places if place.is_dir()), None)
    if path.lower().endswith(".txt") or (folder is not None and not any(entry.is_dir() for entry in folder.iterdir())):
        from lstm_lab.data.inspection.streams import look_at_stream

        return look_at_stream(path, choices)
    if folder is not None:
        from lstm_lab.data.inspection.texts import look_at_folder

        return look_at_folder(path, choices)
    if path.lower().endswith(".ts"):
        from lstm_lab.data.inspection.sequences import look_at_ts

        return look_at_ts(path, choices)
    from lstm_lab.data.inspection.columns import read_columns

    columns = read_columns(path, choices)
    kind = columns.kind(choices)
    if kind == "csv_text":
        from lstm_lab.data.inspection.texts import look_at_texts

        return look_at_texts(columns, choices)
    if kind == "csv_sequences":
        from lstm_lab.data.inspection.sequences import look_at_table

        return look_at_table(columns, choices)
    if kind == "csv":
        from lstm_lab.data.inspection.series import look_at_series

        return look_at_series(columns, choices)
    raise DataError(f"{path}: {kind}")
