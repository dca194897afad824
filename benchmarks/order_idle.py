"""What the order of decisions costs: idle workers in a simulation of shipped sweeps, in both orders.

Times are simulated: an epoch of a trial takes so many seconds as its model has parameters, in units of the median
model's, with 10 % noise; a change of trials on a worker takes half a second. Curves are random.

    python benchmarks/order_idle.py --workers 2 4 8 --seconds 2
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lstm_lab.config import Notice
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row
from lstm_lab.sweeps.execution.tune_decider import TuneDecider
from lstm_lab.sweeps.hopeless import check_epochs
from lstm_lab.sweeps.ordering import Answer, Decider, Planned, Report, VirtualClock
from lstm_lab.sweeps.spec import Sweep, load_sweep

CHANGE, STAND_BY = 0.5, 2.0
"""Seconds to start another trial on a worker; that a waiting trial keeps its worker."""
SWEEPS = ("vowels_cells", "vowels_rates", "demand_cells", "imdb_size")


class Sizes:
    """Trials of a sweep with simulated times and curves, in the order in which they are asked for."""

    def __init__(self, sweep: Sweep, seconds: float, seed: int) -> None:
        self.sweep, self.rng = sweep, random.Random(seed)
        self.epochs, self.decisions = sweep.base.trainer.max_epochs, TuneDecider(
            sweep.build_scheduler(), sweep.base.trainer.max_epochs, "m", sweep.base.mode, 0
        )  # fmt: skip
        searcher = sweep.model_copy(update={"searcher": Sweep.model_fields["searcher"].default}).build_searcher()
        searcher.setup(sweep.search_space, sweep.num_samples, seed, sweep.base.mode)
        overrides = [searcher.ask(number) for number in range(sweep.num_configurations)]
        works = [work(sweep.experiment_for(each, 0)) for each in overrides]
        median = statistics.median(works)
        self.trials = [(seconds * each / median, self.rng.random()) for each in works for _ in sweep.seeds]
        self.next = 0

    def plan(self) -> Sequence[Planned]:
        each = len(self.sweep.seeds)
        self.next += each
        return [Planned(self.epochs)] * each if self.next <= len(self.trials) else []

    def skip(self, trial: int, because: int) -> None:
        pass

    def end(self, trial: int) -> None:
        pass

    def row(self, trial: int, epochs: int) -> Row:
        return {"m": self.trials[trial][1] + 1 / epochs}


def work(experiment: Experiment) -> float:
    """Of an epoch: a fixed part, and one that grows with the recurrent weights."""
    model = experiment.model.model_dump()
    return float(32**2 + (model.get("hidden_size") or 64) ** 2 * model.get("num_layers", 1))


class Arrival:
    """Decides at once, and starts whatever comes next."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.stopped, self.count = sizes, set[int](), 0
        self.rungs = sizes.sweep.build_scheduler().decision_epochs(sizes.epochs)

    def take(self) -> int | None:
        self.count += 1
        return self.count - 1 if self.count <= len(self.sizes.trials) else None

    def report(self, trial: int, epochs: int, row: Report) -> None:
        is_rung = self.rungs is None or epochs in self.rungs
        if is_rung and epochs < self.sizes.epochs and not self.sizes.decisions.decide(trial, epochs, row):
            self.stopped.add(trial)

    def answer(self, trial: int, epochs: int) -> Answer:
        return Answer.STOP if trial in self.stopped else Answer.CONTINUE

    def end(self, trial: int) -> None:
        pass


class OnlyAt:
    """A decider that is asked at its own epochs alone; elsewhere all trials go on."""

    def __init__(self, inner: Decider, rungs: Sequence[int] | None) -> None:
        self.inner, self.rungs = inner, rungs

    def decide(self, trial: int, epochs: int, row: Report) -> bool:
        return self.inner.decide(trial, epochs, row) if self.rungs is None or epochs in self.rungs else True

    def compare(self, epochs: int, rows: Mapping[int, Report]) -> None:
        self.inner.compare(epochs, rows)


def simulate(sizes: Sizes, clock: VirtualClock | Arrival, workers: int) -> tuple[float, float]:
    """Seconds until the end, and seconds of training in all."""
    events: list[tuple[float, int, int]] = []  # time, trial, epochs when it reports
    waiting: dict[int, tuple[int, float, bool]] = {}  # trial -> epochs, since when, whether it has a worker
    now = busy = 0.0

    def train(trial: int, epochs: int, extra: float) -> None:
        nonlocal busy
        seconds = sizes.trials[trial][0] * sizes.rng.lognormvariate(0, 0.1)
        busy += seconds
        heapq.heappush(events, (now + seconds + extra, trial, epochs + 1))

    def settle() -> Iterator[None]:
        for trial, (epochs, _, has_worker) in sorted(waiting.items()):
            answer = clock.answer(trial, epochs)
            if answer is Answer.STOP:
                del waiting[trial]
                clock.end(trial)
                yield
            elif answer is Answer.CONTINUE and (has_worker or free() > 0):
                del waiting[trial]
                train(trial, epochs, 0.0 if has_worker else CHANGE)
                yield

    def free() -> int:
        return workers - sum(trial >= 0 for _, trial, _ in events) - sum(has for _, _, has in waiting.values())

    while True:
        while any(True for _ in settle()):
            pass
        late = [t for t, (_, since, has) in waiting.items() if has and now - since >= STAND_BY - 1e-9]
        ready = any(not has and clock.answer(t, e) is Answer.CONTINUE for t, (e, _, has) in waiting.items())
        if free() <= 0 and late and ready:
            epochs, since, _ = waiting[max(late)]
            waiting[max(late)] = (epochs, since, False)
            continue
        if (free() > 0 or late) and (trial := clock.take()) is not None:
            if free() <= 0:
                epochs, since, _ = waiting[max(late)]
                waiting[max(late)] = (epochs, since, False)
            train(trial, 0, CHANGE)
            continue
        if not [each for each in events if each[1] >= 0]:
            return now, busy
        now, trial, epochs = heapq.heappop(events)
        if trial < 0:
            continue
        clock.report(trial, epochs, sizes.row(trial, epochs))
        if epochs == sizes.epochs:
            clock.end(trial)
        else:
            waiting[trial] = (epochs, now, True)
            heapq.heappush(events, (now + STAND_BY, -1, 0))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workers", type=int, nargs="*", default=[2, 4, 8])
    arguments.add_argument("--seconds", type=float, default=2.0, help="of an epoch of the median model")
    arguments.add_argument("--stop-sick", action="store_true", help="wait where hopeless trials are looked for, too")
    given = arguments.parse_args()
    warnings.simplefilter("ignore", Notice)
    print("| sweep | workers | idle, by arrival | idle, virtual order | time, virtual order / arrival |")
    print("|---|---|---|---|---|")
    for name in SWEEPS:
        sweep = load_sweep(Path("sweeps") / f"{name}.yaml", must_exist=False)
        checks = check_epochs(sweep.base.trainer.max_epochs) if given.stop_sick else []
        for workers in given.workers:
            rows = []
            for seed in range(5):
                found = []
                for virtual in (False, True):
                    sizes = Sizes(sweep, given.seconds, seed)
                    learns = sweep.learns_from_results
                    scheduler = sweep.build_scheduler()
                    rungs = scheduler.decision_epochs(sizes.epochs)
                    looks = rungs if rungs is None else sorted({*rungs, *(checks if virtual else ())})
                    clock = Arrival(sizes) if not virtual else VirtualClock(
                        2 * workers, sizes, OnlyAt(sizes.decisions, rungs), compares=scheduler.compares,
                        decision_epochs=looks, asks_ahead=not learns, starts_ahead=True,
                    )  # fmt: skip
                    end, busy = simulate(sizes, clock, workers)
                    found += [1 - busy / end / workers, end]
                rows.append((found[0], found[2], found[3] / found[1]))
            arrival, ordered, ratio = (statistics.mean(column) for column in zip(*rows, strict=True))
            print(f"| {name} | {workers} | {arrival:.0%} | {ordered:.0%} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
