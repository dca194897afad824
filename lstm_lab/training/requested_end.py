"""How a run ends that a person has asked to pause, to stop or to end at once."""

from __future__ import annotations

from lstm_lab.config import Interrupted
from lstm_lab.experiment import Experiment
from lstm_lab.records.requests import Killed, Request
from lstm_lab.records.run import Run
from lstm_lab.training.train import Result, conclude


def end_as_requested(experiment: Experiment, run: Run, request: Request, again: str) -> Result:
    """Mark a run whose training was interrupted by a request.

    Args:
        again: the command that resumes it.

    Returns:
        The result of a run that was stopped: its best epoch until now.

    Raises:
        Interrupted: it was paused, or stopped before an epoch was complete.
        Killed: it was killed, and is marked as failed.
    """
    if request.action == "pause":
        raise Interrupted(f"{request.reason}; resume with: {again}")
    if request.action == "kill":
        run.mark(**{**run.status, "state": "failed", "reason": request.reason})
        raise Killed(f"{run.path}: {request.reason}")
    result = conclude(experiment, run, "stopped", request.reason)
    if result.epoch is None:
        raise Interrupted(f"{run.path}: {request.reason}, before its first epoch was complete; train it with: {again}")
    return result
