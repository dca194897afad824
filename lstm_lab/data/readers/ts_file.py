"""A .ts file of the UEA and UCR archives, read by aeon. An error names the line and a fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import LARGEST, quoted, read_text


def read_ts(path: Path, labelled: bool = True) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T, C) float64, all finite, and the label of each (N,).

    Args:
        labelled: whether each line must end with its class; if not, a class that is there is ignored.

    Raises:
        DataError: the file is not complete, or what aeon read does not agree with its header.
    """
    text = read_text(path, ".ts text", "a header, @data, and one line for each sequence")
    try:
        from aeon.datasets import load_from_ts_file
    except ImportError:
        raise DataError(f"{path}: .ts files are read by the package 'aeon': pip install aeon") from None
    header = _header(text, path)
    try:
        found, labels, about = load_from_ts_file(str(path), return_meta_data=True)
    except (OSError, ValueError, LookupError) as error:
        _raise_first_error(text, path, header)
        raise DataError(
            f"{path}: cannot be read as .ts ({' '.join(str(error).split())[:120]}): write it again"
        ) from None
    sequences = [np.ascontiguousarray(sequence.T, np.float64) for sequence in found]
    classes = set(about["class_values"])
    complete = all(sequence.size and (np.abs(sequence) <= LARGEST).all() for sequence in sequences)
    if not sequences or not complete or (classes and not set(labels.tolist()) <= classes):
        _raise_first_error(text, path, header)
    if not sequences:
        raise DataError(f"{path}: has no sequences below @data: write one on each line")
    if labelled and not about["classlabel"]:
        raise DataError(f"{path}: its header says @classLabel false: there are no classes to learn")
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
        if words[:2] == ["@targetlabel", "true"]:
            raise DataError(f"{path}: line {number}: @targetLabel true: regression files are not supported; write "
                            "@classLabel and a class for each sequence")  # fmt: skip
    if "data" not in header:
        raise DataError(f"{path}: has no line @data: write it between the header and the sequences")
    return header


def _raise_first_error(text: str, path: Path, header: dict[str, str]) -> None:
    """Raise at the first line that contradicts the header or the lines before it."""
    labelled = header.get("classlabel", "true").startswith("true")
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
        if labelled and classes and fields[-1].strip().lower() not in classes:
            raise DataError(f"{where}: class {quoted(fields[-1].strip())} is not among those of @classLabel "
                            f"({', '.join(classes[:12])}): add it there, or write the class last")  # fmt: skip
        if not first:
            channels, steps, first = len(values), values[0].count(",") + 1, number
        if len(values) != channels:
            raise DataError(f"{where}: {len(values)} channels, but line {first} has {channels}")
        expected = steps if equal else values[0].count(",") + 1
        for channel, content in enumerate(values, 1):
            _check_channel(content, f"{where}, channel {channel}", expected, equal)


def _check_channel(content: str, where: str, steps: int, equal: bool) -> None:
    cells = content.split(",")
    if len(cells) != steps:
        fix = "set @equalLength false" if equal else "give all channels of a sequence the same number"
        raise DataError(f"{where}: {len(cells)} steps, not {steps}: {fix}")
    for step, cell in enumerate(cells, 1):
        try:
            finite = cell.strip() != "?" and not abs(float(cell)) > LARGEST
        except ValueError:
            raise DataError(f"{where}, step {step}: {quoted(cell)} is not a number") from None
        if not finite:
            raise DataError(f"{where}, step {step}: {quoted(cell.strip())} is missing: fill it in")
