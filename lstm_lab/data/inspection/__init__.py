"""What a data file contains, before any training, and an experiment that trains on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Dataset
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.readers.locate import find_folder

if TYPE_CHECKING:
    from lstm_lab.data.inspection.columns import Columns

__all__ = ["Inspection", "inspect"]

COLUMNS = ("time", "id", "text", "label", "split", "group")
"""Fields that name one column, which is a number in a table without a header."""


def inspect(path: str, choices: Mapping[str, object] | None = None) -> Inspection:
    """Inspect a table (CSV, TSV, Parquet, JSON), arrays (.npz, .npy, .h5), images (a folder, .npz, IDX), a .ts or .txt
    file, or a folder of texts or tables.

    Args:
        choices: fields of `data` in the experiment, where the automatic choice is wrong: `targets`, `label`, ...

    Raises:
        DataError: no such file, or one that cannot be read.
        ConfigError: a choice that names no column.
    """
    choices = {key: str(value) if key in COLUMNS and type(value) is int else value
               for key, value in (choices or {}).items()}  # fmt: skip
    for key in ("path", "data"):
        if key in choices:
            raise ConfigError(f"{key}={choices[key]}: is not a field that can be set here: give the file as the first "
                              "argument")  # fmt: skip
    if "name" in choices and choices["name"] not in [*Dataset.members]:
        raise ConfigError(f"name={choices['name']}: no such data set: lstm-lab list has all, without brackets")
    from lstm_lab.data.inspection.csv_guess import is_table

    folder = find_folder(path)
    lines = None if folder is not None else _inspect_lines(path, choices)
    if lines is not None:
        return lines
    if folder is not None and "name" not in choices:
        _check_folder(path, folder)
    named_text = path.lower().endswith(".txt") and choices.get("name", "text_stream") == "text_stream"
    is_text = named_text and (folder is not None or not is_table(path))
    if is_text or (folder is not None and _has_one_text(folder)):
        from lstm_lab.data.inspection.text_streams import inspect_stream

        return inspect_stream(path, choices)
    from lstm_lab.data.inspection.clips import has_clips, inspect_clips
    from lstm_lab.data.inspection.images import has_images, inspect_images

    if choices.get("name", "clips") == "clips" and has_clips(path, folder):
        return inspect_clips(path, choices)

    if choices.get("name", "images") == "images" and has_images(path, folder):
        return inspect_images(path, choices)
    if folder is not None:
        from lstm_lab.data.inspection.folders import has_tables, inspect_table_folder

        if choices.get("name", "csv_folder") == "csv_folder" and has_tables(folder):
            return inspect_table_folder(path, folder, choices)
        from lstm_lab.data.inspection.texts import inspect_folder

        return inspect_folder(path, choices)
    if path.lower().endswith(".ts"):
        from lstm_lab.data.inspection.sequences import inspect_ts

        return inspect_ts(path, choices)
    if path.lower().endswith((".npz", ".npy", ".h5", ".hdf5")):
        from lstm_lab.data.inspection.arrays import inspect_arrays

        return inspect_arrays(path, choices)
    from lstm_lab.data.inspection.list_tables import has_lists, inspect_lists

    if choices.get("name", "list_columns") == "list_columns" and has_lists(path):
        return inspect_lists(path, choices)
    from lstm_lab.data.inspection.columns import read_columns
    from lstm_lab.data.inspection.wide_tables import inspect_wide, wide_columns

    columns = read_columns(path, choices)
    from lstm_lab.data.inspection.text_pairs import inspect_pairs, pair_columns

    pair = pair_columns(columns, choices)
    if pair is not None:
        return inspect_pairs(columns, choices, *pair)
    from lstm_lab.data.inspection.graphs import inspect_graph, is_graph

    if is_graph(choices):
        return inspect_graph(columns, choices)
    from lstm_lab.data.inspection.event_tables import event_columns, inspect_events

    events = event_columns(columns, choices) if choices.get("name", "csv_events") == "csv_events" else None
    if events is not None:
        return inspect_events(columns, events, choices)
    kind = columns.data_kind(choices)
    from lstm_lab.data.inspection.series_rows import inspect_series_rows, step_prefix

    if kind == "csv_wide_series" or ("name" not in choices and _may_be_wide(choices) and "text" not in choices
                                     and step_prefix(columns, choices) is not None):  # fmt: skip
        return inspect_series_rows(columns, choices)
    if kind == "csv_wide" or (kind in ("csv", "csv_sequences") and "name" not in choices and _may_be_wide(choices)
                              and wide_columns(columns, choices)):  # fmt: skip
        return inspect_wide(columns, choices)
    if kind == "csv_text":
        from lstm_lab.data.inspection.texts import inspect_texts

        return inspect_texts(columns, choices)
    from lstm_lab.data.inspection.sequence_tables import inspect_table

    may_be_tags = "name" not in choices and kind != "csv_sequences" and not {"time", "targets", "text"} & set(choices)
    if kind == "csv_sequences" or (may_be_tags and _has_targets_of_sequences(columns)):
        return inspect_table(columns, choices)
    if kind == "csv":
        from lstm_lab.data.inspection.series import inspect_series

        return inspect_series(columns, choices)
    raise DataError(f"{path}: {kind}")


def _has_targets_of_sequences(columns: Columns) -> bool:
    """Whether a table has a class for each step, or several labels for each sequence."""
    from lstm_lab.data.inspection.labels import flags_of_sequences
    from lstm_lab.data.inspection.sequence_tables import tag_columns

    return tag_columns(columns) is not None or flags_of_sequences(columns) is not None


def _check_folder(path: str, folder: Path) -> None:
    """Raise DataError where a folder has the files of splits, of tagged words or of two sides, and not of samples."""
    from lstm_lab.data.inspection.aligned_files import target_file
    from lstm_lab.data.inspection.given_files import TRAIN
    from lstm_lab.data.inspection.tagged_columns import is_conll

    for entry in sorted(folder.iterdir()):
        if entry.is_file() and TRAIN.search(entry.name):
            kind = "tagged words" if is_conll(str(entry), {}) else ""
            if kind or target_file(str(entry), {}) is not None:
                raise DataError(f"{path}: {entry.name} in it has {kind or 'one side of pairs of texts'}: inspect that "
                                f"file, lstm-lab data inspect {Path(path) / entry.name}, beside which the other splits "
                                "are found")  # fmt: skip


def _inspect_lines(path: str, choices: Fields) -> Inspection | None:
    """A file of tagged words, or two files of lines; None where it is neither."""
    from lstm_lab.data.inspection.aligned_files import inspect_aligned, target_file
    from lstm_lab.data.inspection.tagged_columns import inspect_conll, is_conll

    if is_conll(path, choices):
        return inspect_conll(path, choices)
    target = target_file(path, choices)
    return inspect_aligned(path, target, choices) if target is not None else None


def _has_one_text(folder: Path) -> bool:
    """Whether a folder has neither folders for classes nor tables."""
    from lstm_lab.data.inspection.folders import has_tables

    return not any(entry.is_dir() for entry in folder.iterdir()) and not has_tables(folder)


def _may_be_wide(choices: Mapping[str, object]) -> bool:
    """Whether no choice says that a table has a row for each step."""
    return not {"time", "targets", "channels", "features", "id"} & set(choices)
