"""What `stop_sick: true` saves: sweeps whose every trial was trained to completion, replayed with and without it.

    python benchmarks/stop_sick.py --write               # train what is missing, then write benchmarks/stop_sick.md
    python benchmarks/stop_sick.py --sweeps 'vowels rates' --seeds 0 1

Each sweep is drawn with five seeds of its samples and trained without a scheduler; the curves are kept in --results, so
that an interrupted benchmark resumes. Then the virtual clock decides over the recorded curves, once with the sweep's
scheduler alone and once with `stop_sick: true`. Everything is counted in epochs, which no load of the machine changes.
*Time to the best*: ticks of the virtual clock until a trial is as good as the winner of the scheduler alone. *Lost*: no
trial ever is. Thresholds of the rules were set on the sweeps marked "tuned"; the others judge.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from cells import processor

from lstm_lab.config import DataError, Notice
from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row, read_jsonl
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import finite
from lstm_lab.sweeps.execution.tune_decider import TuneDecider
from lstm_lab.sweeps.hopeless import PREFIX, HopelessDecider, check_epochs
from lstm_lab.sweeps.ordering import Answer, Planned, VirtualClock
from lstm_lab.sweeps.spec import Sweep, load_sweep
from lstm_lab.training.train import train

ROOT = Path(__file__).parent.parent
KEPT = ("train/loss", "val/loss", "lr")


@dataclass(frozen=True)
class Replayed:
    """A shipped sweep, and what is changed of it."""

    file: str
    changes: tuple[str, ...] = ()
    tuned: bool = False

    def sweep(self, seed: int) -> Sweep:
        # One seed of the weights: so more configurations are tried in the same time.
        return load_sweep(ROOT / "sweeps" / f"{self.file}.yaml", [*self.changes, "seeds=[0]", f"seed={seed}"])


WIDE = "space.optimizer.lr={loguniform: [1e-5, 1]}"
SWEEPS = {
    "vowels cells": Replayed("vowels_cells"),
    "vowels cells, wide": Replayed("vowels_cells", (WIDE, "num_samples=8"), tuned=True),
    "vowels rates": Replayed("vowels_rates", ("confirm=null",)),
    "demand cells": Replayed("demand_cells"),
    "demand cells, wide": Replayed("demand_cells", (WIDE, "num_samples=6")),
}


def drawn(sweep: Sweep) -> list[Row]:
    """The configurations of a sweep, as its searcher proposes them."""
    searcher = sweep.build_searcher()
    searcher.setup(sweep.search_space, sweep.num_samples, sweep.seed, sweep.base.mode)
    return [searcher.ask(number) for number in range(sweep.num_configurations)]


def record(experiment: Experiment, dataset: Dataset) -> list[Row]:
    """The rows of a whole training, up to its failure if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", experiment.dump(), job_type="benchmark")
        with contextlib.suppress(DataError):  # A loss that is not finite.
            train(experiment, run, dataset=dataset)
        keys = dict.fromkeys((experiment.monitor, *KEPT))
        return [{key: row[key] for key in keys if finite(row.get(key))} for row in run.rows()]


class Replay:
    """A sweep on the virtual clock, over recorded curves."""

    def __init__(self, sweep: Sweep, curves: Sequence[Sequence[Row]], *, stop_sick: bool) -> None:
        base, scheduler = sweep.base, sweep.build_scheduler()
        self.curves, self.max_epochs, self.next = curves, base.trainer.max_epochs, 0
        self.reasons: dict[int, str] = {}
        rungs = scheduler.decision_epochs(self.max_epochs)
        inner = TuneDecider(scheduler, self.max_epochs, base.monitor, base.mode, sweep.seed)
        decider = inner if not stop_sick else HopelessDecider(
            inner, rungs, self.max_epochs, base.monitor, base.mode, lambda trial: trial, lambda trial: self.max_epochs,
            self.reasons,
        )  # fmt: skip
        looks = None if rungs is None else sorted({*rungs, *(check_epochs(self.max_epochs) if stop_sick else ())})
        self.clock = VirtualClock(
            sweep.max_concurrent_trials, self, decider, compares=scheduler.compares, decision_epochs=looks,
            asks_ahead=True, starts_ahead=True,
        )  # fmt: skip
        self.trained: dict[int, int] = {}
        waiting: list[int] = []
        while not self.clock.is_over:
            while (trial := self.clock.take()) is not None:
                waiting.append(trial)
            for trial in list(waiting):
                if self._train(trial):
                    waiting.remove(trial)

    def _train(self, trial: int) -> bool:
        """Train as far as it is decided; whether it has ended."""
        epochs = self.trained.setdefault(trial, 0)
        while (answer := self.clock.answer(trial, epochs)) is Answer.CONTINUE and epochs < len(self.curves[trial]):
            epochs += 1
            self.trained[trial] = epochs
            self.clock.report(trial, epochs, self.curves[trial][epochs - 1])
        if answer is Answer.WAIT and epochs < len(self.curves[trial]):
            return False
        if answer is Answer.WAIT and self.clock.answer(trial, epochs) is Answer.WAIT:
            self.clock.end(trial)
            return True
        self.clock.end(trial)
        return True

    def plan(self) -> Sequence[Planned]:
        self.next += 1
        return [Planned(self.max_epochs)] if self.next <= len(self.curves) else []

    def skip(self, trial: int, because: int) -> None: ...

    def end(self, trial: int) -> None: ...

    @property
    def epochs(self) -> int:
        """Trained in all."""
        return sum(self.trained.values())

    def time_to(self, cost: float, sign: float, metric: str) -> int | None:
        """Tick at which a trial has this cost or less; None: never."""
        ticks = [
            (self.clock.trials[trial].start or 0) + epoch
            for trial, epochs in self.trained.items()
            for epoch, row in enumerate(self.curves[trial][:epochs], 1)
            if metric in row and sign * row[metric] <= cost
        ]
        return min(ticks, default=None)

    def best(self, sign: float, metric: str) -> float:
        """Least cost of a trial that no decision has stopped."""
        whole = [trial for trial in self.trained if self.clock.trials[trial].stop is None]
        return min(sign * float(row[metric]) for trial in whole for row in self.curves[trial] if metric in row)


def compare(sweep: Sweep, curves: Sequence[Sequence[Row]]) -> Row:
    """One sweep with and without."""
    sign, metric = (-1.0 if sweep.base.mode == "max" else 1.0), sweep.base.monitor
    plain, sick = Replay(sweep, curves, stop_sick=False), Replay(sweep, curves, stop_sick=True)
    goal = plain.best(sign, metric)
    before, after = plain.time_to(goal, sign, metric), sick.time_to(goal, sign, metric)
    ended = [reason.removeprefix(PREFIX).partition(":")[0] for reason in sick.reasons.values()]
    return {"trials": len(curves), "epochs": plain.epochs, "epochs_sick": sick.epochs, "time": before,
            "time_sick": after, "ended": ended, "lost": after is None}  # fmt: skip


def summary(rows: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| sweep | trials | ended as hopeless | epochs, scheduler alone | with stop_sick | saved | time to the best | "
        "winner lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["sweep"] for row in rows):
        part = [row for row in rows if row["sweep"] == name]
        saved = [100 * (1 - row["epochs_sick"] / row["epochs"]) for row in part]
        times = [100 * (row["time_sick"] / row["time"] - 1) for row in part if not row["lost"]]
        kinds = [kind for row in part for kind in row["ended"]]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "none"
        lines.append(
            f"| {name}{' (tuned)' if SWEEPS[name].tuned else ''} | {part[0]['trials']} x {len(part)} | {told} | "
            f"{mean(row['epochs'] for row in part):.0f} | {mean(row['epochs_sick'] for row in part):.0f} | "
            f"{_spread(saved)} % | {_spread(times, sign=True)} % | {sum(row['lost'] for row in part)} of {len(part)} |"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float], *, sign: bool = False) -> str:
    text = f"{mean(values):+.0f}" if sign else f"{mean(values):.0f}"
    return f"{text} ± {stdev(values):.0f}" if len(values) > 1 else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", nargs="+", choices=list(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--results", type=Path, default=Path("runs/stop_sick.jsonl"))
    parser.add_argument("--table", action="store_true", help="nothing is trained")
    parser.add_argument("--write", action="store_true", help="write benchmarks/stop_sick.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore", Notice)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    known = {(row["sweep"], row["seed"], row["number"]): row["rows"]
             for row in (read_jsonl(options.results) if options.results.is_file() else [])}  # fmt: skip
    rows = []
    for name in options.sweeps:
        dataset = None
        for seed in options.seeds:
            sweep, curves = SWEEPS[name].sweep(seed), []
            for number, overrides in enumerate(drawn(sweep)):
                if (name, seed, number) not in known:
                    if options.table:
                        break
                    experiment = sweep.experiment_for(overrides, 0)
                    dataset = dataset or experiment.data.build()
                    known[name, seed, number] = record(experiment, dataset)
                    with options.results.open("a", encoding="utf-8") as stream:
                        row = {"sweep": name, "seed": seed, "number": number, "overrides": overrides}
                        stream.write(json.dumps({**row, "rows": known[name, seed, number]}) + "\n")
                curves.append(known[name, seed, number])
            else:
                rows.append({"sweep": name, "seed": seed, **compare(sweep, curves)})
    text = summary(rows)
    print(text)
    if options.write:
        names = [name for name in SWEEPS if any(row["sweep"] == name for row in rows)]
        command = shlex.join(["python", "benchmarks/stop_sick.py", "--sweeps", *names])
        head = f"# What `stop_sick: true` saves\n\n`{command}`, {time.strftime('%Y-%m-%d')}, {processor()}.\n\n"
        (ROOT / "benchmarks" / "stop_sick.md").write_text(f"{head}{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
