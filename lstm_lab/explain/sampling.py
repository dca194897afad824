"""Which samples of a split are looked at."""

from __future__ import annotations

import torch


def evenly(count: int, number: int) -> list[int]:
    """At most `number` indices, evenly spread over `count`."""
    return sorted(set(torch.linspace(0, count - 1, min(count, number)).round().long().tolist()))
