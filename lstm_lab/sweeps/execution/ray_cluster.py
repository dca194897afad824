"""Where a sweep runs: a Ray of its own on this machine, ended with the sweep, or a cluster that exists already."""

from __future__ import annotations

import contextlib
import logging
import os
import site
import socket
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ray
from ray.exceptions import RayError

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.display.printable import printable
from lstm_lab.records.code_state import PACKAGE
from lstm_lab.startup import ray_head
from lstm_lab.sweeps.execution.node_check import check_nodes
from lstm_lab.sweeps.execution.ray_environment import (
    SETTINGS,
    environment,
    local_settings,
    require_token,
    reread_auth,
)
from lstm_lab.sweeps.execution.scratch import scratch_folder
from lstm_lab.sweeps.execution.token_check import check_token
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.remote import resume_command

CHECK_INTERVAL = 5.0
"""Seconds between two checks of Ray's head."""
HEAD_TIMEOUT = 45.0
"""Seconds without the head after which the driver ends; Ray itself would wait a minute, and end without a message."""
cluster_resources: Callable[[], dict[str, float]] = ray.cluster_resources
"""Ray's function, with its type."""


@contextlib.contextmanager
def cluster(folder: SweepFolder, address: str | None = None, storage: str | None = None) -> Iterator[Path]:
    """Ray for one sweep, and a scratch folder that is removed afterwards.

    Args:
        address: of a cluster, `host:port` or `auto`; None: Ray is started on this machine, and ended afterwards.
        storage: URI that the trials write to, where nodes share no disk.

    Raises:
        ConfigError: there is no cluster, no token for it, or a node that cannot take part.
    """
    # Failures are named from the record; what Tune logs about each is a page long.
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        stack.enter_context(environment(local_settings(scratch) if address is None else SETTINGS))
        # For whoever looks for Ray's logs: nothing reads it.
        folder.describe(scratch=str(scratch))
        stack.callback(ray.shutdown)
        # Workers import from the driver's current folder first, where another copy of the package may lie.
        with contextlib.chdir(import_folder(scratch)):
            start_local() if address is None else connect(address)
        cpus = int(cluster_resources().get("CPU", 1))
        stack.enter_context(environment({"TUNE_MAX_PENDING_TRIALS_PG": str(2 * max(cpus, 1))}))
        if address is not None:
            check_nodes(folder, storage)
        stack.enter_context(head_watched(folder, address, storage))
        yield scratch


def import_folder(empty: Path) -> Path:
    """The current folder with which workers import the driver's package: the one above it, or, if that is where Python
    looks anyway, an empty one."""
    parent = PACKAGE.parent
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()]
    return empty if any(Path(place).resolve() == parent for place in places) else parent


def start_local() -> None:
    """Start a Ray on this machine, and connect to it.

    Raises:
        ConfigError: this Ray cannot be kept closed to others, or does not start.
    """
    reread_auth()
    require_token()
    try:
        ray_head.init_local(
            include_dashboard=False,
            object_store_memory=200 * 1024**2,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            configure_logging=True,
        )
    except Exception as error:  # Exception itself is what Ray raises where its processes do not start in time.
        reason = printable(str(error).strip().partition("\n")[0])[:200]
        raise ConfigError(f"Ray does not start on this machine: {reason}; where it is busy, try again later") from error


def connect(address: str) -> None:
    """Connect to the Ray cluster at `host:port`, or to the one that `auto` finds.

    Raises:
        ConfigError: no such address, nothing answers there, or Ray refuses.
    """
    address = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--address {address}: must be auto or host:port, as 10.0.0.5:6379")
        try:
            # Ray would try for a minute.
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise ConfigError(f"--address {address}: nothing answers there ({error}); is the head node up?") from None
    reread_auth(address)
    if address != "auto":
        check_token(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=True)
    except (RayError, RuntimeError, ConnectionError, OSError, ValueError) as error:
        lines = str(error).strip().splitlines()
        raise ConfigError(
            f"--address {address}: Ray refuses: {lines[0] if lines else type(error).__name__}; the token, the versions "
            "of Ray and Python must be those of the cluster, and this machine one of its nodes"
        ) from None


@contextlib.contextmanager
def head_watched(folder: SweepFolder, address: str | None, storage: str | None) -> Iterator[None]:
    """Inside, the loss of Ray's head ends the process, with the command that resumes the sweep."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    over = threading.Event()

    def watch() -> None:
        answered: float | None = None
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((host.strip("[]"), int(port)), timeout=CHECK_INTERVAL).close()
                answered = time.monotonic()
            # A head that never answered here may be behind a firewall: Ray itself knows whether it is there.
            if answered is not None and time.monotonic() - answered > HEAD_TIMEOUT:
                command = resume_command(folder.path, address, storage)
                message = f"Ray's head at {host}:{port} is gone; resume with: {command}"
                with contextlib.suppress(OSError):
                    os.write(2, f"\nlstm-lab: {message}\n".encode())
                # Every call of Ray would wait for a reply now; what the sweep knows is on the disk.
                os._exit(Interrupted.exit_code)
            if over.wait(CHECK_INTERVAL):
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
