"""How often `lstm-lab diagnose` names a planted fault, accuses a healthy run, and mends what it found.

    python benchmarks/diagnosis.py --write               # train what is missing, then write benchmarks/diagnosis.md
    python benchmarks/diagnosis.py --sets vowels --seeds 0

Each fault is planted alone in a healthy experiment. *Named*: one of its right names is among the findings. *Accused*: a
finding of severity 2 or 3 for a healthy run. *Mended*: the first action of the right finding, trained, comes within 5 %
of the healthy score. Thresholds of the rules were set on the sets marked "tuned"; the others judge. Results are kept in
--results, so that an interrupted benchmark resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from cells import processor

import lstm_lab as lab
from lstm_lab import config
from lstm_lab.config import Fault
from lstm_lab.diagnosis import diagnose
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row, read_jsonl

ROOT = Path(__file__).parent.parent
SCORE = "macro_f1"
"""Of the validation split."""

Sequences = list[np.ndarray]


@dataclass(frozen=True)
class Labelled:
    """Sequences (T, F) with labels, and those for validation."""

    X: Sequences
    y: np.ndarray
    X_validation: Sequences
    y_validation: np.ndarray

    def experiment(self, overrides: Row, seed: int, batch_size: int = 16) -> Experiment:
        validation = self.X_validation, self.y_validation.tolist()
        data = lab.data.arrays(self.X, self.y.tolist(), validation=validation, test=0, batch_size=batch_size)
        base = {"task": {"name": "classify", "monitor": "loss"}, "model": {"hidden_size": 32, "pooling": "last"},
                "optimizer": {"lr": 3e-3}, "trainer": {"max_epochs": 30, "patience": 6}}  # fmt: skip
        return Experiment.of({**config.merge(base, overrides), "data": data.model_dump(), "seed": seed})


def split(X: Sequences, y: np.ndarray, train: int, validation: int) -> Labelled:
    """Random parts of the given sizes, the same each time."""
    order = np.random.default_rng(0).permutation(len(X))
    first, second = order[:train], order[train : train + validation]
    return Labelled([X[n] for n in first], y[first], [X[n] for n in second], y[second])


def named_set(content: Row, train: int, validation: int) -> Labelled:
    """A labelled data set by its name, from its training and validation split."""
    dataset = Experiment.of({"data": content, "task": "classify"}).data.build()
    X, y = [], []
    for part in (dataset.train, dataset.validation):
        batch = part.take(torch.arange(len(part)))
        X += [batch.x[n, : int(length)].numpy() for n, length in enumerate(batch.lengths)]
        y += batch.y.tolist()
    return split(X, np.array(y), train, validation)


def first_symbol() -> Labelled:
    """Which of four symbols came first, sixty steps of noise ago? Nothing but memory helps."""
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=1000)
    X = rng.normal(0, 0.3, (1000, 60, 5)).astype(np.float32)
    X[np.arange(1000), 0, y] += 3.0
    return split(list(X), y, 700, 300)


def frequencies() -> Labelled:
    """Which of three frequencies has the wave in noise?"""
    rng = np.random.default_rng(1)
    y = rng.integers(3, size=700)
    steps = np.arange(50)
    waves = np.sin(2 * np.pi * (y[:, None] + 2) * steps / 50 + rng.uniform(0, 6.28, (700, 1)))
    X = np.stack([waves + rng.normal(0, 0.5, waves.shape), rng.normal(0, 1, waves.shape)], 2).astype(np.float32)
    return split(list(X), y, 450, 250)


SETS: dict[str, tuple[str, Callable[[], Labelled]]] = {
    "vowels": ("tuned", lambda: named_set({"name": "japanese_vowels"}, 200, 70)),
    "first symbol": ("tuned", first_symbol),
    "spoken digits": ("judged", lambda: named_set({"name": "fsdd"}, 500, 200)),
    "frequencies": ("judged", frequencies),
}


@dataclass(frozen=True)
class Plant:
    """A fault: what is changed, and the names that say it rightly."""

    names: tuple[str, ...]
    overrides: Row
    change: Callable[[Labelled], Labelled] = lambda data: data
    batch_size: int = 16
    only: tuple[str, ...] = ()
    """Sets that it is planted in; empty: all."""


def shuffled(data: Labelled) -> Labelled:
    rng = np.random.default_rng(5)
    return Labelled(data.X, rng.permutation(data.y), data.X_validation, rng.permutation(data.y_validation))


def shifted(data: Labelled) -> Labelled:
    std = np.concatenate(data.X).std(0)
    return Labelled(data.X, data.y, [x + 3 * std for x in data.X_validation], data.y_validation)


def leaking(data: Labelled) -> Labelled:
    count = len(data.y_validation) // 3
    return Labelled(
        data.X, data.y, [*data.X[:count], *data.X_validation[count:]],
        np.concatenate((data.y[:count], data.y_validation[count:])),
    )  # fmt: skip


def imbalanced(data: Labelled) -> Labelled:
    """Of two classes (0 and the rest), one sample in twenty is left of the second."""

    def keep(X: Sequences, y: np.ndarray) -> tuple[Sequences, np.ndarray]:
        rest = np.flatnonzero(y != 0)
        few = rest[: max(3, int((y == 0).sum()) // 19)]
        index = np.sort(np.concatenate((np.flatnonzero(y == 0), few)))
        noisy = np.random.default_rng(2)
        return [X[n] + noisy.normal(0, 1.5, X[n].shape).astype(np.float32) for n in index], (y[index] != 0).astype(int)

    X, y = keep(data.X, data.y)
    X_validation, y_validation = keep(data.X_validation, data.y_validation)
    return Labelled(X, y, X_validation, y_validation)


FAULTS: dict[str, Plant] = {
    "rate x 300": Plant(("learning rate too high",), {"optimizer.lr": 0.9}),
    "rate / 3000": Plant(("learning rate too low",), {"optimizer.lr": 1e-6}),
    "one unit": Plant(("too small a network",), {"model.hidden_size": 1}),
    "dropout 0.95": Plant(("too strongly regularized",), {"model.dropout.output": 0.95}),
    "weight decay 3": Plant(
        ("too strongly regularized",), {"optimizer.name": "adamw", "optimizer.lr": 3e-3, "optimizer.weight_decay": 30.0}
    ),
    "two epochs": Plant(("stopped too early",), {"trainer.max_epochs": 2}),
    "batch of all": Plant(("batch too large", "stopped too early"), {"trainer.max_epochs": 15}, batch_size=4096),
    "batch of one": Plant(("batch too small",), {"trainer.max_epochs": 3}, batch_size=1),
    "labels shuffled": Plant(("labels that the inputs do not explain", "loss at its entropy floor"), {}, shuffled),
    "validation shifted": Plant(("validation split from another distribution",), {}, shifted),
    "validation leaks": Plant(("training samples in the validation split",), {}, leaking),
    "imbalanced": Plant(("imbalanced classes",), {}, imbalanced, only=("vowels", "spoken digits", "frequencies")),
    "forget bias -4": Plant(("forgets too soon",), {"model.cell.forget_bias": -4.0}, only=("first symbol",)),
    "plain RNN": Plant(("forgets too soon",), {"model.cell": "rnn"}, only=("first symbol",)),
}


def trained(experiment: Experiment) -> tuple[lab.results.TrainedRun | None, float]:
    """A run and its score; what fails has none."""
    try:
        run = lab.train(experiment, progress=False)
    except Fault:
        return None, 0.0
    return run, float(run.record.about["validation"]["scores"][SCORE])


def measure(set_name: str, fault: str, seed: int) -> Row:
    """One healthy or faulty run, what is found in it, and what the first right action brings."""
    data = SETS[set_name][1]()
    plant = FAULTS.get(fault, Plant((), {}))
    experiment = plant.change(data).experiment({}, seed, plant.batch_size).with_overrides(plant.overrides)
    started = time.perf_counter()
    run, score = trained(experiment)
    seconds = time.perf_counter() - started
    if run is None:
        from lstm_lab.records.files import runs_folder

        run = lab.load_run(max(runs_folder().iterdir(), key=lambda path: path.stat().st_mtime))
    started = time.perf_counter()
    found = diagnose(run)
    row: Row = {
        "set": set_name, "fault": fault, "seed": seed, "score": score, "train_seconds": round(seconds, 1),
        "seconds": round(time.perf_counter() - started, 1), "findings": [[each.rule, each.severity] for each in found],
        "mended": None,
    }  # fmt: skip
    right = next((each for each in found if each.rule in plant.names), None)
    if right is not None and right.action:
        changes = dict(config.parse_overrides(right.action))
        _, row["mended"] = trained(experiment.with_overrides({**changes, "trainer.max_epochs": 30}))
    return row


def summary(rows: list[Row]) -> str:
    """Markdown."""
    healthy = {(row["set"], row["seed"]): row["score"] for row in rows if row["fault"] == "none"}
    lines = []
    for mark in ("tuned", "judged"):
        names = [name for name, (of, _) in SETS.items() if of == mark]
        part = [row for row in rows if row["set"] in names]
        sound = [row for row in part if row["fault"] == "none"]
        ill = [row for row in part if row["fault"] != "none"]
        if not part:
            continue
        accused = [row for row in sound if any(severity >= 2 for _, severity in row["findings"])]
        named = [row for row in ill if _named(row)]
        mended = [row for row in named if row["mended"] is not None and (row["set"], row["seed"]) in healthy]
        good = [row for row in mended if row["mended"] >= 0.95 * healthy[row["set"], row["seed"]]]
        lines.append(f"| {mark} ({', '.join(names)}) | {len(named)} of {len(ill)} | {len(accused)} of {len(sound)} | "
                     f"{len(good)} of {len(mended)} | {mean(row['seconds'] for row in part):.0f} s |")  # fmt: skip
    sets = [name for name in SETS if any(row["set"] == name for row in rows)]
    table = [f"| fault | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for fault in ("none", *FAULTS):
        cells = []
        for name in sets:
            found = [row for row in rows if row["set"] == name and row["fault"] == fault]
            cells.append("; ".join(_cell(row) for row in found) or "–")
        table.append(f"| {fault} | {' | '.join(cells)} |")
    return "\n".join([
        "| sets | faults named | healthy runs accused | mended by the first action | seconds of a diagnosis |",
        "|---|---|---|---|---|", *lines, "",
        f"Each run: {SCORE} on validation, whether the fault was named, the score after its action, and other findings "
        "of severity 2 or 3.", "", *table, "",
    ])  # fmt: skip


def _named(row: Row) -> bool:
    return any(rule in FAULTS[row["fault"]].names for rule, _ in row["findings"])


def _cell(row: Row) -> str:
    names = FAULTS[row["fault"]].names if row["fault"] in FAULTS else ()
    others = [rule for rule, severity in row["findings"] if rule not in names and severity >= 2]
    text = f"{row['score']:.2f}"
    if names:
        text += " named" if _named(row) else " **missed**"
        text += f", then {row['mended']:.2f}" if row["mended"] is not None else ""
    return text + (f" ({', '.join(others)})" if others else "")


def command(rows: list[Row]) -> str:
    """What trains these rows."""
    names = [name for name in SETS if any(row["set"] == name for row in rows)]
    seeds = sorted({row["seed"] for row in rows})
    return shlex.join(["python", "benchmarks/diagnosis.py", "--sets", *names, "--seeds", *map(str, seeds)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--faults", nargs="+", choices=["none", *FAULTS], default=["none", *FAULTS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--results", type=Path, default=Path("runs/diagnosis.jsonl"))
    parser.add_argument("--table", action="store_true", help="nothing is trained")
    parser.add_argument("--write", action="store_true", help="write benchmarks/diagnosis.md")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rows = read_jsonl(options.results) if options.results.is_file() else []
    known = {(row["set"], row["fault"], row["seed"]) for row in rows}
    for seed in () if options.table else options.seeds:
        for name in options.sets:
            for fault in options.faults:
                plant = FAULTS.get(fault)
                if (name, fault, seed) in known or (plant and plant.only and name not in plant.only):
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    os.environ["LSTM_LAB_RUNS"], os.environ["LSTM_LAB_CACHE"] = folder, f"{folder}/cache"
                    row = measure(name, fault, seed)
                rows.append(row)
                with options.results.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    text = "\n".join([
        "# Planted faults, and what the diagnosis says", "",
        f"`{command(rows)}`, {time.strftime('%Y-%m-%d')}, {processor()}, {len(rows)} runs.", "",
        summary(rows),
    ])  # fmt: skip
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "diagnosis.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
