"""What a model does, as its page shows it: the numbers are those of the record, of validation and of the test part."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from report_folders import opening, page, write_rows, write_sweep
from test_report_browser import CLASSES, FORECAST, answered

from lstm_lab.evaluate import evaluate
from lstm_lab.examples import collect
from lstm_lab.report import write_report
from lstm_lab.report.sections import predictions


def trained(experiment, runs):
    from lstm_lab.run import Run
    from lstm_lab.training import train

    run = Run.create(runs / "run", experiment.dump(), command="", job_type="train")
    train(experiment, run, wandb="disabled")
    return run


def test_the_confusion_matrix_is_that_of_the_best_epoch(vowels, runs):
    run = trained(vowels, runs)
    found = collect.keep(run)
    best = run.rows()[run.status["best"]["epoch"]]
    counts = torch.tensor(found["confusion"])
    assert counts.sum() == found["samples"] == found["of"]
    assert counts.diagonal().sum() / counts.sum() == pytest.approx(best["val/accuracy"], abs=1e-6)
    right = sum(row["right"] * row["n"] for row in found["calibration"]) / sum(row["n"] for row in found["calibration"])
    assert right == pytest.approx(best["val/accuracy"], abs=1e-6)
    assert [row["chance"] for row in found["worst"]] == sorted(row["chance"] for row in found["worst"])
    assert all(row["truth"] != row["answer"] for row in found["worst"])
    assert collect.keep(run) == found
    shown = page(run.path)
    assert {"confusion", "calibration"} <= set(shown.figures)
    assert any(table[0][0][0] == "sample" for table in shown.tables)
    assert run.test_evaluations() == [], "the test part stays sealed"


def test_drawn_forecasts_have_the_error_that_the_record_says(demand, runs):
    run = trained(demand, runs)
    found = collect.keep(run)
    best = run.rows()[run.status["best"]["epoch"]]
    assert len(found["steps"]) == 8
    assert sum(found["steps"]) / 8 == pytest.approx(best["val/mae"], rel=1e-4)
    for window in found["windows"]:
        said, truth = window["said"][0], window["truth"]
        assert sum(abs(a - b) for a, b in zip(said, truth, strict=True)) / 8 == pytest.approx(window["error"], rel=1e-3)
    assert found["windows"][0]["error"] <= found["windows"][1]["error"] <= found["windows"][2]["error"]
    assert {"window-0", "window-1", "window-2", "steps"} <= set(page(run.path).figures)


def test_a_page_is_written_without_answers_where_the_data_are_gone_or_others(vowels, runs):
    run = trained(vowels, runs)
    run.describe(data={**run.about["data"], "digest": "another"})
    assert "confusion" not in page(run.path).figures
    run.best_checkpoint.unlink()
    assert "What it does" not in page(run.path).text


def test_labels_of_each_step_are_counted_where_they_are_asked():
    task = SimpleNamespace(classes=("a", "b"))
    y = torch.tensor([[0, 1, -1], [1, 1, 0]])
    output = torch.nn.functional.one_hot(torch.tensor([[0, 0, 1], [1, 1, 0]]), 2).float() * 9
    batch = SimpleNamespace(y=y, lengths=torch.tensor([3, 2]))
    from lstm_lab.tasks.tag import Tag

    found = collect.shown.dispatch(Tag)(task, [(batch, output)])
    assert found["confusion"] == [[2, 0], [1, 2]]
    assert [strip["right"] for strip in found["strips"]] == [0.5, 1.0]


def test_the_confusion_of_the_test_part_is_the_one_that_the_record_kept(vowels, runs):
    """Nothing is opened for the page: it comes with the evaluation's record, and says which part it is of."""
    run = trained(vowels, runs)
    assert "confusion-test" not in page(run.path).figures
    evaluate(run)
    (opening,) = run.test_evaluations()
    counts = opening["confusion"]["counts"]
    shown = page(run.path)
    (trace,) = shown.figures["confusion-test"]["data"]
    assert trace["customdata"] == counts != shown.figures["confusion"]["data"][0]["customdata"]
    assert trace["y"] == opening["confusion"]["classes"]
    right = sum(row[place] for place, row in enumerate(counts))
    assert right / sum(map(sum, counts)) == pytest.approx(opening["scores"]["accuracy"])
    told = f"Counts of the test part, coloured by the share of the true class; {right:,} of {sum(map(sum, counts)):,}"
    assert told in shown.text
    assert "Counts of the validation part, coloured" in shown.text
    table = next(t for t in shown.tables if t[0][0][0] == "class")
    assert [int(row[1][1]) for row in table[1:]] == [sum(row) for row in counts]
    found = [row[place] / sum(row) for place, row in enumerate(counts)]
    assert [float(row[2][1]) for row in table[1:]] == pytest.approx(found)
    assert len(run.test_evaluations()) == 1
    run.best_checkpoint.unlink()
    alone = page(run.path)
    assert "confusion-test" in alone.figures, "the record is enough: no checkpoint, no data"
    assert "confusion" not in alone.figures
    assert told in write_report(run.path, "markdown").read_text().replace("\\", "")
    parts = json.loads(write_report(run.path, "json").read_text())["sections"]
    does = next(section for section in parts if section["id"] == "does")
    assert [figure["id"] for part in does["parts"] for figure in part["figures"]] == ["confusion-test"]


def test_a_sweep_shows_what_was_opened_of_its_winner(tmp_path):
    folder = write_sweep(tmp_path / "swept", draws=2)
    trial = json.loads((folder / "summary.json").read_text())["winner"]["trial"]
    held = {"classes": ["a", "b"], "counts": [[7, 3], [0, 0]]}
    steps = [{"mae": 1.0, "scaled_mse": 1.0}, {"mae": 2.5, "scaled_mse": 2.0}]
    write_rows(folder / "trials" / trial / "tests.jsonl", [{**opening(), "confusion": held, "steps": steps}])
    shown = page(folder)
    assert shown.figures["confusion-test"]["data"][0]["customdata"] == [[7, 3], [0, 0]]
    assert shown.figures["steps-test"]["data"][0]["y"] == [1.0, 2.5]
    assert f"Of trial {trial}. From its opening of 2026-11-21 05:40 UTC" in shown.text
    rows = next(t for t in shown.tables if t[0][0][0] == "class")[1:]
    assert [[text for text, _ in row] for row in rows] == [
        ["a", "10", "70.0 %", "100.0 %", "b, 3 times"], ["b", "0", "–", "0.0 %", "–"],
    ]  # fmt: skip


def test_intervals_and_worst_examples_are_tables(tmp_path):
    covered = predictions.covered(FORECAST)
    assert [[cell.text for cell in row] for row in covered.rows] == [["90 %", "88.0 %"], ["80 %", "81.0 %"]]
    shown = page(answered(write_sweep(tmp_path / "classes", draws=2), CLASSES))
    assert "9 of 54" not in shown.text
    assert "45 of 53 lie on the diagonal" in shown.text
    assert "Most often confused: 7 taken for 8, once." in shown.text
