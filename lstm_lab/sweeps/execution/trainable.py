"""The Tune trainable: one trial, which is the one `train()`, an epoch at a time.

It is a class, because Tune lets only a class clean up after an early stop: a function would be killed with its W&B run
open and its last rows unwritten. Training runs in a thread, which waits at the end of an epoch until Tune wants the
next one. After short epochs it waits only where the scheduler decides, because the reply would take as long as they do.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from dataclasses import dataclass
from typing import Literal

from ray import tune
from ray.exceptions import RayError

from lstm_lab.config import Interrupted
from lstm_lab.config.paths import path_fields
from lstm_lab.data import Dataset
from lstm_lab.evaluation.latency import measure_latency
from lstm_lab.experiment import Experiment
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution import population
from lstm_lab.sweeps.execution.ddp_workers import CLOSE_TIMEOUT, DDPWorkers, build_dataset, limit_gpu_memory
from lstm_lab.sweeps.execution.out_of_memory import train_within_memory
from lstm_lab.sweeps.execution.trial_spec import OtherCode, TrialSpec
from lstm_lab.sweeps.store.remote import Storage, node_folder
from lstm_lab.training.distributed import DistributedRank
from lstm_lab.training.train import Result, train

LOCK_TIMEOUT = 100.0
"""Seconds that a trial waits for an unreachable process to lose its lock on the run: a file server's lease is 90."""
AGAIN = "again"
"""Key of the result of a trial that was started again, and has not trained since."""
SHORT_EPOCH = 1.0
"""Seconds: after a longer epoch a trial waits in any case, so that a stop never costs one more of them."""


class TrialClosed(Interrupted):
    """Tune wants no further epoch."""


class WorkerLost(Exception):
    """A process that the trial needs has died; restarted, the trial resumes from its last epoch."""


@dataclass(frozen=True)
class Event:
    """What the training thread reports: a row of the record, or how it has ended."""

    kind: Literal["row", "finished", "closed", "failed", "lost", "refused"]
    row: Row | None = None
    reason: str | None = None
    waits: bool = False
    """Whether the thread waits for Tune before the next epoch."""


class TrialTrainable(tune.Trainable):
    """One `step()` is one epoch, or all short ones since the last step.

    The run folder is the checkpoint: an actor that is restarted resumes from the last epoch in it.
    """

    def setup(self, config: Row) -> None:
        self._spec = TrialSpec.of(config)
        os.environ.update(self._spec.environment)
        self._thread: threading.Thread | None = None
        self._later: Event | None = None
        self._waits = self._has_stood = False
        self._workers = DDPWorkers(self._spec.limits)
        self._remote = Storage(self._spec.storage) if self._spec.storage else None

    def reset_config(self, new_config: Row) -> bool:
        self._close()
        self._spec, self._has_stood = TrialSpec.of(new_config), False
        return True

    def step(self) -> Row:
        """Train until the next report.

        Returns:
            The row of an epoch, with `epochs`, how many are done; or `done`, `ended` (the trial's state) and `reason`.

        Raises:
            WorkerLost: Tune starts the trial again.
        """
        if self._thread is not None and population.has_clone(self._run()):
            self._close()
        if self._thread is None:
            self._start()
        elif self._waits:
            self._next_epoch.release()
        event = self._poll()
        if event.row is not None:
            return {**event.row, "epochs": event.row["epoch"] + 1}
        ended: str = event.kind
        if event.kind == "lost":
            error = self._workers.error(CLOSE_TIMEOUT)
            self._workers.kill()
            if error is None or isinstance(error, RayError):
                raise WorkerLost(event.reason)
            if isinstance(error, OtherCode):
                return {"done": True, "ended": "refused", "reason": str(error)}
            self._run().mark_failed(error)
            self._push()
            ended = "failed"
        # Tune restarts a trial that raises; with a diverged loss or bad data it would only fail again.
        return {"done": True, "ended": ended, "reason": event.reason}

    def cleanup(self) -> None:
        self._close()
        self._workers.kill()

    # --- events -------------------------------------------------------------------------------------------------------

    def _poll(self) -> Event:
        """The next event; of several rows that wait for no reply, the newest."""
        event = self._later or self._await_event()
        self._later = None
        while event.kind == "row" and not event.waits and self._later is None:
            try:
                later = self._events.get_nowait()
            except queue.Empty:
                break
            if later.kind == "row":
                event = later
            else:
                self._later = later
        self._waits = event.waits
        return event

    def _await_event(self) -> Event:
        while True:
            try:
                return self._events.get(timeout=1.0)
            except queue.Empty:
                # With NCCL the training thread would notice a dead worker only after its watchdog's timeout.
                if isinstance(error := self._workers.error(), RayError):
                    raise WorkerLost(str(error)) from None

    # --- the training thread ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._next_epoch, self._events = threading.Semaphore(0), queue.SimpleQueue[Event]()
        self._later, self._closing, self._waits = None, False, False
        try:
            experiment = self._prepare_run()
            if self._reports_again():
                return
            rank = self._workers.start(experiment, self._spec) if self._workers.resources.workers > 1 else None
        except WorkerLost:
            raise
        except OtherCode as error:
            self._events.put(Event("refused", reason=str(error)))
            return
        except Exception as error:  # noqa: BLE001 - reported to the driver, which names the trial
            self._events.put(Event("failed", reason=f"{type(error).__name__}: {error}"))
            return
        rows = self._run().rows()
        # A scheduler of a resumed sweep is new: it may decide about a trial at its next report.
        self._decision_epochs = None if rows and not self._spec.is_ordered else self._spec.decision_epochs
        self._seconds = rows[-1]["seconds"] if rows else 0.0
        self._thread = threading.Thread(target=self._train, args=(experiment, rank), daemon=True)
        self._thread.start()

    def _reports_again(self) -> bool:
        """Report once where a trial stands that is started again: what comes next may not be decided."""
        rows = self._run().rows() if self._spec.is_ordered and not self._has_stood else []
        self._has_stood = True
        if rows:
            self._events.put(Event("row", {**rows[-1], AGAIN: True}, waits=True))
        return bool(rows)

    def _prepare_run(self) -> Experiment:
        """Make the run folder or take it over; the experiment to train."""
        spec, run = self._spec, self._run()
        spec.check_code()
        self._check_node()
        end = time.monotonic() + LOCK_TIMEOUT
        while run.path.is_dir() and run.is_locked() and time.monotonic() < end:
            time.sleep(0.2)
        if self._remote is not None:
            self._remote.fetch(f"trials/{spec.trial}", run.path)
        if not run.exists():
            experiment = spec.experiment
            Run.create(run.path, experiment.dump(), command=spec.command, job_type="trial", tags=list(experiment.tags))
        if spec.population:
            population.wait_for_population(spec.sweep_folder, spec.population)
        population.exploit(run)
        # Of the run: after an exploit its values are not those that the trial was given.
        return Experiment.of(run.experiment).with_known_paths(spec.experiment.known_paths)

    def _check_node(self) -> None:
        """Raise WorkerLost on a node that joined later, and does not see the sweep or its data: another one may."""
        spec, node = self._spec, os.uname().nodename
        if self._remote is None and not (spec.sweep_folder / files.SWEEP).is_file():
            raise WorkerLost(
                f"{node} does not see {spec.folder}: put LSTM_LAB_RUNS on a disk that all nodes share, or give "
                "--storage"
            )
        for key, value, field in path_fields(spec.experiment):
            if field.required and not os.path.exists(value):
                raise WorkerLost(f"{node} does not see {key}={value}: put it on a disk that all nodes share")

    def _train(self, experiment: Experiment, rank: DistributedRank | None) -> None:
        spec, run = self._spec, self._run()

        def attempt(experiment: Experiment) -> Result:
            def measure(dataset: Dataset) -> None:
                run.describe(latency=measure_latency(run, experiment, dataset))

            return train(
                experiment,
                run,
                dataset=build_dataset(experiment.data),
                wandb=spec.wandb,
                group=spec.group,
                on_epoch=self._report,
                on_trained=measure if spec.measures_latency else None,
                rank=rank,
            )

        try:
            limit_gpu_memory(spec.limits.gpus)
            train_within_memory(attempt, experiment, run, halve_batch=spec.limits.halve_batch)
            self._push()
            self._events.put(Event("finished"))
        except TrialClosed:
            self._push()
            self._events.put(Event("closed"))
        except Interrupted as lost:
            self._push()
            self._events.put(Event("lost", reason=str(lost)))
        except BaseException as error:  # noqa: BLE001 - whatever it was, the trial has failed, and its folder says why
            # Reported even if the disk has no room for it: `step` waits for an event.
            with contextlib.suppress(OSError):
                run.mark_failed(error)
                self._push()
            self._events.put(Event("failed", reason=f"{type(error).__name__}: {error}".splitlines()[0]))

    def _report(self, row: Row) -> None:
        """Called by `train` after each epoch."""
        self._push()
        seconds, self._seconds = row["seconds"] - self._seconds, row["seconds"]
        epochs = row["epoch"] + 1
        waits = self._decision_epochs is None or epochs in self._decision_epochs or seconds > SHORT_EPOCH
        self._events.put(Event("row", row, waits=waits))
        if waits:
            self._next_epoch.acquire()
        if self._closing:
            raise TrialClosed("closed by the sweep")

    def _close(self) -> None:
        """End the training thread at its next report, and the other workers with it."""
        if self._thread is not None:
            self._closing = True
            self._next_epoch.release()
            self._thread.join(None if self._workers.resources.workers == 1 else 2 * CLOSE_TIMEOUT)
            if self._thread.is_alive():
                # It waits in a collective operation that will never complete. With this process end its workers too.
                os._exit(1)
            self._thread = None
        self._workers.finish()

    # --- the run folder -----------------------------------------------------------------------------------------------

    def _run(self) -> Run:
        folder = self._spec.sweep_folder
        if self._remote is not None:
            folder = node_folder(f"{self._spec.storage} {folder}")
        return Run(folder / "trials" / self._spec.trial)

    def _push(self) -> None:
        if self._remote is not None:
            self._remote.push(self._run().path, f"trials/{self._spec.trial}")
