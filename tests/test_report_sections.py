"""Sections of a page: tests are those of the textbook, the lineage is that of the record, costs add up."""

from __future__ import annotations

import json
import random
import sys

import pytest
import torch
from report_folders import Parsed, evaluation_row, page, write_json, write_rows, write_run, write_sweep
from scipy.stats import chi2
from test_report_browser import with_exploits

from lstm_lab.data.base import Batch
from lstm_lab.experiment import Experiment
from lstm_lab.records.examples import LabelledSequence, parse_examples
from lstm_lab.report import sections, statistics, write_comparison
from lstm_lab.report.parts.classification import calibration, confusion_matrix, label_sequence
from lstm_lab.report.parts.experiments import shared_ranks
from lstm_lab.report.parts.figures import epoch_axis
from lstm_lab.report.parts.forecasts import error_by_step, future_forecast
from lstm_lab.report.parts.population import lineage
from lstm_lab.report.records.read import read
from lstm_lab.report.sections.base import ReportSection, section_types
from lstm_lab.report.sections.compute_cost import run_costs, sweep_costs
from lstm_lab.report.summary import run_summary, sweep_summary
from lstm_lab.tasks.classification import ClassificationMetrics
from lstm_lab.tasks.classification_examples import class_examples

# --- statistics -------------------------------------------------------------------------------------------------------


def test_signed_ranks_are_exact_and_need_six_pairs():
    assert statistics.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert statistics.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx(2 / 2**6)
    assert statistics.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]) == pytest.approx(2 / 2**6)


def test_confidence_intervals_have_about_their_nominal_coverage():
    rng = random.Random(3)
    for size in (3, 12):
        inside = 0
        for _ in range(200):
            low, high = statistics.confidence_interval([rng.gauss(0, 1) for _ in range(size)])
            inside += low <= 0 <= high
        assert 0.88 <= inside / 200 <= 0.99, size
    assert statistics.confidence_interval([1.0]) == (None, None)
    assert statistics.confidence_interval([2.0, 2.0]) == (2.0, 2.0)


def test_holm_is_that_of_the_textbook():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_ranks_and_critical_difference_are_those_of_demsar():
    """His table 6: four classifiers on 14 data sets, mean ranks 3.143, 2.000, 2.893, 1.964; CD 1.25 at 5 %."""
    table = [
        (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
    ]  # fmt: skip
    found = statistics.ranks(["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"], table, "max")
    assert found.names == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert dict(zip(found.names, found.ranks, strict=True))["C4.5"] == pytest.approx(3.143, abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.006)
    # He gives 9.28; corrected for ties (one of four, three of two) it is 9.28 / (1 - 78 / 840), chi-squared with 3.
    assert found.p == pytest.approx(chi2.sf(9.28 / (1 - 78 / 840), 3), abs=3e-4)
    assert statistics.ranks(["a", "b"], [[1, 2]] * 5, "min") is None
    assert statistics.ranks(["a", "b", "c"], [[1, 1, 1]] * 5, "min") is None


def test_ranks_are_shared_where_values_differ_by_rounding_alone():
    noise = [[0.3, 0.1 + 0.2, 0.5], [0.1 + 0.2, 0.3, 0.4], [0.3, 0.1 + 0.2, 0.6]]
    found = statistics.ranks(["a", "b", "c"], noise, "min")
    assert found.ranks == [1.5, 1.5, 3.0]
    assert statistics.ranks(["a", "b", "c"], [[0.3, 0.1 + 0.2, 0.3]] * 3, "min") is None
    assert shared_ranks([0.3, 0.1 + 0.2, 0.5, None, None]) == [1, 1, 3, 4, 5]


def test_the_summary_has_differences_with_their_uncertainty(tmp_path):
    shown = page(write_sweep(tmp_path / "sure", draws=12, seeds=(0, 1, 2)))
    assert "Over the 3 shared seeds, the best configuration is on average" in shown.text
    assert (
        "Cell: at equal epochs (each pair cut to its shortest trial) the validation loss of gru is on average"
        in shown.text
    )
    assert "above that of lstm over 11 pairs, 95 % confidence interval of the difference" in shown.text
    assert "Wilcoxon signed-rank test: p < 0.001" in shown.text or "Wilcoxon signed-rank test: p = 0.0" in shown.text
    heads = [head for head, _ in shown.tables[0][0]]
    assert "95 % CI" in heads


# --- training curves -------------------------------------------------------------------------------------------------


def test_the_lineage_draws_each_trial_in_the_colour_of_its_weights(tmp_path):
    folder = with_exploits(write_sweep(tmp_path / "population", draws=3))
    figure, table = lineage(read(folder))
    drawn = json.loads(figure.content)
    arrows = drawn["layout"]["annotations"]
    assert [(a["ax"], a["ay"], a["x"], a["y"]) for a in arrows] == [(5, 0, 4, 2), (13, 1, 12, 2), (9, 1, 8, 3)]
    epochs = len((folder / "trials" / "t0002" / "metrics.jsonl").read_text().splitlines())
    member = [trace for trace in drawn["data"] if trace["y"] == [2, 2]]
    assert [trace["x"] for trace in member] == [[0, 4], [4, 12], [12, epochs]]
    first = [next(t for t in drawn["data"] if t["y"] == [row, row])["line"]["color"] for row in range(3)]
    assert [trace["line"]["color"] for trace in member] == [first[2], first[0], first[1]]
    assert [row[0].text for row in table.rows] == ["t0002", "t0003", "t0002"]
    assert table.rows[0][3].text == "0.002 → 0.0024"
    text = page(folder).text
    assert "continued from t0001" in text
    assert "Importance" not in text


def test_the_learning_rate_is_drawn_where_it_changes(tmp_path):
    folder = write_sweep(tmp_path / "rates", draws=3)
    assert "learning-rates" in page(folder).figures
    for path in folder.glob("trials/*/metrics.jsonl"):
        rows = [{**json.loads(line), "lr": 0.01} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "learning-rates" not in page(folder).figures


# --- compute cost ----------------------------------------------------------------------------------------------------


def test_costs_add_up(tmp_path):
    folder = write_sweep(tmp_path / "costs", draws=3)
    spec = (folder / "sweep.yaml").read_text().replace("cpus: 1.0", "cpus: 2.0").replace("gpus: 0.0", "gpus: 0.5")
    (folder / "sweep.yaml").write_text(spec)
    sweep = read(folder)
    spent = sum(trial.record.seconds for trial in sweep.trials)
    info = dict(sweep_costs(sweep))
    hours = spent / 3600
    assert info["device time"].startswith(f"{hours * 2:.4f}"[:6])
    assert f"{hours * 0.5:.4f}"[:6] in info["device time"]
    assert info["energy"].startswith("an estimate, not measured: ")
    assert float(info["energy"].split(": ")[1].split()[0]) == pytest.approx(hours * (2 * 12 + 0.5 * 400), rel=1e-3)
    assert "peak memory" not in info


def test_peak_memory_is_the_maximum_over_epochs(tmp_path):
    write_run(tmp_path / "run", epochs=3)
    path = tmp_path / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "memory_mib": 300.4 + row["epoch"]}) + "\n" for row in rows))
    assert dict(run_costs(read(tmp_path / "run")))["peak memory"].startswith("302 MiB")


def test_overhead_is_the_share_of_the_time_outside_epochs(tmp_path):
    write_run(tmp_path / "run", epochs=100)  # 31 s of epochs
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    write_json(tmp_path / "run" / "status.json", {**status, "at": "2026-11-21T05:29:00+00:00"})  # 40 s in all
    assert dict(run_costs(read(tmp_path / "run")))["overhead"].startswith("22 %")


# --- sections are found by being written ------------------------------------------------------------------------------

NEW_SECTION = """
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.sections.base import ReportSection


class Notes(ReportSection):
    title, order = "Lab notes", 45

    def of_run(self, run, examples):
        return [Subsection(items=[("run", run.name)])]

    def of_sweep(self, sweep, examples):
        return [Subsection(items=[("trials", str(len(sweep.trials)))])]

    def of_comparison(self, groups):
        return [Subsection(items=[("groups", str(len(groups)))])]
"""


def test_a_new_section_is_one_file(tmp_path, monkeypatch):
    before = [section.title for section in section_types()]
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.setattr(ReportSection, "registered", dict(ReportSection.registered))
    (tmp_path / "lab_notes.py").write_text(NEW_SECTION)
    try:
        write_run(tmp_path / "run")
        folder = write_sweep(tmp_path / "sweep", draws=1)
        compared = Parsed(write_comparison([folder], tmp_path / "compare.html").read_text(encoding="utf-8"))
        for shown, text in ((page(tmp_path / "run"), "run run"), (page(folder), "trials 4"), (compared, "groups 1")):
            assert text in shown.text
            links = [attributes["href"] for tag, attributes in shown.tags if tag == "a"]
            assert "#lab-notes" in links
            assert links.index("#lab-notes") < links.index("#compute-cost")
        after = [section.title for section in section_types()]
        assert after.index("Lab notes") == after.index("Hyperparameters") + 1
        assert [title for title in after if title != "Lab notes"] == before
    finally:
        sys.modules.pop(f"{sections.__name__}.lab_notes", None)


def test_sections_have_distinct_positions_and_anchors():
    found = section_types()
    assert len({section.order for section in found}) == len({section.id() for section in found}) == len(found)


# --- the first sentence -----------------------------------------------------------------------------------------------


def differing(folder, draws, gap):
    """A sweep in which gru is worse than lstm by `gap` on average, and by turns by more and by less."""
    write_sweep(folder, draws=draws, seeds=(0,))
    for row in map(json.loads, (folder / "trials.jsonl").read_text().splitlines()[:-1]):
        number = row["configuration"] // 2
        value = 0.5 + number / 100
        if row["overrides"]["model.cell"] == "gru":
            value += gap * (1.5 if number % 2 else 0.5)
        write_run_again(folder / "trials" / row["trial"], value)
    (folder / "summary.json").unlink()
    return read(folder)


def write_run_again(path, value):
    write_rows(path / "metrics.jsonl", [{"epoch": 0, "step": 1, "val/loss": value, "seconds": 1.0}])
    write_json(path / "status.json", {"state": "finished", "reason": None, "epochs": 1, "seconds": 1.0})


def test_the_first_sentence_says_that_a_difference_is_not_certain(tmp_path):
    clear = sweep_summary(differing(tmp_path / "clear", 6, 0.1))
    assert clear.headline.startswith("Best configuration so far: cell lstm")
    unclear = sweep_summary(differing(tmp_path / "unclear", 6, 0.0))
    assert unclear.headline.startswith("Whether lstm or gru is better is not certain: the interval of their difference")
    one = sweep_summary(differing(tmp_path / "one", 1, 0.1))
    assert one.headline.startswith("Whether lstm or gru is better cannot be told from one pair.")


def test_the_first_sentence_about_a_run_names_a_baseline_that_is_better_or_level(tmp_path):
    for name, accuracy, first in (
        ("better", 0.9, "A baseline, logistic regression, scores better than the model on the test split. Validation"),
        ("level", 0.9444, "The model is no better than logistic regression on the test split. Validation loss"),
        ("worse", 0.97, "Validation loss"),
    ):
        write_run(tmp_path / name)
        write_rows(tmp_path / name / "tests.jsonl", [evaluation_row(accuracy)])
        assert run_summary(read(tmp_path / name)).headline.startswith(first)


# --- captions ---------------------------------------------------------------------------------------------------------


def test_the_calibration_error_of_the_caption_is_that_of_the_table():
    """Both are over the same bins of confidence."""
    logits = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 2
    y = torch.randint(3, (500,), generator=torch.Generator().manual_seed(1))
    batch = Batch(x=torch.zeros(500, 1, 1), y=y, lengths=torch.ones(500, dtype=torch.long))
    metrics = ClassificationMetrics(("a", "b", "c"))
    metrics.update(logits, batch)
    content = class_examples(("a", "b", "c"), iter([(logits, batch)]))
    found = parse_examples({"split": "validation", "epoch": 0, "samples": 500, "total": 500, **content})
    error = 100 * float(metrics.compute()["ece"])
    assert f"Expected calibration error: {error:.1f} percentage points" in calibration(found).caption


def test_steps_without_a_target_do_not_shift_the_error_by_step():
    caption = error_by_step([None, 2.0, 3.0, None], "", "errors").caption
    assert caption == "Mean absolute error by step ahead: 2.000 at step 2, 3.000 at step 3."


def test_counts_that_fit_no_cell_are_shares():
    counts = [[1000 if a == b else 10 * (a < b) for b in range(9)] for a in range(9)]
    figure = confusion_matrix([str(n) for n in range(9)], counts, "validation")
    assert "in percent" in figure.caption
    texts = {row["text"] for row in json.loads(figure.content)["layout"]["annotations"]}
    assert max(map(len, texts)) <= 3


def test_labels_of_more_classes_than_colours_are_drawn_too():
    sequence = LabelledSequence(name="worst", accuracy=0.5, target=[0, 8, -1], prediction=[8, 8, 0], length=9)
    figure = label_sequence([f"c{n}" for n in range(9)], sequence, 0)
    drawn = {trace["name"]: trace["y"] for trace in json.loads(figure.content)["data"]}
    assert drawn == {"target": ["c0", "c8", None], "prediction": ["c8", "c8", "c0"]}
    assert "of all steps 50 % are correct" in figure.caption


def test_an_axis_of_few_epochs_has_whole_numbers_and_room_for_markers():
    assert (epoch_axis(0)["dtick"], epoch_axis(0)["range"]) == (1, [-0.5, 0.5])
    low, high = epoch_axis(40)["range"]
    assert low < 0
    assert high > 40


# --- the forecast after the end of the data ---------------------------------------------------------------------------


def test_a_forecast_begins_after_the_last_observation_with_its_date(tmp_path):
    days = [f"2024-01-{day:02},{day}" for day in range(1, 31)]
    (tmp_path / "a.csv").write_text("\n".join(["day,sold", *days]) + "\n")
    data = {"name": "csv", "path": str(tmp_path / "a.csv"), "time": "day", "targets": ["sold"], "window": 4,
            "horizon": 2}  # fmt: skip
    experiment = Experiment.model_validate({"data": data, "task": {"name": "forecast", "output": "quantile"}})
    dataset = experiment.data.build()
    task = experiment.task.build(dataset.info)
    samples = dataset.latest()
    batch = next(iter(samples.batches))
    found = task.future_example(torch.zeros(1, task.output_size), batch, samples)
    assert found["times_ahead"] == ["2024-01-31 00:00:00", "2024-02-01 00:00:00"]
    assert (found["times"][-1], found["past"]) == ("2024-01-30 00:00:00", [27.0, 28.0, 29.0, 30.0])
    assert (len(found["predictions"]), found["series"]) == (5, "")
    examples = parse_examples({
        "kind": "forecasts", "split": "validation", "epoch": 0, "samples": 1, "total": 1, "target_name": "sold",
        "num_targets": 1, "windows": [], "error_by_step": [1.0], "columns": ["sold"], "future": found,
    })  # fmt: skip
    figure = future_forecast(examples, examples.future)
    assert "after the last observation (2024-01-30): 2024-01-31 to 2024-02-01." in figure.caption
    assert {"90 % interval", "80 % interval"} <= {trace["name"] for trace in json.loads(figure.content)["data"]}
