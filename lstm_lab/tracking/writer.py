"""The W&B writer: a process that calls wandb, `python -m lstm_lab.tracking.writer`, with commands on standard input.

Whatever wandb does, wait for a server, fill a disk or crash, training does not notice. And whatever happens to
training, a kill too, the end of its input makes the writer end the W&B run.

A command is one line of JSON, `{"command": "log", ...}`: start, log, use_data, log_charts, finish. Replies to start and
to finish are lines on standard output.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_lab.records.files import Row
from lstm_lab.tracking import charts
from lstm_lab.tracking.client import Reply

if TYPE_CHECKING:
    import wandb

LOCK = "held"
"""The file in a temporary folder that its process has locked."""
CLOSE_TIMEOUT = 10.0
"""Seconds to end a W&B run whose training process has died."""


class WandbWriter:
    """Writes one W&B run after another, by commands."""

    def __init__(self) -> None:
        self.run: wandb.Run | None = None
        self.error: str | None = None
        self.rows = 0
        """That were logged."""
        self.last_epoch = 0
        self.commands: Mapping[str, Callable[..., None]] = {
            "start": self.start, "log": self.log, "use_data": self.use_data, "log_charts": self.log_charts,
            "finish": self.finish,
        }  # fmt: skip

    def execute(self, message: Row) -> Reply | None:
        """Execute a command; the reply, where one is waited for. After an error the run is only finished."""
        command = message.pop("command")
        if command == "start":
            self.run, self.error, self.rows = None, None, 0
        try:
            if self.error is None or command == "finish":
                self.commands[command](**message)
        except Exception as error:  # noqa: BLE001 - a view that fails must never stop what it views
            self.error = self.error or f"{type(error).__name__}: {error}"
        return {"to": command, "rows": self.rows, "error": self.error} if command in ("start", "finish") else None

    def start(
        self,
        folder: str,
        monitor: str | None,
        direction: str | None,
        started: float,
        afterwards: bool,
        **arguments: Any,
    ) -> None:
        """Start a W&B run.

        Args:
            folder: for its files.
            monitor: the monitored metric.
            direction: min, max or last: which epoch's value the summary has.
            started: when the run of the record started, in seconds since 1970.
            afterwards: written after the fact: without measurements of this machine, which belong to another time.
            arguments: of `wandb.init`.
        """
        import wandb

        self.run = wandb.init(dir=folder, reinit="create_new", settings=_settings(started, afterwards), **arguments)
        self.run.define_metric("epoch")
        self.run.define_metric("*", step_metric="epoch")
        if monitor:
            # Parallel coordinates in W&B cannot aggregate: they read the epoch that counts from the summary.
            self.run.define_metric(monitor, step_metric="epoch", summary=direction)

    def log(self, row: Row, at: float) -> None:
        """Log a row of the record, at its own time."""
        assert self.run is not None
        # Not committed before the next row: the charts are logged beside the last row, not in a row of their own.
        self.run.log({**row, "_timestamp": at}, step=row["epoch"])
        self.rows, self.last_epoch = self.rows + 1, row["epoch"]

    def use_data(self, data: Row) -> None:
        """Enter the data as an artifact that the run used. Offline W&B cannot: a sync does it."""
        import wandb

        assert self.run is not None
        if not self.run.offline:
            name = charts.artifact_name(f"data-{data['name']}")
            self.run.use_artifact(wandb.Artifact(name, "dataset", metadata=data))

    def log_charts(self, folder: str) -> None:
        """Log tables, charts and the model, as far as the run folder has them."""
        if self.run is not None and self.rows:
            charts.log(self.run, Path(folder), self.last_epoch)

    def finish(self, summary: Row, exit_code: int) -> None:
        """End the W&B run."""
        run, self.run = self.run, None
        if run is not None:
            run.summary.update({key: value for key, value in summary.items() if value is not None})
            run.finish(exit_code=exit_code)


def _settings(started: float, afterwards: bool) -> wandb.Settings:
    """W&B's settings. Those that start with `x_` are experimental there: one that is gone is left out."""
    import wandb

    experimental = {
        "x_start_time": started,
        "x_disable_stats": afterwards,
        "x_disable_meta": afterwards,
        "x_save_requirements": not afterwards,
        "x_file_stream_transmit_interval": 1 if afterwards else None,
    }
    known = {name: value for name, value in experimental.items() if name in wandb.Settings.model_fields}
    return wandb.Settings(silent=True, console="off", disable_git=True, init_timeout=25, **known)


def temporary_folder() -> Path | None:
    """A temporary folder for what W&B would leave in the system's when its process is killed.

    It is locked for as long as this process lives; folders of the same kind that nobody has locked are removed.
    """
    with contextlib.suppress(OSError):
        parent = Path(tempfile.gettempdir()) / f"lstm-lab-wandb-{os.getuid()}"
        parent.mkdir(mode=0o700, exist_ok=True)
        for old in parent.iterdir():
            with contextlib.suppress(OSError), (old / LOCK).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = os.open(folder / "new", os.O_CREAT | os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "new").rename(folder / LOCK)  # From now on other processes look at it.
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        return folder
    return None


def main() -> None:
    """Execute the commands on standard input until its end."""
    # Only replies go to standard output: what W&B prints does not.
    replies = os.dup(1)
    os.dup2(2, 1)
    inbox: queue.SimpleQueue[Row | None] = queue.SimpleQueue()

    def receive() -> None:
        # At once, so that the sender never waits for what W&B waits for.
        for line in sys.stdin:
            inbox.put(json.loads(line))
        inbox.put(None)
        threading.Timer(CLOSE_TIMEOUT, os.killpg, (os.getpgrp(), 9)).start()

    threading.Thread(target=receive, daemon=True).start()
    folder = temporary_folder()
    with contextlib.suppress(Exception):
        # Before the first command, because it takes a second; an error is reported with that command.
        import wandb

        wandb.setup()
    writer = WandbWriter()
    while (message := inbox.get()) is not None:
        if reply := writer.execute(message):
            # The process that waits for it may be dead by now: the commands are executed all the same.
            with contextlib.suppress(OSError):
                os.write(replies, (json.dumps(reply) + "\n").encode())
    if writer.run is not None:
        writer.execute({"command": "finish", "summary": {"state": "interrupted"}, "exit_code": 1})
    import wandb

    wandb.teardown()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
