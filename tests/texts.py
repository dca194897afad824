"""Texts that the tests share: a corpus with its labels, and files of it."""

from __future__ import annotations

import numpy as np
import torch


def corpus(n=120, seed=0):
    """Texts whose class is the one of two words that they contain; some words occur in one split only."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(40)])
    rows = []
    for i in range(n):
        label = ("no", "yes")[i % 2]
        filler = rng.choice(words, rng.integers(1, 20)).tolist()
        filler.insert(int(rng.integers(len(filler) + 1)), {"no": "awful", "yes": "great"}[label])
        rows.append((" ".join(filler) + f" only{i} only{i}", label))
    return rows


def same(one, other):
    assert one.info == other.info
    assert one.digest == other.digest
    for part in ("train", "validation"):
        ours, theirs = (getattr(data, part).take(torch.arange(len(getattr(data, part)))) for data in (one, other))
        assert all(torch.equal(a, b) for a, b in zip(ours[:3], theirs[:3], strict=True))
        assert ours[3:] == theirs[3:] == (None, None, None)


def write(path, content):
    if isinstance(content, dict):
        path.mkdir()
        for name, inside in content.items():
            write(path / name, inside)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
