"""A virtual clock: suggestions and stopping decisions happen in an order that depends on the sweep alone.

On the clock, so many virtual workers train trials, each an epoch per tick, and take the next trial when one ends. What
happens at the same tick happens in the order of the trials. Real workers, more or fewer, report in any order; a report
is kept until everything that comes before it is known. So a trial may be trained ahead of the clock wherever no
decision can depend on what is missing, and waits where one can.

A trial is looked at after the epochs of its decisions and at its last epoch, its milestones. A trial that ends before,
by its own early stopping or because it failed, holds its virtual worker until its next milestone: then the time of an
end is known before it comes, and no trial has to wait for whether another one fails.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

from lstm_lab.sweeps.ordering.contract import Answer, Compares, Decider, Report, Trials
from lstm_lab.sweeps.ordering.trial import Trial


class VirtualClock:
    """The state of a sweep on the clock; reports go in, decisions come out.

    Args:
        workers: virtual ones.
        trials: asked for a configuration when a virtual worker is free.
        decider: of the scheduler.
        compares: what its decisions depend on.
        decision_epochs: after which it decides; None: after each.
        max_ticks: of all virtual workers together, after which all trials are stopped; None: no limit.
        asks_ahead: whether configurations depend on no result, and may be asked for before their time.
        starts_ahead: whether nothing can keep a trial that is planned from being started.
    """

    def __init__(
        self, workers: int, trials: Trials, decider: Decider, *, compares: Compares = Compares.EARLIER_TRIALS,
        decision_epochs: Sequence[int] | None = (), max_ticks: int | None = None, asks_ahead: bool = False,
        starts_ahead: bool = False,
    ) -> None:  # fmt: skip
        self.workers, self.source, self.decider, self.compares = workers, trials, decider, compares
        self.decision_epochs, self.max_ticks = decision_epochs, max_ticks
        self.asks_ahead, self.starts_ahead = asks_ahead, starts_ahead
        self.now = 0
        self.cut: int | None = None
        """Tick at which `max_ticks` were used up."""
        self.trials: list[Trial] = []
        self._queue: deque[Trial] = deque()
        """Planned, and not taken by a virtual worker."""
        self._events: list[tuple[int, int]] = []
        """Tick of the next milestone and number of each trial that a virtual worker has."""
        self._done = self._starts = 0
        """Ticks of ended trials; sum of the starting ticks of the others."""
        self._fronts: dict[int, int] = {}
        """Epochs -> the first trial that is not decided after so many."""
        self._stopped: list[Trial] = []
        """Stopped, and perhaps given to no real worker."""
        self._is_planned = False
        """Whether there is no further configuration."""
        self._first = 0
        """All trials before it have been given to real workers."""
        self._limits: dict[int, Sequence[int]] = {}
        self._groups: dict[int, list[Trial]] = {}
        self._advance()

    # --- from and to real workers -------------------------------------------------------------------------------------

    def report(self, trial: int, epochs: int, row: Report) -> None:
        """A trial has trained so many epochs; again after it was restarted."""
        found = self.trials[trial]
        if epochs > found.settled and epochs not in found.rows:
            found.rows[epochs], found.reached = row, epochs
            self._advance()

    def end(self, trial: int) -> None:
        """A trial has ended, and the record holds how."""
        found = self.trials[trial]
        if not found.ended:
            found.ended = found.started = True
            self._advance()

    def give_back(self, trial: int) -> None:
        """A real worker was given a trial, and died before it began: `take` has it again."""
        self.trials[trial].started = False
        self._first = min(self._first, trial)

    def answer(self, trial: int, epochs: int) -> Answer:
        """Whether a trial that has trained so many epochs is to train another one."""
        found = self.trials[trial]
        if found.stop is not None and epochs >= found.stop:
            return Answer.STOP
        if epochs >= found.epochs:
            return Answer.CONTINUE
        if epochs >= found.next or epochs >= self._limit(found):
            return Answer.WAIT
        return Answer.CONTINUE

    def take(self) -> int | None:
        """A trial to give to a real worker; None while there is none."""
        while True:
            for found in self.trials[self._first :]:
                if found.started:
                    self._first += found.number == self._first
                elif self._may_start(found):
                    found.started = True
                    return found.number
            if not (self.asks_ahead and self.plan()):
                return None
            self._advance()

    def _may_start(self, trial: Trial) -> bool:
        is_due = trial.start is not None or self.starts_ahead
        return is_due and not trial.waits and (trial.stop is None or trial.reached < trial.stop)

    def stopped_unstarted(self) -> list[tuple[int, int]]:
        """Trials that are stopped and that no real worker has, after how many epochs: those of an earlier process."""
        self._stopped = [each for each in self._stopped if not each.started]
        return [(each.number, each.reached) for each in self._stopped if each.reached >= (each.stop or 0)]

    def is_cut(self, trial: int) -> bool:
        """Whether a trial is stopped because the ticks are used up."""
        found = self.trials[trial]
        return self.cut is not None and found.stop is not None and found.due == self.cut

    @property
    def is_over(self) -> bool:
        """Whether every trial has ended on the clock, and no further one comes."""
        return not self._events and (self.is_used_up or (self._is_planned and not self._queue))

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Decide all that can be decided, and let the clock run as far as it can."""
        self._decide()
        while self._take_next() or self._pop():
            self._decide()

    def _decide(self) -> None:
        if self.compares is Compares.EARLIER_TRIALS:
            for epochs in self._decisions():
                self._decide_in_order(epochs)
        elif self.compares is Compares.POPULATION:
            while self._compare():
                pass

    def _decisions(self) -> Sequence[int]:
        if self.decision_epochs is not None:
            return self.decision_epochs
        return range(1, max((trial.epochs for trial in self.trials[-1:]), default=0))

    def _decide_in_order(self, epochs: int) -> None:
        """Decide about one trial after another after so many epochs, as far as they have come."""
        place = self._fronts.get(epochs, 0)
        while place < len(self.trials):
            trial = self.trials[place]
            if trial.waits and trial.next == epochs:
                self._decide_one(trial)
            elif not (trial.settled >= epochs or trial.over or trial.epochs <= epochs):
                break
            place += 1
        self._fronts[epochs] = place

    def _decide_one(self, trial: Trial) -> None:
        """Ask the decider about a trial at its next milestone."""
        epochs = trial.next
        goes_on = self.decider.decide(trial.number, epochs, trial.rows[epochs])
        # Those of its group behind it start no earlier: what they do after so many epochs comes later on the clock.
        before = [each for each in self._group(trial) if each.number < trial.number]
        cause = next((each for each in before if each.stop is not None and each.stop <= epochs), None)
        # What the record holds stays: a trial that went on then was not stopped.
        if (goes_on and cause is None) or any(later > epochs for later in trial.rows):
            self._pass(trial)
        else:
            trial.stop, trial.because = epochs, cause.number if goes_on and cause is not None else None
            self._stopped.append(trial)

    def _group(self, trial: Trial) -> Sequence[Trial]:
        return () if trial.group is None else self._groups[trial.group]

    def _pass(self, trial: Trial) -> None:
        trial.passed += 1
        for epochs in [each for each in trial.rows if each <= trial.settled]:
            del trial.rows[epochs]

    def _compare(self) -> bool:
        """Compare a population whose trials all wait at the same milestone; whether it was so."""
        is_complete = not self._queue and (self._is_planned or len(self.trials) >= self.workers)
        alive = [trial for trial in self.trials if not trial.over]
        if not is_complete or not alive or not all(trial.waits for trial in alive):
            return False
        epochs = min(trial.next for trial in alive)
        those = [trial for trial in alive if trial.next == epochs]
        # Where one has trained on, an earlier process has compared them.
        if not any(later > epochs for trial in those for later in trial.rows):
            self.decider.compare(epochs, {trial.number: trial.rows[epochs] for trial in those})
        for trial in those:
            self._pass(trial)
        return True

    # --- the clock ----------------------------------------------------------------------------------------------------

    def plan(self) -> bool:
        """Plan the trials of a further configuration; False where there is none."""
        planned = [] if self._is_planned else self.source.plan()
        self._is_planned = not planned
        for each in planned:
            trial = Trial(len(self.trials), self._milestones(each.epochs), dict(each.rows), each.ended, each.group)
            self.trials.append(trial)
            if each.group is not None:
                self._groups.setdefault(each.group, []).append(trial)
            self._queue.append(trial)
        return bool(planned)

    def _milestones(self, epochs: int) -> Sequence[int]:
        if epochs not in self._limits:
            every = range(1, epochs) if self.decision_epochs is None else self.decision_epochs
            self._limits[epochs] = (*(each for each in every if each < epochs), epochs)
        return self._limits[epochs]

    def _take_next(self) -> bool:
        """Give a free virtual worker the next trial; False where there is none of either."""
        if len(self._events) >= self.workers or self.is_used_up:
            return False
        if not self._queue and not self.plan():
            return False
        trial = self._queue.popleft()
        trial.start = self.now
        cause = next((each for each in self._group(trial) if each.is_past and each.stop is not None), None)
        if cause is not None:
            trial.stop, trial.because = 0, cause.number
            trial.started = trial.ended = trial.is_past = True
            self.source.skip(trial.number, cause.number)
            self.source.end(trial.number)
            return True
        self._starts += self.now
        self._push(trial)
        return True

    def _push(self, trial: Trial) -> None:
        heapq.heappush(self._events, (trial.due, trial.number))

    def _pop(self) -> bool:
        """Let the first event happen; False where it is not known yet, or there is none."""
        if not self._events:
            return False
        tick, number = self._events[0]
        trial, end = self.trials[number], self._end_of_ticks()
        assert trial.start is not None
        if end is not None and self.cut is None and tick > end:
            self._stop_all(end)
            return True
        epochs = tick - trial.start
        if self.compares is Compares.ANY_TRIALS and trial.waits and trial.next == epochs:
            self._decide_one(trial)
        if trial.due > tick:
            heapq.heapreplace(self._events, (trial.due, number))
            return True
        if not trial.ended or not trial.over:
            return False
        heapq.heappop(self._events)
        self.now = tick
        self._done += epochs
        self._starts -= trial.start
        trial.is_past = True
        self.source.end(number)
        return True

    # --- the limit of ticks -------------------------------------------------------------------------------------------

    def _ticks(self) -> int:
        """Of all virtual workers until now."""
        return self._done + len(self._events) * self.now - self._starts

    @property
    def is_used_up(self) -> bool:
        """Whether no trial is taken any more, because `max_ticks` are over."""
        return self.cut is not None or (self.max_ticks is not None and self._ticks() >= self.max_ticks)

    def _end_of_ticks(self) -> int | None:
        """The first tick at which they can be used up: not before, as no more virtual workers train than do now."""
        if self.max_ticks is None or not self._events:
            return None
        left = max(0, self.max_ticks - self._ticks())
        return self.now - (-left // len(self._events))

    def _limit(self, trial: Trial) -> float:
        """Epochs that a trial may train before more is known of the others."""
        end = self._end_of_ticks() if self.cut is None else self.cut
        return float("inf") if end is None or trial.start is None else end - trial.start

    def _stop_all(self, tick: int) -> None:
        """The ticks are used up: every trial that a virtual worker has is stopped where it is on the clock."""
        self.now = self.cut = tick
        stopped = [self.trials[number] for _, number in self._events]
        self._events = []
        for trial in stopped:
            assert trial.start is not None
            if tick - trial.start < trial.epochs:
                trial.stop = tick - trial.start
                self._stopped.append(trial)
            self._push(trial)
