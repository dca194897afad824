"""Tags that mark spans of a sequence, as names in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable

TAG = re.compile(r"([BIES])-(.+)")
"""Matches the tag of a step within a span: its place there, and the type of the span."""
OUTSIDE = "O"
"""Tag of a step in no span."""


def mark_spans(classes: Iterable[str]) -> bool:
    """Whether the classes are tags of spans, as B-PER, I-PER and O (IOB1, IOB2, IOE, IOBES).

    >>> mark_spans(["B-PER", "I-PER", "O"]), mark_spans(["NOUN", "VERB"])
    (True, False)
    """
    names = set(classes)
    return all(name == OUTSIDE or TAG.fullmatch(name) for name in names) and bool(names - {OUTSIDE})
