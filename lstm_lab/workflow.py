"""What the command line and the Python API share: an experiment trained and evaluated, a sweep run and summarised.

Nothing here prints: progress goes to callbacks, or to a console that the caller hands in.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.records import files, links
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run, no_record
from lstm_lab.records.scores import Scores
from lstm_lab.system import disk

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_lab.data import Dataset
    from lstm_lab.experiment import Accelerator, Experiment
    from lstm_lab.records.diagnosis import Finding
    from lstm_lab.sweeps.spec import Sweep
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.view.events import OnEvent
    from lstm_lab.tracking import Mode
    from lstm_lab.training.train import Result

MAX_NAME = 200
"""Bytes of a folder's name: file systems take 255, and names are made of it."""


@dataclass(frozen=True)
class TrainingOutcome:
    """A trained run."""

    run: Run
    result: Result
    validation: Scores
    """On the validation split, with the baselines."""
    report: Path
    findings: list[Finding]
    """What its record says is wrong with it, the gravest first."""


@dataclass(frozen=True)
class SweepOutcome:
    """A sweep that has ended."""

    folder: SweepFolder
    summary: Row
    """summary.json"""
    test: Scores | None
    """Of the best trial on the test split, if that was asked for."""
    report: Path
    findings: list[Finding]
    """What its record says is wrong with it, the gravest first."""


def new_folder(name: str | None, stem: str) -> Path:
    """Where a new run or sweep goes, below `runs/`: `name` if it is free, else the stem with a free number.

    Raises:
        ConfigError: the name is no plain folder name, or taken.
    """
    if name is None:
        return files.claim(stem)
    if not links.is_plain_name(name) or len(os.fsencode(name)) > MAX_NAME:
        raise ConfigError(f"--name {name}: must be a plain folder name of at most {MAX_NAME} bytes; LSTM_LAB_RUNS says "
                          "where it goes")  # fmt: skip
    if os.path.lexists(files.runs_folder() / name):
        raise ConfigError(f"{files.runs_folder() / name}: exists already; choose another name")
    return files.runs_folder() / name


def create_run(experiment: Experiment, *, name: str | None = None, stem: str, command: str = "") -> tuple[Run, Dataset]:
    """Read and split the data, then make the run's folder: an error in the data leaves no folder behind.

    Raises:
        DataError: the data cannot be read.
        ConfigError: the name is taken.
    """
    from lstm_lab.training.before_start import check_start

    dataset = experiment.data.build()
    read_splits(dataset)
    check_start(experiment, dataset)
    folder = new_folder(name, stem)
    with _made(folder):
        run = Run.create(folder, experiment.dump(), command=command, job_type="train", tags=list(experiment.tags))
    return run, dataset


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder of a new run or sweep is removed again if it cannot be filled."""
    try:
        with disk.explained(folder, "run the command again"):
            yield
    except DataError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read_splits(dataset: Dataset) -> None:
    """Read and split the data now, so that an error in it is raised before anything is started.

    Raises:
        DataError: the data cannot be read, or a split has no target.
    """
    from lstm_lab.data.kinds.known_values import check_targets

    try:
        _ = dataset.info
        check_targets(dataset)
    except MemoryError as error:
        raise DataError(f"data {dataset.name}: does not fit into memory ({error}): make it smaller") from None


def run_experiment(
    experiment: Experiment,
    run: Run,
    *,
    dataset: Dataset | None = None,
    wandb: Mode = "disabled",
    progress: bool = False,
    on_epoch: Callable[[Row], None] | None = None,
    on_transfer: Callable[[Row], None] | None = None,
    stop: threading.Event | None = None,
) -> TrainingOutcome:
    """Train, or resume, a run; evaluate its best epoch on the validation split; write its report.

    Args:
        dataset: already read, when the caller has it.
        wandb: resolved mode of its W&B run.
        progress: show a progress bar.
        on_epoch, on_transfer: called with each row of the record, and with what was taken of another run.
        stop: once set, everything is saved and `Interrupted` is raised. Ctrl-C sets it, in the main thread.

    `lstm-lab pause|stop|kill` end it after the step in progress; stopped, it is evaluated as if it had ended itself.

    Raises:
        Interrupted: it can be resumed.
        Fault: bad data, a loss that is not a number, or somebody has killed it.
    """
    from lstm_lab.diagnosis import diagnose
    from lstm_lab.evaluation.evaluate import evaluate
    from lstm_lab.records.requests import watch
    from lstm_lab.report import write_report
    from lstm_lab.system.out_of_memory import OutOfMemory, within_memory
    from lstm_lab.system.stop_signal import stop_on_signal
    from lstm_lab.tracking import publish_best
    from lstm_lab.training.requested_end import end_as_requested
    from lstm_lab.training.train import train

    stop, again = stop or threading.Event(), f"lstm-lab train --resume {run.path}"
    with _resumable(again), disk.explained(run.path, again):
        try:
            with watch(run.path, stop) as asked, stop_on_signal(stop), within_memory(experiment.data.batch_size):
                result = train(experiment, run, dataset=dataset, wandb=wandb, stop=stop, progress=progress,
                               on_epoch=on_epoch, on_transfer=on_transfer)  # fmt: skip
        except OutOfMemory as error:
            run.mark_failed(error)
            raise
        except Interrupted:
            if asked.request is None:
                raise
            result = end_as_requested(experiment, run, asked.request, again)
        scores = evaluate(run, "validation", dataset)
        run.describe(validation={**scores.dump(), "epoch": result.epoch})
        findings = diagnose(run, probes=False)
        report = write_report(run.path)
        publish_best([run], mode=wandb)
    return TrainingOutcome(run, result, scores, report, findings)


@contextmanager
def _resumable(again: str) -> Iterator[None]:
    """A second Ctrl-C ends what the first one has not ended yet, and says all the same how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; resume with: {again}") from None


def create_sweep(
    sweep: Sweep, *, name: str | None = None, stem: str, command: str = "", storage: str | None = None
) -> SweepFolder:
    """Make a sweep's folder.

    Args:
        storage: URI that its trials write to, where nodes share no disk.

    Raises:
        ConfigError: the name is taken, or `warm_start` does not fit.
    """
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.store.remote import claim_storage

    folder = new_folder(name, stem)
    about = {"storage": claim_storage(storage, folder.name, sweep)} if storage else {}
    with _made(folder):
        return SweepFolder.create(folder, sweep, command=command, **about)


@contextmanager
def removed_if_not_started(folders: Sequence[SweepFolder]) -> Iterator[None]:
    """Inside, new sweeps are run. Where one is refused, as by a cluster, the folders without a trial are removed."""
    try:
        yield
    except ConfigError:
        for folder in folders:
            if not (folder.path / files.TRIALS).exists():
                shutil.rmtree(folder.path, ignore_errors=True)
        raise


def run_sweep(
    folder: SweepFolder,
    *,
    wandb: Mode = "disabled",
    console: Console | None = None,
    address: str | None = None,
    storage: str | None = None,
    test: bool = False,
    on_event: OnEvent | None = None,
) -> SweepOutcome:
    """Run what is missing of a sweep, summarise it, and write its report.

    Args:
        wandb: resolved mode; one W&B run per trial.
        console: shows the progress; None: nothing is shown.
        address: of a Ray cluster; None: Ray runs on this machine for as long as the sweep does.
        storage: URI that its trials write to, as it was given to `create_sweep`.
        test: evaluate the best trial on the test split at the end, once; the sweep's record remembers it, so that a
            resumed sweep does so too.
        on_event: called with each event (`sweeps.view.events`), in place of a progress on the console.

    Raises:
        Interrupted: everything is saved; calling again resumes.
        DiskFull: calling again resumes, once there is room.
        ConfigError: `storage` is not where the trials are, or missing.
    """
    from rich.console import Console

    from lstm_lab.diagnosis import diagnose_sweep
    from lstm_lab.report import write_report
    from lstm_lab.sweeps.execution import execute_sweep
    from lstm_lab.sweeps.store import summary
    from lstm_lab.sweeps.store.record import read_sweep
    from lstm_lab.sweeps.store.remote import trial_storage

    links.check_links(folder.path)
    uri, again = trial_storage(folder, storage), f"lstm-lab resume {folder.path}"
    with _resumable(again), disk.explained(folder.path, again):
        if test:
            folder.describe(test=True)
        console = console or Console(quiet=True)
        content = execute_sweep(folder, wandb=wandb, console=console, address=address, storage=uri, on_event=on_event)
        scores = None
        if folder.about.get("test") and content["winner"] and content["winner"]["test"] is None:
            scores = summary.evaluate_best(folder)
            content["wandb"] = summary.publish(folder, wandb, top=1)
        findings = diagnose_sweep(read_sweep(folder.path))
        return SweepOutcome(folder, content, scores, write_report(folder.path), findings)


def evaluate_folder(
    path: Path, accelerator: Accelerator | None = None, samples: int | None = None, top: int | None = None
) -> Scores:
    """Evaluate a run, or the seeds of a sweep's best configuration, on the test split, record it, and write
    the report again.

    Args:
        accelerator: None: that of the run's experiment, or the CPU where there is no GPU.
        samples: predictions with dropout, whose mean is scored; None: one without dropout.
        top: of a sweep, how many of the best configurations are scored as an ensemble too; None: none.

    Raises:
        ConfigError: neither a run nor a sweep, or nothing to evaluate yet.
    """
    from lstm_lab.evaluation.evaluate import evaluate
    from lstm_lab.report import write_report
    from lstm_lab.sweeps.store import summary
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.store.record import is_sweep

    if not is_sweep(path) and not Run(path).exists():
        raise no_record(path)
    with disk.explained(path, f"lstm-lab evaluate {path}"):
        if is_sweep(path):
            folder = SweepFolder.open(path)
            _ = folder.sweep  # A torn file is named as one, not as a sweep that has not ended.
            scores = summary.evaluate_best(folder, accelerator, samples, top)
        else:
            scores = evaluate(Run.open(path), accelerator=accelerator, samples=samples)
        write_report(path)
    return scores


def best_run(path: Path) -> Run:
    """The run in a folder; of a sweep, its best trial.

    Raises:
        ConfigError: neither, or no trial has a value.
    """
    from lstm_lab.sweeps.store.record import is_sweep, winner_folder

    if not is_sweep(path):
        if not Run(path).exists():
            raise no_record(path)
        return Run.open(path)
    return Run.open(winner_folder(path))
