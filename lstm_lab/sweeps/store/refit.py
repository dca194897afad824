"""The best configuration of a sweep, trained once more on the training and the validation split together.

How many epochs, nothing can tell any more once the validation split is trained on. So it is the median, over the trials
of the configuration, of the epochs that each was trained for when it was best.
"""

from __future__ import annotations

import math
import threading
from itertools import count
from pathlib import Path
from statistics import median

from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Accelerator, Experiment
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.records.scores import Scores
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import Configuration, Trial, best_trial
from lstm_lab.training.train import train

FOLDER = "refit"


def refit_epochs(row: Configuration) -> dict[str, int]:
    """Trial of a configuration -> epochs that it was trained for when it was best."""
    return {trial.id: trial.epoch + 1 for trial in row.trials if trial.value is not None and trial.epoch is not None}


def refit_experiment(folder: SweepFolder, row: Configuration, won: Trial) -> Experiment:
    """What the refit trains: the configuration with the seed of its best trial."""
    epochs = math.floor(median(refit_epochs(row).values()) + 0.5)
    sweep = folder.sweep
    return sweep.experiment_for(won.config, won.seed).with_known_paths(sweep.base.known_paths).refit(epochs)


def refit_run(folder: SweepFolder, experiment: Experiment, won: Trial) -> Run:
    """The run of a refit, new or begun: an extended sweep may have another best configuration, or other epochs."""
    for number in count(1):
        run = Run(folder.path / FOLDER / (won.id if number == 1 else f"{won.id}-{number}"))
        if not run.exists() or run.experiment == experiment.dump():
            return run
    raise AssertionError


def refit(folder: SweepFolder, stop: threading.Event) -> Run | None:
    """Train the best configuration on both splits, or go on with it; None where there is no best one.

    Args:
        stop: once set, everything is saved and `Interrupted` is raised.

    Raises:
        Interrupted: calling again resumes.
        Fault: bad data, or a loss that is not a number.
    """
    ranked = folder.leaderboard()
    won = best_trial(ranked, folder.sweep.base.mode)
    if won is None:
        return None
    experiment = refit_experiment(folder, ranked[0], won)
    run = refit_run(folder, experiment, won)
    if run.exists() and run.status.get("state") == "finished":
        return run
    if not run.exists():
        files.make_folder(run.path.parent)
        command = str(folder.about.get("command", ""))
        about = {"trial": won.id, "best_epochs": refit_epochs(ranked[0]), "epochs": experiment.trainer.max_epochs}
        tags = list(experiment.tags)
        Run.create(run.path, experiment.dump(), command=command, job_type="refit", tags=tags, refit=about)
    train(experiment.with_found_paths(), run, stop=stop)
    return run


def known_refit(folder: SweepFolder, row: Configuration, won: Trial) -> Row | None:
    """What summary.json says of the refit of the best configuration; None where it was not begun."""
    if not folder.sweep.refit:
        return None
    run = refit_run(folder, refit_experiment(folder, row, won), won)
    return refit_row(run, folder.path) if run.exists() else None


def refit_row(run: Run, sweep: Path) -> Row:
    """What summary.json says of a refit."""
    known: Row = run.about["refit"]
    tests = [row["scores"] for row in run.test_evaluations() if "scores" in row]
    status = {key: run.status.get(key) for key in ("state", "reason")}
    return {"run": str(run.path.relative_to(sweep)), **known, **status, "test": tests[-1] if tests else None}


def evaluate_refit(folder: SweepFolder, summary: Row, accelerator: Accelerator | None = None) -> Scores | None:
    """Evaluate the refit of a summary on the test split, and enter its scores; None where there is none."""
    row = summary.get("refit")
    if not row or row["state"] != "finished":
        return None
    scores = evaluate(Run.open(folder.path / row["run"]), "test", accelerator=accelerator)
    row["test"] = scores.model
    return scores
