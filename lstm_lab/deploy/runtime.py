"""Predictions of an exported model with numpy and onnxruntime alone (of texts, with tokenizers too).

    python FOLDER/predict.py new.csv

prints what `lstm-lab predict` prints for the run. In Python, with FOLDER in sys.path:

    from predict import ExportedModel
    ExportedModel().predict(arrays)

This file is part of an exported folder, and imports nothing of lstm_lab.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import onnxruntime

BATCH = 256
"""Sequences that are computed at once."""


class Refused(Exception):
    """An error in one line."""

    code = 2


class BadData(Refused):
    """New data that cannot be read, or do not fit."""

    code = 3


class NewSamples(NamedTuple):
    """What a file holds."""

    x: list[np.ndarray]
    """Of each sequence, (T, C) values in their own units, or (T,) numbers of tokens."""
    columns: list[str]
    """Names of the values in `keys`."""
    keys: list[Any]
    """Of each sequence, the id; of a forecast, for each step ahead its values."""


class ExportedModel:
    """The model of an exported folder.

    Args:
        folder: None: that of this file.

    Raises:
        Refused: it has no ONNX file, or is of another version.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(__file__).parent if folder is None else Path(folder)
        try:
            self.facts: dict[str, Any] = json.loads((self.folder / "facts.json").read_text(encoding="utf-8"))
            model = (self.folder / "model.onnx").read_bytes()
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror}: export the run again with --to folder") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = {each.name: each.type for each in self.session.get_inputs()}
        self.output: dict[str, Any] = self.facts["output"]

    def predict(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Of each sequence, its predictions as the ONNX file gives them: (K,), (T, K) or (horizon, K).

        Args:
            sequences: (T, C) values in the units of the data, NaN where one is missing, or (T,) numbers of tokens.
        """
        found: list[np.ndarray] = []
        for start in range(0, len(sequences), BATCH):
            part = sequences[start : start + BATCH]
            lengths = np.array([len(each) for each in part], np.int64)
            kind = {"tensor(int64)": np.int64, "tensor(double)": np.float64}.get(self.inputs["x"], np.float32)
            x = np.zeros((len(part), lengths.max(), *part[0].shape[1:]), kind)
            for row, each in zip(x, part, strict=True):
                row[: len(each)] = each
            given = {name: value for name, value in (("x", x), ("lengths", lengths)) if name in self.inputs}
            (predictions,) = self.session.run(["predictions"], given)
            steps = self.output["per_step"]
            found += [p[:n] if steps else p for p, n in zip(predictions, lengths.tolist(), strict=True)]
        return found

    def predict_file(self, path: str | Path) -> tuple[list[str], list[list[Any]]]:
        """The header and the rows that `lstm-lab predict` gives for a file.

        Raises:
            BadData: it cannot be read, or does not fit.
            Refused: this task, or the data of the run, are not read here.
        """
        reader = self.facts["reader"]
        if "refused" in reader:
            raise Refused(f"{reader['refused']}: use lstm-lab predict, or ExportedModel().predict(arrays)")
        new = READERS[reader["kind"]](self, Path(path), reader)
        rows = [
            [*key, *row] for keys, values in zip(new.keys, self.predict(new.x), strict=True)
            for key, row in zip(keys, self.rows(np.atleast_2d(values)), strict=True)
        ]  # fmt: skip
        return [*new.columns, *self.output["columns"]], rows

    def rows(self, values: np.ndarray) -> Iterator[list[Any]]:
        """Predictions (N, K) as rows of plain values: of classes the most likely one before their probabilities."""
        names, form = self.output["names"], self.output["form"]
        for row in values:
            numbers = row.tolist()
            if form == "values":
                yield numbers
            elif form == "class":
                sets = [] if self.output["threshold"] is None else [self._set(row)]
                yield [names[int(row.argmax())], *numbers, *sets]
            else:
                chosen = (name for name, p in zip(names, numbers, strict=True) if p > self.output["threshold"])
                yield [self.output["mark"].join(chosen), *numbers]

    def _set(self, row: np.ndarray) -> str:
        """The classes with at least the probability of the calibrated threshold, the most likely first."""
        least = min(float(row.max()), self.output["threshold"] - 1e-12)
        return " | ".join(self.output["names"][k] for k in np.argsort(-row, kind="stable") if row[k] >= least)


# --- files ------------------------------------------------------------------------------------------------------------


def read_table(path: Path, reader: dict[str, Any], wanted: Sequence[str]) -> tuple[dict[str, list[str]], list[int]]:
    """The wanted columns of a CSV, and the line of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=reader["separator"])
            header = [name.strip() for name in next(lines, [])]
            missing = [name for name in wanted if name not in header]
            if missing:
                raise BadData(f"{path}: has no column {missing[0]!r}: its header is {', '.join(header[:12])}")
            rows, numbers = [], []
            for row in lines:
                if any(cell.strip() for cell in row):
                    if len(row) != len(header):
                        raise BadData(f"{path}: line {lines.line_num}: has {len(row)} fields, but the header "
                                      f"{len(header)}")  # fmt: skip
                    rows.append(row)
                    numbers.append(lines.line_num)
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadData(f"{path}: is not UTF-8 text") from None
    if not rows:
        raise BadData(f"{path}: has no rows")
    places = {name: header.index(name) for name in wanted}
    return {name: [row[place].strip() for row in rows] for name, place in places.items()}, numbers


def read_values(
    path: Path, table: dict[str, list[str]], lines: Sequence[int], columns: Sequence[str], reader: dict[str, Any]
) -> np.ndarray:
    """(rows, columns) float64; an empty cell is NaN."""
    found = np.empty((len(lines), len(columns)))
    for k, name in enumerate(columns):
        for i, cell in enumerate(table[name]):
            try:
                found[i, k] = float(cell.replace(reader["decimal"], ".")) if cell else np.nan
            except ValueError:
                found[i, k] = np.inf
            if np.isinf(found[i, k]):
                raise BadData(f"{path}: line {lines[i]}, column {name!r}: {cell!r} is not a number")
    return found


def read_sequences(model: ExportedModel, path: Path, reader: dict[str, Any]) -> NewSamples:
    """A row for each step; the steps of a sequence have its id."""
    id, channels = reader["id"], reader["channels"]
    table, lines = read_table(path, reader, [id, *channels])
    values = read_values(path, table, lines, channels, reader)
    if np.isnan(values).any() and not reader["masked"]:
        i, k = (int(part) for part in np.argwhere(np.isnan(values))[0])
        raise BadData(f"{path}: line {lines[i]}, column {channels[k]!r}: the cell is empty: fill it in")
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(table[id]):
        rows.setdefault(name, []).append(i)
    ids = plain_ids([*rows])
    keys: list[list[tuple[Any, ...]]] = [[(each,)] for each in ids]
    columns = [id]
    if model.output["per_step"]:
        keys = [[(each, step) for step in range(1, len(own) + 1)]
                for each, own in zip(ids, rows.values(), strict=True)]  # fmt: skip
        columns.append("step")
    return NewSamples([values[own] for own in rows.values()], columns, keys)


def plain_ids(names: Sequence[str]) -> list[str | int]:
    """Whole numbers where all names are written as such."""
    whole = all(name.removeprefix("-").isdecimal() and str(int(name)) == name for name in names)
    return [int(name) for name in names] if whole else list(names)


def read_series(model: ExportedModel, path: Path, reader: dict[str, Any]) -> NewSamples:
    """The last rows of one series, up to the last one with a target."""
    time, columns, window = reader["time"], reader["columns"], reader["window"]
    table, lines = read_table(path, reader, [time, *columns])
    values = read_values(path, table, lines, columns, reader)
    known = np.flatnonzero(~np.isnan(values[:, : reader["targets"]]).all(1))
    end = int(known[-1]) + 1 if len(known) else 0
    if end < window:
        raise BadData(f"{path}: {end} rows up to the last target, but the model reads {window}: provide more rows")
    x = values[end - window : end]
    if np.isnan(x).any() and not reader["masked"]:
        raise BadData(f"{path}: a cell is empty among the {window} rows that the model reads: fill it in")
    times = next_times(path, table[time][:end], reader["horizon"])
    keys = [[(text, step) for step, text in enumerate(times, 1)]]
    return NewSamples([x], [time, "ahead"], keys)


def next_times(path: Path, cells: Sequence[str], horizon: int) -> list[Any]:
    """The times after the last one: numbers, or ISO dates without offset, at one step."""
    times: list[Any] = []
    try:
        times = [*map(int, cells)]
    except ValueError:
        try:
            times = [*map(datetime.fromisoformat, cells)]
        except ValueError:
            raise BadData(f"{path}: {cells[0]!r} is neither an ISO date nor a whole number: use lstm-lab predict, "
                          "which reads more forms") from None  # fmt: skip
    if len(times) < 2 or len({b - a for a, b in pairwise(times)}) != 1:
        raise BadData(f"{path}: its times are not at one step, or not oldest first: use lstm-lab predict, which "
                      "knows months, quarters and gaps")  # fmt: skip
    if isinstance(times[0], datetime) and times[0].tzinfo is not None:
        raise BadData(f"{path}: {cells[0]!r} has an offset: use lstm-lab predict, which knows daylight saving time")
    step = times[1] - times[0]
    found = [times[-1] + k * step for k in range(1, horizon + 1)]
    midnight = isinstance(times[0], datetime) and all(each.time() == datetime.min.time() for each in found)
    return [each.date() if midnight else each for each in found]


def read_texts(model: ExportedModel, path: Path, reader: dict[str, Any]) -> NewSamples:
    """A row for each text, as the tokenizer of the folder reads it."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise Refused("texts need the package tokenizers: pip install tokenizers") from None
    column, id = reader["column"], reader["id"]
    table, lines = read_table(path, reader, [column, *([id] if id else [])])
    empty = next((line for line, text in zip(lines, table[column], strict=True) if not text), None)
    if empty is not None:
        raise BadData(f"{path}: line {empty}, column {column!r}: the text is empty: fill it in or remove the row")
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    head, most, x = reader["head"], reader["max_length"], []
    for encoding in tokenizer.encode_batch(table[column], add_special_tokens=False):
        ids = np.array(encoding.ids or [reader["unknown"]], np.int64)
        x.append(ids if len(ids) <= most else np.concatenate([ids[:head], ids[len(ids) - (most - head) :]]))
    names = plain_ids(table[id]) if id else [*range(1, len(lines) + 1)]
    return NewSamples(x, [id or "text"], [[(name,)] for name in names])


READERS = {"sequences": read_sequences, "series": read_series, "texts": read_texts}


def main() -> NoReturn:
    """Print the predictions for a file as CSV; an error in one line on standard error."""
    try:
        if len(sys.argv) != 2:
            raise Refused("usage: python predict.py FILE")
        header, rows = ExportedModel().predict_file(sys.argv[1])
    except Refused as error:
        print(f"predict.py: {error}", file=sys.stderr)
        sys.exit(error.code)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    sys.exit(0)


if __name__ == "__main__":
    main()
