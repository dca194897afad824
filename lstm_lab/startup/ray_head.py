"""Ray on this machine for one sweep, without the helper processes that a sweep does not use.

The autoscaler's monitor, the log monitor and the dashboard's server are processes of their own: to start and to end
them takes three seconds of every sweep on a laptop. What runs trials, and what finds that one has died, is unchanged.

Ray has no public option for it. So this is the one place that uses Ray's internals, and whatever fails here, a renamed
field or a raylet that does not come up, `init_local` starts Ray by its public options alone.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import ray

from lstm_lab import startup

if TYPE_CHECKING:
    from ray._private.node import Node
    from ray._private.parameter import RayParams


def init_local(**options: Any) -> None:
    """Start a Ray of this process' own, as `ray.init(address="local")` does, and connect to it.

    Args:
        options: public options of `ray.init`, whose types are many.
    """
    if startup.is_enabled():
        started: list[Node] = []
        try:
            with lean_node(started):
                ray.init(address="local", **options)
            return
        except Exception as error:  # noqa: BLE001 - whatever Ray has changed, its public way is left
            reason = str(error).strip().splitlines()
            warnings.warn(
                f"Ray {ray.__version__} does not start without its helper processes "
                f"({type(error).__name__}: {reason[0] if reason else ''}): started with them, which takes some seconds "
                "more; LSTM_LAB_LEAN=0 does so from the start",
                RuntimeWarning,
                stacklevel=2,
            )
        ray.shutdown()
        for node in started:
            with contextlib.suppress(Exception):
                node.kill_all_processes(check_alive=False, allow_graceful=False)
    ray.init(address="local", **options)


@contextlib.contextmanager
def lean_node(started: list[Node]) -> Iterator[None]:
    """Inside, `ray.init` starts a node without the helpers, and puts it into `started`."""
    from ray._private import node

    usual = node.Node

    class LeanNode(usual):  # type: ignore[misc,valid-type]
        """Ray's node on this machine, with fewer processes."""

        def __init__(self, ray_params: RayParams, **settings: object) -> None:
            started.append(self)
            ray_params.update(no_monitor=True, include_log_monitor=False)  # type: ignore[no-untyped-call]
            super().__init__(ray_params, **settings)

        def start_api_server(self, **settings: object) -> None:
            """Not started: without the dashboard it would only count usage, which is off."""

    node.Node = LeanNode  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        node.Node = usual  # type: ignore[misc]
