"""One long text, to resume with: how long it is, of which characters, and how much of it repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_lab.config import validate
from lstm_lab.data.inspection.look import Look
from lstm_lab.data.sources.stream import TextFileStream


def look_at_stream(path: str, choices: Mapping[str, Any]) -> Look:
    """A .txt file, or a folder of them without classes."""
    data: dict[str, Any] = {"name": "text_stream", "path": path, **choices}
    text, place = validate(TextFileStream.Config, data, path).build().text()
    letters = Counter(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    long = [line for line in lines if len(line) >= 40]
    again = len(long) - len(set(long))
    p = np.array(list(letters.values())) / len(text)
    look = Look(place, "one long text", "Which character comes next?")
    look.info = {
        "characters": len(text),
        "different ones": len(letters),
        "that stand there once": sum(count == 1 for count in letters.values()),
        "bits of a character by its frequency": round(float(-(p * np.log2(p)).sum()), 3),
        "lines": len(lines),
        "lines of 40 characters or more that stand there before": again,
    }
    if again > len(long) / 20:
        look.warnings.append(f"{again} of {len(long)} long lines are copies of earlier ones: what tests may have been "
                             "learned by heart")  # fmt: skip
    if len(text) < 10_000:
        look.warnings.append(f"{len(text)} characters are little to learn from")
    look.experiment = {
        "data": {**data, "batch_size": data.get("batch_size", 16), "chunk_length": data.get("chunk_length", 100)},
        "task": "next_step",
        "model": {"hidden_size": 256, "embedding": {"dim": 256, "tie_weights": True}, "dropout": {"output": 0.2}},
        "optimizer": {"lr": 3e-3},
        "trainer": {"max_epochs": 15},
    }
    return look
