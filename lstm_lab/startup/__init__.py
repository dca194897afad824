"""What makes a process start faster: two lazy imports, and a local Ray without processes that a sweep does not use.

All of it can be switched off with `LSTM_LAB_LEAN=0`; nothing else in the package depends on it.
"""

from __future__ import annotations

import os


def is_enabled() -> bool:
    """Whether the environment leaves it on: `LSTM_LAB_LEAN` is unset, or anything but `0`."""
    return os.environ.get("LSTM_LAB_LEAN", "1").strip() != "0"
