"""Progress of a training: a bar in a notebook and on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Literal, SupportsFloat

Progress = bool | Literal["auto"]
"""Whether progress is shown; auto: in the main thread."""
SECONDS_BETWEEN_UPDATES = 0.2
MOST_METRICS = 4
"""In a notebook's bar."""


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook. Does not import IPython."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def is_shown(progress: Progress) -> bool:
    """Whether progress is shown at all: auto leaves it out in threads, whose output would mix."""
    return threading.current_thread() is threading.main_thread() if progress == "auto" else progress


def bar_or_lines(progress: Progress, monitor: str) -> tuple[bool, Callable[[Mapping[str, object]], None] | None]:
    """Whether a bar is shown, and what prints each row of the record where lines are shown instead.

    Args:
        monitor: metric that is printed beside the losses, as "val/accuracy".
    """
    if not is_shown(progress):
        return False, None
    if in_notebook() or on_terminal():
        return True, None
    return False, lambda row: print(epoch_line(row, monitor), flush=True)


def epoch_line(row: Mapping[str, object], monitor: str) -> str:
    """A row of the record in one line.

    >>> epoch_line({"epoch": 0, "train/loss": 1.25, "val/loss": 0.5, "seconds": 2.0}, "val/loss")
    'epoch   0  train/loss 1.25  val/loss 0.5  2 s'
    >>> epoch_line({"epoch": 0, "train/loss": 1.25, "val/loss": 0.5, "val/nll": 0.5, "seconds": 2.0}, "val/nll")
    'epoch   0  train/loss 1.25  val/nll 0.5  2 s'
    >>> epoch_line({"epoch": 0, "train/loss": 1.25, "val/loss": 0.50001, "val/nll": 0.5, "seconds": 2.0}, "val/nll")
    'epoch   0  train/loss 1.25  val/nll 0.5  2 s'
    """
    texts = {name: f"{row[name]:.4g}" for name in ("train/loss", "val/loss", monitor) if name in row}
    if monitor != "val/loss" and texts.get(monitor) == texts.get("val/loss"):
        texts.pop("val/loss", None)
    metrics = "  ".join(f"{name} {text}" for name, text in texts.items())
    return f"epoch {row['epoch']:>3}  {metrics}  {row['seconds']:.0f} s"


class NotebookDisplay:
    """One output of a notebook cell that is replaced in place. Works without ipywidgets, and is saved with the
    notebook."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._updated = 0.0

    def update(self, content: object, *, force: bool = False, raw: bool = False) -> None:
        """Show `content` instead of what was shown; left out where the last update is too recent.

        Args:
            force: show it however recent that is.
            raw: `content` is a dict from MIME type to data.
        """
        now = time.monotonic()
        if not force and now - self._updated < SECONDS_BETWEEN_UPDATES:
            return
        self._updated = now
        if self._handle is None:
            import IPython.display

            display: Callable[..., Any] = IPython.display.display
            self._handle = display(content, raw=raw, display_id=True)
        else:
            self._handle.update(content, raw=raw)


def bar(
    epoch: int, max_epochs: int | None, batch: int, batches: int, metrics: Mapping[str, SupportsFloat], seconds: float
) -> dict[str, str]:
    """A bar as HTML and as text, by MIME type.

    Args:
        epoch: epochs that are complete.
        max_epochs: None or -1: no limit.
        batch: batches of the next epoch that are complete.
        batches: batches of an epoch.
        metrics: of the last epoch, by name.

    >>> bar(1, 4, 5, 10, {"val/loss": 0.25}, 3.0)["text/plain"]
    'epoch 1/4  batch 5/10  val/loss 0.25  3 s'
    """
    limit = max_epochs if max_epochs is not None and max_epochs > 0 else None
    names = [name for name in metrics if name.endswith("loss") or name.startswith("val/")][:MOST_METRICS]
    text = "  ".join([
        f"epoch {epoch}/{limit}" if limit else f"epoch {epoch}",
        *([f"batch {batch}/{batches}"] if batch else []),
        *(f"{name} {float(metrics[name]):.4g}" for name in names),
        f"{seconds:.0f} s",
    ])  # fmt: skip
    share = (epoch + batch / max(batches, 1)) / limit if limit else batch / max(batches, 1)
    html = (
        f'<progress value="{min(share, 1.0):.4f}" max="1" style="width: 16em; vertical-align: middle"></progress> '
        f'<code style="vertical-align: middle">{escape(text)}</code>'
    )
    return {"text/html": html, "text/plain": text}
