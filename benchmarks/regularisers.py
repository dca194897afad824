"""What each regularizer of sweeps/regularisers.yaml changes, on several data sets, alone and beside none.

    python benchmarks/regularisers.py                          # the sets that take minutes
    python benchmarks/regularisers.py --sets jsb_chorales imdb ETTh1-96 weather-96    # those that take hours
    python benchmarks/regularisers.py --table --write          # the page from what was trained, training nothing

One experiment for each set, without any regularization, and the file's list of `regularizers` and seeds. The epoch is
chosen on validation. Differences are those of the same seed, on the test split, with the 95 % confidence interval of
their mean (Student's t); above 0 the regularizer is better. Sets lie below LSTM_LAB_DATA or ship with aeon; what is
missing is left out and named. Every training is added to --results, so that an interrupted benchmark resumes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cells import processor
from proposals import bundled

from lstm_lab import config
from lstm_lab.config import DataError
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row, read_jsonl
from lstm_lab.records.run import Run
from lstm_lab.report.statistics import confidence_interval
from lstm_lab.training.train import train

ROOT = Path(__file__).parent.parent
SWEEP = ROOT / "sweeps" / "regularisers.yaml"
CLASSES: Row = {
    "task": {"name": "classify", "monitor": "loss"},
    "model": {"bidirectional": True, "pooling": "mean"},
    "optimizer": {"lr": 5e-3},
    "trainer": {"max_epochs": 40, "patience": 10},
}
FORECAST: Row = {
    "task": {"name": "forecast", "anchor": "last"},
    "optimizer": {"lr": 3e-3},
    "trainer": {"max_epochs": 20, "patience": 5},
}


@dataclass(frozen=True)
class Set:
    """A data set: its experiment without regularization, and the metric of its column; less is better."""

    experiment: Row
    metric: str
    takes_hours: bool = False


SETS = {
    "japanese_vowels": Set({**CLASSES, "data": {"name": "japanese_vowels", "batch_size": 16}}, "loss"),
    "ItalyPowerDemand": Set({**CLASSES, "data": {**bundled("ItalyPowerDemand"), "batch_size": 16}}, "loss"),
    "BasicMotions": Set({**CLASSES, "data": {**bundled("BasicMotions"), "batch_size": 16}}, "loss"),
    "taylor": Set({**FORECAST, "data": {"name": "taylor", "window": 96, "horizon": 48, "stride": 8, "batch_size": 64}},
                  "scaled_mse"),
    "jsb_chorales": Set({"data": {"name": "jsb_chorales", "batch_size": 4}, "task": "next_step",
                         "model": {"hidden_size": 200}, "optimizer": {"lr": 5e-3},
                         "trainer": {"max_epochs": 60, "patience": 8}}, "nll", True),
    "imdb": Set({"data": {"name": "imdb", "batch_size": 64}, "task": {"name": "classify", "monitor": "loss"},
                 "model": {"bidirectional": True, "pooling": "max"}, "optimizer": {"lr": 2e-3}, "schedule": "cosine",
                 "trainer": {"max_epochs": 4, "patience": None}}, "loss", True),
    "ETTh1-96": Set({**FORECAST, "data": {"name": "ett", "window": 96, "horizon": 96, "batch_size": 64}},
                    "scaled_mse", True),
    "weather-96": Set({**FORECAST, "data": {"name": "weather", "window": 96, "horizon": 96, "batch_size": 256}},
                      "scaled_mse", True),
}  # fmt: skip


def label(regularizers: list[Row]) -> str:
    """`zoneout h 0.05, c 0.3`; of none, `none`."""
    parts = []
    for each in regularizers:
        fields = ", ".join(f"{key} {value:g}" for key, value in each.items() if key != "name")
        parts.append(f"{each['name']} {fields}")
    return "; ".join(parts) or "none"


def score(experiment: Experiment, metric: str, folder: Path) -> Row:
    """Train once and score the best epoch on the test split."""
    started = time.perf_counter()
    dataset = experiment.data.build()
    run = Run.create(folder, experiment.dump())
    result = train(experiment, run, dataset=dataset)
    test = evaluate(run, "test", dataset)
    return {
        "validation": result.value, "test": test.model[metric], "train": result.row["train/loss"],
        "epoch": result.epoch, "epochs": result.epochs, "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def run_all(sets: list[str], results: Path) -> list[Row]:
    """Every combination that is not in `results` yet is trained and added to it."""
    sweep = config.load(SWEEP)
    choices: list[list[Row]] = sweep["space"]["regularizers"]["grid"]
    rows = read_jsonl(results) if results.is_file() else []
    known = {(row["set"], row["regularizer"], row["seed"]) for row in rows}
    absent: set[str] = set()
    for name, seed, choice in itertools.product(sets, sweep["seeds"], choices):
        if (name, label(choice), seed) in known or name in absent:
            continue
        experiment = Experiment.of({**SETS[name].experiment, "regularizers": choice, "seed": seed})
        with tempfile.TemporaryDirectory() as scratch:
            try:
                found = score(experiment, SETS[name].metric, Path(scratch) / "run")
            except DataError as error:
                absent.add(name)
                print(f"{name}: left out: {error}", file=sys.stderr)
                continue
        row = {"set": name, "regularizer": label(choice), "seed": seed, **found}
        rows.append(row)
        with results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    return rows


def difference(values: dict[tuple[str, str, int], float], name: str, regularizer: str) -> str:
    """By how many per cent a regularizer is better than none, in pairs of seeds: mean [interval]; bold where the
    interval is on one side of 0."""
    seeds = [seed for each, chosen, seed in values if each == name and chosen == regularizer
             and (name, "none", seed) in values]  # fmt: skip
    plain = statistics.mean(values[name, "none", seed] for seed in seeds) if seeds else 0.0
    if not plain:
        return ""
    gains = [100 * (values[name, "none", seed] - values[name, regularizer, seed]) / plain for seed in seeds]
    low, high = confidence_interval(gains)
    text = f"{statistics.mean(gains):+.1f}"
    if low is None or high is None:
        return text
    return f"{f'**{text}**' if low > 0 or high < 0 else text} [{low:+.1f}, {high:+.1f}]"


def table(rows: list[Row]) -> list[str]:
    """Markdown: a row for each regularizer, a column for each set."""
    values = {(row["set"], row["regularizer"], row["seed"]): row["test"] for row in rows}
    regularizers = list(dict.fromkeys(row["regularizer"] for row in rows if row["regularizer"] != "none"))
    sets = [name for name in SETS if any(row["set"] == name for row in rows)]
    heads = []
    for name in sets:
        plain = [value for (each, chosen, _), value in values.items() if (each, chosen) == (name, "none")]
        heads.append(f"{SETS[name].metric} {statistics.mean(plain):.4g}, {len(plain)} seeds" if plain else "")
    return [
        f"| regularizer | {' | '.join(sets)} |",
        "|---" * (len(sets) + 1) + "|",
        f"| none | {' | '.join(heads)} |",
        *(f"| {each} | {' | '.join(difference(values, name, each) for name in sets)} |" for each in regularizers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    quick = [name for name, each in SETS.items() if not each.takes_hours]
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=quick)
    parser.add_argument("--results", type=Path, default=Path("runs/regularisers.jsonl"))
    parser.add_argument("--table", action="store_true", help="nothing is trained")
    parser.add_argument("--write", action="store_true", help="write benchmarks/regularisers.md")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rows = read_jsonl(options.results) if options.table else run_all(options.sets, options.results)
    missing = [name for name in SETS if all(row["set"] != name for row in rows)]
    text = "\n".join([
        "# What does each regularizer change?", "",
        f"`python benchmarks/regularisers.py`, {time.strftime('%Y-%m-%d')}, {processor()}. An LSTM of 64 units (200 on "
        "jsb_chorales). Per cent by which the test metric is better than without, mean of pairs of one seed [95 % "
        "confidence interval]; bold where that is on one side of 0. Intervals are not corrected for the number of "
        "rows. The values of `sweeps/regularisers.yaml` are not tuned for any set.", "",
        *table(rows), "",
        *([f"Not trained: {', '.join(missing)} (`--sets {' '.join(missing)}`, hours)."] if missing else []),
    ])  # fmt: skip
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "regularisers.md").write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
