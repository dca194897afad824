"""Ctrl-C and SIGTERM as a request to stop after the step in progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(event: threading.Event) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM sets the event, the second raises KeyboardInterrupt.

    Outside the main thread, such as in a notebook's worker thread, signals are not handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
