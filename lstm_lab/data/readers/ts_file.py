"""A .ts file of the UEA and UCR archives, by aeon's reader. A fault names the line and the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import read_text, show


def read_ts(place: Path, labelled: bool = True) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T, C) float64, all finite, and the label of each (N,).

    Args:
        labelled: whether each line must end with its class; without, one that is there is passed over.

    Raises:
        DataError: where the file is not whole, or what aeon made of it is not what its header says.
    """
    text = read_text(place, ".ts text", "a header, @data, and one line for each sequence")
    try:
        from aeon.datasets import load_from_ts_file
    except ImportError:
        raise DataError(
            f"{place}: .ts files are read by the package 'aeon': pip install 'lstm-lab[datasets]'"
        ) from None
    head = _head(text, place)
    try:
        found, labels, about = load_from_ts_file(str(place), return_meta_data=True)
    except (OSError, ValueError, LookupError) as error:
        _find_fault(text, place, head)
        raise DataError(
            f"{place}: cannot be read as .ts ({' '.join(str(error).split())[:120]}): write it again"
        ) from None
    sequences = [np.ascontiguousarray(sequence.T, np.float64) for sequence in found]
    named = set(about["class_values"])
    whole = all(sequence.size and np.isfinite(sequence).all() for sequence in sequences)
    if not sequences or not whole or (named and not set(labels.tolist()) <= named):
        _find_fault(text, place, head)
    if not sequences:
        raise DataError(f"{place}: has no sequences below @data: write one a line")
    if labelled and not about["classlabel"]:
        raise DataError(f"{place}: its header says @classLabel false: there is no class to learn")
    return sequences, labels


def _head(text: str, place: Path) -> dict[str, str]:
    """Tags and their values, and `data`, the line of @data: what aeon would not miss."""
    head = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip().lower().split()
        if not words or words[0].startswith("#"):
            continue
        if not words[0].startswith("@"):
            raise DataError(f"{place}: line {number}: {show(line.strip())} stands before @data: write the header, then "
                            "@data, then the sequences")  # fmt: skip
        head[words[0][1:]] = " ".join(words[1:])
        if words[0] == "@data":
            head["data"] = str(number)
            break
        if words[:2] == ["@timestamps", "true"]:
            raise DataError(f"{place}: line {number}: @timestamps true: steps with times of their own are not read; "
                            "write the values at equal steps")  # fmt: skip
        if words[:2] == ["@targetlabel", "true"]:
            raise DataError(f"{place}: line {number}: @targetLabel true: a number is asked of each sequence, not a "
                            "class, which only files with @classLabel have")  # fmt: skip
    if "data" not in head:
        raise DataError(f"{place}: has no line @data: write it between the header and the sequences")
    return head


def _find_fault(text: str, place: Path, head: dict[str, str]) -> None:
    """Raise at the first line that is not as the header and the line before say."""
    labelled = head.get("classlabel", "true").startswith("true")
    named, equal = head.get("classlabel", "").split()[1:], head.get("equallength", "true") == "true"
    channels = steps = first = 0
    lines = text.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines[int(head["data"]) :], int(head["data"]) + 1):
        where = f"{place}: line {number}"
        if not line.strip():
            raise DataError(f"{where}: is empty: take it out")
        fields = line.strip().split(":")
        values = fields[:-1] if labelled else fields
        if not values:
            raise DataError(f"{where}: holds {show(line)} alone: write channels parted by ':', and the class last")
        if labelled and named and fields[-1].strip().lower() not in named:
            raise DataError(f"{where}: class {show(fields[-1].strip())} is not among those of @classLabel "
                            f"({', '.join(named[:12])}): write it there, or put the class last")  # fmt: skip
        if not first:
            channels, steps, first = len(values), values[0].count(",") + 1, number
        if len(values) != channels:
            raise DataError(f"{where}: {len(values)} channels, but line {first} has {channels}")
        own = steps if equal else values[0].count(",") + 1
        for channel, content in enumerate(values, 1):
            _check_channel(content, f"{where}, channel {channel}", own, equal)


def _check_channel(content: str, where: str, steps: int, equal: bool) -> None:
    cells = content.split(",")
    if len(cells) != steps:
        way = "set @equalLength false" if equal else "give all channels of a sequence the same"
        raise DataError(f"{where}: {len(cells)} steps, not {steps}: {way}")
    for step, cell in enumerate(cells, 1):
        try:
            finite = cell.strip() != "?" and np.isfinite(float(cell))
        except ValueError:
            raise DataError(f"{where}, step {step}: {show(cell)} is not a number") from None
        if not finite:
            raise DataError(f"{where}, step {step}: {show(cell.strip())} is missing: fill it in")
