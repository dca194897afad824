"""Pages: what they show is what the disk says, they need nothing but themselves, and they say plainly who wins."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import pytest

from lstm_lab import config
from lstm_lab.config import DataError
from lstm_lab.report import write_report

QUESTION = "Which cell hears best who speaks, LSTM or GRU?"
SPACE = {
    "model.cell": {"grid": ["lstm", "gru"]},
    "model.hidden_size": {"choice": [32, 64, 96]},
    "optimizer.lr": {"loguniform": [0.002, 0.01]},
    "model.dropout.output": {"uniform": [0.0, 0.5]},
}
EXPERIMENT = {
    "data": {"name": "japanese_vowels", "batch_size": 16},
    "task": {"name": "classify", "decides": "loss"},
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


def write_rows(path, rows, torn=False):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text + ('{"epoch": 99, "val/lo' if torn else ""))


def write_run(path, *, level=0.1, epochs=40, state="finished", reason=None, group=None, seed=0, decides="val/loss",
              torn=False, rate=0.005):  # fmt: skip
    """A run folder whose loss falls towards `level` and then rises a little."""
    dice = random.Random(f"{path.name}{seed}")
    rows = []
    for epoch in range(epochs):
        loss = level + (2.2 - level) * math.exp(-epoch / 4) + 0.0004 * max(0, epoch - 25) ** 1.5
        loss *= math.exp(dice.gauss(0, 0.05))
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
        "versions": VERSIONS, "data": {"digest": "efd1dc4bc7b3ecf3", "facts": {"input_size": 12}}, "decides": decides,
        "mode": "max" if decides != "val/loss" else "min", "parameters": 41097, "device": "cpu", "group": group,
        "job_type": "trial" if group else "train",
    })  # fmt: skip
    write_rows(path / "metrics.jsonl", rows, torn)
    write_json(path / "status.json", {"state": state, "reason": reason, "epochs": epochs, "seconds": 0.31 * epochs})
    return rows


def opening(accuracy=0.9703, baselines=BASELINES):
    skill = {name: 1 - (1 - accuracy) / (1 - row["accuracy"]) for name, row in baselines.items()}
    return {
        "opened": "2026-11-21T05:40:00+00:00", "epoch": 20, "part": "test",
        "scores": {"loss": 0.0876, "accuracy": accuracy, "macro_f1": accuracy - 0.001},
        "baselines": baselines, "skill": skill,
    }  # fmt: skip


def write_sweep(folder, *, draws=6, seeds=(0, 1), baselines=BASELINES, tested=True, ended=True, most=40, name=None):
    """A sweep folder: each draw with both cells and every seed, some stopped early, one point failed."""
    dice = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "question": name or QUESTION, "experiment": EXPERIMENT, "space": SPACE, "seeds": list(seeds),
        "samples": draws, "searcher": {"name": "random"}, "scheduler": {"name": "asha", "grace": 6, "reduction": 3.0},
        "resources": {"cpus": 1.0, "gpus": 0.0}, "seed": 0,
    }  # fmt: skip
    (folder / "sweep.yaml").write_text(config.to_yaml(spec))
    asked, events, points = [], [], []
    for draw in range(draws):
        size, rate = dice.choice([32, 64, 96]), 10 ** dice.uniform(-2.7, -2)
        drop = dice.uniform(0, 0.5)
        for place, cell in enumerate(["lstm", "gru"]):
            overrides = {
                "model.cell": cell, "model.hidden_size": size, "optimizer.lr": rate, "model.dropout.output": drop,
            }  # fmt: skip
            level = (
                0.05 + 2 * abs(math.log10(rate) + 2.3) * 0.1 + (0.02 if cell == "gru" else 0) + 0.1 * abs(drop - 0.2)
            )
            state, epochs = ("finished", most) if level < 0.12 else ("stopped", 18 if level < 0.14 else 6)
            if draw == draws - 1 and cell == "gru":
                state, epochs = "failed", 3
            number = 2 * draw + place
            for seed in seeds:
                trial = f"t{len(asked):04d}"
                asked.append({"trial": trial, "point": number, "seed": seed, "overrides": overrides})
                reason = {"failed": "Diverged: the loss of epoch 3 is not a number; lower optimizer.lr",
                          "stopped": "asha: worse than the others"}.get(state)  # fmt: skip
                rows = write_run(folder / "trials" / trial, level=level, epochs=epochs, state=state, reason=reason,
                                 group=folder.name, seed=seed, rate=rate)  # fmt: skip
                value = min(row["val/loss"] for row in rows)
                points.append((number, overrides, trial, state, value))
                if state != "finished":
                    events.append({"trial": trial, "state": state, "reason": reason})
    write_rows(folder / "trials.jsonl", asked, torn=True)
    write_rows(folder / "events.jsonl", events)
    write_json(folder / "about.json", {
        "name": folder.name, "created": "2026-11-21T05:28:10+00:00", "git": {"commit": "eb6f499329d3", "dirty": False},
        "versions": VERSIONS, "command": "lstm-lab sweep sweeps/vowels_cells.yaml", "seconds": 74.2,
    })  # fmt: skip
    if ended:
        _end(folder, points, baselines, tested)
    return folder


def _end(folder, trials, baselines, tested):
    """summary.json and best.yaml, ranked here anew: the page must not change what they say."""
    points = {}
    for number, overrides, trial, state, value in trials:
        points.setdefault(number, (overrides, []))[1].append((trial, state, value))
    rows = []
    for number, (overrides, members) in points.items():
        values = [value for _, state, value in members if state != "failed"]
        rows.append({
            "point": number, "overrides": overrides, "trials": [trial for trial, _, _ in members],
            "mean": mean(values) if values else None, "spread": stdev(values) if len(values) > 1 else None,
            "n": len(values), "states": [state for _, state, _ in members], "parameters": 41097,
        })  # fmt: skip
    rows.sort(key=lambda row: (row["mean"] is None, sum(s != "finished" for s in row["states"]), row["mean"] or 0))
    won = min(points[rows[0]["point"]][1], key=lambda member: member[2])[0]
    test = opening(baselines=baselines)
    validation = {"loss": 0.0521, "accuracy": 0.9630, "macro_f1": 0.9627}
    skill = {name: 1 - (1 - 0.9630) / (1 - row["accuracy"]) for name, row in baselines.items()}
    failed = [trial for _, _, trial, state, _ in trials if state == "failed"]
    write_json(folder / "summary.json", {
        "question": config.load(folder / "sweep.yaml")["question"], "metric": "val/loss", "mode": "min",
        "trials": {"asked": len(trials), **{state: sum(t[3] == state for t in trials) for state in ENDED}},
        "winner": {"trial": won, "config": {**rows[0]["overrides"], "seed": 0}, "epoch": 20, "validation": validation,
                   "test": test["scores"] if tested else None},
        "points": rows,
        "baselines": {"validation": baselines, "test": baselines if tested else None},
        "skill": {"validation": skill, "test": test["skill"] if tested else None},
        "failures": [{"trial": t, "reason": "Diverged: the loss of epoch 3 is not a number"} for t in failed],
        "seconds": 74.2, "wandb": {"mode": "offline", "runs": len(trials)},
        "command": "lstm-lab sweep sweeps/vowels_cells.yaml",
    })  # fmt: skip
    (folder / "best.yaml").write_text(f"# {QUESTION}\n{config.to_yaml(EXPERIMENT)}")
    if tested:
        write_rows(folder / "trials" / won / "tests.jsonl", [test])


# --- pages as a browser takes them apart ------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("pages") / "vowels_cells-1")
    return folder, page(folder)


def test_every_number_of_the_leaderboard_follows_from_the_disk(swept):
    folder, shown = swept
    table = shown.tables[0]
    heads = [head.rstrip() for head, _ in table[0]]
    asked = {row["trial"]: row for row in map(json.loads, (folder / "trials.jsonl").read_text().splitlines()[:-1])}
    told = set()
    for line in table[1:]:
        cells = dict(zip(heads, line, strict=True))
        trials = cells["trials"][0].split()
        told.update(trials)
        overrides = asked[trials[0]]["overrides"]
        assert cells["cell"][0] == overrides["model.cell"]
        assert float(cells["lr"][1]) == overrides["optimizer.lr"]
        assert float(cells["dropout.output"][1]) == overrides["model.dropout.output"]
        records = [rows_of(folder, trial) for trial in trials]
        assert float(cells["seconds"][1]) == pytest.approx(sum(rows[-1]["seconds"] for rows in records))
        assert int(cells["parameters"][1]) == 41097
        best = [min(row["val/loss"] for row in rows) for rows in records]
        if cells["state"][0] == "failed":
            assert (cells["validation loss"][0], cells["validation loss"][1], cells["n"][0]) == ("–", None, "0")
            continue
        assert float(cells["validation loss"][1]) == pytest.approx(mean(best))
        assert float(cells["validation loss"][0]) == pytest.approx(mean(best), rel=6e-4)
        assert float(cells["spread"][1]) == pytest.approx(stdev(best))
        assert cells["n"][0] == "2"
    assert told == set(asked)


def test_ranks_are_those_of_the_summary(swept):
    folder, shown = swept
    points = json.loads((folder / "summary.json").read_text())["points"]
    assert [line[-1][0].split() for line in shown.tables[0][1:]] == [point["trials"] for point in points]


def test_cells_are_compared_in_pairs_alike_in_everything_else(swept):
    folder, shown = swept
    summary = json.loads((folder / "summary.json").read_text())
    by_cell = {"lstm": [], "gru": []}
    pairs = {}
    for point in summary["points"]:
        if point["mean"] is not None:
            by_cell[point["overrides"]["model.cell"]].append(point["mean"])
            pairs.setdefault(point["overrides"]["optimizer.lr"], {})[point["overrides"]["model.cell"]] = point["mean"]
    pairs = [pair for pair in pairs.values() if len(pair) == 2]
    table = next(t for t in shown.tables if t[0][0][0] == "cell")
    heads = [head for head, _ in table[0]]
    for line in table[1:]:
        cells = dict(zip(heads, line, strict=True))
        values = by_cell[line[0][0]]
        assert float(cells["mean"][1]) == pytest.approx(mean(values))
        assert float(cells["spread"][1]) == pytest.approx(stdev(values))
        assert float(cells["best"][1]) == pytest.approx(min(values))
        assert int(cells["n"][1]) == len(values)
        wins = sum(min(pair, key=pair.get) == line[0][0] for pair in pairs)
        assert cells["wins"][0] == f"{wins} of {len(pairs)}"
    ended = {p["overrides"]["optimizer.lr"]: [] for p in summary["points"]}
    for point in summary["points"]:
        ended[point["overrides"]["optimizer.lr"]] += point["states"]
    through = sum(set(states) == {"finished"} for states in ended.values())
    assert 0 < through < len(pairs)
    assert f"In only {through} of them was every trial trained through" in shown.text
    assert f"In {len(pairs)} pairs alike in everything else" in shown.text
    assert ("a hint, not evidence" in shown.text) == (through < 6)


def test_curves_are_the_record_and_their_ends_are_marked(swept):
    folder, shown = swept
    winner = json.loads((folder / "summary.json").read_text())["winner"]["trial"]
    traces = shown.figures["curves-decides"]["data"]
    lines = {t["hovertemplate"].split(":")[0]: t for t in traces if t["mode"] == "lines"}
    assert len(lines) == 24
    for trial, line in lines.items():
        assert line["y"] == [row["val/loss"] for row in rows_of(folder, trial)]
    assert lines[winner]["line"]["width"] == max(line["line"]["width"] for line in lines.values())
    marks = {t["name"]: t for t in traces if t["mode"] == "markers"}
    for state, name in (("stopped", "stopped early"), ("failed", "failed")):
        ended = {
            p.parent.name for p in folder.glob("trials/*/status.json") if json.loads(p.read_text())["state"] == state
        }
        assert set(marks[name]["text"]) == ended
    best = min(rows_of(folder, winner), key=lambda row: row["val/loss"])
    assert (marks["best epoch"]["x"], marks["best epoch"]["y"]) == ([best["epoch"]], [best["val/loss"]])


def test_parallel_coordinates_hold_every_point_with_a_value_and_only_what_varies(swept):
    folder, shown = swept
    points = [p for p in json.loads((folder / "summary.json").read_text())["points"] if p["mean"] is not None]
    (trace,) = shown.figures["parallel"]["data"]
    axes = {axis["label"]: axis for axis in trace["dimensions"]}
    assert list(axes) == ["cell", "hidden size", "lr", "dropout.output", "validation loss"]
    assert axes["cell"]["ticktext"] in (["lstm", "gru"], ["gru", "lstm"])
    assert [10**value for value in axes["lr"]["values"]] == pytest.approx(
        [p["overrides"]["optimizer.lr"] for p in points]
    )
    assert len(axes["validation loss"]["values"]) == len(points)


def test_figures_are_valid_plotly(swept):
    import plotly.graph_objects as go

    _, shown = swept

    def coloured(value):
        if isinstance(value, dict):
            return {key: coloured(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [coloured(inner) for inner in value]
        return "#123456" if isinstance(value, str) and value.startswith("--") else value

    style = " ".join(shown.styles)
    for figure in shown.figures.values():
        go.Figure(**coloured(figure))
        for name in set(re.findall(r'"(--[\w-]+)"', json.dumps(figure))):
            assert style.count(f"{name}:") >= 2, f"{name} has no colour in the light and in the dark"


def test_the_page_says_how_to_train_the_winner_and_where_it_comes_from(swept):
    folder, shown = swept
    assert f"{folder}/best.yaml" in shown.text
    for word in ("efd1dc4bc7b3ecf3", "eb6f499329d3", "torch 2.13.0", "lstm-lab sweep sweeps/vowels_cells.yaml",
                 "opened once: t", "Diverged: the loss of epoch 3 is not a number", "forget_bias: 1.0"):  # fmt: skip
        assert word in shown.text
    assert QUESTION in shown.text


# --- self-contained, and safe -----------------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_sends_nothing(swept):
    folder, shown = swept
    for tag, attributes in shown.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster", "background"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
        assert tag not in ("iframe", "object", "embed", "form", "base", "img")
    styles = " ".join(shown.styles) + " ".join(attributes.get("style") or "" for _, attributes in shown.tags)
    assert not re.search(r"@import|url\(|@font-face", styles)
    own = shown.scripts[-1]
    assert not re.search(r"fetch|XMLHttpRequest|sendBeacon|import\(|WebSocket|https?:", own)
    assert "showSendToCloud: false" in own
    (policy,) = [a["content"] for _, a in shown.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r"plotly\.js v\d", html)) == 1


def test_markup_in_a_record_stays_text(tmp_path):
    nasty = "<script>alert(1)</script>"
    folder = write_sweep(tmp_path / "nasty", draws=2, seeds=(0,), name=f"Is {nasty} a cell?")
    for name in ("trials.jsonl", "summary.json", "sweep.yaml"):
        path = folder / name
        text = path.read_text().replace('"gru"', json.dumps(nasty)).replace("- gru", f"- '{nasty}'")
        path.write_text(text.replace("is not a number", f"is {nasty}"))
    shown = page(folder)
    assert not [script for script in shown.scripts if script.strip().startswith("alert")]
    assert shown.text.count(nasty) >= 3
    assert nasty not in (folder / "report.html").read_text(encoding="utf-8")
    assert any(nasty in cell for table in shown.tables for line in table for cell, _ in line)


def test_every_figure_and_table_says_what_it_is(swept):
    _, shown = swept
    plots = [a for _, a in shown.tags if a.get("class") == "plot"]
    assert {a["id"] for a in plots} == set(shown.figures)
    assert set(shown.figures) == {
        "budget", "importance", "parallel", "curves-decides", "curves-train", "rates",
        "slice-model-cell", "slice-model-hidden-size", "slice-optimizer-lr", "slice-model-dropout-output",
    }  # fmt: skip
    assert all(len(a["aria-label"]) > 40 for a in plots)
    tags = [tag for tag, _ in shown.tags]
    assert tags.count("caption") == tags.count("table") >= 5
    assert all(a.get("scope") in ("row", "col") for tag, a in shown.tags if tag == "th")
    ids = [a["id"] for _, a in shown.tags if "id" in a]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in pairwise(levels)), "a level of headings is skipped"
    links = {a["href"] for tag, a in shown.tags if tag == "a"}
    assert {link.removeprefix("#") for link in links} == {"comparison", "mattered", "learned", "cost", "provenance"}
    assert {link.removeprefix("#") for link in links} <= set(ids)


# --- who wins ---------------------------------------------------------------------------------------------------------


def test_the_page_says_when_a_baseline_wins(tmp_path):
    strong = {**BASELINES, "logistic regression": {"accuracy": 0.9815, "macro_f1": 0.9812}}
    shown = page(write_sweep(tmp_path / "lost", draws=2, baselines=strong))
    assert (
        "Logistic regression wins on the validation part: validation accuracy 0.9815 against 0.9630."
        in shown.text.replace("part: accuracy", "part: validation accuracy")
    )
    assert "Logistic regression wins on the test part" in shown.text
    assert "beats every baseline" not in shown.text


def test_the_page_does_not_say_so_otherwise(swept):
    _, shown = swept
    assert " wins on the " not in shown.text
    assert shown.text.count("The model beats every baseline on the") == 2


def test_a_baseline_without_error_wins_although_it_has_no_skill_to_compare_with():
    from lstm_lab.report.answer import verdict

    perfect = {"oracle": {"accuracy": 1.0}}
    lost = verdict("test", {"accuracy": 0.99}, perfect, {"oracle": None}, "val/accuracy")
    level = verdict("test", {"accuracy": 1.0}, perfect, {"oracle": None}, "val/accuracy")
    assert (lost.lost, level.lost) == (True, False)


# --- other states -----------------------------------------------------------------------------------------------------


def test_an_unfinished_sweep_says_so_and_ranks_what_there_is(tmp_path):
    whole = write_sweep(tmp_path / "whole", draws=3)
    part = write_sweep(tmp_path / "part", draws=3, ended=False)
    points = json.loads((whole / "summary.json").read_text())["points"]
    shown = page(part)
    assert "This sweep is unfinished: 12 of 12 trials" in shown.text
    assert "leads so far" in shown.text
    assert "lstm-lab resume" in shown.text
    assert [line[-1][0].split() for line in shown.tables[0][1:]] == [point["trials"] for point in points]
    for line, point in zip(shown.tables[0][1:], points, strict=True):
        if point["mean"] is not None:
            assert float(line[5][1]) == pytest.approx(point["mean"])


def test_a_sweep_of_which_nothing_has_run_yet(tmp_path):
    folder = tmp_path / "new"
    write_sweep(folder, draws=1, ended=False)
    for name in ("trials.jsonl", "events.jsonl"):
        (folder / name).unlink()
    shown = page(folder)
    assert "There is no answer: no trial has a value." in shown.text
    assert shown.figures == {}


def test_a_sweep_in_which_every_trial_failed(tmp_path):
    folder = write_sweep(tmp_path / "failed", draws=1, ended=False)
    for path in folder.glob("trials/*/status.json"):
        write_json(path, {"state": "failed", "reason": "Diverged: nan"})
    (folder / "events.jsonl").unlink()
    shown = page(folder)
    assert "There is no answer: every trial failed." in shown.text
    assert shown.text.count("Diverged: nan") == 4


def test_a_run(tmp_path):
    rows = write_run(tmp_path / "vowels-1", torn=True)
    shown = page(tmp_path / "vowels-1")
    best = min(rows, key=lambda row: row["val/loss"])
    assert f"Validation loss {best['val/loss']:#.4g} at epoch {best['epoch']}" in shown.text
    assert "sealed: never opened" in shown.text
    assert set(shown.figures) == {"curves-losses", "curves-rate"}
    drawn = {trace["name"]: trace["y"] for trace in shown.figures["curves-losses"]["data"]}
    assert drawn["validation loss"] == [row["val/loss"] for row in rows]
    assert drawn["training loss"] == [row["train/loss"] for row in rows]


def test_a_run_whose_test_part_was_opened_twice(tmp_path):
    write_run(tmp_path / "vowels-1", decides="val/accuracy")
    write_rows(tmp_path / "vowels-1" / "tests.jsonl", [opening(), opening(0.91)])
    shown = page(tmp_path / "vowels-1")
    assert "opened 2 times" in shown.text
    assert "Logistic regression wins on the test part: accuracy 0.9444 against 0.9100." in shown.text
    assert "curves-decides" in shown.figures


@pytest.mark.parametrize(
    ("state", "words"),
    [("failed", "This run failed after 3 epochs: Diverged"), ("interrupted", "was interrupted after 3 epochs")],
)
def test_a_run_that_did_not_end_says_so(tmp_path, state, words):
    write_run(tmp_path / "run", epochs=3, state=state, reason="Diverged: nan" if state == "failed" else None)
    assert words in page(tmp_path / "run").text


def test_a_run_that_died_before_its_first_epoch(tmp_path):
    write_run(tmp_path / "run", epochs=0, state="failed", reason="ValueError: no data")
    (tmp_path / "run" / "run.json").write_text('{"id": "run", "name": "run", "created": "2026-11-21T05:28:20+00:00"}')
    shown = page(tmp_path / "run")
    assert "no epoch was completed" in shown.text
    assert shown.figures == {}
    assert shown.scripts == [shown.scripts[-1]], "plotly.js is left out where there is nothing to draw"


def test_what_is_neither_a_run_nor_a_sweep_is_refused_in_one_line(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="neither a run nor a sweep") as fault:
            write_report(folder)
        assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("summary.json", '{"question": "Wh'), ("summary.json", '{"trials": {"asked": 4}}'), ("sweep.yaml", "question: [a"),
     ("trials/t0000/run.json", '{"id'), ("trials.jsonl", '{"trial": "t0000"}\n')],
)  # fmt: skip
def test_torn_files_are_refused_in_one_line(tmp_path, name, text):
    folder = write_sweep(tmp_path / "torn", draws=1, seeds=(0, 1))
    (folder / name).write_text(text)
    with pytest.raises(DataError) as fault:
        write_report(folder)
    assert str(folder) in str(fault.value)
    assert "\n" not in str(fault.value)


def test_importing_it_is_cheap():
    heavy = ["plotly", "jinja2", "pandas", "torch", "ray", "wandb"]
    code = f"import sys, lstm_lab.report; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_a_large_sweep_is_thinned_and_says_so(tmp_path):
    folder = write_sweep(tmp_path / "large", draws=60, seeds=(0,))
    began = time.monotonic()
    shown = page(folder)
    assert time.monotonic() - began < 5
    lines = [trace for trace in shown.figures["curves-decides"]["data"] if trace["mode"] == "lines"]
    assert len(lines) == 60
    assert "60 of 120 trials are drawn" in shown.text
    assert len(shown.tables[0]) == 121


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0921, "0.09210"), (1.0, "1.000"), (0.00005986, "0.00005986"), (3.1e-7, "3.100e-7"), (-0.5, "−0.5000"),
     (12345.6, "12,346"), (9999.7, "10,000"), (41097, "41,097"), (0.0, "0"), (None, "–"), (math.inf, "∞")],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value, text):
    from lstm_lab.report.words import number

    assert number(value) == text


def test_a_baseline_is_nearest_by_its_own_score_where_the_model_makes_no_error():
    from lstm_lab.report.answer import verdict

    rows = {"majority class": {"accuracy": 0.1}, "logistic regression": {"accuracy": 0.9444}}
    said = verdict(
        "validation", {"accuracy": 1.0}, rows, {"majority class": 1.0, "logistic regression": 1.0}, "val/loss"
    )
    assert said.text.endswith("against 0.9444 of logistic regression, the nearest; 100 % of its error is gone.")


def test_a_hyperparameter_that_only_some_points_have_and_one_that_is_a_section(tmp_path):
    folder = write_sweep(tmp_path / "sections", draws=3, seeds=(0,))
    for name in ("trials.jsonl", "summary.json"):
        path = folder / name
        text = path.read_text().replace('"lstm"', '{"name": "lstm", "forget_bias": 2.0}')
        path.write_text(re.sub(r'("model.cell": "gru",)(\s)', r'\1 "model.cell.bias": false,\2', text))
    text = (folder / "sweep.yaml").read_text()
    (folder / "sweep.yaml").write_text(text.replace("    - lstm\n", "    - {name: lstm, forget_bias: 2.0}\n", 1))
    shown = page(folder)
    assert "lstm, forget_bias 2" in shown.text
    axes = {axis["label"]: axis for axis in shown.figures["parallel"]["data"][0]["dimensions"]}
    assert axes["cell.bias"]["ticktext"] == ["false", "–"]
    assert "pairs alike in everything else" in shown.text
