"""diagnosis.json of a run or a sweep: what rules found, as typed plain values.

`lstm_lab.diagnosis` writes it. Pages and W&B read it through `read_diagnosis`, which needs no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from lstm_lab.config import DataError
from lstm_lab.records import files
from lstm_lab.records.example_shapes import Number, Plain


class Series(Plain):
    """Points of one colour."""

    same_length = ("x", "y")
    name: str
    x: list[float | str]
    y: list[Number]


class Chart(Plain):
    """The picture of an evidence."""

    x: str
    """Title of the axis."""
    y: str
    series: list[Series]
    kind: Literal["lines", "bars", "points"] = "lines"
    log_x: bool = False
    log_y: bool = False


class Finding(Plain):
    """A cause that explains what a run or a sweep does, and what to do next."""

    rule: str
    """Name of the rule, as "learning rate too high"."""
    severity: int
    """3: it cannot be used; 2: it loses much; 1: it could be better."""
    evidence: str
    """What was measured, a sentence with its numbers."""
    action: tuple[str, ...] = ()
    """Overrides to train, or to sweep, with next; empty where the remedy lies elsewhere."""
    advice: str = ""
    """What to do where no override does it."""
    cost: str = ""
    """What the action costs."""
    chart: Chart | None = None


class Diagnosis(Plain):
    """Everything that was found."""

    epoch: int | None
    """Of the best weights; None for a sweep, and where there are none."""
    probed: bool
    """Whether short trainings and the weights were looked at too, not the record alone."""
    findings: list[Finding]
    """The gravest first."""


def write_diagnosis(folder: Path, diagnosis: Diagnosis) -> None:
    """Write diagnosis.json."""
    files.write_json(folder / files.DIAGNOSIS, diagnosis.model_dump())


def read_diagnosis(folder: Path) -> Diagnosis | None:
    """diagnosis.json of a run or a sweep; None where there is none, or it cannot be read."""
    path = folder / files.DIAGNOSIS
    if not path.is_file():
        return None
    try:
        return Diagnosis.model_validate(files.read_json(path))
    except (DataError, ValidationError):
        return None
