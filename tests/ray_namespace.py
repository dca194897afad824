"""Starts a sweep's Ray inside a network namespace, and asks it from another one with and without its token.

Run inside `unshare -rn`: neither namespace has a way out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from hung import HUNG

HERE, THERE = "10.213.7.1", "10.213.7.2"
STRANGER = """
import sys
from ray._raylet import GcsClient
try:
    client = GcsClient(address=sys.argv[1])
    client.internal_kv_put(b"key", b"value", True, namespace=b"anything", timeout=20)
    print("let in")
except Exception as error:
    print("refused" if type(error).__name__ == "AuthenticationError" else repr(error))
"""


def ip(*words: str, inside: int | None = None) -> None:
    prefix = ["nsenter", "-t", str(inside), "-n"] if inside else []
    subprocess.run([*prefix, "ip", *words], check=True)


def joined_namespace() -> subprocess.Popen[bytes]:
    """A process in another namespace, which HERE and THERE connect with this one."""
    other = subprocess.Popen(["unshare", "-n", "sleep", "250"])
    mine = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{other.pid}/ns/net") == mine:
        time.sleep(0.02)
    ip("link", "set", "lo", "up")
    ip("link", "add", "here", "type", "veth", "peer", "name", "there")
    ip("link", "set", "there", "netns", str(other.pid))
    ip("addr", "add", f"{HERE}/24", "dev", "here")
    ip("link", "set", "here", "up")
    ip("addr", "add", f"{THERE}/24", "dev", "there", inside=other.pid)
    ip("link", "set", "there", "up", inside=other.pid)
    # Ray takes the address of the interface that would lead out.
    ip("route", "add", "default", "via", THERE)
    return other


class Folder:
    """As much of a sweep's folder as `cluster` needs."""

    path = Path.cwd()

    def describe(self, **fields: object) -> None:
        pass


def main() -> None:
    other = joined_namespace()
    from lstm_lab.sweeps.execution.ray_environment import auth_mode_set

    try:
        with auth_mode_set(None):
            import ray

            from lstm_lab.sweeps.execution.ray_cluster import cluster

            with cluster(Folder()) as scratch:  # type: ignore[arg-type]
                address, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
                assert address == HERE, address
                print(f"scratch {scratch.stat().st_mode & 0o777:o}")
                ways = {"with the token": ("token", str(scratch / "token")), "without it": ("disabled", "/none")}
                for way, (mode, token) in ways.items():
                    environment = {**os.environ, "RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN_PATH": token}
                    command = ["nsenter", "-t", str(other.pid), "-n", sys.executable, "-c", STRANGER, f"{HERE}:{port}"]
                    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HUNG)
                    print(f"{way}: {done.stdout.strip() or done.stderr}")
    finally:
        other.kill()


if __name__ == "__main__":
    main()
