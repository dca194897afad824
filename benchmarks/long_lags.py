"""Steps until a problem of long time lags is solved, for any cells and initialisations.

    python benchmarks/long_lags.py                                      # the default candidates, 2,000 steps each
    python benchmarks/long_lags.py --steps 50000 --seeds 3 --write      # longer, written to benchmarks/long_lags.md
    python benchmarks/long_lags.py --problem adding:100 "model.cell=gru" "model.cell.forget_bias=5 optimizer.lr=1e-3"

A candidate is a list of overrides, one argument of the command line. Its runs are kept below --folder: a solved run is
not repeated, and one that used up its budget resumes when it is given more. Ctrl-C loses nothing. Only --steps compares
candidates fairly; --seconds bounds the time on a shared machine.
"""

from __future__ import annotations

import argparse
import re
import shlex
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lstm_lab.config import ConfigError, Fault, Interrupted, parse_overrides
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.learner import Diverged
from lstm_lab.training.train import train

CANDIDATES = [
    "model.cell=lstm",
    "model.cell=lstm model.cell.forget_bias=0",
    "model.cell=lstm model.cell.forget_bias=5",
    "model.cell=lstm model.init.chrono={lag}",
    "model.cell=lstm model.init.recurrent=orthogonal",
    "model.cell=peephole model.init.chrono={lag}",
    "model.cell=gru",
    "model.cell=gru model.init.chrono={lag}",
    "model.cell=mgu",
    "model.cell=min_lstm model.init.chrono={lag}",
    "model.cell=slstm",
    "model.cell=indrnn",
    "model.cell=rnn model.init.recurrent=orthogonal",
]
"""`{lag}` stands for the problem's length."""
PROBLEMS = ["adding:400", "copy_memory:100"]
BATCH, EPOCH = 50, 200
"""Sequences in a step, and steps in an epoch; after each epoch it is checked whether the problem is solved."""
COMMON = {
    "model": {"hidden_size": 100},  # as Le, Jaitly & Hinton (2015)
    "optimizer": {"lr": 3e-3},
    "trainer": {"max_epochs": 1_000_000, "patience": None},
}


class Problem(NamedTuple):
    task: dict[str, Any]
    metric: str
    solved: Callable[[float], bool]
    criterion: str


KINDS = {
    "adding": Problem(
        {"name": "regress"}, "val/mse", lambda mse: mse < 0.01, "validation MSE below 0.01 (chance: 0.167)"
    ),
    "copy_memory": Problem(
        {"name": "tag"}, "val/accuracy", lambda share: share > 0.99, "accuracy over 0.99 (chance: 0.125)"
    ),
    "parity": Problem({"name": "tag"}, "val/accuracy", lambda share: share > 0.99, "accuracy over 0.99 (chance: 0.5)"),
}


class Trace(NamedTuple):
    """How far one run came."""

    solved: int | None
    """Steps until the first epoch that solved it."""
    steps: int
    seconds: float
    last: float | None


def experiment_of(problem: str, candidate: str, seed: int) -> Experiment:
    kind, _, length = problem.partition(":")
    if kind not in KINDS or not length.isdigit():
        raise ConfigError(f"--problem {problem}: must be name:length, as adding:400; there are {', '.join(KINDS)}")
    data = {"name": kind, "length": int(length), "batch_size": BATCH, "train_size": EPOCH * BATCH, "eval_size": 1000}
    base = Experiment.of({"data": data, "task": KINDS[kind].task, **COMMON, "seed": seed})
    changes = candidate.replace("{lag}", length).split()
    return base.with_overrides(dict(parse_overrides(changes)), candidate)


def trace(run: Run, problem: Problem, steps: int) -> Trace:
    rows = [row for row in run.rows() if row["step"] <= steps]
    solved = next((row["step"] for row in rows if problem.solved(row[problem.metric])), None)
    if not rows:
        return Trace(None, 0, 0.0, None)
    last = rows[-1]
    return Trace(solved, last["step"], last["seconds"], last.get(problem.metric))


def train_within(run: Run, experiment: Experiment, problem: Problem, steps: int, seconds: float, dataset: Any) -> Trace:
    """Train until the problem is solved or the steps or seconds are used up."""
    before = trace(run, problem, steps)
    if before.solved is not None or before.steps + EPOCH > steps or before.seconds >= seconds:
        return before
    stop = threading.Event()
    clock = threading.Timer(seconds - before.seconds, stop.set)

    def check(row: dict[str, Any]) -> None:
        if problem.solved(row[problem.metric]) or row["step"] + EPOCH > steps:
            stop.set()

    clock.start()
    try:
        train(experiment, run, dataset=dataset, on_epoch=check, stop=stop)
    except (Interrupted, Diverged):
        pass  # solved, out of time, or diverged: all are results
    finally:
        clock.cancel()
    return trace(run, problem, steps)


def cell(traces: list[Trace]) -> str:
    """Median steps of the seeds that solved it, how many did, and the last value of the others."""
    solved = [found.solved for found in traces if found.solved is not None]
    rest = [found for found in traces if found.solved is None]
    texts = []
    if solved:
        share = f" ({len(solved)} of {len(traces)} seeds)" if len(traces) > 1 else ""
        texts.append(f"{statistics.median(solved):,.0f}{share}")
    if rest:
        texts.append(f"not in {min(found.steps for found in rest):,} ({rest[0].last or float('nan'):.3g})")
    return "; ".join(texts)


def main() -> int:
    parser = argparse.ArgumentParser(description="Steps until a problem of long time lags is solved.")
    parser.add_argument("candidates", nargs="*", default=CANDIDATES, help="overrides, several in quotes")
    parser.add_argument("--problem", action="append", help=f"name:length, repeatable {PROBLEMS}")
    parser.add_argument("--steps", type=int, default=2000, help="of the optimiser for each run, in all [%(default)s]")
    parser.add_argument("--seconds", type=float, default=3600, help="at most, for each run, in all [%(default)s]")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 on [%(default)s]")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/long_lags"), help="where the runs are kept [%(default)s]"
    )
    parser.add_argument("--write", action="store_true", help="write the table to benchmarks/long_lags.md")
    chosen = parser.parse_args()
    problems = chosen.problem or PROBLEMS
    table = {candidate: [""] * len(problems) for candidate in chosen.candidates}
    for column, name in enumerate(problems):
        datasets: dict[Any, Any] = {}
        for candidate in chosen.candidates:
            traces = []
            for seed in range(chosen.seeds):
                experiment = experiment_of(name, candidate, seed)
                dataset = datasets.setdefault(experiment.data, experiment.data.build())
                path = chosen.folder / re.sub(r"[^\w.=-]+", "_", f"{name} {candidate} seed={seed}")
                run = Run(path) if (path / "run.json").exists() else Run.create(path, experiment.dump())
                if Experiment.of(run.experiment) != experiment:
                    raise ConfigError(f"{path}: holds another experiment; choose another --folder")
                traces.append(
                    train_within(run, experiment, KINDS[name.partition(":")[0]], chosen.steps, chosen.seconds, dataset)
                )
            table[candidate][column] = cell(traces)
            print(f"{name}  {candidate}: {table[candidate][column]}", flush=True)
    report = "\n".join([
        "# Long time lags: steps until solved",
        "",
        f"`{shlex.join(['python', 'benchmarks/long_lags.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}, "
        f"torch {torch.__version__}, one thread, at most {chosen.steps:,} steps for each run.",
        "",
        f"A step is {BATCH} sequences; checked every {EPOCH} steps. In brackets: the last value, where not solved.",
        "",
        *(f"- {name}: {KINDS[name.partition(':')[0]].criterion}" for name in problems),
        "",
        f"| candidate | {' | '.join(problems)} |",
        f"|---|{'---|' * len(problems)}",
        *(f"| `{candidate}` | {' | '.join(cells)} |" for candidate, cells in table.items()),
        "",
    ])  # fmt: skip
    print(report)
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text(report)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except Fault as fault:
        print(fault, file=sys.stderr)
        raise SystemExit(fault.exit_code) from None
