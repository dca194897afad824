"""Whether a cluster accepts the token: asked before Ray, which would try for a minute and print a line each second."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from lstm_lab.config import ConfigError

# A private class of Ray, in a process of its own: where it is gone or fails otherwise, `ray.init` decides.
PROBE = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"
REFUSED = ("InvalidAuthToken", "Unauthenticated")
TIMEOUT_SECONDS = 30.0


def check_token(address: str) -> None:
    """Refuse a token that the cluster refuses.

    Args:
        address: of the head, `host:port`.

    Raises:
        ConfigError: the cluster refuses it.
    """
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return
    process = subprocess.Popen(
        [sys.executable, "-c", PROBE, address], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    timer = threading.Timer(TIMEOUT_SECONDS, process.kill)
    timer.start()
    try:
        assert process.stderr is not None
        if any(word in line for line in process.stderr for word in REFUSED):
            raise ConfigError(f"--address {address}: the cluster refuses the token in {_source()}: copy the one of the "
                              "head node, and set RAY_AUTH_TOKEN_PATH to it")  # fmt: skip
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def _source() -> str:
    """Where Ray reads the token."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    return os.environ.get("RAY_AUTH_TOKEN_PATH") or str(Path.home() / ".ray" / "auth_token")
