"""Whatever real workers do, a sweep's decisions are those of a simulation that knows all results in advance."""

from __future__ import annotations

import heapq
import random
import time

import hypothesis.strategies as st
from hypothesis import given, settings

from lstm_lab.sweeps.ordering import Answer, Compares, Planned, VirtualClock


class World:
    """A sweep whose results are known: configuration -> lengths and curves of its trials; the results of a
    configuration depend on what its searcher was told before."""

    def __init__(self, seed, configurations, seeds, max_epochs, learns, patience=None):
        self.seed, self.configurations, self.seeds, self.max_epochs = seed, configurations, seeds, max_epochs
        self.learns, self.patience = learns, patience

    def length(self, trial):
        """Epochs after which it ends by itself, or fails."""
        rng = random.Random(f"{self.seed} {trial}")
        return self.max_epochs if rng.random() < 0.7 else rng.randint(0, self.max_epochs)

    def value(self, trial, epochs, told):
        return random.Random(f"{self.seed} {trial} {epochs} {told if self.learns else ''}").random()


class Search:
    """A searcher, and the record of a sweep: what an earlier process left is planned again."""

    def __init__(self, world, record=None):
        self.world, self.record = world, record or {}
        self.log, self.told, self.configurations, self.basis = [], [], 0, {}

    def plan(self):
        world = self.world
        is_tired = world.patience is not None and len(self.told) >= world.patience
        if self.configurations == world.configurations or is_tired:
            return []
        number, self.configurations = self.configurations, self.configurations + 1
        if world.learns:
            self.log.append(("ask", number))
        planned = []
        for trial in range(number * world.seeds, (number + 1) * world.seeds):
            self.basis[trial] = str(self.told) if world.learns else ""
            rows, ended = self.record.get(trial, (0, False))
            planned.append(Planned(world.max_epochs, {e: self.row(trial, e) for e in range(1, rows + 1)}, ended))
        return planned

    def row(self, trial, epochs):
        return {"value": self.world.value(trial, epochs, self.basis[trial])}

    def end(self, trial):
        self.log.append(("tell", trial))
        self.told.append(trial)


class Halving:
    """A trial stops that is in the worse half of those that were compared after as many epochs."""

    def __init__(self, is_population=False):
        self.seen, self.compared = {}, []

    def decide(self, trial, epochs, row):
        seen = self.seen.setdefault(epochs, [])
        better = sum(value < row["value"] for value in seen)
        seen.append(row["value"])
        return better <= len(seen) / 2

    def compare(self, epochs, rows):
        self.compared.append((epochs, {trial: row["value"] for trial, row in rows.items()}))


def simulate(world, workers, decisions, decider, max_ticks=None):
    """The same in virtual time alone: (asks and tells, epochs after which each trial was stopped)."""
    search, running, queue, stops, started, ticks = Search(world), [], [], {}, {}, 0
    trials, now = 0, 0

    def fill():
        nonlocal trials
        while len(running) < workers:
            if not queue:
                planned = search.plan()
                queue.extend(range(trials, trials + len(planned)))
                trials += len(planned)
            if not queue:
                return
            trial = queue.pop(0)
            started[trial] = now
            heapq.heappush(running, (now + next_of(trial, 0), trial))

    def next_of(trial, epochs):
        return min([each for each in decisions if epochs < each < world.max_epochs] + [world.max_epochs])

    fill()
    while running:
        tick = running[0][0]
        used = tick if max_ticks is None else now - (-max(0, max_ticks - ticks) // len(running))
        if used < tick:
            for trial in sorted(trial for _, trial in running):
                stops[trial] = used - started[trial]
                search.end(trial)
            break
        ticks += len(running) * (tick - now)
        now, trial = heapq.heappop(running)
        epochs, length = now - started[trial], world.length(trial)
        if epochs < world.max_epochs and length >= epochs:
            if decider.decide(trial, epochs, search.row(trial, epochs)):
                heapq.heappush(running, (started[trial] + next_of(trial, epochs), trial))
                continue
            stops[trial] = epochs
        search.end(trial)
        if max_ticks is None or ticks < max_ticks:
            fill()
    return search.log, stops


class Real:
    """Real workers of random speeds over a clock; processes are killed, and the driver too."""

    def __init__(self, world, workers, places, rng, make_decider, kills, **clock):
        self.world, self.workers, self.places, self.rng = world, workers, places, rng
        self.make_decider, self.clock_options, self.kills = make_decider, clock, kills
        self.record = {}
        self.start()

    def start(self):
        self.search, self.decider = Search(self.world, self.record), self.make_decider()
        self.clock = VirtualClock(self.workers, self.search, self.decider, **self.clock_options)
        self.running, self.waiting = [], []

    def ended(self, trial):
        self.record[trial] = (self.record.get(trial, (0, False))[0], True)
        self.clock.end(trial)

    def settle(self):
        for trial in list(self.waiting):
            epochs = self.record.get(trial, (0, False))[0]
            answer = self.clock.answer(trial, epochs)
            if answer is not Answer.WAIT:
                self.waiting.remove(trial)
            if answer is Answer.STOP:
                self.ended(trial)
            elif answer is Answer.CONTINUE:
                self.running.append(trial)
        for trial, _ in self.clock.stopped_unstarted():
            self.ended(trial)

    def step(self, trial):
        epochs = self.record.get(trial, (0, False))[0]
        if epochs >= self.world.length(trial):
            self.running.remove(trial)
            self.ended(trial)
            return
        self.record[trial] = (epochs + 1, False)
        self.clock.report(trial, epochs + 1, self.search.row(trial, epochs + 1))
        self.running.remove(trial)
        self.waiting.append(trial)

    def run(self):
        for _ in range(100_000):
            self.settle()
            while len(self.running) < self.places and (trial := self.clock.take()) is not None:
                # As a process that is restarted does, it reports where it stands before it trains.
                self.waiting.append(trial)
                self.settle()
            if self.kills and self.rng.random() < 0.03:
                self.kills -= 1
                self.start()
            elif self.running:
                self.step(self.rng.choice(self.running))
            elif self.clock.is_over:
                return self
        raise AssertionError("it waits for ever")


RULES = {"asha": [1, 3], "median": None, "fifo": []}


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 10**6), scheduler=st.sampled_from(sorted(RULES)), workers=st.integers(1, 5),
    places=st.integers(1, 6), learns=st.booleans(), seeds=st.integers(1, 2), compares=st.sampled_from(
        [Compares.EARLIER_TRIALS, Compares.ANY_TRIALS]), limit=st.sampled_from([None, None, 12, 25]),
    patience=st.sampled_from([None, None, 4]), kills=st.integers(0, 3),
)  # fmt: skip
def test_real_speeds_workers_and_kills_change_no_decision(
    seed, scheduler, workers, places, learns, seeds, compares, limit, patience, kills
):
    world = World(seed, 8, seeds, 6, learns, patience)
    decisions = range(1, 6) if RULES[scheduler] is None else RULES[scheduler]
    log, stops = simulate(world, workers, decisions, Halving(), limit)
    is_free = limit is None and patience is None
    real = Real(
        world, workers, places, random.Random(seed), Halving, kills, compares=compares, max_ticks=limit,
        decision_epochs=RULES[scheduler], starts_ahead=is_free, asks_ahead=is_free and not learns,
    ).run()  # fmt: skip
    assert real.search.log == log
    assert {trial.number: trial.stop for trial in real.clock.trials if trial.stop is not None} == stops
    for trial, (epochs, ended) in real.record.items():
        assert ended
        # Nothing was trained beyond a stop.
        assert epochs == min(stops.get(trial, 6), world.length(trial))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), places=st.integers(1, 6), kills=st.integers(0, 3))
def test_a_population_is_compared_as_a_whole(seed, places, kills):
    world, decider = World(seed, 4, 1, 6, False), Halving()
    real = Real(
        world, 4, places, random.Random(seed), lambda: decider, kills, compares=Compares.POPULATION,
        decision_epochs=[2, 4],
    ).run()  # fmt: skip
    lengths = {trial: world.length(trial) for trial in range(4)}
    expected = [
        (epochs, {trial: real.search.row(trial, epochs)["value"] for trial in range(4) if lengths[trial] >= epochs})
        for epochs in (2, 4)
    ]
    # Again after a kill, unless a trial had gone on.
    assert [epochs for epochs, _ in decider.compared] == sorted(epochs for epochs, _ in decider.compared)
    assert dict(decider.compared) == {epochs: values for epochs, values in expected if values}


def test_a_learning_search_never_has_more_unfinished_trials_than_virtual_workers():
    search = Search(World(0, 20, 1, 4, learns=True))
    clock = VirtualClock(3, search, Halving(), starts_ahead=True)
    taken = []
    while (trial := clock.take()) is not None:
        taken.append(trial)
    assert taken == [0, 1, 2]
    clock.end(1)
    assert clock.take() is None, "trial 0 ends before it on the clock"
    clock.end(0)
    assert [clock.take(), clock.take(), clock.take()] == [3, 4, None]


def test_halving_waits_for_no_later_trial():
    search = Search(World(0, 8, 1, 9, learns=False))
    clock = VirtualClock(2, search, Halving(), decision_epochs=[3], asks_ahead=True, starts_ahead=True)
    assert [clock.take() for _ in range(3)] == [0, 1, 2]
    clock.report(2, 3, {"value": 0.5})
    clock.report(1, 3, {"value": 0.4})
    assert clock.answer(2, 3) is clock.answer(1, 3) is Answer.WAIT
    clock.report(0, 3, {"value": 0.1})
    assert clock.answer(0, 3) is Answer.CONTINUE
    assert (clock.answer(1, 3), clock.answer(2, 3)) == (Answer.CONTINUE, Answer.STOP)


def test_ten_thousand_trials_are_ordered_in_seconds():
    search = Search(World(0, 10_000, 1, 1, learns=False))
    began = time.process_time()
    clock = VirtualClock(4, search, Halving(), asks_ahead=True, starts_ahead=True)
    while (trial := clock.take()) is not None:
        clock.end(trial)
    assert clock.is_over
    assert time.process_time() - began < 5
