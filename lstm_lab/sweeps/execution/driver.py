"""The driver: a sweep on Ray Tune, begun or gone on with.

Ray holds the trials and the early stopping; what is known of them is in the sweep's own folder. So to resume is to
start again with what the folder says is missing, and nothing depends on a pickle that a kill may have torn.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune
from rich.console import Console

from lstm_lab import tracking
from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.sweeps.execution.ddp_workers import bundles
from lstm_lab.sweeps.execution.population import Population
from lstm_lab.sweeps.execution.ray_cluster import cluster
from lstm_lab.sweeps.execution.trainable import TrialTrainable
from lstm_lab.sweeps.execution.trial_source import ConfirmPhase, NotPickled, SearchPhase, TrialSource
from lstm_lab.sweeps.schedulers import PopulationScheduler
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED
from lstm_lab.sweeps.store.remote import RECORDS, Storage
from lstm_lab.sweeps.store.retention import is_full
from lstm_lab.sweeps.view.progress import LiveView
from lstm_lab.tracking import Mode
from lstm_lab.training import stopping

MAX_PROCESS_DEATHS = 3
"""So often a trial's process may die without an epoch between before the trial has failed."""


def execute_sweep(folder: SweepFolder, *, wandb: Mode, console: Console, address: str | None = None) -> dict[str, Any]:
    """Run what is missing of a sweep, and write its answer.

    Args:
        folder: begun or new.
        wandb: resolved mode; one W&B run for each trial.
        address: of a Ray cluster; without one, Ray runs on this machine for as long as the sweep does.

    Returns:
        The content of summary.json.

    Raises:
        Interrupted: after Ctrl-C, with everything saved; calling again goes on.
    """
    began = time.monotonic()
    with folder.lock():
        before, interrupted = folder.about.get("seconds", 0.0), threading.Event()

        def clock() -> float:
            return before + time.monotonic() - began

        scratch: Path | None = None
        storage = Storage(about) if (about := folder.about.get("storage")) else None
        if storage is not None:
            storage.pull("trials", folder.path / "trials", RECORDS)
        try:
            with contextlib.ExitStack() as stack:
                for phase in (SearchPhase, ConfirmPhase):
                    questions = phase(folder, wandb, interrupted, clock)
                    if questions.left:
                        if scratch is None:
                            scratch = stack.enter_context(cluster(folder, address))
                            print_warm_start(folder, console)
                        run_phase(folder, questions, console, scratch)
                    if interrupted.is_set():
                        break
                    if reason := questions.conclude():
                        console.print(f"the search has ended: {reason}", highlight=False, markup=False, soft_wrap=True)
                if not interrupted.is_set():
                    # The best are shown there at the end; its process begins while Ray's go.
                    tracking.start_writer(wandb)
        finally:
            if scratch is not None:
                if storage is not None:
                    storage.pull("trials", folder.path / "trials")
                settle(folder)
                folder.describe(seconds=round(clock(), 1))
        if questions.halt:
            raise DataError(f"{folder.path}: {questions.halt}: make room, then: lstm-lab resume {folder.path}")
        if interrupted.is_set():
            where = f" --address {address}" if address else ""
            raise Interrupted(f"interrupted; resume with: lstm-lab resume {folder.path}{where}")
        content = summary.write(folder, wandb)
        if storage is not None:
            storage.push(folder.path, "")
        return content


def print_warm_start(folder: SweepFolder, console: Console) -> None:
    """Say how many earlier points the searcher is told, if it is told any."""
    if warm := folder.about.get("warm_start"):
        console.print(
            f"warm start: the searcher is told {warm['told']} earlier points; "
            f"{warm['outside']} lie outside the space and are left out",
            highlight=False,
        )


def run_phase(folder: SweepFolder, questions: TrialSource, console: Console, scratch: Path) -> None:
    """One phase of a sweep."""
    sweep = questions.sweep
    experiment = questions.base
    metric, mode = experiment.monitor, experiment.mode
    ours = questions.scheduler
    scheduler = ours.tune_scheduler(experiment.trainer.max_epochs, metric, mode)
    members = None
    if isinstance(ours, PopulationScheduler):
        members = Population(folder, ours)
        room = int(ray.cluster_resources().get("CPU", 0) / sweep.resources.cpus / sweep.resources.workers)
        if questions.total > room:
            raise ConfigError(
                f"scheduler: {ours.name} trains its {questions.total} trials side by side, here is room for {room}: "
                "lower num_samples or resources.cpus"
            )
    view = LiveView(metric, mode, questions.total, experiment.trainer.max_epochs, console)
    with stopping(questions.interrupted), view:
        remember(scheduler, folder, questions, view)
        tuner = tune.Tuner(
            tune.with_resources(TrialTrainable, bundles(sweep.resources)),
            tune_config=tune.TuneConfig(
                search_alg=questions, scheduler=scheduler, num_samples=questions.left, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name=questions.phase,
                storage_path=str(scratch / "tune"),
                verbose=0,
                # The run folder is the checkpoint: a trial whose process died goes on from its last epoch.
                failure_config=tune.FailureConfig(max_failures=MAX_PROCESS_DEATHS - 1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[SweepCallback(folder, questions, view, members)],
                stop=SweepStopper(questions),
            ),
        )
        tuner.fit()


class SweepCallback(NotPickled, tune.Callback):
    """Writes down what Tune decides, and shows it."""

    def __init__(
        self, folder: SweepFolder, questions: TrialSource, view: LiveView, members: Population | None = None
    ) -> None:
        self.folder, self.questions, self.view, self.members = folder, questions, view, members
        self.heard: dict[str, float] = {}
        """Trial that runs -> when it last did an epoch, or began."""
        self.hung: dict[str, str] = {}
        self.storage = Storage(questions.storage) if questions.storage else None

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        timeout = self.questions.sweep.timeout
        if timeout is None:
            return
        for trial in trials:
            ours = trial.config.get("trial")
            if ours in self.heard and time.monotonic() - self.heard[ours] > timeout:
                del self.heard[ours]
                self.hung[ours] = f"hung: no epoch for {timeout:g} s (timeout)"
                # Its thread cannot be stopped, and whatever it holds goes with its process.
                trial.max_failures = 0
                ray.kill(trial.temporary_state.ray_actor)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.heard[trial.config["trial"]] = time.monotonic()
        self.view.begin(trial.config["trial"], json.loads(trial.config["overrides"]), trial.config["seed"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        if "epoch" in result:
            self.heard[trial.config["trial"]] = time.monotonic()
            trial.max_failures = trial.num_failures + MAX_PROCESS_DEATHS - 1
            self.view.epoch(trial.config["trial"], result)
            # Before Tune asks for the next epoch: that one is the clone's.
            if (
                self.members
                and not self.questions.spent()
                and (row := self.members.report(trial.config["trial"], result))
            ):
                self.view.clone(row)

    def _pull(self, trial: str) -> None:
        """What a trial on another disk has recorded, and there what we have."""
        if self.storage is not None:
            self.storage.pull(f"trials/{trial}", self.folder.run(trial).path, RECORDS)
            self.storage.push(self.folder.path, "", lambda path: path.parent == self.folder.path)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.heard.pop(trial.config["trial"], None)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ours = trial.config["trial"]
        self.heard.pop(ours, None)
        self._pull(ours)
        ended = (trial.last_result or {}).get("ended")
        if ended is None and self.questions.interrupted.is_set():
            self.view.end(ours, "interrupted")
            return
        reason = None
        if ended == "failed":
            reason = self.folder.run(ours).status.get("reason") or trial.last_result.get("reason")
            if is_full(reason):
                self.questions.halt = str(reason)
                self.questions.interrupted.set()
                self.view.end(ours, "interrupted", reason)
                return
        elif ended is None:
            reason = self.questions.over
            self.folder.decide(ours, "stopped", self.questions.why_stopped())
        self.view.end(ours, ended or "stopped", reason)
        self.questions.settled(ours)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ours = trial.config["trial"]
        self.heard.pop(ours, None)
        self._pull(ours)
        lines = str(getattr(trial, "get_error", lambda: "")() or "").strip().splitlines() or ["killed from outside"]
        reason = self.hung.get(ours) or f"its process died three times: {lines[-1][:200]}"
        self.folder.decide(ours, "failed", reason)
        self.view.end(ours, "failed", reason)
        self.questions.settled(ours)


class SweepStopper(NotPickled, tune.Stopper):
    """Ends a phase when asked to or when its budget is spent, and each trial at the end of its epoch."""

    def __init__(self, questions: TrialSource) -> None:
        self.questions = questions

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if "epoch" in result:
            self.questions.reported()
        return self.stop_all()

    def stop_all(self) -> bool:
        return self.questions.interrupted.is_set() or self.questions.spent()


def remember(scheduler: Any, folder: SweepFolder, questions: TrialSource, view: LiveView) -> None:
    """Tell a new scheduler what ended trials had reported, so that its rungs are not empty after a resume."""
    for trial in questions.trials():
        if trial.state not in ENDED:
            continue
        view.past(trial)
        past = SimpleNamespace(trial_id=f"past-{trial.id}", status="TERMINATED", is_finished=lambda: True)
        scheduler.on_trial_add(None, past)
        last: dict[str, Any] = {}
        for row in folder.run(trial.id).rows():
            last = {**row, "epochs": row["epoch"] + 1, "training_iteration": row["epoch"] + 1}
            scheduler.on_trial_result(None, past, last)
        scheduler.on_trial_complete(None, past, last)


def settle(folder: SweepFolder) -> None:
    """After the processes have gone: each trial's own folder says what the driver decided."""
    for trial in folder.trials():
        run = folder.run(trial.id)
        if (run.path / "run.json").is_file() and trial.state in ("stopped", "failed"):
            status = run.status
            if status["state"] != trial.state:
                run.mark(**{**status, "state": trial.state, "reason": trial.reason})
