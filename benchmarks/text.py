"""Text classification on the published test parts: conf/ as it is, its seeds, its baselines, and what padding costs.

    python benchmarks/text.py                        # trains what is not trained yet, prints the table
    python benchmarks/text.py --write                # and keeps it in benchmarks/text.md
    python benchmarks/text.py --sets imdb --seeds 0  # a part of it

Needs the folder that LSTM_LAB_DATA names. Runs are kept below LSTM_LAB_RUNS, so that an interrupted benchmark goes on;
each run opens its test part once. The ablation reads a text as a matrix padded to `longest` and takes the last column
for the answer, as `outputs[:, -1]` does; beside it the same network reads the last word.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from cells import processor
from torch import Tensor

from lstm_lab.evaluate import evaluate
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.models import SequenceModel
from lstm_lab.run import Run, runs_folder
from lstm_lab.train import train

CONF = Path(__file__).parent.parent / "conf"


class Unmasked(SequenceModel, name="unmasked"):
    """The sequence model without its lengths: every text is as long as the padded matrix."""

    columns: int

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (0, self.columns - x.shape[1]))
        return super().forward(padded, torch.full_like(lengths, self.columns))


def variants(name: str) -> dict[str, Experiment]:
    """What is trained on a set, by its name in the table."""
    plain = load_experiment(CONF / f"{name}_lstm.yaml")
    found = {"conf": plain}
    if name == "imdb":
        longest: Any = plain.dump()["data"]["longest"]
        Unmasked.columns = longest
        last = plain.with_overrides({"model.pooling": "last", "model.bidirectional": False})
        model = last.dump()["model"]
        found["one direction, last word"] = last
        found["one direction, last padded column"] = last.with_overrides({"model": {**model, "name": "unmasked"}})
    return found


def measure(name: str, variant: str, experiment: Experiment, seed: int) -> dict[str, Any]:
    """Test scores, baselines and seconds of one run, trained here or before."""
    experiment = experiment.with_overrides({"seed": seed})
    path = runs_folder() / f"text-{name}-{variant.replace(' ', '_').replace(',', '')}-{seed}"
    if (path / "run.json").is_file():
        run = Run.open(path)
        if Experiment.of(run.experiment) != experiment:
            raise SystemExit(f"{path}: holds another experiment; move it away or set LSTM_LAB_RUNS")
    else:
        run = Run.create(path, experiment.dump(), command=shlex.join(sys.argv), job_type="benchmark")
    if run.status["state"] != "finished":
        train(experiment, run)
    if not run.openings():
        evaluate(run, "test")
    opened = run.openings()[0]
    return {**opened["scores"], "baselines": opened["baselines"], "seconds": run.status["seconds"],
            "parameters": run.about["parameters"], "openings": len(run.openings())}  # fmt: skip


def row(name: str, variant: str, found: list[dict[str, Any]]) -> str:
    def spread(key: str) -> str:
        values = [entry[key] for entry in found]
        sd = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.4f}{sd}"

    cells = [name, variant, f"{found[0]['parameters']:,}", str(len(found)), spread("accuracy"), spread("macro_f1"),
             f"{statistics.median(entry['seconds'] for entry in found):.0f}",
             *(f"{found[0]['baselines'][rival]['accuracy']:.4f}"
               for rival in ("majority class", "TF-IDF + logistic regression"))]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Text classification on the published test parts.")
    parser.add_argument("--sets", nargs="+", default=["imdb", "sst", "sms_spam"], choices=["imdb", "sst", "sms_spam"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", help="names in the table's second column [all]")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/text.md")
    chosen = parser.parse_args()
    head = ["data", "model", "parameters", "seeds", "accuracy", "macro F1", "seconds to train", "majority class",
            "TF-IDF + logistic regression"]  # fmt: skip
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in chosen.sets:
        for variant, experiment in variants(name).items():
            if chosen.variants is None or variant in chosen.variants:
                table.append(row(name, variant, [measure(name, variant, experiment, seed) for seed in chosen.seeds]))
                print(table[-1], flush=True)
    report = "\n".join([
        "# Text classification, test part",
        "",
        f"`{shlex.join(['python', 'benchmarks/text.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}.",
        f"{processor()}, 1 thread, torch {torch.__version__}. Seeds {', '.join(map(str, chosen.seeds))}: mean and "
        "standard deviation; seconds are the median of the runs, on a machine that other work may have shared.",
        "",
        "Baselines give their accuracy. Each run opened its test part once; the epoch is chosen on validation.",
        "",
        *table,
        "",
    ])  # fmt: skip
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
