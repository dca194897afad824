"""Obeys what people ask of a sweep while it runs (`lstm-lab pause|stop|kill`), at the ticks of Tune's loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ray.tune.experiment import Trial as TuneTrial

from lstm_lab.records.requests import Request, Requests
from lstm_lab.sweeps.execution.trial_source import TrialSource
from lstm_lab.sweeps.view.progress import SweepProgress

INTERVAL = 0.5
"""Seconds between two looks at the folder."""


class RequestedEnds:
    """Passes requests on to a phase; what runs is ended at the end of its epoch, or at once.

    Args:
        end_process: ends the process of a trial.
    """

    def __init__(
        self, requests: Requests, source: TrialSource, view: SweepProgress, end_process: Callable[[TuneTrial], None]
    ) -> None:
        self.requests, self.source, self.view, self.end_process = requests, source, view, end_process
        self._next_look = 0.0

    def obey(self, trials: Sequence[TuneTrial]) -> None:
        """Look for requests, unless that was done a moment ago.

        Args:
            trials: all that Tune has.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + INTERVAL
        for request in self.requests.new():
            if request.action == "pause":
                self.source.pause(request)
            elif request.trial is None:
                self._end_sweep(request, trials)
            else:
                self._end_trial(request.trial, request, trials)

    def _end_sweep(self, request: Request, trials: Sequence[TuneTrial]) -> None:
        if request.action == "kill":
            for trial in trials:
                if trial.status == TuneTrial.RUNNING:
                    self._end_trial(str(trial.config["trial"]), request, [trial])
        self.source.end_sweep(request)

    def _end_trial(self, id: str, request: Request, trials: Sequence[TuneTrial]) -> None:
        if self.source.end_trial(id, request):
            self.view.add_ended(self.source.folder.trial(id))
        elif request.action == "kill":
            for trial in trials:
                if trial.status == TuneTrial.RUNNING and trial.config["trial"] == id:
                    trial.max_failures = 0
                    self.end_process(trial)
