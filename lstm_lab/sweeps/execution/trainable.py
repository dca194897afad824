"""A trial: the one `train()`, an epoch at a time, inside Tune.

A class with a cleanup, because an early stop reaches nothing else: a function would be killed with its W&B run open and
its last rows unwritten. Training runs in a thread that waits at the end of an epoch until Tune asks for the next; after
short epochs only where the scheduler decides, for the answer would take as long as they do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from ray import tune
from ray.exceptions import RayError

from lstm_lab.config import Interrupted
from lstm_lab.distributed import Rank
from lstm_lab.experiment import Experiment
from lstm_lab.run import Run
from lstm_lab.sweeps.execution import population
from lstm_lab.sweeps.execution.ddp_workers import CLOSING, DDPWorkers, claim_gpu, shared
from lstm_lab.sweeps.execution.out_of_memory import train_with_memory_limit
from lstm_lab.sweeps.store.remote import Storage

HANDOVER = 100.0
"""Seconds that a trial waits for one who was cut off to let go of its folder: a file server's lease is 90."""


SHORT = 1.0
"""Seconds: after an epoch that took longer a trial waits in any case, so that a stop never costs one more of them."""


class TrialClosed(Interrupted):
    """Tune wants no further epoch."""


class WorkerLost(Exception):
    """Another process that the trial needs has gone; begun again, it goes on from its last epoch."""


class Event(NamedTuple):
    """What the training thread has to say: a row, or how it ended."""

    kind: str
    content: Any = None
    waits: bool = False
    """Whether it waits for an answer."""


class TrialTrainable(tune.Trainable):
    """One `step()` is one epoch, or the short ones since the last.

    The run folder is the state: a restarted actor goes on from its last checkpoint.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._spec = config
        os.environ.update(config["environment"])
        self._thread: threading.Thread | None = None
        self._later: Event | None = None
        self._peers = DDPWorkers(config)
        self._place = Storage(config["storage"]) if config["storage"] else None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._close()
        self._spec = new_config
        return True

    def step(self) -> dict[str, Any]:
        if self._thread is not None and population.has_clone(self._run()):
            self._close()
        if self._thread is None:
            self._begin()
        elif self._waits:
            self._go.release()
        kind, content = self._hear()
        if kind == "row":
            return {**content, "epochs": content["epoch"] + 1}
        if kind == "lost":
            fault = self._peers.fault(CLOSING)
            self._peers.kill()
            if fault is None or isinstance(fault, RayError):
                raise WorkerLost(content)
            self._run().mark_failed(fault)
            self._push()
            kind = "failed"
        # Tune counts a raised error as one to retry; a diverged loss or bad data would only fail again.
        return {"done": True, "ended": kind, "reason": content}

    def _hear(self) -> tuple[str, Any]:
        """What training said last: its newest row, but for one that waits for an answer, or how it ended."""
        said = self._later or self._listen()
        self._later = None
        while said.kind == "row" and not said.waits and self._later is None:
            try:
                later = self._said.get_nowait()
            except queue.Empty:
                break
            if later.kind == "row":
                said = later
            else:
                self._later = later
        self._waits = said.waits
        return said.kind, said.content

    def _listen(self) -> Event:
        while True:
            try:
                return self._said.get(timeout=1.0)
            except queue.Empty:
                # With NCCL this process would wait for one that has died until its watchdog barks.
                if isinstance(fault := self._peers.fault(), RayError):
                    raise WorkerLost(str(fault)) from None

    def _begin(self) -> None:
        self._go, self._said = threading.Semaphore(0), queue.SimpleQueue[Event]()
        self._later = None
        self._closing, self._waits = False, False
        try:
            experiment = self._prepare()
            rank = self._peers.begin(experiment, self._spec) if self._peers.resources.workers > 1 else None
        except WorkerLost:
            raise
        except Exception as error:  # noqa: BLE001 - said to the driver, which names the trial
            self._said.put(Event("failed", f"{type(error).__name__}: {error}"))
            return
        rows = self._run().rows()
        # A scheduler that was begun anew decides about what goes on as soon as it hears of it.
        self._decision_epochs = None if rows else self._spec["decision_epochs"]
        self._seconds = rows[-1]["seconds"] if rows else 0.0
        self._thread = threading.Thread(target=self._train, args=(experiment, rank), daemon=True)
        self._thread.start()

    def _prepare(self) -> Experiment:
        spec, run = self._spec, self._run()
        if self._place is None and not (Path(spec["folder"]) / "sweep.yaml").is_file():
            # A node that joined later: what is written there would be seen nowhere else.
            raise WorkerLost(
                f"{os.uname().nodename} does not see {spec['folder']}: put LSTM_LAB_RUNS on a disk that all nodes "
                "share, or give --storage"
            )
        end = time.monotonic() + HANDOVER
        while run.path.is_dir() and run.is_locked() and time.monotonic() < end:
            time.sleep(0.2)
        if self._place is not None:
            self._place.fetch(f"trials/{spec['trial']}", run.path)
        if not (run.path / "run.json").is_file():
            Run.create(run.path, json.loads(spec["experiment"]), command=spec["command"], job_type="trial")
        if spec["together"]:
            population.wait_for_population(Path(spec["folder"]), spec["together"])
        population.exploit(run)
        # Its own: a clone has other numbers than were asked for.
        return Experiment.of(run.experiment)

    def _train(self, experiment: Experiment, rank: Rank | None) -> None:
        spec, run = self._spec, self._run()
        try:
            claim_gpu(spec["resources"]["gpus"])
            train_with_memory_limit(
                experiment,
                run,
                halve=spec["resources"]["halve_batch"],
                dataset=shared(experiment.data),
                wandb=spec["wandb"],
                group=spec["group"],
                tags=experiment.tags,
                on_epoch=self._wait,
                rank=rank,
            )
            self._push()
            self._said.put(Event("finished"))
        except TrialClosed:
            self._push()
            self._said.put(Event("closed"))
        except Interrupted as lost:
            self._push()
            self._said.put(Event("lost", str(lost)))
        except BaseException as error:  # noqa: BLE001 - whatever it was, the trial failed and its folder says why
            # Said even if the disk has no room for it: the driver waits for a word.
            with contextlib.suppress(OSError):
                run.mark_failed(error)
                self._push()
            self._said.put(Event("failed", f"{type(error).__name__}: {error}".splitlines()[0]))

    def _run(self) -> Run:
        folder = Path(self._spec["folder"])
        if self._place is not None:
            # Of this node: its name is the sweep's own, whoever else has one of the same name.
            key = hashlib.sha256(f"{self._spec['storage']} {folder}".encode()).hexdigest()[:12]
            folder = Path(tempfile.gettempdir()) / f"lstm-lab-{key}"
        return Run(folder / "trials" / self._spec["trial"])

    def _push(self) -> None:
        if self._place is not None:
            self._place.push(self._run().path, f"trials/{self._spec['trial']}")

    def _wait(self, row: dict[str, Any]) -> None:
        self._push()
        seconds, self._seconds = row["seconds"] - self._seconds, row["seconds"]
        waits = self._decision_epochs is None or row["epoch"] + 1 in self._decision_epochs or seconds > SHORT
        self._said.put(Event("row", row, waits))
        if waits:
            self._go.acquire()
        if self._closing:
            raise TrialClosed("closed by the sweep")

    def _close(self) -> None:
        if self._thread is not None:
            self._closing = True
            self._go.release()
            self._thread.join(None if self._peers.resources.workers == 1 else 2 * CLOSING)
            if self._thread.is_alive():
                # In a collective that nobody will come to: with its process go its memory, its bundle and its peers.
                os._exit(1)
            self._thread = None
        self._peers.end()

    def cleanup(self) -> None:
        self._close()
        self._peers.kill()
