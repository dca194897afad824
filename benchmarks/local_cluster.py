"""Two real Ray nodes on this machine, to try a cluster: `python -m local_cluster start FOLDER`, and `stop FOLDER`.

Everything about them is in the folder: nodes.json with pids and ports, the token, logs. Only these pids are ended.
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
from typing import TypedDict

from lstm_lab.config import ConfigError, Fault
from lstm_lab.records.files import read_json, write_atomic

FILE = "nodes.json"
OBJECT_STORE_BYTES = 100 * 1024**2
"""For each node: little goes through it."""
START_TIMEOUT = 90.0
"""Seconds for a node to start."""


class Node(TypedDict):
    """A process that runs: a pid alone may be used again by another."""

    pid: int
    started: str | None


class Content(TypedDict):
    """nodes.json"""

    address: str
    scratch: str
    cpus: int
    nodes: list[Node | None]
    """None: it was killed. The first is the head."""


class LocalCluster:
    """A cluster of several nodes on this machine. A node is started and killed by its number; 0 is the head."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()

    @property
    def content(self) -> Content:
        content: Content = read_json(self.folder / FILE)  # type: ignore[assignment]
        return content

    @property
    def address(self) -> str:
        return self.content["address"]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that a driver needs."""
        return {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            # All nodes are one machine: a node must not kill workers because the others use its memory.
            "RAY_memory_monitor_refresh_ms": "0",
        }

    def start(self, nodes: int = 2, cpus: int = 1) -> None:
        """Start the head and the other nodes, each with so many CPUs; they are up when this returns.

        Raises:
            ConfigError: it runs already, or Ray does not start.
        """
        if (self.folder / FILE).exists():
            raise ConfigError(f"{self.folder}: a cluster runs already; stop it first")
        self.folder.mkdir(parents=True, exist_ok=True)
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        # Below /tmp, because the paths of sockets have a length limit.
        scratch = tempfile.mkdtemp(prefix="llc-", dir="/tmp")
        address = f"127.0.0.1:{free_port()}"
        self._write({"address": address, "scratch": scratch, "cpus": cpus, "nodes": [None] * nodes})
        for number in range(nodes):
            self.start_node(number)

    def start_node(self, number: int) -> None:
        """Start one node: the head, or another one that joins it.

        Raises:
            ConfigError: Ray does not start.
        """
        content = self.content
        port = content["address"].rpartition(":")[2]
        role = ["--head", f"--port={port}"] if number == 0 else [f"--address={content['address']}"]
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", *role, "--node-ip-address=127.0.0.1", "--block",
            f"--num-cpus={content['cpus']}", f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--include-log-monitor=false", "--disable-usage-stats", f"--temp-dir={content['scratch']}/{number}",
        ]  # fmt: skip
        if number == 0:
            command += ["--include-dashboard=false"]
        with (self.folder / f"node{number}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **self.environment},
            )  # fmt: skip
        end = time.monotonic() + START_TIMEOUT
        while not any("raylet/raylet" in command_line(pid) for pid in descendants(process.pid)):
            if process.poll() is not None or time.monotonic() > end:
                self.kill_pids([process.pid, *descendants(process.pid)])
                raise ConfigError(f"node {number} does not start; see {self.folder}/node{number}.log")
            time.sleep(0.2)
        content["nodes"][number] = {"pid": process.pid, "started": start_time(process.pid)}
        self._write(content)
        if number == 0:
            self._await_port(int(port), end)

    def kill_node(self, number: int) -> None:
        """Kill all processes of a node, as a power failure would."""
        content = self.content
        node = content["nodes"][number]
        if node is not None and start_time(node["pid"]) == node["started"]:
            self.kill_pids([node["pid"], *descendants(node["pid"])])
        content["nodes"][number] = None
        self._write(content)

    def stop(self) -> None:
        """End exactly the processes that `start` started, the head last, and remove their files."""
        content = self.content
        for number in reversed(range(len(content["nodes"]))):
            self.kill_node(number)
        shutil.rmtree(content["scratch"], ignore_errors=True)
        (self.folder / FILE).unlink()
        (self.folder / "token").unlink(missing_ok=True)

    def pids(self) -> list[int]:
        """Of all processes of all nodes."""
        nodes = [node["pid"] for node in self.content["nodes"] if node is not None]
        return [*nodes, *(pid for node in nodes for pid in descendants(node))]

    @staticmethod
    def kill_pids(pids: list[int]) -> None:
        """Kill processes, and wait until the kernel has freed their ports and memory."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while any(start_time(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.02)

    def _write(self, content: Content) -> None:
        write_atomic(self.folder / FILE, json.dumps(content, indent=1))

    @staticmethod
    def _await_port(port: int, end: float) -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.1)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty where there is no such process."""
    try:
        # The name before them is in brackets, and may contain anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> str | None:
    """When a process started; with the pid it identifies the process. None: it has ended."""
    stat = _stat(pid)
    return None if not stat or stat[0] == "Z" else stat[19]


def command_line(pid: int) -> str:
    """The command line of a process; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Children of a process, their children, and so on."""
    parents = {
        int(entry.name): int(stat[1]) for entry in Path("/proc").glob("[0-9]*") if (stat := _stat(int(entry.name)))
    }
    found, generation = [], [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


def main(arguments: list[str]) -> None:
    """`start FOLDER` or `stop FOLDER`."""
    if len(arguments) != 2 or arguments[0] not in ("start", "stop"):
        raise ConfigError("give start or stop, and a folder")
    cluster = LocalCluster(arguments[1])
    if arguments[0] == "stop":
        cluster.stop()
        print(f"{cluster.folder}: stopped")
        return
    cluster.start()
    settings = " ".join(f"{name}={value}" for name, value in cluster.environment.items() if name.startswith("RAY_A"))
    print(
        f"two nodes at {cluster.address}, recorded in {cluster.folder}\n{settings} lstm-lab sweep FILE --address auto"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Fault as fault:
        sys.exit(f"cluster-local: {fault}")
