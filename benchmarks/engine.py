"""Whole trainings with the native engine and through torch's own layers, interleaved, each in its own process.

    python benchmarks/engine.py --write

An experiment runs for a few epochs, with and without the engine in turns; what is compared is the time from the first
batch to the end of the last epoch, as the run's record has it, and the time of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXPERIMENTS = {
    "vowels, lstm": ("conf/vowels_lstm.yaml", ()),
    "vowels, gru": ("conf/vowels_lstm.yaml", ("model.cell=gru",)),
    "vowels, slstm": ("conf/vowels_lstm.yaml", ("model.cell=slstm",)),
    "demand, lstm": ("conf/demand_lstm.yaml", ()),
    "demand, gru": ("conf/demand_lstm.yaml", ("model.cell=gru",)),
    "demand, peephole": ("conf/demand_lstm.yaml", ("model.cell=peephole",)),
}


def train(path: str, overrides: tuple[str, ...], epochs: int, engine: bool) -> tuple[float, float]:
    """Seconds of training, and of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lstm_lab", "train", str(ROOT / path), *overrides]
        command += [f"trainer.max_epochs={epochs}", "trainer.patience=null"]
        environment = {**os.environ, "LSTM_LAB_RUNS": folder, "WANDB_MODE": "disabled"}
        environment.pop("LSTM_LAB_KERNELS", None)
        if not engine:
            environment["LSTM_LAB_KERNELS"] = "off"
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        whole = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
        (record,) = Path(folder).glob("*/metrics.jsonl")
        rows = [json.loads(line) for line in record.read_text().splitlines()]
        # The first epoch warms caches and imports; it is part of the process, not of the comparison.
        return rows[-1]["seconds"] - rows[0]["seconds"], whole


def main() -> int:
    parser = argparse.ArgumentParser(description="Trainings with and without the native engine.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/engine.md")
    chosen = parser.parse_args()
    head = ["experiment", "engine, s", "torch, s", "speed", "range", "whole process"]
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, (path, overrides) in EXPERIMENTS.items():
        pairs = []
        for _ in range(chosen.rounds):
            pairs.append([train(path, overrides, chosen.epochs, engine) for engine in (True, False)])
        ours, torch_ = ([pair[i][0] for pair in pairs] for i in (0, 1))
        ratios = [b / a for a, b in zip(ours, torch_, strict=True)]
        whole = statistics.median(pair[1][1] / pair[0][1] for pair in pairs)
        table.append(
            f"| {name} | {statistics.median(ours):.2f} | {statistics.median(torch_):.2f} | "
            f"{statistics.median(ratios):.2f}x | {min(ratios):.2f}-{max(ratios):.2f} | {whole:.2f}x |"
        )
        print(table[-1], flush=True)
    report = [
        "# Training with the native engine, and through torch's own layers",
        "",
        f"`{shlex.join(['python', 'benchmarks/engine.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}, "
        f"{platform.machine()}, one thread, {chosen.rounds} interleaved rounds, epochs 2 to {chosen.epochs}.",
        "",
        "Medians; speed is torch's time over the engine's in the same round, everything else alike.",
        "",
        *table,
        "",
    ]
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text("\n".join(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
