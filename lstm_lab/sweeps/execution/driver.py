"""The driver: runs the phases of a sweep on Ray Tune, from the start or from what its folder holds.

Ray holds the running trials and the early stopping; what is known of them is in the sweep's folder. So to resume is to
start again with the trials that are missing there, and nothing depends on a pickle that a kill may have cut short.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from lstm_lab import tracking
from lstm_lab.config import ConfigError, Fault, Interrupted
from lstm_lab.records.files import Row
from lstm_lab.records.requests import Requests, watch
from lstm_lab.sweeps.execution.callback import SweepCallback, SweepStopper
from lstm_lab.sweeps.execution.confirm_phase import ConfirmPhase
from lstm_lab.sweeps.execution.ddp_workers import placement_group
from lstm_lab.sweeps.execution.ordered_phase import OrderedPhase
from lstm_lab.sweeps.execution.ordered_scheduler import OrderedScheduler
from lstm_lab.sweeps.execution.population import Population
from lstm_lab.sweeps.execution.ray_cluster import cluster, cluster_resources
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.execution.trainable import TrialTrainable
from lstm_lab.sweeps.execution.trial_source import TrialSource
from lstm_lab.sweeps.schedulers import PopulationScheduler
from lstm_lab.sweeps.sections import Resources
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.sweeps.store.refit import refit
from lstm_lab.sweeps.store.remote import RECORDS, Storage, resume_command
from lstm_lab.sweeps.view.events import EventProgress, OnEvent, event
from lstm_lab.sweeps.view.progress import SweepProgress
from lstm_lab.system.disk import DiskFull
from lstm_lab.system.stop_signal import stop_on_signal
from lstm_lab.tracking import Mode


def run_phases(
    folder: SweepFolder, *, wandb: Mode, console: Console, address: str | None = None, storage: str | None = None,
    on_event: OnEvent | None = None,
) -> Row:  # fmt: skip
    """`execute_sweep`, in a process in which Ray may be imported."""
    started = time.monotonic()
    if folder.about.get("ask_tell"):
        raise ConfigError(
            f"{folder.path}: its trials are trained by other code; go on in Python: "
            f"lstm_lab.ask_tell({str(folder.path)!r})"
        )
    with folder.lock():
        requests = Requests(folder.path)
        before, interrupted = folder.about.get("seconds", 0.0), threading.Event()

        def clock() -> float:
            return float(before + time.monotonic() - started)

        scratch: Path | None = None
        remote = Storage(storage) if storage else None
        if remote is not None:
            remote.pull("trials", folder.path / "trials", RECORDS)
        try:
            with contextlib.ExitStack() as stack:
                for phase in phases(folder):
                    source = phase(folder, wandb, interrupted, clock, storage)
                    if source.num_remaining:
                        if scratch is None:
                            scratch = stack.enter_context(cluster(folder, address, storage))
                            print_warm_start(folder, console)
                        run_phase(folder, source, show(source, console, on_event), scratch, requests)
                    if interrupted.is_set():
                        break
                    if reason := source.conclude():
                        console.print(
                            f"the {source.phase} has ended: {reason}", highlight=False, markup=False, soft_wrap=True
                        )
                    if folder.about.get("stopped"):
                        break
                if not interrupted.is_set():
                    # The best trials are logged at the end: the writer's process starts while those of Ray end.
                    tracking.start_writer(wandb)
        finally:
            if scratch is not None:
                if remote is not None:
                    remote.pull("trials", folder.path / "trials")
                write_decisions(folder)
                folder.describe(seconds=round(clock(), 1))
        if source.disk_full:
            raise DiskFull(
                f"{folder.path}: {source.disk_full}: make room, then: {resume_command(folder.path, address, storage)}"
            )
        if source.refusal:
            raise ConfigError(f"{folder.path}: {source.refusal}; then: {resume_command(folder.path, address, storage)}")
        if interrupted.is_set():
            why = source.paused_by.reason if source.paused_by else "interrupted"
            raise Interrupted(f"{why}; resume with: {resume_command(folder.path, address, storage)}")
        if folder.sweep.refit and not folder.about.get("stopped"):
            again = resume_command(folder.path, address, storage)
            run_refit(folder, console, on_event, again, requests)
        content: Row = summary.write(folder, wandb)
        if remote is not None:
            remote.push(folder.path, "")
        return content


def run_refit(folder: SweepFolder, console: Console, on_event: OnEvent | None, again: str, requests: Requests) -> None:
    """Train the best configuration on the training and the validation split, in this process.

    Args:
        again: the command that resumes the sweep.
        requests: a pause ends the process; a sweep that is stopped or killed ends without the refit.

    Raises:
        Interrupted: it can be resumed.
    """
    stop = threading.Event()
    try:
        with stop_on_signal(stop), watch(folder.path, stop, requests=requests) as asked:
            run = refit(folder, stop)
    except Interrupted:
        request = asked.request
        if request is None or request.action == "pause":
            raise Interrupted(f"{request.reason if request else 'interrupted'}; resume with: {again}") from None
        folder.stopped_by(request)
        console.print(f"the refit has ended: {request.reason}", highlight=False, markup=False, soft_wrap=True)
        return
    except DiskFull:
        raise
    except Fault as error:  # The sweep has its result all the same; the summary says that the refit failed.
        console.print(f"the refit has failed: {error}", highlight=False, markup=False, soft_wrap=True)
        return
    if run is not None:
        known = run.about["refit"]
        console.print(f"refit: {known['trial']} on the training and the validation split, {known['epochs']} epochs: "
                      f"{run.path}", highlight=False, markup=False, soft_wrap=True)  # fmt: skip
        if on_event is not None:
            on_event(event("refit", run=str(run.path), trial=known["trial"], epochs=known["epochs"]))


def phases(folder: SweepFolder) -> tuple[type[TrialSource], ...]:
    """Those of a sweep, in their order."""
    return (OrderedPhase if folder.sweep.order == "virtual" else SearchPhase), ConfirmPhase


def print_warm_start(folder: SweepFolder, console: Console) -> None:
    """Print how many earlier configurations the searcher learns from, if any."""
    begun = folder.search
    if (warm := begun["search"] if begun else folder.about.get("warm_start")) and "told" in warm:
        console.print(
            f"warm start: the searcher learns from {warm['told']} earlier configurations; "
            f"{warm['outside']} lie outside the space and are left out",
            highlight=False,
        )


def show(source: TrialSource, console: Console, on_event: OnEvent | None) -> SweepProgress:
    """The progress of a phase, on a console or as events."""
    metric, mode, trainer, criteria = source.base.monitor, source.base.mode, source.base.trainer, source.sweep.criteria
    if on_event is None:
        return SweepProgress(metric, mode, source.num_trials, trainer.max_epochs, console, trainer.select, criteria)
    on_event(event("phase_started", phase=source.phase, trials=source.num_trials))
    return EventProgress(metric, mode, source.num_trials, trainer.max_epochs, on_event, trainer.select, criteria)


def run_phase(folder: SweepFolder, source: TrialSource, view: SweepProgress, scratch: Path, requests: Requests) -> None:
    """Run the trials of one phase.

    Raises:
        ConfigError: a population is larger than the cluster.
    """
    resources = source.sweep.resources
    members = None if source.is_ordered else start_population(folder, source)
    with stop_on_signal(source.interrupted), view:
        tuner = tune.Tuner(
            tune.with_resources(TrialTrainable, placement_group(resources)),
            tune_config=tune.TuneConfig(
                search_alg=source,
                scheduler=start_scheduler(folder, source, view),
                # Some are given again; the source says when there are no more.
                num_samples=source.num_remaining * SweepCallback.MAX_DEATHS,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=source.phase,
                storage_path=str(scratch / "tune"),
                verbose=0,
                # The run folder is the checkpoint: a trial whose process died resumes from its last epoch.
                failure_config=tune.FailureConfig(max_failures=SweepCallback.MAX_DEATHS - 1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[SweepCallback(folder, source, view, requests, members)],
                stop=SweepStopper(source),
            ),
        )
        tuner.fit()


def start_population(folder: SweepFolder, source: TrialSource) -> Population | None:
    """The population of a scheduler that has one.

    Raises:
        ConfigError: its trials cannot all run at the same time.
    """
    scheduler = source.scheduler
    if not isinstance(scheduler, PopulationScheduler):
        return None
    places = count_places(source.sweep.resources)
    if source.num_trials > places:
        raise ConfigError(
            f"scheduler: {scheduler.name} trains its {source.num_trials} trials at the same time, and the CPUs are "
            f"enough for {places}: lower num_samples or resources.cpus, or write order: virtual"
        )
    return Population(folder, scheduler)


def count_places(resources: Resources) -> int:
    """How many trials the CPUs and GPUs of the cluster are enough for."""
    found = cluster_resources()
    places = found.get("CPU", 0.0) / resources.cpus
    if resources.gpus:
        places = min(places, found.get("GPU", 0.0) / resources.gpus)
    return int(places / resources.workers + 1e-6)


def start_scheduler(folder: SweepFolder, source: TrialSource, view: SweepProgress) -> TrialScheduler:
    """The Tune scheduler of a phase, once the ended trials of an earlier process are shown."""
    ended = [trial for trial in source.trials() if trial.state in ENDED]
    for trial in ended:
        view.add_ended(trial)
    if isinstance(source, OrderedPhase):
        limit, places = source.sweep.max_concurrent_trials, count_places(source.sweep.resources)
        if source.sweep.learns_from_results and limit < min(places, source.num_remaining):
            view.console.print(
                f"max_concurrent_trials: {limit} trials run at once, though {places} would fit: the searcher is asked "
                "for the next when one has ended",
                highlight=False,
                soft_wrap=True,
            )
        source.on_exploit = view.report_exploit
        return OrderedScheduler(source, view, lambda: max(1, count_places(source.sweep.resources)))
    return restore_scheduler(folder, source, ended)


def build_scheduler(source: TrialSource) -> TrialScheduler:
    """The Tune scheduler of a phase."""
    experiment = source.base
    return source.scheduler.tune_scheduler(experiment.trainer.max_epochs, experiment.monitor, experiment.mode)


def restore_scheduler(folder: SweepFolder, source: TrialSource, ended: Sequence[Trial]) -> TrialScheduler:
    """A scheduler that knows what ended trials had reported: else the rungs of a resumed sweep would be empty."""
    scheduler = build_scheduler(source)
    try:
        for trial in ended:
            replay(scheduler, trial.id, folder.run(trial.id).rows())
    except Exception as error:  # noqa: BLE001 - it reads more of a trial than Tune documents, and may read more one day
        warnings.warn(
            f"{folder.path}: the scheduler starts without the results of ended trials: Tune's "
            f"{type(scheduler).__name__} does not accept them ({type(error).__name__}: {error})",
            RuntimeWarning,
            stacklevel=2,
        )
        return build_scheduler(source)
    return scheduler


class EndedTrial:
    """As much of a Tune trial as its schedulers read of one that has ended."""

    status = "TERMINATED"

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id

    def is_finished(self) -> bool:
        return True


def replay(scheduler: Any, trial: str, rows: list[Row]) -> None:
    """Report the rows of an ended trial to a scheduler."""
    ended = EndedTrial(f"ended-{trial}")
    scheduler.on_trial_add(None, ended)
    result: Row = {}
    for row in rows:
        result = {**row, "epochs": row["epoch"] + 1, "training_iteration": row["epoch"] + 1}
        scheduler.on_trial_result(None, ended, result)
    scheduler.on_trial_complete(None, ended, result)


def write_decisions(folder: SweepFolder) -> None:
    """Once the trials' processes have ended: write what the driver decided into each trial's own folder."""
    for trial in folder.trials():
        run = folder.run(trial.id)
        if run.exists() and trial.state in ("stopped", "failed"):
            status = run.status
            if status["state"] != trial.state:
                run.mark(**{**status, "state": trial.state, "reason": trial.reason})
