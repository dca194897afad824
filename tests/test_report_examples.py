"""Predictions and test results on a page: the numbers are those of the record, on validation and on the test split."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from report_folders import evaluation_row, page, write_rows, write_sweep
from test_report_browser import CLASSES, FORECAST, with_examples

from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.examples.collect import examples_of
from lstm_lab.records.examples import parse_examples, read_examples
from lstm_lab.report import write_report
from lstm_lab.report.parts.forecasts import interval_coverage
from lstm_lab.report.sections.predictions import prediction_subsection


def trained(experiment, runs):
    from lstm_lab.records.run import Run
    from lstm_lab.training.train import train

    run = Run.create(runs / "run", experiment.dump(), command="", job_type="train")
    train(experiment, run, wandb="disabled")
    return run


def test_the_confusion_matrix_is_that_of_the_best_epoch(vowels, runs):
    run = trained(vowels, runs)
    found = examples_of(run)
    best = run.rows()[run.status["best"]["epoch"]]
    counts = torch.tensor(found.confusion)
    assert counts.sum() == found.samples == found.total
    assert counts.diagonal().sum() / counts.sum() == pytest.approx(best["val/accuracy"], abs=1e-6)
    correct = sum(b.accuracy * b.n for b in found.calibration) / sum(b.n for b in found.calibration)
    assert correct == pytest.approx(best["val/accuracy"], abs=1e-6)
    probabilities = [sample.probability for sample in found.worst]
    assert probabilities == sorted(probabilities)
    assert all(sample.target != sample.prediction for sample in found.worst)
    assert examples_of(run) == read_examples(run.path) == found
    shown = page(run.path)
    assert {"confusion", "calibration"} <= set(shown.figures)
    assert any(table[0][0][0] == "sample" for table in shown.tables)
    assert run.test_evaluations() == [], "the test split was not read"


def test_drawn_forecasts_have_the_error_of_the_record(demand, runs):
    run = trained(demand, runs)
    found = examples_of(run)
    best = run.rows()[run.status["best"]["epoch"]]
    assert len(found.error_by_step) == 8
    assert sum(found.error_by_step) / 8 == pytest.approx(best["val/mae"], rel=1e-4)
    for window in found.windows:
        pairs = zip(window.predictions[0], window.target, strict=True)
        assert sum(abs(a - b) for a, b in pairs) / 8 == pytest.approx(window.error, rel=1e-3)
    assert found.windows[0].error <= found.windows[1].error <= found.windows[2].error
    assert {"window-0", "window-1", "window-2", "error-by-step"} <= set(page(run.path).figures)


def test_a_page_is_written_without_predictions_where_the_data_are_missing_or_others(vowels, runs):
    run = trained(vowels, runs)
    run.describe(data={**run.about["data"], "digest": "another"})
    assert "confusion" not in page(run.path).figures
    run.best_checkpoint.unlink()
    assert "Predictions" not in page(run.path).text


def test_labels_of_each_step_are_counted_where_there_is_a_target():
    task = SimpleNamespace(classes=("a", "b"))
    y = torch.tensor([[0, 1, -1], [1, 1, 0]])
    output = torch.nn.functional.one_hot(torch.tensor([[0, 0, 1], [1, 1, 0]]), 2).float() * 9
    batch = SimpleNamespace(y=y, lengths=torch.tensor([3, 2]))
    from lstm_lab.tasks.tag import Tag

    found = Tag.examples(task, [(output, batch)])
    assert found["confusion"] == [[2, 0], [1, 2]]
    assert [sequence["accuracy"] for sequence in found["sequences"]] == [0.5, 1.0]


def test_the_confusion_matrix_of_the_test_split_is_the_recorded_one(vowels, runs):
    """The page evaluates nothing: the matrix comes with the record of the test evaluation."""
    run = trained(vowels, runs)
    assert "confusion-test" not in page(run.path).figures
    evaluate(run)
    (evaluation,) = run.test_evaluations()
    counts = evaluation["confusion"]["counts"]
    shown = page(run.path)
    (trace,) = shown.figures["confusion-test"]["data"]
    assert trace["customdata"] == counts != shown.figures["confusion"]["data"][0]["customdata"]
    assert trace["y"] == evaluation["confusion"]["classes"]
    correct = sum(row[i] for i, row in enumerate(counts))
    assert correct / sum(map(sum, counts)) == pytest.approx(evaluation["scores"]["accuracy"])
    caption = "Confusion matrix of the test split: counts, coloured by their share of the target class; "
    caption += f"{correct:,} of {sum(map(sum, counts)):,} predictions are correct."
    assert caption in shown.text
    assert "Confusion matrix of the validation split" in shown.text
    validation, table = (t for t in shown.tables if t[0][0][0] == "class")
    assert sum(int(row[1][1]) for row in validation[1:]) == 54
    assert [int(row[1][1]) for row in table[1:]] == [sum(row) for row in counts]
    recall = [row[i] / sum(row) for i, row in enumerate(counts)]
    assert [float(row[2][1]) for row in table[1:]] == pytest.approx(recall)
    assert len(run.test_evaluations()) == 1
    run.best_checkpoint.unlink()
    alone = page(run.path)
    assert "confusion-test" in alone.figures, "the record is enough: no checkpoint, no data"
    assert "confusion" not in alone.figures
    assert caption in write_report(run.path, "markdown").read_text().replace("\\", "")
    sections = json.loads(write_report(run.path, "json").read_text())["sections"]
    (content,) = next(section for section in sections if section["id"] == "test-results")["subsections"]
    assert [figure["id"] for figure in content["figures"]] == ["confusion-test"]


def test_a_sweep_shows_the_test_evaluation_of_its_best_trial(tmp_path):
    folder = write_sweep(tmp_path / "swept", draws=2)
    trial = json.loads((folder / "summary.json").read_text())["winner"]["trial"]
    confusion = {"classes": ["a", "b"], "counts": [[7, 3], [0, 0]]}
    steps = [{"mae": 1.0, "scaled_mse": 1.0}, {"mae": 2.5, "scaled_mse": 2.0}]
    write_rows(
        folder / "trials" / trial / "tests.jsonl", [{**evaluation_row(), "confusion": confusion, "steps": steps}]
    )
    shown = page(folder)
    assert shown.figures["confusion-test"]["data"][0]["customdata"] == [[7, 3], [0, 0]]
    assert shown.figures["error-by-step-test"]["data"][0]["y"] == [1.0, 2.5]
    assert f"Test evaluation of trial {trial} of 2026-11-21 05:40 UTC" in shown.text
    rows = next(t for t in shown.tables if t[0][0][0] == "class")[1:]
    assert [[text for text, _ in row] for row in rows] == [
        ["a", "10", "70.0 %", "100.0 %", "0.8235", "b, 3 times"], ["b", "0", "–", "0.0 %", "0", "–"],
    ]  # fmt: skip


def test_intervals_and_worst_examples_are_tables(tmp_path):
    coverage = interval_coverage(parse_examples(FORECAST))
    assert [[cell.text for cell in row] for row in coverage.rows] == [["90 %", "88.0 %"], ["80 %", "81.0 %"]]
    shown = page(with_examples(write_sweep(tmp_path / "classes", draws=2), CLASSES))
    assert "9 of 54" not in shown.text
    assert "45 of 53 predictions are correct" in shown.text
    assert "Most frequent error: 7 predicted as 8, once." in shown.text


# --- files of format 1 ------------------------------------------------------------------------------------------------

FORMAT_1 = Path(__file__).parent / "golden" / "format_1" / "folders"
OLD_TAGS = {
    "part": "validation", "epoch": 3, "samples": 2, "of": 2, "kind": "tags", "classes": ["a", "b"],
    "confusion": [[1, 0], [0, 1]], "calibration": [{"sure": 0.9, "right": 1.0, "n": 2}], "recall": [], "precision": {},
    "strips": [{"name": "the worst", "right": 0.5, "truth": [0, -1], "answer": [0, 1], "length": 2}],
}  # fmt: skip
OLD_TOKENS = {
    "part": "validation", "epoch": 3, "samples": 2, "of": 9, "first": True, "kind": "next_step", "form": "tokens",
    "steps": 4, "nll": 0.5, "places": [None, 0.5], "single": True,
    "parts": [{"name": "x", "n": 4, "steps": 4, "loss": 1.0, "nats": 0.5, "found": 3, "said": 4}],
    "stretches": [{"name": "one in the middle", "length": 2, "nll": 0.5, "nats": [None, 0.5], "tokens": ["x", "x"],
                   "expected": ["x", "y"]}],
    "continuations": [{"share": 1.0, "before": "x", "cut": False, "truth": "x", "chance": 0.6,
                       "expected": [["x", 0.6], ["y", 0.4]]}],
}  # fmt: skip
OLD_FRAMES = {
    **OLD_TOKENS, "form": "frames", "parts": [], "stretches": [{
        "name": "the worst", "length": 2, "nll": 0.5, "nats": [None, 0.5], "channels": ["C"],
        "chances": [[None], [0.4]], "played": [[0, 0]],
    }],
}  # fmt: skip
OLD_FRAMES = {key: value for key, value in OLD_FRAMES.items() if key not in ("single", "continuations")}


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("load-1", "forecasts"),
        ("texts-1", "classes"),
        ("pbt-1/trials/t0000", "values"),
        ("cells-1/trials/t0003", "values"),
    ],
)
def test_examples_of_format_1_are_read(folder, kind):
    old = json.loads((FORMAT_1 / folder / "examples.json").read_text())
    found = read_examples(FORMAT_1 / folder)
    assert (found.kind, found.epoch, found.samples, found.total) == (kind, old["epoch"], old["samples"], old["of"])
    figures = {"forecasts": "window-0", "classes": "confusion", "values": "values"}
    assert prediction_subsection(found).figures[0].id == figures[kind]
    numbers = {key: value for key, value in old.items() if key in ("confusion", "recall", "precision")}
    assert {key: found.model_dump()[key] for key in numbers} == numbers
    if kind == "values":
        assert (found.target, found.prediction) == (old["truth"], old["said"])
    if kind == "forecasts":
        assert [window.predictions for window in found.windows] == [window["said"] for window in old["windows"]]
        assert [row.coverage for row in found.coverage] == [row["share"] for row in old["inside"]]


@pytest.mark.parametrize(
    ("old", "figure"), [(OLD_TAGS, "labels-0"), (OLD_TOKENS, "excerpt-0"), (OLD_FRAMES, "excerpt-0")]
)
def test_tags_tokens_and_frames_of_format_1_are_read(old, figure):
    found = parse_examples(old)
    shown = prediction_subsection(found)
    assert shown.figures[0].id == figure
    assert found == parse_examples(found.model_dump()), "and stay as they are once they are of format 2"
    assert found.first_samples == old.get("first", False)
    if old is OLD_TOKENS:
        assert [table.caption for table in shown.tables][1] == "Continuations, by increasing loss"
        assert found.excerpts[0].name == "median"


def test_an_incomplete_file_is_no_examples(tmp_path):
    assert read_examples(tmp_path) is None
    for text in ('{"part": "valid', "[]", '{"split": "validation", "kind": "classes"}', '{"kind": "unknown"}'):
        (tmp_path / "examples.json").write_text(text)
        assert read_examples(tmp_path) is None, text
