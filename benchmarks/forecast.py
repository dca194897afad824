"""Forecasts of published sets beside their baselines and published numbers, on CPU, test part, all windows.

    python benchmarks/forecast.py                          # every experiment, seeds 0 to 2: prints the table
    python benchmarks/forecast.py --quick                  # seed 0 of those of about a minute
    python benchmarks/forecast.py --only ili_segrnn --seeds 0 --write   # and keeps it in benchmarks/forecast.md

The data lie below LSTM_LAB_DATA. Runs are kept in --runs: one that is finished is not trained again, and the table is
of all that lie there.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

from lstm_lab.evaluate import evaluate
from lstm_lab.experiment import load_experiment
from lstm_lab.run import Run
from lstm_lab.train import train

ROOT = Path(__file__).parent.parent

# Experiment in conf/ -> metrics shown, and what others published in them. SegRNN: Lin et al. (2023), look-back 720 and
# 96; LSTM, look-back 96 (ILI 36): Wu et al. (2021), table 1; M4: Makridakis et al. (2020), as its organisers list them.
LONG = ("scaled_mse", "scaled_mae")
SHOWN: dict[str, tuple[tuple[str, str], dict[str, tuple[float, ...]]]] = {
    "ili_segrnn": (LONG, {"LSTM": (5.914, 1.734)}),
    "m4_weekly_segrnn": (("smape", "mase"), {"ES-RNN, winner": (7.817,), "Naive2": (9.161,)}),
    "m4_hourly_segrnn": (("smape", "mase"), {"ES-RNN, winner": (9.328,), "RNN of the organisers": (14.698,),
                                             "Naive2": (18.383,)}),
    "etth1_segrnn": (LONG, {"SegRNN, look-back 96": (0.368,), "SegRNN, look-back 720": (0.351, 0.392),
                            "DLinear, look-back 720": (0.381, 0.407), "GRU, look-back 720": (1.135, 0.844)}),
    "weather_segrnn": (LONG, {"SegRNN, look-back 720": (0.143, 0.198), "GRU, look-back 720": (0.264, 0.329),
                              "LSTM": (0.369, 0.406)}),
    "etth1_month_segrnn": (LONG, {"SegRNN, look-back 96": (0.446,), "SegRNN, look-back 720": (0.466, 0.472),
                                  "DLinear, look-back 720": (0.499, 0.512), "GRU, look-back 720": (1.089, 0.822)}),
}  # fmt: skip
SEEDS = (0, 1, 2)
QUICK = ("ili_segrnn", "m4_weekly_segrnn")


def score(name: str, seed: int, runs: Path) -> None:
    """Train and evaluate, unless that was done."""
    folder = runs / f"{name}-seed{seed}"
    run = Run.open(folder) if (folder / "run.json").is_file() else None
    if run is not None and run.openings():
        return
    experiment = load_experiment(ROOT / "conf" / f"{name}.yaml", [f"seed={seed}"])
    run = run or Run.create(folder, experiment.dump())
    train(experiment, run)
    evaluate(run)


def rows(name: str, runs: Path) -> list[str]:
    """One for each contestant of one experiment; empty where none was run."""
    metrics, published = SHOWN[name]
    done = [Run.open(folder) for folder in sorted(runs.glob(f"{name}-seed*")) if (folder / "tests.jsonl").is_file()]
    if not done:
        return []
    opened = [run.openings()[-1] for run in done]
    seconds = statistics.median(run.rows()[-1]["seconds"] for run in done)
    parameters = done[0].about["parameters"]
    seeds = ", ".join(str(run.experiment["seed"]) for run in done)
    lines = [f"| **{name}** | {' | '.join(metrics)} | seeds | seconds |"]
    lines.append(line(f"ours, {parameters:,} weights", [spread([row["scores"][m] for row in opened]) for m in metrics],
                      seeds, f"{seconds:.0f}"))  # fmt: skip
    for baseline, scores in opened[0]["baselines"].items():
        lines.append(line(baseline, [f"{scores[m]:.3f}" for m in metrics]))
    for other, values in published.items():
        lines.append(line(f"*{other}*", [f"*{value}*" for value in values] + [""] * (len(metrics) - len(values))))
    return lines


def line(name: str, cells: list[str], seeds: str = "", seconds: str = "") -> str:
    return f"| {name} | {' | '.join(cells)} | {seeds} | {seconds} |"


def spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def table(runs: Path) -> str:
    import torch

    parts = [part for name in SHOWN if (part := rows(name, runs))]
    missing = [
        f"{name} with seed {seed}"
        for name in SHOWN
        for seed in SEEDS
        if not (runs / f"{name}-seed{seed}" / "tests.jsonl").is_file()
    ]
    said = [
        "# Forecasts of published sets",
        "",
        f"`{shlex.join(['python', *sys.argv])}`",
        "",
        f"torch {torch.__version__}, one CPU thread, {platform.machine()}, Python {platform.python_version()}, a "
        "machine that others used at the same time: the seconds of a training are an upper bound. Scores are of the "
        "test part, all windows, of the epoch that did best in validation; mean and standard deviation over the seeds. "
        "*Published numbers in italics*; those of M4 are quoted from memory of the paper.",
        "",
        "| | | | | |",
        "|---|---|---|---|---|",
        *(text for part in parts for text in part),
        "",
        f"Not run: {', '.join(missing) or 'nothing'}.",
    ]
    return "\n".join(said) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SHOWN, default=list(SHOWN), help="experiments in conf/")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--quick", action="store_true", help="seed 0 of those of about a minute")
    parser.add_argument("--runs", type=Path, default=Path("runs/forecast"), help="where the runs are kept")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/forecast.md")
    chosen: Any = parser.parse_args()
    names, seeds = (QUICK, [0]) if chosen.quick else (chosen.only, chosen.seeds)
    for seed in seeds:
        for name in names:
            score(name, seed, chosen.runs)
    print(table(chosen.runs))
    if chosen.write:
        (ROOT / "benchmarks" / "forecast.md").write_text(table(chosen.runs))


if __name__ == "__main__":
    main()
