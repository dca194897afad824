"""A process of its own that speaks to W&B: `python -m lstm_lab.tracking.writer`, told on its standard input.

Whatever W&B does then, waiting for a server, a full disk, a crash, training does not notice. And whatever becomes of
training, a kill too, the end of its input tells the scribe, which ends the W&B run.

Told, one JSON object a line: open, log, lineage, show, finish. It answers to open and to finish.
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
from pathlib import Path
from typing import Any

from lstm_lab.startup import lazy_imports
from lstm_lab.tracking import charts

HELD = "held"
"""The file in a temporary folder that its process has locked."""
LAST_WORDS = 10.0
"""Seconds to end a W&B run whose training process died."""


class WandbWriter:
    """One W&B run after another, each as it is told."""

    def __init__(self) -> None:
        self.run: Any = None
        self.error: str | None = None
        self.rows = self.last = 0

    def take(self, told: dict[str, Any]) -> dict[str, Any] | None:
        """Do what is told; the answer where one is waited for. After a fault the run is only ended."""
        do = told.pop("do")
        if do == "open":
            self.run, self.error, self.rows = None, None, 0
        try:
            if self.error is None or do == "finish":
                getattr(self, f"do_{do}")(**told)
        except Exception as error:  # noqa: BLE001 - a view that fails must never stop what it views
            self.error = self.error or f"{type(error).__name__}: {error}"
        return {"did": do, "rows": self.rows, "error": self.error} if do in ("open", "finish") else None

    def do_open(
        self, folder: str, monitor: str | None, direction: str | None, started: float, quick: bool, **settings: Any
    ) -> None:
        """Begin a W&B run; `quick` without the measures of this machine, which belong to another time."""
        import wandb

        self.run = wandb.init(
            dir=folder,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, init_timeout=25, x_start_time=started,
                x_disable_stats=quick, x_disable_meta=quick, x_save_requirements=not quick,
                x_file_stream_transmit_interval=1 if quick else None,
            ),
            **settings,
        )  # fmt: skip
        self.run.define_metric("epoch")
        self.run.define_metric("*", step_metric="epoch")
        if monitor:
            # Parallel coordinates cannot aggregate: they read the best epoch from here.
            self.run.define_metric(monitor, step_metric="epoch", summary=direction)

    def do_log(self, row: dict[str, Any], at: float) -> None:
        # Not committed before the next: what is shown in the end stands beside the last row, not in one of its own.
        self.run.log({**row, "_timestamp": at}, step=row["epoch"])
        self.rows, self.last = self.rows + 1, row["epoch"]

    def do_lineage(self, data: dict[str, Any]) -> None:
        """The data as an artifact that this run used. Offline W&B knows no such thing: it is told when synced."""
        import wandb

        if not self.run.offline:
            self.run.use_artifact(wandb.Artifact(charts.plain_name(f"data-{data['name']}"), "dataset", metadata=data))

    def do_show(self, folder: str) -> None:
        """Tables, charts and the model, as far as the run folder has them."""
        if self.rows:
            charts.show(self.run, Path(folder), self.last)

    def do_finish(self, summary: dict[str, Any], exit_code: int) -> None:
        run, self.run = self.run, None
        if run is not None:
            run.summary.update({key: value for key, value in summary.items() if value is not None})
            run.finish(exit_code=exit_code)


def temporary_folder() -> Path | None:
    """A folder for what W&B lays down in the temporary one, and in part leaves there when its process is killed.

    It is held by a lock for as long as this process lives; folders that nobody holds any more are removed.
    """
    with contextlib.suppress(OSError):
        home = Path(tempfile.gettempdir()) / f"lstm-lab-wandb-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
        for old in home.iterdir():
            with contextlib.suppress(OSError), (old / HELD).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old, ignore_errors=True)
        own = Path(tempfile.mkdtemp(dir=home))
        lock = os.open(own / "new", os.O_CREAT | os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (own / "new").rename(own / HELD)  # Only now others look at it.
        os.environ["TMPDIR"] = tempfile.tempdir = str(own)
        return own
    return None


def main() -> None:
    """Write down what comes in on standard input, and answer on standard output."""
    # Only answers go to whoever started us: what W&B prints does not.
    answers = os.dup(1)
    os.dup2(2, 1)
    inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def listen() -> None:
        # Emptied at once, so that whoever writes never waits for what W&B waits for.
        for line in sys.stdin:
            inbox.put(json.loads(line))
        inbox.put(None)
        threading.Timer(LAST_WORDS, os.killpg, (os.getpgrp(), 9)).start()

    threading.Thread(target=listen, daemon=True).start()
    lazy_imports.install()
    own = temporary_folder()
    with contextlib.suppress(Exception):
        # Before it is asked for, which may be a while; what is wrong with it is said then.
        import wandb

        wandb.setup()
    scribe = WandbWriter()
    while (told := inbox.get()) is not None:
        if answer := scribe.take(told):
            # Whoever was to hear it may be dead by now: what it had told is told all the same.
            with contextlib.suppress(OSError):
                os.write(answers, (json.dumps(answer) + "\n").encode())
    if scribe.run is not None:
        scribe.take({"do": "finish", "summary": {"state": "interrupted"}, "exit_code": 1})
    import wandb

    wandb.teardown()
    if own is not None:
        shutil.rmtree(own, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
