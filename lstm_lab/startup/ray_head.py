"""Ray on this machine for one sweep, without those of its servants that a sweep never asks.

The autoscaler's monitor, the log monitor and the dashboard are processes of their own: to begin and to end them takes
three seconds of every sweep on a laptop. What runs trials, and what finds that one has died, is as Ray made it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray._private import node

from lstm_lab.startup import ray_worker


class Head(node.Node):
    """The one node of a sweep's own Ray."""

    def __init__(self, ray_params: Any, **how: Any) -> None:
        ray_params.update(
            no_monitor=True, include_log_monitor=False, setup_worker_path=str(Path(ray_worker.__file__).resolve())
        )
        super().__init__(ray_params, **how)

    def start_api_server(self, **how: Any) -> None:
        """No dashboard. Without its frontend it would only count usage, which is off."""


@contextlib.contextmanager
def lean_head() -> Iterator[None]:
    """Inside, what `ray.init` begins on this machine is a `Head`."""
    usual = node.Node
    node.Node = Head  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        node.Node = usual  # type: ignore[misc]
