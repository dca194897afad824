"""Pages of runs and sweeps that have not ended, failed or have incomplete files: stated, or refused in one line."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from report_folders import evaluation_row, page, write_json, write_rows, write_run, write_sweep

from lstm_lab.config import ConfigError, DataError
from lstm_lab.records.run import no_record
from lstm_lab.report import write_report
from lstm_lab.sweeps.store.record import no_sweep


def test_an_unfinished_sweep_says_so_and_ranks_what_there_is(tmp_path):
    finished = write_sweep(tmp_path / "finished", draws=3)
    unfinished = write_sweep(tmp_path / "unfinished", draws=3, ended=False)
    ranked = json.loads((finished / "summary.json").read_text())["configurations"]
    shown = page(unfinished)
    assert "This sweep is unfinished: 12 of the 12 trials" in shown.text
    assert "Best configuration so far: cell" in shown.text
    assert "lstm-lab resume" in shown.text
    assert [line[-1][0].split() for line in shown.tables[0][1:]] == [row["trials"] for row in ranked]
    for line, row in zip(shown.tables[0][1:], ranked, strict=True):
        if row["mean"] is not None:
            assert float(line[5][1]) == pytest.approx(row["mean"])


def test_a_sweep_of_which_nothing_has_run_yet(tmp_path):
    folder = tmp_path / "new"
    write_sweep(folder, draws=1, ended=False)
    for name in ("trials.jsonl", "events.jsonl"):
        (folder / name).unlink()
    shown = page(folder)
    assert "No result: no trial has a value." in shown.text
    assert shown.figures == {}


def test_a_sweep_in_which_every_trial_failed(tmp_path):
    folder = write_sweep(tmp_path / "failed", draws=1, ended=False)
    for path in folder.glob("trials/*/status.json"):
        write_json(path, {"state": "failed", "reason": "Diverged: nan"})
    (folder / "events.jsonl").unlink()
    shown = page(folder)
    assert "No result: every trial failed." in shown.text
    assert shown.text.count("Diverged: nan") == 4


def test_a_run(tmp_path):
    rows = write_run(tmp_path / "vowels-1", truncated=True)
    shown = page(tmp_path / "vowels-1")
    best = min(rows, key=lambda row: row["val/loss"])
    assert f"Validation loss {best['val/loss']:#.4g} at epoch {best['epoch']}" in shown.text
    assert "not evaluated yet" in shown.text
    assert set(shown.figures) == {"curves-loss", "curves-learning-rate"}
    drawn = {trace["name"]: trace["y"] for trace in shown.figures["curves-loss"]["data"]}
    assert drawn["validation loss"] == [row["val/loss"] for row in rows]
    assert drawn["training loss"] == [row["train/loss"] for row in rows]


def test_a_run_that_was_evaluated_twice_on_the_test_split(tmp_path):
    write_run(tmp_path / "vowels-1", monitor="val/accuracy")
    write_rows(tmp_path / "vowels-1" / "tests.jsonl", [evaluation_row(), evaluation_row(0.91)])
    shown = page(tmp_path / "vowels-1")
    assert "evaluated 2 times" in shown.text
    assert (
        "Logistic regression scores better than the model on the test split: accuracy 0.9444 against 0.9100."
        in shown.text
    )
    assert "curves-monitor" in shown.figures


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
        with pytest.raises(ConfigError, match="neither a run nor a sweep") as fault:
            write_report(folder)
        assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("summary.json", '{"title": "Wh'), ("summary.json", '{"trials": {"total": 4}}'), ("sweep.yaml", "title: [a"),
     ("trials/t0000/run.json", '{"id')],
)  # fmt: skip
def test_incomplete_files_are_refused_in_one_line(tmp_path, name, text):
    folder = write_sweep(tmp_path / "truncated", draws=1, seeds=(0, 1))
    (folder / name).write_text(text)
    with pytest.raises(DataError) as fault:
        write_report(folder)
    assert str(folder) in str(fault.value)
    assert "\n" not in str(fault.value)


def test_importing_it_is_cheap():
    heavy = ["plotly", "jinja2", "pandas", "torch", "ray", "wandb"]
    code = f"import sys, lstm_lab.report; print([name for name in {heavy} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_a_large_sweep_is_downsampled_and_the_page_says_so(tmp_path):
    folder = write_sweep(tmp_path / "large", draws=60, seeds=(0,))
    shown = page(folder)
    lines = [trace for trace in shown.figures["curves-monitor"]["data"] if trace["mode"] == "lines"]
    assert len(lines) == 60
    assert "60 of 120 trials are drawn" in shown.text
    assert len(shown.tables[0]) == 121


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0921, "0.09210"), (1.0, "1.000"), (0.00005986, "0.00005986"), (3.1e-7, "3.100e-7"), (-0.5, "−0.5000"),
     (12345.6, "12,346"), (9999.7, "10,000"), (41097, "41,097"), (0.0, "0"), (None, "–"), (math.inf, "∞")],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value, text):
    from lstm_lab.report.fmt import number

    assert number(value) == text


def test_a_hyperparameter_that_only_some_configurations_have_and_one_that_is_a_section(tmp_path):
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
    assert "pairs of configurations that are equal otherwise" in shown.text


def test_trials_that_the_record_has_lost_are_named(tmp_path):
    folder = write_sweep(tmp_path / "lost", draws=1, seeds=(0, 1))
    (folder / "trials.jsonl").write_text('{"trial": "t0000"}\n')
    assert "Damaged records of 4 trials: t0000 (not in trials.jsonl), t0001 (not in" in page(folder).text


def test_a_record_that_is_a_folder_is_named_on_the_page(tmp_path):
    folder = write_sweep(tmp_path / "swept", draws=2)
    rows = folder / "trials" / "t0000" / "metrics.jsonl"
    rows.unlink()
    rows.mkdir()
    shown = page(folder)
    assert "Damaged records of 1 trial: t0000 (metrics.jsonl: " in shown.text


def test_a_closed_folder_is_not_said_to_be_no_run(tmp_path, monkeypatch):
    folder = tmp_path / "theirs"
    folder.mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and access(path, mode))
    for error in (no_record(folder / "run-1"), no_sweep(folder / "run-1")):
        assert str(error) == (f"{folder}/run-1: cannot be opened: {folder} is closed to this user (Permission denied); "
                              "check its permissions")  # fmt: skip
    monkeypatch.undo()
    assert "neither a run nor a sweep" in str(no_record(folder / "run-1"))
