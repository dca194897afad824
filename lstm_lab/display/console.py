"""What is printed: text of others is shown as it is, never read as rich's markup, and without control characters."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from lstm_lab.display.printable import printable


class PlainConsole(Console):
    """A rich console in which every string is text, also in a table or a title: `[red]` and `:smile:` are no markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def plain_console(stderr: bool = False) -> PlainConsole:
    """A console that does not wrap lines when its output goes to a file or a pipe."""
    found = PlainConsole(stderr=stderr)
    return found if found.is_terminal else PlainConsole(stderr=stderr, width=160)
