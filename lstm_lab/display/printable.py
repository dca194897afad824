"""Text of others in messages and on the terminal: without control characters, and no longer than it has to be."""

from __future__ import annotations

import re

MAX_VALUE = 200
"""Characters of one value in a message."""
MAX_MESSAGE = 1_500
"""Characters of a message: a list of long names has many values."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor, recolours or reorders text on a terminal, and what cannot be encoded; not `\\n` and `\\t`."""
VALUE = re.compile(
    rf"(?<![\w'\"])(?P<quote>['\"])(?P<inside>(?:(?!(?P=quote)(?!\w)).){{{MAX_VALUE + 1},}})(?P=quote)(?!\w)"
    rf"|(?P<word>\S{{{MAX_VALUE + 1},}})",
    re.DOTALL,
)
"""A quoted value, or a word, that is too long."""


def printable(text: str) -> str:
    r"""The text with control characters written as Python writes them.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shortened(text: str, limit: int = MAX_VALUE) -> str:
    """The text, or its beginning and its end around `...` where it is longer than the limit.

    >>> shortened("abcdefghijklmnop", 9)
    'abc...nop'
    """
    if len(text) <= limit:
        return text
    head = (limit - 3) // 2
    return f"{text[:head]}...{text[len(text) - (limit - 3 - head) :]}"


def message(text: str) -> str:
    """A message on one line: no control characters, and each value in it cut at `MAX_VALUE` characters."""
    line = shortened(printable(" ".join(text.splitlines())), 20 * MAX_MESSAGE)
    return shortened(VALUE.sub(_cut, line), MAX_MESSAGE)


def _cut(found: re.Match[str]) -> str:
    if found["word"] is not None:
        return shortened(found["word"])
    return f"{found['quote']}{shortened(found['inside'])}{found['quote']}"
