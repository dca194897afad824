"""A trial: the one `train()`, an epoch at a time, inside Tune.

A class with a cleanup, because an early stop reaches nothing else: a function would be killed with its W&B run open and
its last rows unwritten. Training runs in a thread that waits at the end of each epoch until Tune asks for the next.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune

from lstm_lab.config import Interrupted
from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment
from lstm_lab.run import Run
from lstm_lab.sweep import population
from lstm_lab.sweep.memory import train_within


class Closed(Interrupted):
    """Tune wants no further epoch."""


@lru_cache(maxsize=2)
def shared(data: Any) -> Dataset:
    """A data set, read once for all the trials that this process runs."""
    return data.build()


class Trial(tune.Trainable):
    """One `step()` is one epoch. The run folder is the state: a restarted actor goes on from its last checkpoint."""

    def setup(self, config: dict[str, Any]) -> None:
        self._spec = config
        self._thread: threading.Thread | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._thread is not None and population.is_awaited(self._run()):
            self.cleanup()
        if self._thread is None:
            self._begin()
        else:
            self._go.release()
        kind, content = self._said.get()
        if kind == "row":
            return {**content, "epochs": content["epoch"] + 1}
        # Tune counts a raised error as one to retry; a diverged loss or bad data would only fail again.
        return {"done": True, "ended": kind, "reason": content}

    def _begin(self) -> None:
        self._go, self._said = threading.Semaphore(0), queue.SimpleQueue[tuple[str, Any]]()
        self._closing = False
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    def _train(self) -> None:
        spec = self._spec
        try:
            run = self._run()
            if not (run.path / "run.json").is_file():
                Run.create(run.path, json.loads(spec["experiment"]), command=spec["command"], job_type="trial")
            if spec["together"]:
                population.together(Path(spec["folder"]), spec["together"])
            population.adopt(run)
            # Its own: a clone has other numbers than were asked for.
            experiment = Experiment.of(run.experiment)
        except BaseException as error:  # noqa: BLE001 - said to the driver, which names the trial
            self._said.put(("failed", f"{type(error).__name__}: {error}"))
            return
        try:
            train_within(
                experiment,
                run,
                halve=spec["halve_batch"],
                dataset=shared(experiment.data),
                wandb=spec["wandb"],
                group=spec["group"],
                tags=experiment.tags,
                on_epoch=self._wait,
            )
            self._said.put(("finished", None))
        except Closed:
            self._said.put(("closed", None))
        except BaseException as error:  # noqa: BLE001 - whatever it was, the trial failed and its folder says why
            # Said even if the disk has no room for it: the driver waits for a word.
            with contextlib.suppress(OSError):
                run.mark_failed(error)
            self._said.put(("failed", f"{type(error).__name__}: {error}".splitlines()[0]))

    def _run(self) -> Run:
        return Run(Path(self._spec["folder"]) / "trials" / self._spec["trial"])

    def _wait(self, row: dict[str, Any]) -> None:
        self._said.put(("row", row))
        self._go.acquire()
        if self._closing:
            raise Closed("closed by the sweep")

    def cleanup(self) -> None:
        if self._thread is not None:
            self._closing = True
            self._go.release()
            self._thread.join()
            self._thread = None
