"""Every named set by its experiment in conf/, beside its baselines, published figures and the goal it was given.

    python benchmarks/results.py --write                    # what is not trained yet, then benchmarks/results.md
    python benchmarks/results.py --only ili_segrnn --seeds 0 # a part of it, printed
    python benchmarks/results.py --table --write            # the table of what lies there, nothing trained

Each seed is an ordinary run: trained, its epoch chosen on validation, then the test part opened once. Runs are kept, so
that an interrupted benchmark goes on. The data lie below LSTM_LAB_DATA; a set that is not there is left out by name.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from cells import processor
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.evaluate import evaluate
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.models import SequenceModel
from lstm_lab.run import Run
from lstm_lab.training import train

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Asked:
    """One experiment, what is read off its test part, and what to hold against it."""

    conf: str
    metrics: tuple[str, ...]
    """The first decides whether the goal is met."""
    goal: float | None = None
    more_is_better: bool = True
    published: dict[str, float | tuple[float, ...]] = field(default_factory=dict)
    variant: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.conf}{f' ({self.variant})' if self.variant else ''}"

    def experiment(self, seed: int) -> Experiment:
        return load_experiment(ROOT / "conf" / f"{self.conf}.yaml", [*self.overrides, f"seed={seed}"])

    def folder(self, runs: Path, seed: int) -> Path:
        return runs / f"{self.conf}{f'-{self.variant}' if self.variant else ''}-seed{seed}".replace(" ", "_")


class Unmasked(SequenceModel, name="unmasked"):
    """The sequence model without its lengths: every text ends where the longest may, as `outputs[:, -1]` has it."""

    columns = 400

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (0, self.columns - x.shape[1]))
        return super().forward(padded, torch.full_like(lengths, self.columns))


SCALED = ("scaled_mse", "scaled_mae")
ASKED = (
    Asked("vowels_lstm", ("accuracy", "macro_f1"), 0.98),
    # Bai, Kolter & Koltun (2018), arXiv 1803.01271, tables 1 and 3.
    Asked("jsb_lstm", ("nll",), 8.45, False, {"TCN": 8.10, "GRU": 8.43, "LSTM": 8.45, "RNN": 8.91}),
    Asked("nottingham_lstm", ("nll",), 3.29, False, {"TCN": 3.07, "LSTM": 3.29, "GRU": 3.46, "RNN": 4.05}),
    Asked("digits_lstm", ("accuracy", "macro_f1"), 0.97),
    Asked("activity_lstm", ("accuracy", "macro_f1"), 0.90),
    Asked("activity_steps_lstm", ("accuracy", "macro_f1")),
    Asked("demand_lstm", SCALED, 0.0156, False, {"neuralforecast's AutoLSTM, six samples": 0.0636}),
    # Wu et al. (2021), table 1.
    Asked("ili_segrnn", SCALED, 5.914, False, {"LSTM": (5.914, 1.734)}),
    # Makridakis et al. (2020).
    Asked("m4_weekly_segrnn", ("smape", "mase"), 9.161, False, {"ES-RNN, winner": 7.817, "Naive2": 9.161}),
    Asked("m4_hourly_segrnn", ("smape", "mase"), 13.912, False,
          {"ES-RNN, winner": 9.328, "RNN of the organisers": 14.698, "Naive2": 18.383}),
    Asked("sms_spam_lstm", ("accuracy", "macro_f1")),
    Asked("sst_lstm", ("accuracy", "macro_f1"), None, True, {"LSTM, Tai et al. (2015)": 0.849}),
    Asked("protein_lstm", ("accuracy", "macro_f1"), 0.70),
    # Lin et al. (2023), and look-back 720 as they quote it.
    Asked("etth1_segrnn", SCALED, 0.380, False,
          {"SegRNN, look-back 96": 0.368, "SegRNN, look-back 720": (0.351, 0.392),
           "GRU, look-back 720": (1.135, 0.844)}),
    Asked("weather_segrnn", SCALED, 0.369, False,
          {"SegRNN, look-back 720": (0.143, 0.198), "GRU, look-back 720": (0.264, 0.329), "LSTM": (0.369, 0.406)}),
    Asked("etth1_month_segrnn", SCALED, 0.46, False,
          {"SegRNN, look-back 96": 0.446, "SegRNN, look-back 720": (0.466, 0.472),
           "GRU, look-back 720": (1.089, 0.822)}),
    Asked("imdb_lstm", ("accuracy", "macro_f1"), 0.88),
    Asked("imdb_lstm", ("accuracy", "macro_f1"), None, variant="last word",
          overrides=("model.pooling=last", "model.bidirectional=false")),
    Asked("imdb_lstm", ("accuracy", "macro_f1"), None, variant="last padded column",
          overrides=("model.name=unmasked", "model.pooling=last", "model.bidirectional=false")),
)  # fmt: skip
SEEDS = (0, 1, 2)


def score(asked: Asked, seed: int, runs: Path) -> None:
    """Train and evaluate, unless that was done."""
    path, experiment = asked.folder(runs, seed), asked.experiment(seed)
    if (path / "run.json").is_file():
        run = Run.open(path)
        if Experiment.of(run.experiment) != experiment:
            raise SystemExit(f"{path}: holds another experiment; move it away or name another folder with --runs")
    else:
        run = Run.create(path, experiment.dump(), command=shlex.join(["python", *sys.argv]), job_type="benchmark")
    if run.status["state"] != "finished":
        train(experiment, run)
    if not run.test_evaluations():
        evaluate(run)


def finished(asked: Asked, runs: Path) -> list[Run]:
    """The runs of all seeds that opened their test part, of this experiment as it is now."""
    found = []
    for seed in SEEDS:
        path = asked.folder(runs, seed)
        if (path / "tests.jsonl").is_file():
            run = Run.open(path)
            if Experiment.of(run.experiment) == asked.experiment(seed):
                found.append(run)
    return found


def spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.4g}"
    return f"{mean} ± {statistics.stdev(values):.2g}" if len(set(values)) > 1 else mean


def rows(asked: Asked, done: list[Run]) -> list[str]:
    """A line for each metric: ours, the goal, the baselines, what others published."""
    opened, lines = [run.test_evaluations()[0] for run in done], []
    for at, metric in enumerate(asked.metrics):
        ours = [row["scores"][metric] for row in opened]
        goal = ""
        if at == 0 and asked.goal is not None:
            mean = statistics.mean(ours)
            met = mean >= asked.goal if asked.more_is_better else mean <= asked.goal
            goal = f"{'≥' if asked.more_is_better else '≤'} {asked.goal:g}: {'met' if met else '**missed**'}"
        rivals = {name: spread([row["baselines"][name][metric] for row in opened]) for name in opened[0]["baselines"]}
        others = {
            name: values[at]
            for name, all_of in asked.published.items()
            if at < len(values := all_of if isinstance(all_of, tuple) else (all_of,))
        }
        cells = [
            asked.name if at == 0 else "",
            metric,
            f"{spread(ours)} (n={len(done)})",
            goal,
            "; ".join(f"{name} {value}" for name, value in rivals.items()),
            "; ".join(f"*{name} {value:g}*" for name, value in others.items()),
            f"{done[0].about['parameters']:,}" if at == 0 else "",
            f"{statistics.median(run.status['seconds'] for run in done):.0f}" if at == 0 else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page(runs: Path, command: str) -> str:
    head = ["experiment", "metric", "test", "goal", "baselines", "*published*", "weights", "seconds"]
    parts, missing = [], []
    for asked in ASKED:
        if done := finished(asked, runs):
            parts += rows(asked, done)
        if len(done) < len(SEEDS):
            missing.append(f"{asked.name}: {len(SEEDS) - len(done)}")
    said = [
        "# Results on the named sets",
        "",
        f"`{command}`",
        "",
        f"{processor()}, one thread, torch {torch.__version__}. Scores are of the test part, opened once by each run, "
        "at the epoch that did best in validation: mean and standard deviation over seeds 0, 1, 2 (n of them). "
        "Baselines are fitted on the training part alone. *Published figures* are quoted, not run. "
        "Seconds are the median of a training, on a machine that other work shared: an upper bound.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *parts,
        "",
        f"Seeds not run: {'; '.join(missing) or 'none'}.",
    ]
    return "\n".join(said) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=sorted({asked.conf for asked in ASKED}), help="experiments in conf/"
    )
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS)
    parser.add_argument("--runs", type=Path, default=Path("runs/results"), help="where they are kept [runs/results]")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results.md")
    chosen: Any = parser.parse_args()
    absent: set[str] = set()
    for seed in () if chosen.table else chosen.seeds:
        for asked in ASKED:
            if asked.conf in absent or (chosen.only and asked.conf not in chosen.only):
                continue
            try:
                score(asked, seed, chosen.runs)
            except DataError as error:
                absent.add(asked.conf)
                print(f"{asked.conf} is left out: {error}", file=sys.stderr)
                continue
            print("\n".join(rows(asked, finished(asked, chosen.runs))), flush=True)
    # The options that say where and what belong to whoever ran it; the command that makes the table is this one.
    table = page(chosen.runs, "make results")
    if chosen.write:
        (ROOT / "benchmarks" / "results.md").write_text(table)
    else:
        print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
