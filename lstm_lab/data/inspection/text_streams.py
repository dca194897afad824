"""One long text: its length, its characters, and how much of it repeats."""

from __future__ import annotations

from collections import Counter

import numpy as np

from lstm_lab.config.validation import validate
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.sources.text_stream import TextFileStream

LONG_LINE = 40
"""Characters from which on a repeated line counts as a copy."""


def inspect_stream(path: str, choices: Fields) -> Inspection:
    """A .txt file, or a folder of them without classes."""
    data: Fields = {"name": "text_stream", "path": path, **choices}
    text, read_from = validate(TextFileStream.Config, data, path).build().text()
    characters = Counter(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    long = [line for line in lines if len(line) >= LONG_LINE]
    copies = len(long) - len(set(long))
    p = np.array(list(characters.values())) / len(text)
    result = Inspection(read_from, "one long text", "Language model: the next character")
    result.statistics = {
        "characters": len(text),
        "distinct characters": len(characters),
        "characters that occur once": sum(count == 1 for count in characters.values()),
        "entropy of the character frequencies (bits)": round(float(-(p * np.log2(p)).sum()), 3),
        "lines": len(lines),
        f"copies of earlier lines of {LONG_LINE} characters or more": copies,
    }
    if copies > len(long) / 20:
        result.warnings.append(f"{copies} of {len(long)} long lines are copies of earlier ones: test metrics may "
                               "reward memorization")  # fmt: skip
    if len(text) < 10_000:
        result.warnings.append(f"{len(text)} characters are few to learn from")
    result.experiment = {
        "data": {**data, "batch_size": data.get("batch_size", 16), "chunk_length": data.get("chunk_length", 100)},
        "task": "next_step",
        "model": {"hidden_size": 256, "embedding": {"dim": 256, "tie_weights": True}, "dropout": {"output": 0.2}},
        "optimizer": {"lr": 3e-3},
        "trainer": {"max_epochs": 15},
    }
    return result
