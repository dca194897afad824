"""Test scores of the named data sets, by their experiments in conf/, beside baselines, published figures and a target.

    python benchmarks/results.py --write                    # train what is missing, then write benchmarks/results.md
    python benchmarks/results.py --only ili_segrnn --seeds 0 # some of it, printed
    python benchmarks/results.py --table --write            # the table of the finished runs, nothing trained

Each seed is an ordinary run: trained, its epoch chosen on validation, then evaluated once on the test split. Runs are
kept, so that an interrupted benchmark resumes. The data lie below LSTM_LAB_DATA; a data set that is missing is left out
and named.
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
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.models import SequenceModel
from lstm_lab.models.base import Output
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Benchmark:
    """One experiment, the metrics of its test split, and the figures to compare with."""

    conf: str
    metrics: tuple[str, ...]
    """The first is compared with the target."""
    target: float | None = None
    maximize: bool = True
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
    """The sequence model without lengths: every text is read to the last padded column, as by `outputs[:, -1]`."""

    columns = 400

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        padded = torch.nn.functional.pad(x, (0, self.columns - x.shape[1]))
        return super().forward(padded, torch.full_like(lengths, self.columns))


SCALED = ("scaled_mse", "scaled_mae")
BENCHMARKS = (
    Benchmark("vowels_lstm", ("accuracy", "macro_f1"), 0.98),
    # Bai, Kolter & Koltun (2018), arXiv 1803.01271, tables 1 and 3.
    Benchmark("jsb_lstm", ("nll",), 8.45, False, {"TCN": 8.10, "GRU": 8.43, "LSTM": 8.45, "RNN": 8.91}),
    Benchmark("nottingham_lstm", ("nll",), 3.29, False, {"TCN": 3.07, "LSTM": 3.29, "GRU": 3.46, "RNN": 4.05}),
    Benchmark("digits_lstm", ("accuracy", "macro_f1"), 0.97),
    Benchmark("activity_lstm", ("accuracy", "macro_f1"), 0.90),
    Benchmark("activity_steps_lstm", ("accuracy", "macro_f1")),
    Benchmark("demand_lstm", SCALED, 0.0156, False, {"neuralforecast's AutoLSTM, six samples": 0.0636}),
    # Wu et al. (2021), table 1.
    Benchmark("ili_segrnn", SCALED, 5.914, False, {"LSTM": (5.914, 1.734)}),
    # Makridakis et al. (2020).
    Benchmark("m4_weekly_segrnn", ("smape", "mase"), 9.161, False, {"ES-RNN, winner": 7.817, "Naive2": 9.161}),
    Benchmark("m4_hourly_segrnn", ("smape", "mase"), 13.912, False,
          {"ES-RNN, winner": 9.328, "RNN of the organisers": 14.698, "Naive2": 18.383}),
    Benchmark("sms_spam_lstm", ("accuracy", "macro_f1")),
    Benchmark("sst_lstm", ("accuracy", "macro_f1"), None, True, {"LSTM, Tai et al. (2015)": 0.849}),
    Benchmark("protein_lstm", ("accuracy", "macro_f1"), 0.70),
    # Lin et al. (2023), and look-back 720 as they quote it.
    Benchmark("etth1_segrnn", SCALED, 0.380, False,
          {"SegRNN, look-back 96": 0.368, "SegRNN, look-back 720": (0.351, 0.392),
           "GRU, look-back 720": (1.135, 0.844)}),
    Benchmark("weather_segrnn", SCALED, 0.369, False,
          {"SegRNN, look-back 720": (0.143, 0.198), "GRU, look-back 720": (0.264, 0.329), "LSTM": (0.369, 0.406)}),
    Benchmark("etth1_month_segrnn", SCALED, 0.46, False,
          {"SegRNN, look-back 96": 0.446, "SegRNN, look-back 720": (0.466, 0.472),
           "GRU, look-back 720": (1.089, 0.822)}),
    Benchmark("imdb_lstm", ("accuracy", "macro_f1"), 0.88),
    Benchmark("imdb_lstm", ("accuracy", "macro_f1"), None, variant="last word",
          overrides=("model.pooling=last", "model.bidirectional=false")),
    Benchmark("imdb_lstm", ("accuracy", "macro_f1"), None, variant="last padded column",
          overrides=("model.name=unmasked", "model.pooling=last", "model.bidirectional=false")),
)  # fmt: skip
SEEDS = (0, 1, 2)


def score(benchmark: Benchmark, seed: int, runs: Path) -> None:
    """Train and evaluate, unless both were done."""
    path, experiment = benchmark.folder(runs, seed), benchmark.experiment(seed)
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


def finished(benchmark: Benchmark, runs: Path) -> list[Run]:
    """The runs of all seeds that were evaluated on the test split, of this experiment as it is now."""
    found = []
    for seed in SEEDS:
        path = benchmark.folder(runs, seed)
        if (path / "tests.jsonl").is_file():
            run = Run.open(path)
            if Experiment.of(run.experiment) == benchmark.experiment(seed):
                found.append(run)
    return found


def mean_std(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.4g}"
    return f"{mean} ± {statistics.stdev(values):.2g}" if len(set(values)) > 1 else mean


def rows(benchmark: Benchmark, done: list[Run]) -> list[str]:
    """A row for each metric: test score, target, baselines, published figures."""
    evaluations, lines = [run.test_evaluations()[0] for run in done], []
    for at, metric in enumerate(benchmark.metrics):
        ours = [row["scores"][metric] for row in evaluations]
        target = ""
        if at == 0 and benchmark.target is not None:
            mean = statistics.mean(ours)
            met = mean >= benchmark.target if benchmark.maximize else mean <= benchmark.target
            target = f"{'≥' if benchmark.maximize else '≤'} {benchmark.target:g}: {'met' if met else '**missed**'}"
        baselines = {
            name: mean_std([row["baselines"][name][metric] for row in evaluations])
            for name in evaluations[0]["baselines"]
        }
        others = {
            name: values[at]
            for name, all_of in benchmark.published.items()
            if at < len(values := all_of if isinstance(all_of, tuple) else (all_of,))
        }
        cells = [
            benchmark.name if at == 0 else "",
            metric,
            f"{mean_std(ours)} (n={len(done)})",
            target,
            "; ".join(f"{name} {value}" for name, value in baselines.items()),
            "; ".join(f"*{name} {value:g}*" for name, value in others.items()),
            f"{done[0].about['parameters']:,}" if at == 0 else "",
            f"{statistics.median(run.status['seconds'] for run in done):.0f}" if at == 0 else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page(runs: Path, command: str) -> str:
    head = ["experiment", "metric", "test", "target", "baselines", "*published*", "parameters", "seconds"]
    parts, missing = [], []
    for benchmark in BENCHMARKS:
        if done := finished(benchmark, runs):
            parts += rows(benchmark, done)
        if len(done) < len(SEEDS):
            missing.append(f"{benchmark.name}: {len(SEEDS) - len(done)}")
    lines = [
        "# Results on the named data sets",
        "",
        f"`{command}`",
        "",
        f"{processor()}, one thread, torch {torch.__version__}. Scores are of the test split, once for each run, "
        "at the epoch with the best validation value: mean and standard deviation over seeds 0, 1, 2 (n of them). "
        "Baselines are fitted on the training split alone. *Published figures* are quoted, not run. "
        "Seconds are the median of a training, on a machine shared with other work: an upper bound.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *parts,
        "",
        f"Seeds not run: {'; '.join(missing) or 'none'}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=sorted({benchmark.conf for benchmark in BENCHMARKS}), help="experiments in conf/"
    )
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/results"), help="where the runs are kept [runs/results]"
    )
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--write", action="store_true", help="write the table to benchmarks/results.md")
    chosen: Any = parser.parse_args()
    absent: set[str] = set()
    for seed in () if chosen.table else chosen.seeds:
        for benchmark in BENCHMARKS:
            if benchmark.conf in absent or (chosen.only and benchmark.conf not in chosen.only):
                continue
            try:
                score(benchmark, seed, chosen.runs)
            except DataError as error:
                absent.add(benchmark.conf)
                print(f"{benchmark.conf} is left out: {error}", file=sys.stderr)
                continue
            print("\n".join(rows(benchmark, finished(benchmark, chosen.runs))), flush=True)
    # Options name the folders of whoever ran it; this is the command that makes the table anywhere.
    table = page(chosen.runs, "make results")
    if chosen.write:
        (ROOT / "benchmarks" / "results.md").write_text(table)
    else:
        print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
