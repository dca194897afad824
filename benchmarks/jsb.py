"""JSB Chorales: the negative log likelihood of a frame beside the published figures, for three seeds on one thread.

    LSTM_LAB_DATA=... python benchmarks/jsb.py                   # prints the table
    LSTM_LAB_DATA=... python benchmarks/jsb.py --write           # and keeps it in benchmarks/jsb.md
    LSTM_LAB_DATA=... python benchmarks/jsb.py model.cell=gru    # any override of conf/jsb_lstm.yaml

Each seed is an ordinary run: trained on the training part, its epoch chosen on the validation part, and then the test
part opened once.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from lstm_lab.config import Fault
from lstm_lab.evaluate import evaluate
from lstm_lab.experiment import load_experiment
from lstm_lab.run import Run
from lstm_lab.train import train

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
GOAL = 8.45
PUBLISHED = {"TCN": 8.10, "GRU": 8.43, "LSTM": 8.45, "RNN": 8.91}
"""Bai, Kolter & Koltun (2018), arXiv 1803.01271, tables 1 and 3."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Test NLL on JSB Chorales, three seeds.")
    parser.add_argument("overrides", nargs="*", help="key=value, as for lstm-lab train conf/jsb_lstm.yaml")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/jsb.md")
    chosen = parser.parse_args()
    try:
        experiment = load_experiment(HERE.parent / "conf" / "jsb_lstm.yaml", chosen.overrides)
        dataset = experiment.data.build()
        _ = dataset.facts
    except Fault as fault:
        print(fault, file=sys.stderr)
        return fault.exit_code
    table = ["| seed | validation NLL | test NLL | best epoch | epochs | seconds |", "|---|---|---|---|---|---|"]
    tests, times, parameters = [], [], 0
    baselines: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            run = Run.create(Path(folder, str(seed)), (seeded := experiment.with_overrides({"seed": seed})).dump())
            began = time.perf_counter()
            result = train(seeded, run, dataset=dataset)
            times.append(time.perf_counter() - began)
            scores = evaluate(run, dataset=dataset)
            tests.append(scores.model["nll"])
            baselines, parameters = scores.baselines, run.about["parameters"]
            cells = [seed, f"{result.value:.3f}", f"{tests[-1]:.3f}", result.epoch, result.epochs, f"{times[-1]:.0f}"]
            table.append(f"| {' | '.join(map(str, cells))} |")
            print(table[-1], flush=True)
    mean, spread = statistics.mean(tests), statistics.stdev(tests)
    rows = [(f"this model, mean of {len(SEEDS)} seeds", mean)]
    rows += [(f"{name} (Bai et al. 2018)", value) for name, value in PUBLISHED.items()]
    rows += [(name, row["nll"]) for name, row in baselines.items()]
    met = max(tests) <= GOAL and max(times) < 120
    report = "\n".join([
        "# JSB Chorales: next frame of 88 keys",
        "",
        f"`{shlex.join(['python', 'benchmarks/jsb.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}, "
        f"torch {torch.__version__}, {experiment.trainer.threads} thread(s).",
        "",
        f"{experiment.model.cell.name}, {parameters:,} parameters. Test NLL {mean:.3f} ± {spread:.3f} (mean and "
        f"standard deviation, seeds {', '.join(map(str, SEEDS))}), {statistics.mean(times):.0f} s of training a seed. "
        f"The goal was {GOAL} or less in two minutes: {'met by every seed' if met else 'missed'}.",
        "",
        *table,
        "",
        "Nats a frame: binary cross-entropy summed over the keys, averaged over all predicted frames of the part; the",
        "first frame of a piece is not predicted, as in Bai, Kolter & Koltun (2018, arXiv 1803.01271, tables 1 and 3),",
        "whose figures are quoted. The baselines are fitted on the training part.",
        "",
        "| test NLL | nats a frame |",
        "|---|---|",
        *(f"| {name} | {value:.3f} |" for name, value in sorted(rows, key=lambda row: row[1])),
        "",
    ])  # fmt: skip
    print(report)
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
