"""How soon the program of an exported folder has predicted a file, beside `lstm-lab predict` and `import torch` alone.

    python benchmarks/runtime_start.py [--rounds 5]

Interleaved: each round starts each of them once, as a process of its own. Wall time and CPU time, medians and minima.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

import lstm_lab


def prepare(folder: Path) -> tuple[Path, Path]:
    """A small classifier of sequences in a file, trained for an epoch and exported: its run and the file."""
    rng, lines = np.random.default_rng(0), ["id,a,b,label"]
    for i in range(60):
        lines += [f"P{i},{a:.3f},{b:.3f},{'uv'[i % 2]}" for a, b in rng.normal(i % 2, 1, (20, 2))]
    file = folder / "new.csv"
    file.write_text("\n".join(lines) + "\n")
    data = {"name": "csv_sequences", "path": str(file), "id": "id", "channels": ["a", "b"], "label": "label"}
    content = {"data": data, "task": "classify", "trainer": {"max_epochs": 1}}
    run = lstm_lab.train(content, name="run", wandb="disabled", progress=False)
    run.export("folder", folder / "exported")
    return run.path, file


def timed(words: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LSTM_LAB_RUNS"] = folder
        run, file = prepare(Path(folder))
        program = str(Path(folder) / "exported" / "predict.py")
        contestants = {
            "predict.py": [sys.executable, program, str(file)],
            "import torch": [sys.executable, "-c", "import torch"],
            "lstm-lab predict": [sys.executable, "-m", "lstm_lab", "predict", str(run), str(file)],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, words in contestants.items():
                found[name].append(timed(words))
    base = min(cpu for _, cpu in found["predict.py"])
    print(f"{'':18}{'wall, median':>14}{'least':>9}{'CPU, median':>14}{'least':>9}{'CPU, ratio':>12}")
    for name, rows in found.items():
        walls, cpus = zip(*rows, strict=True)
        print(f"{name:18}{median(walls):12.3f} s{min(walls):7.3f} s{median(cpus):12.3f} s{min(cpus):7.3f} s"
              f"{min(cpus) / base:12.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
