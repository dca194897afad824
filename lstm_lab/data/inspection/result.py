"""The result of an inspection: plain values, and the experiment file that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Fields = dict[str, Any]
"""Fields of a section of an experiment, as YAML has them."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: str
    """number, time, category, text, or empty"""
    empty: int
    """Number of empty cells."""
    distinct: int
    """Number of different values."""
    low: str
    """The smallest value, or the first one of a column that is not of numbers."""
    high: str
    """The largest value, or the most frequent one of a column that is not of numbers."""
    used: str = ""
    """What the experiment uses it for."""


@dataclass
class Inspection:
    """What a file or folder contains."""

    path: str
    kind: str
    """series, texts, sequences or one long text"""
    title: str
    """First line of the experiment file."""
    statistics: dict[str, str | int | float] = field(default_factory=dict)
    """By name."""
    classes: dict[str, int] = field(default_factory=dict)
    """Samples of each class."""
    columns: list[Column] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What to correct before trusting a metric, a sentence each."""
    experiment: Fields = field(default_factory=dict)
    """Content of an experiment file that trains on the data."""

    def dump(self) -> Fields:
        """Plain values, as `--json` prints them."""
        return {**vars(self), "columns": [column._asdict() for column in self.columns]}

    def yaml(self) -> str:
        """The experiment file: its title, then one line for each section."""
        import yaml  # type: ignore[import-untyped]

        lines = [f"# {self.title}"]
        for section, content in self.experiment.items():
            line = yaml.safe_dump(content, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
            lines.append(f"{section}: {line.removesuffix('...' + chr(10)).strip()}")
        return "\n".join(lines) + "\n"


def length_statistics(lengths: Iterable[int], unit: str) -> dict[str, int]:
    """Minimum, median, 95th percentile and maximum of lengths.

    Args:
        unit: what is counted, for the names: "words".
    """
    import numpy as np

    values = np.percentile(np.fromiter(lengths, np.int64), [0, 50, 95, 100], method="lower").tolist()
    names = (f"{unit}, minimum", f"{unit}, median", f"{unit}, 95th percentile", f"{unit}, maximum")
    return dict(zip(names, values, strict=True))


def balance_warnings(counts: dict[str, int]) -> list[str]:
    """A warning where one class is rare compared with another, and where classes are too rare for three splits."""
    warnings, rarest, commonest = [], min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[rarest] * 5 < counts[commonest]:
        warnings.append(f"class {rarest!r} has {counts[rarest]}, class {commonest!r} has {counts[commonest]}: accuracy "
                        "favours the larger, so macro_f1 is monitored and rare classes are weighted up")  # fmt: skip
    lower: dict[str, str] = {}
    alike = next(
        ((first, name) for name in counts if (first := lower.setdefault(name.strip().lower(), name)) != name), None
    )
    if alike is not None:
        warnings.append(f"classes {alike[0]!r} and {alike[1]!r} differ by their case alone, but are two: write one of "
                        "them")  # fmt: skip
    few = [name for name, count in counts.items() if count < 3]
    if few:
        warnings.append(f"{len(few)} classes have fewer than 3 ({', '.join(map(repr, few[:5]))}): they cannot be in "
                        "all three splits")  # fmt: skip
    return warnings


def classification_task(counts: dict[str, int]) -> dict[str, str]:
    """The task of an experiment, which depends on how balanced the classes are."""
    if min(counts.values()) * 5 < max(counts.values()):
        return {"name": "classify", "monitor": "macro_f1", "class_weights": "balanced"}
    return {"name": "classify", "monitor": "loss"}
