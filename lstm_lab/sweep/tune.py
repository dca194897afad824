"""The driver: a sweep on Ray Tune, begun or gone on with.

Ray holds the trials and the early stopping; what is known of them is in the sweep's own folder. So to resume is to
start again with what the folder says is missing, and nothing depends on a pickle that a kill may have torn.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune
from ray.tune import schedulers
from ray.tune.search import Searcher as TuneSearcher
from rich.console import Console

from lstm_lab.config import Interrupted
from lstm_lab.sweep import summary
from lstm_lab.sweep.live import LiveView
from lstm_lab.sweep.record import ENDED, SweepFolder, Trial
from lstm_lab.sweep.trial import Trial as TuneTrial
from lstm_lab.tracking import Mode
from lstm_lab.train import stopping


def sweep_on(folder: SweepFolder, *, wandb: Mode, console: Console) -> dict[str, Any]:
    """Run what is missing of a sweep, and write its answer.

    Args:
        folder: begun or new.
        wandb: resolved mode; one W&B run for each trial.

    Returns:
        The content of summary.json.

    Raises:
        Interrupted: after Ctrl-C, with everything saved; calling again goes on.
    """
    began = time.monotonic()
    with folder.lock():
        questions = Questions(folder, wandb)
        before = folder.about.get("seconds", 0.0)
        if questions.left:
            try:
                run_trials(folder, questions, console)
            finally:
                settle(folder)
                folder.describe(seconds=round(before + time.monotonic() - began, 1))
            if questions.interrupted.is_set():
                raise Interrupted(f"interrupted; go on with: lstm-lab resume {folder.path}")
        return summary.write(folder, wandb)


def run_trials(folder: SweepFolder, questions: Questions, console: Console) -> None:
    sweep = questions.sweep
    experiment = questions.base
    metric, mode = experiment.decides, experiment.mode
    owner: Any = sweep.scheduler.owner
    arguments = sweep.scheduler.build().arguments(experiment.trainer.max_epochs)
    if arguments:
        arguments.update(metric=metric, mode=mode)
    scheduler = getattr(schedulers, owner.tune_class)(**arguments)
    view = LiveView(metric, mode, questions.total, experiment.trainer.max_epochs, console)
    with cluster(folder) as scratch, stopping(questions.interrupted), view:
        remember(scheduler, folder, metric, view)
        tuner = tune.Tuner(
            tune.with_resources(TuneTrial, {"cpu": sweep.resources.cpus, "gpu": sweep.resources.gpus}),
            tune_config=tune.TuneConfig(
                search_alg=questions, scheduler=scheduler, num_samples=questions.left, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch / "tune"),
                verbose=0,
                # The run folder is the checkpoint: a trial whose process died goes on from its last epoch.
                failure_config=tune.FailureConfig(max_failures=2),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[Watch(folder, questions, view)],
                stop=StopAll(questions.interrupted),
            ),
        )
        tuner.fit()


class Here:
    """Tune pickles all that it is given and never reads it back here: there is nothing worth keeping in a pickle."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Questions(Here, TuneSearcher):
    """Hands Tune one trial after another: first those that an earlier process left unfinished, then new ones.

    A point is asked of the searcher once and trained with every seed; the searcher is told the mean when all are back.
    """

    def __init__(self, folder: SweepFolder, wandb: Mode) -> None:
        self.folder, self.sweep, self.wandb = folder, folder.sweep, wandb
        self.base = self.sweep.base
        super().__init__(metric=self.base.decides, mode=self.base.mode)
        self.interrupted = threading.Event()
        self.command = folder.about.get("command", "")
        self.ids: dict[str, str] = {}
        """Tune's id of a trial -> ours."""
        # Not `searcher`: Tune would take it for a Tune searcher that this one wraps.
        self.source = self.sweep.searcher.build()
        self.source.open(self.sweep.space, self.sweep.samples, self.sweep.seed, self.base.mode)
        trials = folder.trials()
        self.total = self.source.total * len(self.sweep.seeds)
        self.waiting = [(t.id, t.point, t.seed, t.overrides) for t in trials if t.state not in ENDED]
        self.next_point = 1 + max((trial.point for trial in trials), default=-1)
        self._tell_past(trials)
        # Killed between the first and the last seed of a point: the seeds that were never entered.
        for point in {trial.point for trial in trials}:
            rows = [trial for trial in trials if trial.point == point]
            self._enter(point, rows[0].overrides, set(self.sweep.seeds) - {row.seed for row in rows})
        self.left = self.total - sum(trial.state in ENDED for trial in trials)

    def _tell_past(self, trials: list[Trial]) -> None:
        for point in sorted({trial.point for trial in trials}):
            self._tell([trial for trial in trials if trial.point == point])

    def _tell(self, rows: list[Trial]) -> None:
        if len(rows) == len(self.sweep.seeds) and all(row.state in ENDED for row in rows):
            values = [row.value for row in rows if row.value is not None]
            self.source.tell(rows[0].point, rows[0].overrides, mean(values) if values else None)

    def _enter(self, point: int, overrides: dict[str, Any], seeds: Any) -> None:
        for seed in self.sweep.seeds:
            if seed in seeds:
                self.waiting.append((self.folder.ask(point, seed, overrides), point, seed, overrides))

    def suggest(self, trial_id: str) -> Any:
        if not self.waiting:
            if self.next_point >= self.source.total:
                return TuneSearcher.FINISHED
            point, self.next_point = self.next_point, self.next_point + 1
            self._enter(point, self.source.ask(point), set(self.sweep.seeds))
        ours, _, seed, overrides = self.waiting.pop(0)
        self.ids[trial_id] = ours
        return {
            "trial": ours,
            "folder": str(self.folder.path.resolve()),
            "group": self.folder.name,
            # As text: Tune flattens and merges whatever has keys.
            "experiment": json.dumps(self.sweep.at(overrides, seed).dump()),
            "overrides": json.dumps(overrides),
            "seed": seed,
            "wandb": self.wandb,
            "command": self.command,
        }

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The searcher is told by `settled`, once the record knows."""

    def settled(self, ours: str) -> None:
        trials = self.folder.trials()
        point = next(trial.point for trial in trials if trial.id == ours)
        self._tell([trial for trial in trials if trial.point == point])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""


class Watch(Here, tune.Callback):
    """Writes down what Tune decides, and shows it."""

    def __init__(self, folder: SweepFolder, questions: Questions, view: LiveView) -> None:
        self.folder, self.questions, self.view = folder, questions, view

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.view.begin(trial.config["trial"], json.loads(trial.config["overrides"]), trial.config["seed"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        if "epoch" in result:
            self.view.epoch(trial.config["trial"], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ours = trial.config["trial"]
        ended = (trial.last_result or {}).get("ended")
        if ended is None and self.questions.interrupted.is_set():
            self.view.end(ours, "interrupted")
            return
        reason = None
        if ended == "failed":
            reason = self.folder.run(ours).status.get("reason")
        elif ended is None:
            self.folder.decide(ours, "stopped", f"{self.questions.sweep.scheduler.name}: worse than the others")
        self.view.end(ours, ended or "stopped", reason)
        self.questions.settled(ours)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ours = trial.config["trial"]
        lines = str(getattr(trial, "get_error", lambda: "")() or "").strip().splitlines() or ["killed from outside"]
        reason = f"its process died three times: {lines[-1][:200]}"
        self.folder.decide(ours, "failed", reason)
        self.view.end(ours, "failed", reason)
        self.questions.settled(ours)


class StopAll(Here, tune.Stopper):
    """Ends the sweep when asked to, and each trial at the end of its epoch."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.event.is_set()

    def stop_all(self) -> bool:
        return self.event.is_set()


def remember(scheduler: Any, folder: SweepFolder, metric: str, view: LiveView) -> None:
    """Tell a new scheduler what ended trials had reported, so that its rungs are not empty after a resume."""
    for trial in folder.trials():
        if trial.state not in ENDED:
            continue
        view.past(trial.id, trial.overrides, trial.seed, trial.state, trial.epochs, trial.value)
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


@cache
def secret() -> str:
    """The token of this process: Ray reads it once, and keeps it for every cluster that the process starts."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def cluster(folder: SweepFolder) -> Iterator[Path]:
    """An embedded Ray on this machine, and a scratch folder; both are gone afterwards."""
    # What a killed driver of this sweep left behind.
    shutil.rmtree(folder.about.get("scratch") or "", ignore_errors=True)
    # Socket paths have a length limit, and a folder of its own keeps stale cluster files away.
    scratch = Path(tempfile.mkdtemp(prefix="ll-", dir="/tmp"))
    folder.describe(scratch=str(scratch))
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(secret())
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray listens on every interface: without the token, anybody on the network could run code here.
        "RAY_AUTH_TOKEN_PATH": str(token),
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "TUNE_MAX_PENDING_TRIALS_PG": str(2 * (os.cpu_count() or 1)),
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    # Failures are named by the record; Tune's own telling of them is a page each.
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=200 * 1024**2,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            configure_logging=True,
            _temp_dir=str(scratch),
            _node_ip_address="127.0.0.1",
        )
        yield scratch
    finally:
        ray.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(scratch, ignore_errors=True)
