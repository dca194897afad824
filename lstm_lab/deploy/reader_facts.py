"""What the `predict.py` of an exported folder must know to read new files and to write predictions, as plain values."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from pathlib import Path

from lstm_lab.data.base import DataInfo, Dataset
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.data.kinds.text_split import kept_head
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.table import COMPRESSED, TYPED
from lstm_lab.data.sources.csv_sequences import CSVSequences
from lstm_lab.data.sources.csv_series import CSV
from lstm_lab.data.sources.csv_text import CSVText
from lstm_lab.deploy.predictions import names
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Task
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.multi_label import MultiLabel


@singledispatch
def reader_facts(data: Dataset.Config, info: DataInfo) -> Row:
    """How the files of a run's data are read: `kind` and its columns, or what is `refused`."""
    return {"refused": f"data '{data.name}' has no reader in the exported folder"}


@reader_facts.register
def _(data: CSVSequences.Config, info: DataInfo) -> Row:
    if data.words is not None or data.missing == "forward_fill":
        field = "words" if data.words is not None else "missing=forward_fill"
        return {"refused": f"data.{field} has no reader in the exported folder"}
    found = {"kind": "sequences", "id": data.id, "channels": list(data.channels), "masked": data.missing == "mask"}
    return _with_format(data.path, data.format, found)


@reader_facts.register
def _(data: CSV.Config, info: DataInfo) -> Row:
    fields = {
        "time=null": data.time is None, "time, several columns": not isinstance(data.time, str), "id": data.id,
        "future": data.future, "calendar": data.calendar, "categorical": data.categorical, "gaps": data.gaps != "error",
        "missing=forward_fill": data.missing == "forward_fill",
    }  # fmt: skip
    used = next((field for field, value in fields.items() if value), None)
    if used is not None:
        return {"refused": f"data.{used} has no reader in the exported folder"}
    assert isinstance(info, SeriesInfo)
    found = {
        "kind": "series", "time": data.time, "columns": list(info.columns), "targets": len(info.targets),
        "window": info.window, "horizon": info.horizon, "masked": info.num_mask_channels == len(info.columns),
    }  # fmt: skip
    return _with_format(data.path, data.format, found)


@reader_facts.register
def _(data: CSVText.Config, info: DataInfo) -> Row:
    if data.format is None:
        return {"refused": f"{Path(data.path).suffix} files have no reader in the exported folder"}
    found = {
        "kind": "texts", "column": data.text, "id": data.id, "max_length": data.max_length,
        "head": kept_head(data.max_length, data.keep), "unknown": UNKNOWN,
    }  # fmt: skip
    return _with_format(data.path, data.format, found)


def _with_format(path: str, format: CSVFormat, found: Row) -> Row:
    if Path(path).suffix.lower() in (*TYPED, *COMPRESSED):
        return {"refused": f"{Path(path).suffix} files have no reader in the exported folder"}
    if replace(format, separator=",", decimal=".") != CSVFormat():
        return {"refused": "data.thousands, na_values, skiprows and others have no reader in the exported folder"}
    return {**found, "separator": format.separator, "decimal": format.decimal}


def output_facts(task: Task) -> Row:
    """How the numbers of the ONNX file become rows: as of `Task.predictions`."""
    found: Row = {"per_step": task.per_step, "columns": list(task.prediction_columns), "threshold": None}
    if isinstance(task, MultiLabel):
        return {**found, "form": "labels", "names": list(task.labels), "threshold": task.threshold, "mark": task.mark}
    if task.predicts_classes:
        threshold = task.threshold if isinstance(task, Classify) else None
        classes = [name.removeprefix("probability ") for name in names(task)]
        return {**found, "form": "class", "names": classes, "threshold": threshold}
    return {**found, "form": "values", "names": names(task)}
