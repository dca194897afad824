"""What was seen: plain values, and the experiment file that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Column(NamedTuple):
    """Of a table."""

    name: str
    kind: str
    """number, time, category, text, or empty"""
    empty: int
    """Cells with nothing in them."""
    distinct: int
    least: str
    """The smallest value, or the first one."""
    most: str
    """The largest value, or the most frequent one."""
    used: str = ""
    """What the experiment takes it for."""


@dataclass
class Look:
    """One file, seen."""

    place: str
    kind: str
    """series, texts, sequences or one long text"""
    question: str
    """First line of the experiment file."""
    info: dict[str, Any] = field(default_factory=dict)
    """What there is, by name: plain values."""
    classes: dict[str, int] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What a person should see to before trusting a number, a sentence each."""
    experiment: dict[str, Any] = field(default_factory=dict)
    """Content of the file that trains on it."""

    def dump(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return {**vars(self), "columns": [column._asdict() for column in self.columns]}

    def yaml(self) -> str:
        """The experiment file: a question, then a section a line."""
        import yaml  # type: ignore[import-untyped]

        def line(value: Any) -> str:
            return yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)

        lines = [f"# {self.question}"]
        for section, content in self.experiment.items():
            lines.append(f"{section}: {line(content).removesuffix('...' + chr(10)).strip()}")
        return "\n".join(lines) + "\n"


def spread(values: Iterable[int], of: str) -> dict[str, Any]:
    """Least, median, 95th hundredth and most of some lengths."""
    import numpy as np

    lengths = np.fromiter(values, np.int64)
    least, middle, high, most = np.percentile(lengths, [0, 50, 95, 100], method="lower").tolist()
    return {f"{of}, least": least, f"{of}, median": middle, f"{of}, 95 % within": high, f"{of}, most": most}


def balance(counts: dict[str, int]) -> list[str]:
    """A warning where one class is rare beside another, or too rare to be parted."""
    said, rare, often = [], min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[rare] * 5 < counts[often]:
        said.append(f"class {rare!r} has {counts[rare]}, class {often!r} {counts[often]}: accuracy rewards guessing "
                    "the larger; macro_f1 decides, and rare classes weigh more")  # fmt: skip
    few = [name for name, count in counts.items() if count < 3]
    if few:
        said.append(f"{len(few)} classes have fewer than 3 ({', '.join(map(repr, few[:5]))}): they cannot stand in all "
                    "three parts")  # fmt: skip
    return said


def classify(counts: dict[str, int]) -> dict[str, Any]:
    """The task, by how balanced the classes are."""
    if min(counts.values()) * 5 < max(counts.values()):
        return {"name": "classify", "monitor": "macro_f1", "class_weights": "balanced"}
    return {"name": "classify", "monitor": "loss"}
