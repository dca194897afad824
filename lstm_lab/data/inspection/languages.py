"""What the characters of texts say about how to split them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Characters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without spaces between words."""
SAMPLED = 500
"""Texts that are looked at."""


def without_spaces(texts: Sequence[str]) -> bool:
    """Whether most letters of the texts are of a script that has no spaces between words."""
    sample = "".join(texts[:: max(1, len(texts) // SAMPLED)])
    return 2 * len(_UNSPACED.findall(sample)) > sum(char.isalpha() for char in sample)


def joined_labels(labels: Sequence[str]) -> tuple[str, str] | None:
    """A label that names several labels and the mark between them, as "good|warm", where cells do so.

    They do where parts of cells are fewer than the cells, or are themselves cells: not "Buffalo, NY" and "Albany, NY".
    """
    distinct = sorted(set(labels))
    for mark in "|;,/":
        joined = [label for label in distinct if mark in label.strip(mark)]
        parts = {part.strip() for label in distinct for part in label.split(mark) if part.strip()}
        repeated = [part.strip() for label in joined for part in label.split(mark)]
        fewer = len(parts) < len(distinct) and len(set(repeated)) < len(repeated)
        if joined and (fewer or len(parts & {*distinct} - {*joined}) * 2 >= len(parts)) and not _are_numbers(distinct):
            return joined[0], mark
    return None


def _are_numbers(labels: Sequence[str]) -> bool:
    """Whether labels are numbers with marks in them, such as 1,5 or 1/2."""
    return all(re.fullmatch(r"[\d.,/]*", label) for label in labels)
