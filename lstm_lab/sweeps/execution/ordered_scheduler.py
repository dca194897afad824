"""What Tune does with a trial that waits for the virtual clock: its process stands by, or makes room for another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from lstm_lab.records.files import Row
from lstm_lab.sweeps.execution.ordered_phase import OrderedPhase
from lstm_lab.sweeps.execution.trial_source import NotPickled
from lstm_lab.sweeps.ordering import Answer
from lstm_lab.sweeps.view.progress import SweepProgress

STAND_BY = 2.0
"""Seconds that a waiting trial keeps its process while another trial could use the place: a change costs about that."""


class Waiting(NamedTuple):
    """A trial that waits for a decision."""

    trial: TuneTrial
    epochs: int
    since: float


class OrderedScheduler(NotPickled, FIFOScheduler):
    """Passes on what the virtual clock decides.

    A trial that waits keeps its process, as long as no other trial needs the place; then it is paused, and started
    again once it is decided that it continues.

    Args:
        places: how many trials run at once.
    """

    def __init__(self, phase: OrderedPhase, view: SweepProgress, places: Callable[[], int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.phase, self.view, self.places = phase, view, places
        self.standing: dict[str, Waiting] = {}
        self.paused: dict[str, Waiting] = {}
        self.controller: Any = None
        phase.has_room = self.has_room

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: Row) -> str:
        if "epochs" not in result:
            return str(TrialScheduler.CONTINUE)
        id, epochs = str(trial.config["trial"]), int(result["epochs"])
        self.phase.report(id, epochs, result)
        answer = self.phase.answer(id, epochs)
        if answer is Answer.WAIT:
            self.standing[id] = Waiting(trial, epochs, time.monotonic())
            self.phase.waiting.add(id)
            return str(TrialScheduler.NOOP)
        return str(TrialScheduler.STOP if answer is Answer.STOP else TrialScheduler.CONTINUE)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        self.controller = tune_controller
        self._end_unstarted(tune_controller)
        for id, each in list(self.standing.items()):
            if (answer := self._settled(id, each, self.standing)) is Answer.CONTINUE:
                self._train(id, each)
            elif answer is Answer.STOP:
                tune_controller.stop_trial(each.trial)
        chosen = None
        for id, each in sorted(self.paused.items()):
            answer = self.phase.answer(id, each.epochs)
            if answer is Answer.STOP:
                del self.paused[id]
                tune_controller.stop_trial(each.trial)
            elif answer is Answer.CONTINUE and chosen is None:
                chosen = id
        self._make_room(tune_controller, is_chosen=chosen is not None)
        if chosen is None:
            return None
        self.phase.waiting.discard(chosen)
        return self.paused.pop(chosen).trial

    def _end_unstarted(self, controller: Any) -> None:
        """Trials that somebody has ended while they wait for a place."""
        if self.phase.ends:
            for trial in list(controller.get_live_trials()):
                if trial.status == TuneTrial.PENDING and trial.config["trial"] in self.phase.ends:
                    controller.stop_trial(trial)

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:
        id = str(trial.config["trial"])
        self.standing.pop(id, None)
        self.paused.pop(id, None)

    def _settled(self, id: str, each: Waiting, those: dict[str, Waiting]) -> Answer:
        answer = self.phase.answer(id, each.epochs)
        if answer is not Answer.WAIT:
            del those[id]
            self.phase.waiting.discard(id)
        return answer

    def _train(self, id: str, each: Waiting) -> None:
        """Let a trial that stands by train on."""
        try:
            # Tune has no public way to answer a result later than at once.
            self.controller._tune_controller._schedule_trial_train(each.trial)
        except AttributeError:
            self._pause(self.controller, id, each)

    def _make_room(self, controller: Any, *, is_chosen: bool) -> None:
        """Pause the last of the trials that stand by, where another trial needs its place."""
        live = controller.get_live_trials()
        wanted = sum(trial.status in (TuneTrial.PENDING, TuneTrial.RUNNING) for trial in live) + is_chosen
        late = [id for id, each in self.standing.items() if time.monotonic() - each.since > STAND_BY]
        if late and wanted > self.places():
            id = max(late)
            self._pause(controller, id, self.standing.pop(id))

    def _pause(self, controller: Any, id: str, each: Waiting) -> None:
        self.paused[id] = each
        self.phase.waiting.add(id)
        self.view.suspend_trial(id, "waiting")
        controller.pause_trial(each.trial, should_checkpoint=False)

    def has_room(self) -> bool:
        """Whether Tune may be given another trial: one more than run, so that its process is used at once."""
        if self.controller is None:
            return True
        live = self.controller.get_live_trials()
        now = time.monotonic()
        idle = sum(now - each.since > STAND_BY for each in self.standing.values()) + len(self.paused)
        return len(live) - idle <= self.places()
