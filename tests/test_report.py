"""Pages: their numbers are those on disk, they load nothing, and they state whether a baseline is better."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from statistics import mean, stdev

import pytest
from report_folders import BASELINES, TITLE, page, rows_of, write_sweep


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("pages") / "vowels_cells-1")
    return folder, page(folder)


def test_every_number_of_the_leaderboard_follows_from_the_disk(swept):
    folder, shown = swept
    table = shown.tables[0]
    heads = [head.rstrip() for head, _ in table[0]]
    rows = {row["trial"]: row for row in map(json.loads, (folder / "trials.jsonl").read_text().splitlines()[:-1])}
    shown_trials = set()
    for line in table[1:]:
        cells = dict(zip(heads, line, strict=True))
        trials = cells["trials"][0].split()
        shown_trials.update(trials)
        overrides = rows[trials[0]]["overrides"]
        assert cells["cell"][0] == overrides["model.cell"]
        assert float(cells["learning rate"][1]) == overrides["optimizer.lr"]
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
        assert float(cells["std"][1]) == pytest.approx(stdev(best))
        assert cells["n"][0] == "2"
    assert shown_trials == set(rows)


def test_ranks_are_those_of_the_summary(swept):
    folder, shown = swept
    ranked = json.loads((folder / "summary.json").read_text())["configurations"]
    assert [line[-1][0].split() for line in shown.tables[0][1:]] == [row["trials"] for row in ranked]


def test_cells_are_compared_in_pairs_that_are_equal_otherwise(swept):
    folder, shown = swept
    summary = json.loads((folder / "summary.json").read_text())
    by_cell = {"lstm": [], "gru": []}
    pairs = {}
    for row in summary["configurations"]:
        if row["mean"] is not None:
            by_cell[row["overrides"]["model.cell"]].append(row["mean"])
            pairs.setdefault(row["overrides"]["optimizer.lr"], {})[row["overrides"]["model.cell"]] = row["mean"]
    pairs = [pair for pair in pairs.values() if len(pair) == 2]
    table = next(t for t in shown.tables if t[0][0][0] == "cell")
    heads = [head for head, _ in table[0]]
    for line in table[1:]:
        cells = dict(zip(heads, line, strict=True))
        values = by_cell[line[0][0]]
        assert float(cells["mean"][1]) == pytest.approx(mean(values))
        assert float(cells["std"][1]) == pytest.approx(stdev(values))
        assert float(cells["best"][1]) == pytest.approx(min(values))
        assert int(cells["n"][1]) == len(values)
        wins = sum(min(pair, key=pair.get) == line[0][0] for pair in pairs)
        assert cells["wins"][0] == f"{wins} of {len(pairs)}"
    states = {row["overrides"]["optimizer.lr"]: [] for row in summary["configurations"]}
    for row in summary["configurations"]:
        states[row["overrides"]["optimizer.lr"]] += row["states"]
    complete = sum(set(pair) == {"finished"} for pair in states.values())
    assert 0 < complete < len(pairs)
    assert f"In only {complete} of them were all trials trained to completion" in shown.text
    assert f"{len(pairs)} pairs of configurations that are equal otherwise" in shown.text
    assert ("are weak evidence" in shown.text) == (complete < 6)


def test_curves_are_the_record_and_their_ends_are_marked(swept):
    folder, shown = swept
    winner = json.loads((folder / "summary.json").read_text())["winner"]["trial"]
    traces = shown.figures["curves-monitor"]["data"]
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


def test_parallel_coordinates_show_every_configuration_with_a_value_and_only_what_varies(swept):
    folder, shown = swept
    ranked = json.loads((folder / "summary.json").read_text())["configurations"]
    scored = [row for row in ranked if row["mean"] is not None]
    (trace,) = shown.figures["parallel"]["data"]
    axes = {axis["label"]: axis for axis in trace["dimensions"]}
    assert list(axes) == ["cell", "hidden size", "learning rate", "dropout.output", "validation loss"]
    assert axes["cell"]["ticktext"] in (["lstm", "gru"], ["gru", "lstm"])
    assert [10**value for value in axes["learning rate"]["values"]] == pytest.approx(
        [row["overrides"]["optimizer.lr"] for row in scored]
    )
    assert len(axes["validation loss"]["values"]) == len(scored)


def test_figures_are_valid_plotly(swept):
    import plotly.graph_objects as go

    _, shown = swept

    def colored(value):
        if isinstance(value, dict):
            return {key: colored(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [colored(inner) for inner in value]
        return "#123456" if isinstance(value, str) and value.startswith("--") else value

    style = " ".join(shown.styles)
    for figure in shown.figures.values():
        go.Figure(**colored(figure))
        for name in set(re.findall(r'"(--[\w-]+)"', json.dumps(figure))):
            assert style.count(f"{name}:") >= 2, f"{name} has no colour in the light and in the dark"


def test_the_page_has_the_command_for_the_best_configuration_and_its_origin(swept):
    folder, shown = swept
    assert f"{folder}/best.yaml" in shown.text
    for word in ("efd1dc4bc7b3ecf3", "eb6f499329d3", "torch 2.13.0", "lstm-lab sweep sweeps/vowels_cells.yaml",
                 "evaluated once: t", "Diverged: the loss of epoch 3 is not a number", "forget_bias: 1.0"):  # fmt: skip
        assert word in shown.text
    assert TITLE in shown.text


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


def test_every_figure_and_table_has_a_description(swept):
    _, shown = swept
    plots = [a for _, a in shown.tags if a.get("class") == "plot"]
    assert {a["id"] for a in plots} == set(shown.figures)
    assert set(shown.figures) == {
        "budget", "importance", "parallel", "curves-monitor", "curves-train", "learning-rates",
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
    assert {link.removeprefix("#") for link in links} == {
        "leaderboard", "comparison", "baselines", "hyperparameters", "training-curves", "compute-cost",
        "provenance",
    }  # fmt: skip
    assert {link.removeprefix("#") for link in links} <= set(ids)


# --- baselines --------------------------------------------------------------------------------------------------------


def test_the_page_states_when_a_baseline_is_better(tmp_path):
    strong = {**BASELINES, "logistic regression": {"accuracy": 0.9815, "macro_f1": 0.9812}}
    shown = page(write_sweep(tmp_path / "beaten", draws=2, baselines=strong))
    text = "Logistic regression scores better than the model on the validation split: accuracy 0.9815 against 0.9630."
    assert text in shown.text
    assert "Logistic regression scores better than the model on the test split" in shown.text
    assert "better than every baseline" not in shown.text
    assert sum(attributes.get("class") == "verdict beaten" for _, attributes in shown.tags) == 2
    first = "A baseline, logistic regression, scores better than the model on the test split. Best configuration: cell"
    assert first in shown.text


def test_the_page_states_when_no_baseline_is_better(swept):
    _, shown = swept
    assert "better than the model" not in shown.text
    assert shown.text.count("The model scores better than every baseline on the") == 2
    assert not any(attributes.get("class") == "verdict beaten" for _, attributes in shown.tags)
