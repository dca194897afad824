"""The other end of a scribe: told without waiting, and waited for with a limit."""

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
from typing import Any

from lstm_lab.files import runs_folder

PATIENCE = 2.5
"""Seconds without an answer before it is asked whether one can come at all."""
LONGEST = 120.0
"""Seconds for one answer from a server that lives."""


class WriterClient:
    """A scribe's process, begun at the first word; after a clean end it is there for the next run.

    Args:
        patience: seconds without an answer before `alive` is asked.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.environment = _environment()
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lstm_lab.tracking.writer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
            env=self.environment, start_new_session=True,  # Ctrl-C is for training alone.
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._answers.put(json.loads(line))
        self._answers.put({"did": "die", "error": "W&B's process has died"})

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def tell(self, do: str, **what: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")

    def answer(self, to: str, alive: Callable[[], bool]) -> dict[str, Any]:
        """The answer to what was told; past patience only as long as `alive` says that one can come."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            try:
                answer = self._answers.get(timeout=self.patience)
            except queue.Empty:
                if alive():
                    continue
                break
            if answer["did"] in (to, "die"):
                return answer
        self.kill()
        return {"did": to, "error": "W&B does not come to an end"}

    def kill(self) -> None:
        """End it and W&B's own process with it: whatever it still held stands in the record."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """No more runs: it goes when it has done what it was told."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=self.patience)
        except subprocess.TimeoutExpired:
            self.kill()


_spare: list[WriterClient] = []


def acquire_client() -> WriterClient:
    """One that has come to the end of its run, or a new one."""
    while _spare:
        pen = _spare.pop()
        if pen.lives and _decisive(pen.environment) == _decisive(_environment()):
            return pen
        pen.close()
    return WriterClient()


def release_client(pen: WriterClient) -> None:
    """Keep a pen for the next run."""
    _spare.append(pen)


def room_in(folder: Path) -> bool:
    """Whether W&B can still write there."""
    try:
        return shutil.disk_usage(folder).free > 1 << 20
    except OSError:
        return False


def _decisive(environment: dict[str, str]) -> dict[str, str]:
    """What of an environment W&B heeds; libraries set much else while they are imported."""
    names = ("HOME", "NETRC", "PYTHONPATH")
    return {
        key: value
        for key, value in environment.items()
        if key.startswith("WANDB_") or key in names or key.lower().endswith("_proxy")
    }


def _environment() -> dict[str, str]:
    """W&B stages and caches below the home folder unless told; keep it all with the runs."""
    home = str(runs_folder().resolve() / ".wandb")
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    # W&B's reports of its own errors are off unless somebody wants them.
    kept = {"WANDB_ERROR_REPORTING": "false", **{f"WANDB_{name}_DIR": home for name in ("DATA", "CACHE", "CONFIG")}}
    # A parent's service would be shared, and hold the id of a run whose process was killed.
    inherited = {key: value for key, value in os.environ.items() if key not in ("WANDB_SERVICE", "WANDB_MODE")}
    return {**kept, **inherited, "PYTHONPATH": path}
