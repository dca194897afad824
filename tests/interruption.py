"""A training that is interrupted at a step of one's choice."""

from __future__ import annotations


class StopAt:
    """An event that is set from the n-th time on that training looks at it."""

    def __init__(self, looks):
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0
