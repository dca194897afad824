"""Folders of runs and sweeps as their producers write them, and their pages parsed as a browser does."""

from __future__ import annotations

import json
import math
import random
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

from lstm_lab import config
from lstm_lab.report import write_report

TITLE = "LSTM or GRU for speaker identification?"
SPACE = {
    "model.cell": {"grid": ["lstm", "gru"]},
    "model.hidden_size": {"choice": [32, 64, 96]},
    "optimizer.lr": {"loguniform": [0.002, 0.01]},
    "model.dropout.output": {"uniform": [0.0, 0.5]},
}
EXPERIMENT = {
    "data": {"name": "japanese_vowels", "batch_size": 16},
    "task": {"name": "classify", "monitor": "loss"},
    "model": {"cell": {"name": "lstm", "forget_bias": 1.0}, "hidden_size": 64, "bidirectional": True},
    "optimizer": {"name": "adam", "lr": 0.005},
    "trainer": {"max_epochs": 40},
    "seed": 0,
}
VERSIONS = {"python": "3.11.7", "lstm-lab": "0.1.0", "torch": "2.13.0", "ray": "2.60.0", "numpy": "2.3.5"}
ENDED = ("finished", "stopped", "failed")
BASELINES = {
    "majority class": {"accuracy": 0.1296, "macro_f1": 0.0255},
    "nearest centroid": {"accuracy": 0.8889, "macro_f1": 0.8853},
    "logistic regression": {"accuracy": 0.9444, "macro_f1": 0.9431},
}


# --- folders as the producers write them ------------------------------------------------------------------------------


def write_json(path, content):
    path.write_text(json.dumps(content, indent=1))


def write_rows(path, rows, truncated=False):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text + ('{"epoch": 99, "val/lo' if truncated else ""))


def write_run(path, *, level=0.1, epochs=40, state="finished", reason=None, group=None, seed=0, monitor="val/loss",
              truncated=False, rate=0.005):  # fmt: skip
    """A run folder whose loss falls towards `level` and then rises a little."""
    rng = random.Random(f"{path.name}{seed}")
    rows = []
    for epoch in range(epochs):
        loss = level + (2.2 - level) * math.exp(-epoch / 4) + 0.0004 * max(0, epoch - 25) ** 1.5
        loss *= math.exp(rng.gauss(0, 0.05))
        accuracy = min(1.0, round((1 - 0.35 * loss) * 54) / 54)
        rows.append({
            "epoch": epoch, "step": 14 * (epoch + 1), "train/loss": 0.8 * loss * math.exp(-epoch / 40),
            "train/grad_norm": 1 / (1 + epoch), "val/loss": loss, "val/accuracy": accuracy,
            "val/macro_f1": accuracy - 0.004, "lr": rate * (1 + math.cos(math.pi * epoch / 40)) / 2,
            "seconds": round(0.31 * (epoch + 1), 3),
        })  # fmt: skip
    (path / "checkpoints").mkdir(parents=True)
    (path / "experiment.yaml").write_text(config.to_yaml(EXPERIMENT))
    write_json(path / "run.json", {
        "id": path.name, "name": path.name, "created": "2026-11-21T05:28:20+00:00",
        "command": "lstm-lab train conf/vowels_lstm.yaml", "git": {"commit": "eb6f499329d3", "dirty": True},
        "versions": VERSIONS, "data": {"digest": "efd1dc4bc7b3ecf3", "info": {"input_size": 12}}, "monitor": monitor,
        "mode": "max" if monitor != "val/loss" else "min", "parameters": 41097, "device": "cpu", "group": group,
        "job_type": "trial" if group else "train",
    })  # fmt: skip
    write_rows(path / "metrics.jsonl", rows, truncated)
    write_json(path / "status.json", {"state": state, "reason": reason, "epochs": epochs, "seconds": 0.31 * epochs})
    return rows


def evaluation_row(accuracy=0.9703, baselines=BASELINES):
    skill = {name: 1 - (1 - accuracy) / (1 - row["accuracy"]) for name, row in baselines.items()}
    return {
        "at": "2026-11-21T05:40:00+00:00", "epoch": 20, "split": "test",
        "scores": {"loss": 0.0876, "accuracy": accuracy, "macro_f1": accuracy - 0.001},
        "baselines": baselines, "skill": skill,
    }  # fmt: skip


def write_sweep(folder, *, draws=6, seeds=(0, 1), baselines=BASELINES, tested=True, ended=True, most=40, name=None):
    """A sweep folder: each draw with both cells and every seed, some stopped early, one configuration failed."""
    rng = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "title": name or TITLE, "experiment": EXPERIMENT, "space": SPACE, "seeds": list(seeds),
        "num_samples": draws, "searcher": {"name": "random"},
        "scheduler": {"name": "asha", "grace_period": 6, "reduction_factor": 3.0},
        "resources": {"cpus": 1.0, "gpus": 0.0}, "seed": 0,
    }  # fmt: skip
    (folder / "sweep.yaml").write_text(config.to_yaml(spec))
    rows, events, trials = [], [], []
    for draw in range(draws):
        size, rate = rng.choice([32, 64, 96]), 10 ** rng.uniform(-2.7, -2)
        drop = rng.uniform(0, 0.5)
        for index, cell in enumerate(["lstm", "gru"]):
            overrides = {
                "model.cell": cell, "model.hidden_size": size, "optimizer.lr": rate, "model.dropout.output": drop,
            }  # fmt: skip
            level = (
                0.05 + 2 * abs(math.log10(rate) + 2.3) * 0.1 + (0.02 if cell == "gru" else 0) + 0.1 * abs(drop - 0.2)
            )
            state, epochs = ("finished", most) if level < 0.12 else ("stopped", 18 if level < 0.14 else 6)
            if draw == draws - 1 and cell == "gru":
                state, epochs = "failed", 3
            number = 2 * draw + index
            for seed in seeds:
                trial = f"t{len(rows):04d}"
                rows.append({"trial": trial, "configuration": number, "seed": seed, "overrides": overrides})
                reason = {"failed": "Diverged: the loss of epoch 3 is not a number; lower optimizer.lr",
                          "stopped": "asha: worse than the others"}.get(state)  # fmt: skip
                metrics = write_run(folder / "trials" / trial, level=level, epochs=epochs, state=state, reason=reason,
                                 group=folder.name, seed=seed, rate=rate)  # fmt: skip
                value = min(row["val/loss"] for row in metrics)
                trials.append((number, overrides, trial, state, value))
                if state != "finished":
                    events.append({"trial": trial, "state": state, "reason": reason})
    write_rows(folder / "trials.jsonl", rows, truncated=True)
    write_rows(folder / "events.jsonl", events)
    write_json(folder / "about.json", {
        "name": folder.name, "created": "2026-11-21T05:28:10+00:00", "git": {"commit": "eb6f499329d3", "dirty": False},
        "versions": VERSIONS, "command": "lstm-lab sweep sweeps/vowels_cells.yaml", "seconds": 74.2,
    })  # fmt: skip
    if ended:
        _end(folder, trials, baselines, tested)
    return folder


def _end(folder, trials, baselines, tested):
    """summary.json and best.yaml, ranked independently: the page must agree with them."""
    configurations = {}
    for number, overrides, trial, state, value in trials:
        configurations.setdefault(number, (overrides, []))[1].append((trial, state, value))
    rows = []
    for number, (overrides, members) in configurations.items():
        values = [value for _, state, value in members if state != "failed"]
        rows.append({
            "configuration": number, "overrides": overrides, "trials": [trial for trial, _, _ in members],
            "mean": mean(values) if values else None, "std": stdev(values) if len(values) > 1 else None,
            "n": len(values), "states": [state for _, state, _ in members], "parameters": 41097,
        })  # fmt: skip
    rows.sort(key=lambda row: (row["mean"] is None, sum(s != "finished" for s in row["states"]), row["mean"] or 0))
    best = min(configurations[rows[0]["configuration"]][1], key=lambda member: member[2])[0]
    test = evaluation_row(baselines=baselines)
    validation = {"loss": 0.0521, "accuracy": 0.9630, "macro_f1": 0.9627}
    skill = {name: 1 - (1 - 0.9630) / (1 - row["accuracy"]) for name, row in baselines.items()}
    failed = [trial for _, _, trial, state, _ in trials if state == "failed"]
    write_json(folder / "summary.json", {
        "title": config.load(folder / "sweep.yaml")["title"], "metric": "val/loss", "mode": "min",
        "trials": {"total": len(trials), **{state: sum(t[3] == state for t in trials) for state in ENDED}},
        "winner": {"trial": best, "config": {**rows[0]["overrides"], "seed": 0}, "epoch": 20, "validation": validation,
                   "test": test["scores"] if tested else None},
        "configurations": rows,
        "baselines": {"validation": baselines, "test": baselines if tested else None},
        "skill": {"validation": skill, "test": test["skill"] if tested else None},
        "failures": [{"trial": t, "reason": "Diverged: the loss of epoch 3 is not a number"} for t in failed],
        "seconds": 74.2, "wandb": {"mode": "offline", "runs": len(trials)},
        "command": "lstm-lab sweep sweeps/vowels_cells.yaml",
    })  # fmt: skip
    (folder / "best.yaml").write_text(f"# {TITLE}\n{config.to_yaml(EXPERIMENT)}")
    if tested:
        write_rows(folder / "trials" / best / "tests.jsonl", [test])


# --- pages, parsed ----------------------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """Tags with their attributes, text outside scripts, rows of tables, and the JSON of the figures."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.styles, self.figures, self.scripts = [], [], [], {}, []
        self.tables, self._open, self._attributes = [], "", {}
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self._open, self._attributes = tag, dict(attributes)
        self.tags.append((tag, self._attributes))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(["", self._attributes.get("data-value")])

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open == "script":
            if "data-for" in self._attributes:
                self.figures[self._attributes["data-for"]] = json.loads(data)
            else:
                self.scripts.append(data)
        elif self._open == "style":
            self.styles.append(data)
        else:
            self.words.append(data)
            if self._open in ("td", "th", "button") and self.tables and self.tables[-1][-1:]:
                self.tables[-1][-1][-1][0] += data.strip()


def page(folder):
    path = write_report(folder)
    assert path == Path(folder) / "report.html"
    return Parsed(path.read_text(encoding="utf-8"))


def rows_of(folder, trial):
    return [json.loads(line) for line in (folder / "trials" / trial / "metrics.jsonl").read_text().splitlines()]
