"""A person's request to a running run or sweep, checked against its record before it is made."""

from __future__ import annotations

from pathlib import Path

from lstm_lab.config import ConfigError
from lstm_lab.records import files, requests
from lstm_lab.records.requests import Action
from lstm_lab.records.run import Run, no_record
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED
from lstm_lab.sweeps.store.record import TRIAL_ID, is_sweep
from lstm_lab.sweeps.store.refit import FOLDER as REFIT

OF_SWEEP: dict[Action, str] = {
    "pause": "it ends once the epochs in progress are complete; resume with: lstm-lab resume {path}",
    "stop": "it ends with what there is, once the epochs in progress are complete",
    "kill": "it ends with what there is; the trials that run are ended at once, and marked as failed",
}
OF_TRIAL: dict[Action, str] = {
    "stop": "it ends with its epoch in progress, and its best epoch counts",
    "kill": "it is ended at once, marked as failed, and does not count",
}
OF_RUN: dict[Action, str] = {
    "pause": "it ends with the step in progress; resume with: lstm-lab train --resume {path}",
    "stop": "it ends with the step in progress, and its best epoch counts",
    "kill": "it ends with the step in progress, and is marked as failed",
}
"""Action -> what follows."""


def ask(path: Path, action: Action, trial: str | None = None) -> str:
    """Ask the process that executes a run or a sweep to pause it, to stop it, or to end it at once.

    Args:
        path: of the run or sweep; the folder of a trial means that trial of its sweep, that of a refit the sweep.
        trial: of a sweep; None: the whole run or sweep.

    Returns:
        What follows, in one line.

    Raises:
        ConfigError: neither a run nor a sweep, no process works on it, no such trial, or it has ended.
    """
    path, trial = _of_sweep(path, trial)
    if not is_sweep(path) and not Run(path).exists():
        raise no_record(path)
    if trial is None:
        follows = (OF_SWEEP if is_sweep(path) else OF_RUN)[action]
        requests.request(path, action)
        return f"{path}: asked to {action}: {follows.format(path=path)}"
    if action == "pause":
        raise ConfigError(
            f"pause {trial}: a trial does not pause alone, because decisions about others wait for it; pause the "
            f"sweep, or stop the trial: lstm-lab stop {path} {trial}"
        )
    _check_trial(path, trial)
    requests.request(path, action, trial)
    return f"{path}: {trial} asked to {action}: {OF_TRIAL[action]}"


def _of_sweep(path: Path, trial: str | None) -> tuple[Path, str | None]:
    """The sweep and the trial, where a path is that of a trial; the sweep, where it is that of a refit."""
    absolute = path.resolve()
    sweep = absolute.parent.parent
    if trial is None and absolute.parent.name == REFIT and is_sweep(sweep):
        return sweep, None
    if trial is None and absolute.parent.name == "trials" and TRIAL_ID.fullmatch(absolute.name) and is_sweep(sweep):
        return sweep, absolute.name
    return path, trial


def _check_trial(path: Path, trial: str) -> None:
    """Raise ConfigError where a sweep has no such trial, or it has ended."""
    if not is_sweep(path):
        raise ConfigError(f"{path}: is a run, which has no trials: leave {trial} out")
    folder = SweepFolder.open(path)
    names = [row["trial"] for row in folder.trial_rows()]
    if trial not in names:
        known = f"its trials are {names[0]} to {names[-1]}" if names else f"{files.TRIALS} names none yet"
        raise ConfigError(f"{path}: has no trial {trial}: {known}")
    found = folder.trial(trial)
    if found.state in ENDED:
        raise ConfigError(f"{path}: {trial} has ended already: {found.state}")
