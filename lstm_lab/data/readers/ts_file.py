"""A .ts file of the UEA and UCR archives, read by aeon. An error names the line and a fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.missing import WAYS_OUT
from lstm_lab.data.readers.table import LARGEST, parse_floats, quoted, read_text

NEEDS = "a header, @data, and one line for each sequence"
"""What a .ts file needs, for messages."""


def ts_target(path: Path) -> str:
    """What the header of a .ts file says is last on each line: "class", "value", or "" for neither."""
    header = _header(read_text(path, ".ts text", NEEDS), path)
    given = {"value": header.get("targetlabel", "false"), "class": header.get("classlabel", "false")}
    return next((target for target, answer in given.items() if answer.startswith("true")), "")


def read_ts(
    path: Path, target: str | None = "class", allow_missing: bool = False
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T, C) float64, finite but for missing values, where they are allowed, and the target of each (N,).

    Args:
        target: "class" or "value", with which each line must end; None: what is there is ignored.
        allow_missing: whether a value may be missing (?); it is NaN then.

    Raises:
        DataError: the file is not complete, or what aeon read does not agree with its header.
    """
    text = read_text(path, ".ts text", NEEDS)
    try:
        from aeon.datasets import load_from_ts_file
    except ImportError:
        raise DataError(f"{path}: .ts files are read by the package 'aeon': pip install aeon") from None
    header = _header(text, path)
    try:
        found, labels, about = load_from_ts_file(str(path), return_meta_data=True)
    except (OSError, ValueError, LookupError) as error:
        _raise_first_error(text, path, header, allow_missing)
        raise DataError(
            f"{path}: cannot be read as .ts ({' '.join(str(error).split())[:120]}): write it again"
        ) from None
    sequences = [np.ascontiguousarray(sequence.T, np.float64) for sequence in found]
    classes = set(about["class_values"])
    complete = all(
        sequence.size and ((np.abs(sequence) <= LARGEST) | (np.isnan(sequence) & allow_missing)).all()
        for sequence in sequences
    )
    if not sequences or not complete or (classes and not set(labels.tolist()) <= classes):
        _raise_first_error(text, path, header, allow_missing)
    if not sequences:
        raise DataError(f"{path}: has no sequences below @data: write one on each line")
    if target == "class" and about["targetlabel"]:
        raise DataError(f"{path}: its header says @targetLabel true: set data.target=value to predict the values")
    if target == "class" and not about["classlabel"]:
        raise DataError(f"{path}: its header says @classLabel false: there are no classes to learn")
    if target == "value" and not about["targetlabel"]:
        raise DataError(f"{path}: its header does not say @targetLabel true: there are no values to learn")
    return sequences, labels


def _header(text: str, path: Path) -> dict[str, str]:
    """Tags in lower case and their values, and `data`, the line of @data: errors in it that aeon would not report."""
    header = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip().lower().split()
        if not words or words[0].startswith("#"):
            continue
        if not words[0].startswith("@"):
            raise DataError(f"{path}: line {number}: {quoted(line.strip())} is before @data: write the header, then "
                            "@data, then the sequences")  # fmt: skip
        header[words[0][1:]] = " ".join(words[1:])
        if words[0] == "@data":
            header["data"] = str(number)
            break
        if words[:2] == ["@timestamps", "true"]:
            raise DataError(f"{path}: line {number}: @timestamps true: time stamps of steps are not supported; write "
                            "the values at equal steps")  # fmt: skip
    if "data" not in header:
        raise DataError(f"{path}: has no line @data: write it between the header and the sequences")
    return header


def _raise_first_error(text: str, path: Path, header: dict[str, str], allow_missing: bool) -> None:
    """Raise at the first line that contradicts the header or the lines before it."""
    of_values = header.get("targetlabel", "false").startswith("true")
    labelled = of_values or header.get("classlabel", "true").startswith("true")
    classes, equal = header.get("classlabel", "").split()[1:], header.get("equallength", "true") == "true"
    channels = steps = first = 0
    lines = text.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines[int(header["data"]) :], int(header["data"]) + 1):
        where = f"{path}: line {number}"
        if not line.strip():
            raise DataError(f"{where}: is empty: remove it")
        fields = line.strip().split(":")
        values = fields[:-1] if labelled else fields
        if not values:
            raise DataError(f"{where}: has only {quoted(line)}: write channels separated by ':', then the class")
        if of_values and not np.isfinite(parse_floats([fields[-1]], ".")[0]):
            raise DataError(f"{where}: {quoted(fields[-1].strip())} is not a finite number: write the value to predict "
                            "last")  # fmt: skip
        if labelled and classes and fields[-1].strip().lower() not in classes:
            raise DataError(f"{where}: class {quoted(fields[-1].strip())} is not among those of @classLabel "
                            f"({', '.join(classes[:12])}): add it there, or write the class last")  # fmt: skip
        if not first:
            channels, steps, first = len(values), values[0].count(",") + 1, number
        if len(values) != channels:
            raise DataError(f"{where}: {len(values)} channels, but line {first} has {channels}")
        expected = steps if equal else values[0].count(",") + 1
        for channel, content in enumerate(values, 1):
            _check_channel(content, f"{where}, channel {channel}", expected, equal, allow_missing)


def _check_channel(content: str, where: str, steps: int, equal: bool, allow_missing: bool) -> None:
    cells = content.split(",")
    if len(cells) != steps:
        fix = "set @equalLength false" if equal else "give all channels of a sequence the same number"
        raise DataError(f"{where}: {len(cells)} steps, not {steps}: {fix}")
    for step, cell in enumerate(cells, 1):
        try:
            missing = cell.strip() == "?" or np.isnan(float(cell))
            finite = allow_missing if missing else abs(float(cell)) <= LARGEST
        except ValueError:
            raise DataError(f"{where}, step {step}: {quoted(cell)} is not a number") from None
        if not finite:
            raise DataError(
                f"{where}, step {step}: {quoted(cell.strip())} is {'missing' if missing else 'too large'}: "
                f"{WAYS_OUT if missing else 'correct it'}"
            )
