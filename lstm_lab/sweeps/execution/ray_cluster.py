"""Where a sweep runs: a Ray of its own on this machine, ended with the sweep, or a cluster that exists already."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.files import Row
from lstm_lab.provenance import versions
from lstm_lab.startup import ray_head
from lstm_lab.sweeps.execution.ray_environment import (
    SETTINGS,
    environment,
    local_settings,
    require_token,
    reread_auth,
)
from lstm_lab.sweeps.execution.scratch import scratch_folder
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.remote import Storage, resume_command

CHECK_INTERVAL = 5.0
"""Seconds between two checks of Ray's head."""
HEAD_TIMEOUT = 45.0
"""Seconds without the head after which the driver ends; Ray itself would wait a minute, and end without a message."""
cluster_resources: Callable[[], dict[str, float]] = ray.cluster_resources
cluster_nodes: Callable[[], list[Row]] = ray.nodes
"""Ray's functions, with their types."""
SAME_VERSION = ("lstm-lab", "torch", "pytorch-lightning", "numpy")
"""Packages that every node must have in the driver's version: with another one the numbers differ."""


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
        start_local() if address is None else connect(address)
        cpus = int(cluster_resources().get("CPU", 1))
        stack.enter_context(environment({"TUNE_MAX_PENDING_TRIALS_PG": str(2 * max(cpus, 1))}))
        if address is not None:
            check_nodes(folder, storage)
        stack.enter_context(head_watched(folder, address, storage))
        yield scratch


def start_local() -> None:
    """Start a Ray on this machine, and connect to it.

    Raises:
        ConfigError: this Ray cannot be kept closed to others.
    """
    reread_auth()
    require_token()
    ray_head.init_local(
        include_dashboard=False,
        object_store_memory=200 * 1024**2,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        configure_logging=True,
    )


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


def check_nodes(folder: SweepFolder, storage_uri: str | None) -> None:
    """Check that every node reads and writes where the trials will, and has the driver's versions.

    Raises:
        ConfigError: the first node that does not, and why.
    """
    uri, nonce = storage_uri or str(folder.path.resolve()), secrets.token_hex(8)
    storage = Storage(uri)
    storage.write(f".nodes/{nonce}", nonce.encode())
    try:
        nodes = alive_nodes()
        wanted = {name: versions().get(name) for name in SAME_VERSION}
        checks = {
            node: _check_node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                uri, nonce, node, wanted
            )
            for node in nodes
        }
        for node, check in checks.items():
            try:
                problem = ray.get(check, timeout=120)
            except RayError as error:
                if not isinstance(error, RayTaskError) and node not in alive_nodes():
                    continue  # It has left the cluster meanwhile, as nodes may.
                problem = f"cannot run lstm_lab: {str(error).strip().splitlines()[-1]}"
            if problem is None and storage.read(f".nodes/{nonce}.{node}") is None:
                problem = f"what it writes to {uri} is not visible here"
            if problem:
                raise ConfigError(f"node {nodes[node]} ({node[:8]}): {problem}")
    finally:
        storage.delete(".nodes")


def alive_nodes() -> dict[str, str]:
    """Nodes of the cluster: id -> host name."""
    return {node["NodeID"]: node["NodeManagerHostname"] for node in cluster_nodes() if node["Alive"]}


@ray.remote(num_cpus=0, max_retries=0)
def _check_node(uri: str, nonce: str, node: str, wanted: dict[str, str | None]) -> str | None:
    """Why this node cannot take part, if it cannot."""
    found = versions()
    for name, version in wanted.items():
        if found.get(name) != version:
            return f"has {name} {found.get(name)}, the driver {version}: install the same on every node"
    try:
        if Storage(uri).read(f".nodes/{nonce}") is None:
            return f"does not see {uri}: put LSTM_LAB_RUNS on a disk that all nodes share, or give --storage"
        Storage(uri).write(f".nodes/{nonce}.{node}", nonce.encode())
    except (OSError, ConfigError) as error:
        return f"cannot use {uri}: {str(error).splitlines()[0]}"
    return None
