"""The client of a W&B writer process: commands are sent without waiting, replies are waited for with a limit."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from lstm_lab.records.files import runs_folder

REPLY_TIMEOUT = 2.5
"""Seconds without a reply before it is checked whether one can come at all."""
MAX_WAIT = 120.0
"""Seconds for one reply while the server answers."""


class Reply(TypedDict):
    """A reply of the writer process."""

    to: str
    """The command; `exit` when the process has ended."""
    rows: int
    """That were logged since the last start."""
    error: str | None


class WriterClient:
    """Starts a writer process; after a run that ended well the process is used again for the next run.

    Args:
        reply_timeout: seconds without a reply before `can_reply` is called.
    """

    def __init__(self, reply_timeout: float | None = None) -> None:
        self.reply_timeout = REPLY_TIMEOUT if reply_timeout is None else reply_timeout
        self.environment = _environment()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lstm_lab.tracking.writer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
            env=self.environment, start_new_session=True,  # Ctrl-C is for training alone.
        )  # fmt: skip
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._replies.put(json.loads(line))
        self._replies.put({"to": "exit", "rows": 0, "error": "the W&B writer's process has died"})

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, command: str, **arguments: object) -> None:
        """Send a command of `writer.WandbWriter`; returns at once."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")

    def wait_for_reply(self, command: str, can_reply: Callable[[], bool]) -> Reply:
        """The reply to a command: `rows` that were logged, and `error` or None.

        Args:
            can_reply: called after each timeout; while it returns True, the wait goes on.
        """
        end = time.monotonic() + MAX_WAIT
        while time.monotonic() < end:
            try:
                reply = self._replies.get(timeout=self.reply_timeout)
            except queue.Empty:
                if can_reply():
                    continue
                break
            if reply["to"] in (command, "exit"):
                return reply
        self.kill()
        return {"to": command, "rows": 0, "error": "W&B does not respond"}

    def kill(self) -> None:
        """End the process, and W&B's own with it: what they still held is in the record."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Let the process end once it has done all commands."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=self.reply_timeout)
        except subprocess.TimeoutExpired:
            self.kill()


_idle: list[WriterClient] = []
"""Clients whose run has ended."""


def acquire_client() -> WriterClient:
    """An idle client, or a new one."""
    while _idle:
        client = _idle.pop()
        if client.is_alive and _wandb_variables(client.environment) == _wandb_variables(_environment()):
            return client
        client.close()
    return WriterClient()


def release_client(client: WriterClient) -> None:
    """Keep a client for the next run."""
    _idle.append(client)


def close_idle_clients() -> None:
    """End the processes of all idle clients."""
    while _idle:
        _idle.pop().close()


def has_space(folder: Path) -> bool:
    """Whether W&B can still write to a folder."""
    try:
        return shutil.disk_usage(folder).free > 1 << 20
    except OSError:
        return False


def _wandb_variables(environment: dict[str, str]) -> dict[str, str]:
    """The environment variables that W&B reads; libraries set many others while they are imported."""
    names = ("HOME", "NETRC", "PYTHONPATH")
    return {
        key: value
        for key, value in environment.items()
        if key.startswith("WANDB_") or key in names or key.lower().endswith("_proxy")
    }


def _environment() -> dict[str, str]:
    """Environment of the process. By default W&B keeps caches in the home folder: keep them with the runs."""
    home = str(runs_folder().resolve() / ".wandb")
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    defaults = {f"WANDB_{name}_DIR": home for name in ("DATA", "CACHE", "CONFIG")}
    # Reports about errors of W&B itself are sent only if a person has asked for them.
    defaults["WANDB_ERROR_REPORTING"] = "false"
    # The service of a parent process would be shared, and hold the id of a run whose process was killed.
    inherited = {key: value for key, value in os.environ.items() if key not in ("WANDB_SERVICE", "WANDB_MODE")}
    return {**defaults, **inherited, "PYTHONPATH": path}
