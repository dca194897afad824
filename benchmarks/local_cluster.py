"""Two real Ray nodes on this machine, to try what a cluster does: `python -m local_cluster start FOLDER`.

Everything about them lies in the folder: nodes.json with pids and ports, the token, logs. Only these pids are ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lstm_lab.config import ConfigError, Fault
from lstm_lab.files import read_json, write_atomic

FILE = "nodes.json"
MEMORY = 100 * 1024**2
"""Bytes of object store for each node: little goes through it."""


class LocalCluster:
    """A cluster of two or more nodes; a node is started and killed by its place, 0 is the head."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()

    @property
    def about(self) -> dict[str, Any]:
        return read_json(self.folder / FILE)

    @property
    def address(self) -> str:
        return self.about["address"]

    @property
    def environment(self) -> dict[str, str]:
        """What a driver needs to be let in."""
        return {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Both nodes are one machine: a full disk or memory is none of theirs.
            "RAY_memory_monitor_refresh_ms": "0",
        }

    def start(self, nodes: int = 2, cpus: int = 1) -> None:
        """The head and the others, each with so many CPUs, up when this returns.

        Raises:
            ConfigError: it runs already, or Ray does not start.
        """
        if (self.folder / FILE).exists():
            raise ConfigError(f"{self.folder}: a cluster is there already; stop it first")
        self.folder.mkdir(parents=True, exist_ok=True)
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        # Socket paths have a length limit.
        scratch = tempfile.mkdtemp(prefix="llc-", dir="/tmp")
        info = {"address": f"127.0.0.1:{free_port()}", "scratch": scratch, "cpus": cpus, "nodes": [None] * nodes}
        self._write(info)
        for place in range(nodes):
            self.start_node(place)

    def start_node(self, place: int) -> None:
        """One node, the head or another one that joins."""
        about = self.about
        port = about["address"].rpartition(":")[2]
        where = ["--head", f"--port={port}"] if place == 0 else [f"--address={about['address']}"]
        words = [
            sys.executable, "-m", "ray.scripts.scripts", "start", *where, "--node-ip-address=127.0.0.1", "--block",
            f"--num-cpus={about['cpus']}", f"--object-store-memory={MEMORY}", "--include-log-monitor=false",
            "--disable-usage-stats",
        ]  # fmt: skip
        words += [f"--temp-dir={about['scratch']}/{place}"]
        if place == 0:
            words += ["--include-dashboard=false"]
        with (self.folder / f"node{place}.log").open("ab") as log:
            process = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **self.environment},
            )  # fmt: skip
        end = time.monotonic() + 90
        while not (family := [pid for pid in descendants(process.pid) if "raylet/raylet" in command_line(pid)]):
            if process.poll() is not None or time.monotonic() > end:
                self.kill_pids([process.pid, *descendants(process.pid)])
                raise ConfigError(f"node {place} does not start; see {self.folder}/node{place}.log")
            time.sleep(0.2)
        del family
        about["nodes"][place] = {"pid": process.pid, "started": start_time(process.pid)}
        self._write(about)
        if place == 0:
            self._await_port(int(port), end)

    def kill_node(self, place: int) -> None:
        """As if its plug were pulled."""
        about = self.about
        node = about["nodes"][place]
        if node is not None and start_time(node["pid"]) == node["started"]:
            self.kill_pids([node["pid"], *descendants(node["pid"])])
        about["nodes"][place] = None
        self._write(about)

    def stop(self) -> None:
        """End exactly what `start` started, the head last."""
        about = self.about
        for place in reversed(range(len(about["nodes"]))):
            self.kill_node(place)
        shutil.rmtree(about["scratch"], ignore_errors=True)
        (self.folder / FILE).unlink()
        (self.folder / "token").unlink(missing_ok=True)

    def pids(self) -> list[int]:
        """Of all processes of all nodes."""
        nodes = [node["pid"] for node in self.about["nodes"] if node is not None]
        return [*nodes, *(pid for node in nodes for pid in descendants(node))]

    @staticmethod
    def kill_pids(pids: list[int]) -> None:
        """Gone when this returns: a killed process still holds its ports and memory until the kernel took them back."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while any(start_time(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.02)

    def _write(self, about: dict[str, Any]) -> None:
        write_atomic(self.folder / FILE, json.dumps(about, indent=1))

    @staticmethod
    def _await_port(port: int, end: float) -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _stat(pid: int) -> list[str]:
    try:
        # The name stands in brackets and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> str | None:
    """When a process started: with the pid it is unique, a pid alone comes again. None: it is gone."""
    stat = _stat(pid)
    return None if not stat or stat[0] == "Z" else stat[19]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Processes below one, all generations."""
    parents = {
        int(entry.name): int(stat[1]) for entry in Path("/proc").glob("[0-9]*") if (stat := _stat(int(entry.name)))
    }
    found, generation = [], [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


def main(words: list[str]) -> None:
    if len(words) != 2 or words[0] not in ("start", "stop"):
        raise ConfigError("give start or stop, and a folder")
    nodes = LocalCluster(words[1])
    if words[0] == "stop":
        nodes.stop()
        print(f"{nodes.folder}: stopped")
        return
    nodes.start()
    settings = " ".join(f"{name}={value}" for name, value in nodes.environment.items() if name.startswith("RAY_A"))
    print(f"two nodes at {nodes.address}, recorded in {nodes.folder}\n{settings} lstm-lab sweep FILE --address auto")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Fault as fault:
        sys.exit(f"cluster-local: {fault}")
