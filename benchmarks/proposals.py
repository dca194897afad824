"""What `lstm-lab data inspect --write` should propose: candidates compared over every set of a kind.

    python benchmarks/proposals.py --write                      # train what is missing, then write the page
    python benchmarks/proposals.py --kinds sequences --seeds 0  # some of it, printed

Each candidate is a model, an optimizer and a schedule, the same for every set of its kind. Per set the candidates are
ranked by the mean over seeds of the test metric; the epoch is chosen on validation. The proposal is the candidate of
the best mean rank. Leave one out: for each set, the candidate of the best mean rank over the *other* sets, beside the
best one there. Sets lie below LSTM_LAB_DATA or ship with aeon; what is missing is left out and named. Results are kept
in --results, so that an interrupted benchmark resumes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cells import processor
from scipy.stats import rankdata

from lstm_lab import config
from lstm_lab.config import DataError, Fault
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row, read_jsonl
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Kind:
    """Data of one kind: its sets, the candidates, and the metric by which they are ranked."""

    task: Row
    metric: str
    maximize: bool
    sets: dict[str, Row]
    """Name -> data of an experiment."""
    candidates: dict[str, Row]
    """Name -> sections of an experiment. The first is what was proposed before."""
    base: Row = field(default_factory=dict)

    def experiment(self, name: str, candidate: str, seed: int) -> Experiment:
        content = config.merge({"task": self.task, **self.base}, self.candidates[candidate])
        return Experiment.of({**content, "data": {**self.sets[name], **content.get("data", {})}, "seed": seed})


def bundled(name: str) -> Row:
    """A set that ships with aeon, in its published split."""
    import aeon.datasets

    folder = Path(aeon.datasets.__file__).parent / "data" / name
    return {"name": "ts", "path": str(folder / f"{name}_TRAIN.ts"), "test_path": str(folder / f"{name}_TEST.ts"),
            "batch_size": 16}  # fmt: skip


def recurrent(pooling: str | None = None, **more: object) -> Row:
    """A bidirectional LSTM with dropout before its head."""
    model = {"bidirectional": True, "dropout": {"output": 0.2}, **({"pooling": pooling} if pooling else {})}
    return {"model": model, **more}


COSINE = {"schedule": "cosine", "trainer": {"max_epochs": 30, "patience": None}}
SEQUENCES = Kind(
    task={"name": "classify", "monitor": "loss"},
    metric="accuracy",
    maximize=True,
    sets={
        "japanese_vowels": {"name": "japanese_vowels", "batch_size": 16},
        "fsdd": {"name": "fsdd", "batch_size": 64},
        **{name: bundled(name) for name in ("ArrowHead", "BasicMotions", "GunPoint", "ItalyPowerDemand", "OSULeaf")},
    },
    candidates={
        "mean pooling": recurrent("mean"),
        "max pooling": recurrent("max"),
        "last step": recurrent("last"),
        "additive attention": recurrent("additive"),
        "max pooling, cosine": recurrent("max", **COSINE),
        "mean pooling, cosine": recurrent("mean", **COSINE),
    },
    base={"optimizer": {"lr": 5e-3}, "trainer": {"max_epochs": 30}},
)
TEXTS = Kind(
    task={"name": "classify", "monitor": "loss"},
    metric="accuracy",
    maximize=True,
    sets={
        "sms_spam": {"name": "sms_spam", "batch_size": 64},
        "mr": {"name": "mr", "batch_size": 64},
        "sst": {"name": "sst", "batch_size": 64},
    },
    candidates={
        "max pooling": recurrent("max", model={"bidirectional": True, "pooling": "max", "dropout": {"output": 0.3}}),
        "max pooling, cosine": recurrent("max", schedule="cosine"),
        "more dropout": {"model": {"bidirectional": True, "pooling": "max", "embedding": {"dropout": 0.2},
                                   "dropout": {"input": 0.2, "output": 0.5}}},
        "more dropout, cosine": {"model": {"bidirectional": True, "pooling": "max", "embedding": {"dropout": 0.2},
                                           "dropout": {"input": 0.2, "output": 0.5}}, "schedule": "cosine",
                                 "trainer": {"max_epochs": 6, "patience": None}},
    },
    base={"optimizer": {"lr": 2e-3}, "trainer": {"max_epochs": 10, "patience": 3}},
)  # fmt: skip
SMALL = "small_series"
SERIES = Kind(
    task={"name": "forecast", "anchor": "last"},
    metric="mae",
    maximize=False,
    sets={
        "taylor": {"name": "taylor", "window": 96, "horizon": 48, "stride": 4, "batch_size": 64},
        "ETTh1": {"name": "ett", "window": 96, "horizon": 24, "stride": 4, "batch_size": 64},
        "min temperatures": {"name": "csv", "path": f"{SMALL}/daily-min-temperatures.csv", "time": "Date",
                             "targets": ["Temp"], "window": 56, "horizon": 7},
        "births": {"name": "csv", "path": f"{SMALL}/daily-total-female-births.csv", "time": "Date",
                   "targets": ["Births"], "window": 28, "horizon": 7},
        "sunspots": {"name": "csv", "path": f"{SMALL}/monthly-sunspots.csv", "time": "Month",
                     "targets": ["Sunspots"], "window": 132, "horizon": 12},
        "airline": {"name": "csv", "path": f"{SMALL}/airline-passengers.csv", "time": "Month",
                    "targets": ["Passengers"], "window": 24, "horizon": 6},
    },
    candidates={
        "LSTM": {},
        "LSTM, cosine": {"schedule": "cosine", "trainer": {"max_epochs": 20, "patience": None}},
        "LSTM, MAE": {"task": {"loss": "mae", "monitor": "loss"}},
        "GRU, MAE": {"task": {"loss": "mae", "monitor": "loss"}, "model": {"cell": "gru"}},
        "LSTM, dropout, MAE": {"task": {"loss": "mae", "monitor": "loss"}, "model": {"dropout": {"output": 0.2}}},
        "segments": {"task": {"loss": "mae", "monitor": "loss"}, "model": {"name": "segrnn", "dropout": 0.5},
                     "optimizer": {"lr": 1e-3}},
    },
    base={"optimizer": {"lr": 3e-3}, "trainer": {"max_epochs": 30}},
)  # fmt: skip
KINDS = {"sequences": SEQUENCES, "texts": TEXTS, "series": SERIES}


def segments(experiment: Experiment) -> Experiment:
    """With the longest segment of at most 24 steps that divides both window and horizon, where it has segments."""
    if experiment.model.name != "segrnn":
        return experiment
    data = experiment.dump()["data"]
    divisors = [w for w in range(1, 25) if not data["window"] % w and not data["horizon"] % w]
    return experiment.with_overrides({"model.segment_length": max(divisors)})


def score(kind: Kind, experiment: Experiment, folder: Path) -> Row:
    """Train once and score the best epoch on the test split."""
    started = time.perf_counter()
    dataset = experiment.data.build()
    run = Run.create(folder, experiment.dump())
    result = train(experiment, run, dataset=dataset)
    test = evaluate(run, "test", dataset)
    baselines = {name: row[kind.metric] for name, row in test.baselines.items() if kind.metric in row}
    best = (max if kind.maximize else min)(baselines.values())
    return {
        "test": test.model[kind.metric], "baseline": best, "epoch": result.epoch, "epochs": result.epochs,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def run_all(names: list[str], seeds: list[int], results: Path) -> list[Row]:
    """Every combination that is not in `results` yet is trained and added to it."""
    rows = read_jsonl(results) if results.is_file() else []
    known = {(row["kind"], row["set"], row["candidate"], row["seed"]) for row in rows}
    absent: set[str] = set()
    for seed, name in itertools.product(seeds, names):
        kind = KINDS[name]
        for set_name, candidate in itertools.product(kind.sets, kind.candidates):
            if (name, set_name, candidate, seed) in known or set_name in absent:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    found = score(kind, segments(kind.experiment(set_name, candidate, seed)), Path(scratch) / "run")
                except DataError as error:
                    absent.add(set_name)
                    print(f"{set_name}: left out: {error}", file=sys.stderr)
                    continue
                except Fault as error:
                    print(f"{set_name}, {candidate}, seed {seed}: {error}", file=sys.stderr)
                    continue
            row = {"kind": name, "set": set_name, "candidate": candidate, "seed": seed, **found}
            rows.append(row)
            with results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    return rows


def table(name: str, rows: list[Row]) -> list[str]:
    """Markdown of one kind: mean and std per set, mean ranks, and the choice that leaves each set out."""
    kind = KINDS[name]
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["kind"] == name and row["set"] in kind.sets and row["candidate"] in kind.candidates:
            values.setdefault((row["set"], row["candidate"]), []).append(row["test"])
    candidates = list(kind.candidates)
    sets = [each for each in kind.sets if all((each, candidate) in values for candidate in candidates)]
    if not sets:
        return []
    means = np.array([[statistics.mean(values[each, candidate]) for candidate in candidates] for each in sets])
    ranks = rankdata(-means if kind.maximize else means, axis=1)
    seeds = sorted({row["seed"] for row in rows if row["kind"] == name})
    lines = [
        f"## {name.capitalize()}", "",
        f"{kind.metric} on the test split, mean and std over seeds {', '.join(map(str, seeds))}; best in bold.",
        "",
        f"| set | {' | '.join(candidates)} | best baseline |", "|---" * (len(candidates) + 2) + "|",
    ]  # fmt: skip
    for n, each in enumerate(sets):
        cells = []
        for k, candidate in enumerate(candidates):
            found = values[each, candidate]
            std = f" ± {statistics.stdev(found):.2g}" if len(found) > 1 else ""
            cells.append(f"**{means[n, k]:.4g}**{std}" if ranks[n, k] < 1.5 else f"{means[n, k]:.4g}{std}")
        baseline = next(row["baseline"] for row in rows if row["kind"] == name and row["set"] == each)
        lines.append(f"| {each} | {' | '.join(cells)} | {baseline:.4g} |")
    mean_ranks = ranks.mean(0)
    lines += [f"| mean rank | {' | '.join(f'{rank:.2f}' for rank in mean_ranks)} | |", ""]
    lines.append(f"Best mean rank over all sets: **{candidates[int(mean_ranks.argmin())]}**.")
    if len(sets) > 2:
        lines += [
            "",
            "| left out | chosen by the others | its value there | best there | first candidate there |",
            "|---|---|---|---|---|",
        ]
        for n, each in enumerate(sets):
            chosen = int(np.delete(ranks, n, 0).mean(0).argmin())
            best = int(ranks[n].argmin())
            lines.append(f"| {each} | {candidates[chosen]} | {means[n, chosen]:.4g} | {candidates[best]}: "
                         f"{means[n, best]:.4g} | {means[n, 0]:.4g} |")  # fmt: skip
    return [*lines, ""]


def command(rows: list[Row]) -> str:
    """What trains these rows."""
    names = [name for name in KINDS if any(row["kind"] == name for row in rows)]
    seeds = sorted({row["seed"] for row in rows})
    return shlex.join(["python", "benchmarks/proposals.py", "--kinds", *names, "--seeds", *map(str, seeds)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path("runs/proposals.jsonl"))
    parser.add_argument("--table", action="store_true", help="nothing is trained")
    parser.add_argument("--write", action="store_true", help="write benchmarks/proposals.md")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rows = read_jsonl(options.results) if options.table else run_all(options.kinds, options.seeds, options.results)
    text = "\n".join([
        "# Which first experiment for which data?", "",
        f"`{command(rows)}`, {time.strftime('%Y-%m-%d')}, {processor()}.", "",
        *(line for name in KINDS for line in table(name, rows)),
    ])  # fmt: skip
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "proposals.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
