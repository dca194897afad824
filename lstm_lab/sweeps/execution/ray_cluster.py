"""Where a sweep runs: a Ray of its own on this machine, gone afterwards, or a cluster that others keep."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import ray
from ray._raylet import Config  # type: ignore[attr-defined]
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.provenance import versions
from lstm_lab.startup.ray_head import lean_head
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.remote import Storage

LOOK, GONE = 5.0, 45.0
"""Seconds between two looks at Ray's head, and without it until it is given up: for a minute Ray waits for another."""
SAME = ("lstm-lab", "torch", "pytorch-lightning", "numpy")
"""Packages that every node must have in the driver's version: another one gives other numbers."""


@cache
def secret() -> str:
    """The token of this process: Ray reads it once, and keeps it for every cluster that the process starts."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def cluster(folder: SweepFolder, address: str | None = None) -> Iterator[Path]:
    """Ray for one sweep, and a scratch folder that is gone afterwards.

    Args:
        address: of a cluster, `host:port` or `auto`; without one, Ray is started here and ended again.

    Raises:
        ConfigError: no cluster there, no token for it, or a node that cannot do its part.
    """
    # What a killed driver of this sweep left behind.
    shutil.rmtree(folder.about.get("scratch") or "", ignore_errors=True)
    # Socket paths have a length limit, and a folder of its own keeps stale cluster files away.
    scratch = Path(tempfile.mkdtemp(prefix="ll-", dir="/tmp"))
    folder.describe(scratch=str(scratch))
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        # What Tune would write again and again, all trials each time, nobody reads.
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # An actor gets a process of its own: those that Ray starts in advance would only take its time.
        "RAY_prestart_worker_first_driver": "0",
        **(own_token(scratch) if address is None else {"RAY_AUTH_MODE": auth_mode(address)}),
    }
    # Failures are named by the record; Tune's own telling of them is a page each.
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with environment(settings):
        try:
            start(scratch) if address is None else connect(address)
            cpus = int(ray.cluster_resources().get("CPU", 1))
            with environment({"TUNE_MAX_PENDING_TRIALS_PG": str(2 * max(cpus, 1))}):
                if address is not None:
                    check_nodes(folder)
                with watched(folder, address):
                    yield scratch
        finally:
            ray.shutdown()
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    """Inside, these environment variables are set; afterwards they are as they were."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def own_token(scratch: Path) -> dict[str, str]:
    """Ray listens on every interface: without the token, anybody on the network could run code here."""
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(secret())
    return {"RAY_AUTH_TOKEN_PATH": str(token)}


def start(scratch: Path) -> None:
    """Begin a Ray of our own on this machine, which ends with the sweep; `scratch` holds its sessions."""
    with lean_head():
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=200 * 1024**2,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            configure_logging=True,
            _temp_dir=str(scratch),
            _node_ip_address="127.0.0.1",
        )


def auth_mode(address: str) -> str:
    """Whether the cluster wants a token: without one, Ray would be refused for twenty seconds and not say why."""
    if mode := os.environ.get("RAY_AUTH_MODE"):
        return mode
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or path.is_file():
        return "token"
    raise ConfigError(
        f"--address {address}: no token for the cluster: {path} is not there; copy it from the head node and set "
        "RAY_AUTH_TOKEN_PATH, or RAY_AUTH_MODE=disabled if the cluster has none"
    )


@contextlib.contextmanager
def watched(folder: SweepFolder, address: str | None) -> Iterator[None]:
    """Inside, the loss of Ray's head ends the process with the line that goes on: Ray would end it without one."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    over = threading.Event()

    def watch() -> None:
        seen: float | None = None
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK).close()
                seen = time.monotonic()
            # Where it never answered us, it is for Ray to say whether it is there.
            if seen is not None and time.monotonic() - seen > GONE:
                where = f" --address {address}" if address else ""
                message = f"Ray's head at {host}:{port} has gone; resume with: lstm-lab resume {folder.path}{where}"
                with contextlib.suppress(OSError):
                    os.write(2, f"\nlstm-lab: {message}\n".encode())
                # Whatever would be said to Ray now waits for an answer; what the sweep knows is on the disk.
                os._exit(Interrupted.exit_code)
            if over.wait(LOOK):
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def connect(address: str) -> None:
    """Join the Ray cluster at host:port, or the one that `auto` finds."""
    address = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--address {address}: must be auto or host:port, as 10.0.0.5:6379")
        try:
            # Ray would try for a minute.
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise ConfigError(f"--address {address}: nobody answers there ({error}); is the head node up?") from None
    # Read from the environment when Ray was imported, before it was set.
    Config.initialize("")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=True)
    except (RayError, RuntimeError, ConnectionError, OSError, ValueError) as error:
        said = str(error).strip().splitlines()
        raise ConfigError(
            f"--address {address}: Ray refuses: {said[0] if said else type(error).__name__}; the token, Ray's and "
            "Python's versions must be the cluster's, and this machine one of its nodes"
        ) from None


def check_nodes(folder: SweepFolder) -> None:
    """Every node reads and writes where the trials will, and has our versions: asked before a trial finds out.

    Raises:
        ConfigError: the first node that cannot, and why.
    """
    where, nonce = folder.about.get("storage") or str(folder.path.resolve()), secrets.token_hex(8)
    place = Storage(where)
    place.write(f".nodes/{nonce}", nonce.encode())
    try:
        nodes = alive()
        wanted = {name: versions().get(name) for name in SAME}
        asked = {
            node: _look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                where, nonce, node, wanted
            )
            for node in nodes
        }
        for node, answer in asked.items():
            try:
                problem = ray.get(answer, timeout=120)
            except RayError as error:
                if not isinstance(error, RayTaskError) and node not in alive():
                    continue  # It has left meanwhile, as nodes may.
                problem = f"cannot run lstm_lab: {str(error).strip().splitlines()[-1]}"
            if problem is None and place.read(f".nodes/{nonce}.{node}") is None:
                problem = f"what it writes to {where} is not seen here"
            if problem:
                raise ConfigError(f"node {nodes[node]} ({node[:8]}): {problem}")
    finally:
        place.delete(".nodes")


def alive() -> dict[str, str]:
    """Nodes of the cluster: id -> name."""
    return {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


@ray.remote(num_cpus=0, max_retries=0)
def _look(place: str, nonce: str, node: str, wanted: dict[str, Any]) -> str | None:
    """What keeps this node from taking part, if anything."""
    here = versions()
    for name, version in wanted.items():
        if here.get(name) != version:
            return f"has {name} {here.get(name)}, the driver {version}: install the same on every node"
    try:
        if Storage(place).read(f".nodes/{nonce}") is None:
            return f"does not see {place}: put LSTM_LAB_RUNS on a disk that all nodes share, or give --storage"
        Storage(place).write(f".nodes/{nonce}.{node}", nonce.encode())
    except (OSError, ConfigError) as error:
        return f"cannot use {place}: {str(error).splitlines()[0]}"
    return None
