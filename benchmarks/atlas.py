"""The atlas: learning curves of the same configurations on many small data sets, from which `lstm-lab suggest` learns.

    make atlas                                          # train what is missing, then write lstm_lab/atlas/atlas.parquet
    python benchmarks/atlas.py --sets vowels --configurations 8 --table

Every configuration is trained on every set: drawn once, by a seed, from one space of cells, widths, depths, learning
rates, schedules and regularisers. The experiment of a set is its file in conf/ with fewer epochs, so that a run takes
seconds. What the package's file has is not trained again. New rows are appended to --results as they come, one
configuration on all sets after another: an interrupted atlas resumes, and what there is is a complete table up to its
last configuration. Sets that are not there (LSTM_LAB_DATA) are left out and named.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from cells import processor

from lstm_lab.atlas import Atlas, greedy, read_atlas
from lstm_lab.config import DataError, Fault, Notice
from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records.files import Row, read_jsonl
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ROOT = Path(__file__).parent.parent
WRITTEN = ROOT / "lstm_lab" / "atlas" / "atlas.parquet"
CONFIGURATIONS = 64
SEED = 0
"""Of the configurations, and of every run."""
DRAWS = 2000
"""Random choices of configurations that a suggestion is compared with."""
KEPT = ("set", "task", "configuration", "seed", "metric", "mode", "max_epochs", "reason", "seconds", "parameters",
        "data", "commit")  # fmt: skip
"""Columns of the file that are as in the rows."""
COLUMNS = ("train/loss", "val/loss", "train/grad_norm", "lr")
"""Of the record that are kept beside the monitored metric, epoch by epoch."""


@dataclass(frozen=True)
class Chart:
    """A data set of the atlas: its experiment in conf/, made short."""

    conf: str
    overrides: tuple[str, ...]


SETS = {
    "vowels": Chart("vowels_lstm", ("trainer.max_epochs=20",)),
    "optdigits": Chart("optdigits_lstm", ("trainer.max_epochs=8", "data.batch_size=64")),
    "mnist1d": Chart("mnist1d_gru", ("trainer.max_epochs=5",)),
    "spoken digits": Chart("digits_lstm", ("trainer.max_epochs=4", "data.batch_size=64")),
    "sms spam": Chart("sms_spam_lstm", ("trainer.max_epochs=3", "task.monitor=loss", "data.tokenizer=word",
                                        "data.batch_size=64")),
    "chorales": Chart("jsb_lstm", ("trainer.max_epochs=8", "data.batch_size=8")),
    "reber": Chart("reber_lstm", ("trainer.max_epochs=8", "data.train_size=4000")),
    "parity": Chart("parity_lstm", ("trainer.max_epochs=10", "task.monitor=loss", "data.length=20",
                                    "data.train_size=4000")),
    "adding": Chart("adding_lstm", ("trainer.max_epochs=10", "data.length=20", "data.train_size=4000")),
    "demand": Chart("demand_lstm", ("trainer.max_epochs=8", "data.stride=4", "data.window=384")),
}  # fmt: skip
PLAIN = {"model.dropout": {"input": 0.0, "between": 0.0, "output": 0.0}, "trainer.patience": None}
"""Of every run: regularisers are those of the configuration alone, and none stops early."""


def configurations(count: int) -> list[Row]:
    """The first configurations of the space; more of them change none."""
    drawn = []
    for number in range(count):
        rng = np.random.default_rng([SEED, number])
        drawn.append({
            "model.cell": str(rng.choice(["lstm", "gru", "mgu", "rnn"], p=[0.35, 0.35, 0.15, 0.15])),
            "model.hidden_size": int(rng.choice([16, 32, 64, 128])),
            "model.num_layers": int(rng.choice([1, 2], p=[0.7, 0.3])),
            "optimizer": "adamw",
            "optimizer.lr": float(f"{10 ** rng.uniform(-4, -1):.2g}"),
            "optimizer.weight_decay": float(rng.choice([0.0, 0.01, 0.1])),
            "schedule": str(rng.choice(["constant", "cosine"])),
            "model.dropout.output": float(rng.choice([0.0, 0.2, 0.5])),
        })  # fmt: skip
    return drawn


def experiment_of(name: str, configuration: Row) -> Experiment:
    """What a configuration is on a set."""
    chart = SETS[name]
    base = load_experiment(ROOT / "conf" / f"{chart.conf}.yaml", [*chart.overrides, f"seed={SEED}"])
    return base.with_overrides({**PLAIN, **configuration})


def measure(name: str, number: int, configuration: Row, dataset: Dataset) -> Row:
    """Train one configuration on one set."""
    experiment, reason = experiment_of(name, configuration), None
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", experiment.dump(), job_type="atlas")
        try:
            train(experiment, run, dataset=dataset)
        except DataError as error:  # A loss that is not finite: no fault of the data, and told as any other result.
            reason = str(error).replace(folder, "")
        about, rows = run.about, run.rows()
    curves = {
        key: [None if row.get(key) is None or not math.isfinite(row[key]) else float(f"{row[key]:.6g}") for row in rows]
        for key in dict.fromkeys((experiment.monitor, *COLUMNS))
    }
    return {
        "set": name, "task": experiment.task.name, "configuration": number, "overrides": configuration, "seed": SEED,
        "metric": experiment.monitor, "mode": experiment.mode, "max_epochs": experiment.trainer.max_epochs,
        "curves": curves, "reason": reason, "seconds": round(time.process_time() - started, 2),
        "parameters": about.get("parameters"), "data": (about.get("data") or {}).get("digest"),
        "commit": (about.get("git") or {}).get("commit"),
    }  # fmt: skip


def table(rows: list[Row]) -> pd.DataFrame:
    """The rows as columns, ready to be written."""
    frame = pd.DataFrame([
        {
            **{key: row[key] for key in KEPT},
            "overrides": json.dumps(row["overrides"]),
            "value": row["curves"][row["metric"]],
            **{key: row["curves"][key] for key in COLUMNS},
        }
        for row in rows
    ])  # fmt: skip
    return frame.sort_values(["configuration", "set"], ignore_index=True)


# --- what it is worth ---------------------------------------------------------------------------------------------


def leave_one_out(atlas: Atlas) -> list[Row]:
    """Each set against the portfolio of the others: how often a suggestion beats as many random configurations."""
    rows = []
    for place, name in enumerate(atlas.sets):
        order, costs, regret = greedy(atlas.without(name).regret), _finite(atlas.costs[place]), atlas.regret[place]
        rng, first, eight = np.random.default_rng(SEED), costs[order[0]], costs[order[:8]].min()
        drawn = [rng.permutation(len(costs)) for _ in range(DRAWS)]
        medians = np.array([np.median(costs[each[:16]]) for each in drawn])
        bests = np.array([costs[each[:32]].min() for each in drawn])
        rows.append({
            "set": name, "task": atlas.tasks[place], "first": regret[order[0]], "eight": regret[order[:8]].min(),
            "random": float(np.mean([regret[each[:8]].min() for each in drawn])),
            "beats_median": _beats(first, medians), "beats_best": _beats(eight, bests),
        })  # fmt: skip
    return rows


def _finite(costs: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(costs), costs, np.inf)


def _beats(ours: float, theirs: np.ndarray) -> float:
    """Share of draws that are worse; equal ones count half."""
    return float(np.mean((ours < theirs) + 0.5 * (ours == theirs)))


def importance(atlas: Atlas, place: int) -> dict[str, float]:
    """Share of the variance of the regret on a set that each hyperparameter explains (fANOVA; Hutter et al. 2014)."""
    import optuna

    keys = [key for key in atlas.configurations[0] if len({str(each[key]) for each in atlas.configurations}) > 1]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for configuration, regret in zip(atlas.configurations, atlas.regret[place], strict=True):
        values = {key: configuration[key] for key in keys}
        values = {key: value if key == "optimizer.lr" else str(value) for key, value in values.items()}
        values["optimizer.lr"] = math.log10(float(str(values["optimizer.lr"])))
        domains = {key: _domain(key, [each[key] for each in atlas.configurations]) for key in keys}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=domains, value=float(regret)))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=64, seed=SEED)
    return {key: float(value) for key, value in evaluator.evaluate(study).items()}


def _domain(key: str, values: list[object]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if key == "optimizer.lr":
        return FloatDistribution(-4.0, -1.0)
    return CategoricalDistribution(sorted({str(value) for value in values}))


def summary(atlas: Atlas, rows: list[Row]) -> str:
    """Markdown."""
    found, order = leave_one_out(atlas), greedy(atlas.regret, 8)
    shares = [importance(atlas, place) for place in range(len(atlas.sets))]
    keys = sorted(shares[0], key=lambda key: -statistics.mean(each[key] for each in shares))
    first = sum(row["beats_median"] > 0.5 for row in found)
    eight = sum(row["beats_best"] > 0.5 for row in found)
    hours = sum(row["seconds"] for row in rows) / 3600
    commits = sorted({str(row["commit"])[:7] for row in rows})
    return "\n".join([
        f"{len(rows)} runs: {len(atlas.configurations)} of {CONFIGURATIONS} configurations on {len(atlas.sets)} "
        f"data sets, seed {SEED}, commit {', '.join(commits)}, {hours:.1f} hours of one core.", "",
        "## Leaving one data set out", "",
        "Regret: 0, the best configuration of the set; 1, no better than the median of all. The portfolio is made of "
        "the other sets alone.", "",
        "| set left out | task | first suggestion | best of the first 8 | best of 8 random (mean) | first beats the "
        "median of 16 random | first 8 beat the best of 32 random |",
        "|---|---|---|---|---|---|---|",
        *(f"| {row['set']} | {row['task']} | {row['first']:.2f} | {row['eight']:.2f} | {row['random']:.2f} | "
          f"{100 * row['beats_median']:.0f} % | {100 * row['beats_best']:.0f} % |" for row in found),
        "",
        f"In more than half of {DRAWS} draws the first suggestion beats the median of 16 random configurations on "
        f"{first} of {len(found)} sets, and the first eight the best of 32 random ones on {eight} of {len(found)}. "
        f"Mean regret: first {_mean(found, 'first')}, first eight {_mean(found, 'eight')}, eight random ones "
        f"{_mean(found, 'random')}.", "",
        "## The first eight, learnt from all sets", "",
        "| place | configuration | mean regret |", "|---|---|---|",
        *(f"| {place} | `{_text(atlas.configurations[number])}` | {atlas.regret[:, number].mean():.2f} |"
          for place, number in enumerate(order, 1)),
        "",
        "## What matters", "",
        "Share of the variance of the regret (fANOVA): mean over the sets, and on how many of them it is the largest.",
        "",
        "| hyperparameter | mean | least | most | first on |", "|---|---|---|---|---|",
        *(f"| `{key}` | {100 * statistics.mean(each[key] for each in shares):.0f} % | "
          f"{100 * min(each[key] for each in shares):.0f} % | {100 * max(each[key] for each in shares):.0f} % | "
          f"{sum(key == max(each, key=lambda one: each[one]) for each in shares)} of {len(shares)} |" for key in keys),
    ])  # fmt: skip


def _text(configuration: Mapping[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in configuration.items())


def _mean(rows: list[Row], key: str) -> str:
    return f"{statistics.mean(row[key] for row in rows):.2f}"


def shipped() -> list[Row]:
    """The rows of the Parquet file, of configurations that are still drawn: these need no training again."""
    if not WRITTEN.is_file():
        return []
    drawn, rows = configurations(CONFIGURATIONS), []
    for row in pd.read_parquet(WRITTEN).to_dict("records"):
        curves = {row["metric"]: row["value"], **{key: row[key] for key in COLUMNS}}
        known = {key: [None if math.isnan(value) else float(value) for value in curve] for key, curve in curves.items()}
        kept = {key: row[key] for key in KEPT}
        if json.loads(row["overrides"]) == drawn[row["configuration"]]:
            rows.append({**kept, "overrides": drawn[row["configuration"]], "curves": known})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--configurations", type=int, default=CONFIGURATIONS, metavar="N")
    parser.add_argument("--results", type=Path, default=Path("runs/atlas.jsonl"))
    parser.add_argument("--minutes", type=float, help="no further run is begun after so many")
    parser.add_argument("--table", action="store_true", help="print what was trained, seconds by set")
    parser.add_argument(
        "--write", action="store_true", help="write the Parquet file of the package, and benchmarks/atlas.md"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore", Notice)
    end = time.monotonic() + 60 * (options.minutes if options.minutes is not None else math.inf)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rows = read_jsonl(options.results) if options.results.is_file() else []
    known = {(row["set"], row["configuration"]) for row in rows}
    rows += [row for row in shipped() if (row["set"], row["configuration"]) not in known]
    known |= {(row["set"], row["configuration"]) for row in rows}
    datasets: dict[str, Dataset] = {}
    for name in options.sets:
        try:
            datasets[name] = experiment_of(name, {}).data.build()
        except Fault as error:
            print(f"{name} is left out: {error}", flush=True)
    for number, configuration in enumerate(configurations(options.configurations)):
        for name, dataset in datasets.items():
            if (name, number) in known or time.monotonic() > end:
                continue
            row = measure(name, number, configuration, dataset)
            rows.append(row)
            with options.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
    if options.table:
        frame = pd.DataFrame([{"set": row["set"], "seconds": row["seconds"]} for row in rows])
        print(frame.groupby("set").seconds.agg(["count", "mean", "max"]).round(1).to_string())
    if options.write:
        WRITTEN.parent.mkdir(parents=True, exist_ok=True)
        table(rows).to_parquet(WRITTEN, index=False, compression="zstd")
        print(f"{WRITTEN}: {len(rows)} runs, {WRITTEN.stat().st_size / 1024:.0f} KiB")
        head = "# The atlas, and what its suggestions are worth\n\n"
        head += f"`make atlas`, {time.strftime('%Y-%m-%d')}, {processor()}. "
        text = summary(read_atlas(WRITTEN), rows)
        print(text)
        (ROOT / "benchmarks" / "atlas.md").write_text(f"{head}{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
