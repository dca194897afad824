"""The best value of a search with ASHA and without early stopping, for the same number of epochs.

    python benchmarks/asha.py            # prints the table
    python benchmarks/asha.py --write    # and writes it to benchmarks/asha.md

Real sweeps on Ray over learning rate, width and dropout of an LSTM for speaker identification, all in one Ray; both get
the same configurations in the same order and end when the budget of epochs is spent.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path

from rich.console import Console

from lstm_lab.sweeps.execution import driver
from lstm_lab.sweeps.execution.ray_cluster import cluster
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder

SWEEP = """# ASHA or no early stopping at equal compute?
experiment:
  data: {name: japanese_vowels, batch_size: 32}
  task: {name: classify, monitor: loss}
  model: {pooling: mean}
  trainer: {max_epochs: 27, patience: null}
space:
  model.hidden_size: {qloguniform: [16, 96, 16]}
  model.dropout.output: {uniform: [0.0, 0.6]}
  optimizer.lr: {loguniform: [1e-4, 1e-1]}
num_samples: 200
seed: %d
budget: {epochs: %d}
scheduler: %s
"""
RULES = {"fifo": "fifo", "asha": "{name: asha, grace_period: 3, reduction_factor: 3}"}


def search(rule: str, seed: int, epochs: int, base: Path) -> dict[str, float]:
    path = base / f"{rule}-{seed}.yaml"
    path.write_text(SWEEP % (seed, epochs, RULES[rule]))
    folder = SweepFolder.create(base / path.stem, load_sweep(path))
    driver.run_phases(folder, wandb="disabled", console=Console(quiet=True))
    trials = [trial for trial in folder.trials() if trial.value is not None]
    return {
        "best": min(trial.value for trial in trials if trial.value is not None),
        "configurations": len(trials),
        "epochs": sum(trial.epochs for trial in trials),
        "hours": sum(trial.seconds for trial in trials) / 3600,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=162, help="of one search: six trials trained to completion")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="asha-", dir="/tmp"))
    rows = []
    with cluster(SweepFolder.create(base / "ray", _any(base))) as scratch:
        numbers = iter(range(10**6))

        @contextlib.contextmanager
        def shared(*_, **__):
            yield scratch / str(next(numbers))

        driver.cluster = shared
        for seed in range(arguments.seeds):
            rows.append({rule: search(rule, seed, arguments.epochs, base) for rule in RULES})
            print(rows[-1], flush=True)
    lines = table(rows, arguments.epochs)
    print("\n".join(lines))
    if arguments.write:
        (Path(__file__).parent / "asha.md").write_text("\n".join(lines) + "\n")


def _any(base: Path):
    path = base / "any.yaml"
    path.write_text(SWEEP % (0, 27, "fifo"))
    return load_sweep(path)


def table(rows: list[dict[str, dict[str, float]]], epochs: int) -> list[str]:
    import torch

    command = shlex.join(["python", "benchmarks/asha.py", *sys.argv[1:]])
    lines = [
        "# ASHA against FIFO at equal compute",
        "",
        f"`{command}`, {date.today()}; {os.cpu_count()} cores, torch {torch.__version__}.",
        "",
        "Best validation loss of a random search over learning rate, width and dropout on JapaneseVowels, 27 epochs a",
        f"trial at most, {epochs} epochs a search; the same configurations in the same order. Lower is better.",
        "",
        "| seed | FIFO: best | configurations | CPU hours | ASHA: best | configurations | CPU hours |",
        "|---|---|---|---|---|---|---|",
    ]
    for seed, row in enumerate(rows):
        cells = [f"{row[r]['best']:.4f} | {row[r]['configurations']} | {row[r]['hours']:.4f}" for r in RULES]
        lines.append(f"| {seed} | {' | '.join(cells)} |")
    best = {rule: [row[rule]["best"] for row in rows] for rule in RULES}
    ends = {
        rule: f"{statistics.mean(each):.4f} ± {statistics.stdev(each) if len(each) > 1 else 0:.4f}"
        for rule, each in best.items()
    }
    wins = sum(row["asha"]["best"] < row["fifo"]["best"] for row in rows)
    lines += ["", f"Mean and standard deviation: FIFO {ends['fifo']}, ASHA {ends['asha']}; "
                  f"ASHA is better with {wins} of {len(rows)} seeds."]  # fmt: skip
    return lines


if __name__ == "__main__":
    main()
