"""What the sections of a page say: tests are the textbook's, lineage is who went on from whom, costs add up."""

from __future__ import annotations

import json
import random

import pytest
from report_folders import page, write_json, write_run, write_sweep
from scipy.stats import chi2
from test_report_browser import bred

from lstm_lab.report import statistics
from lstm_lab.report.records.read import read
from lstm_lab.report.sections import cost, training

# --- how sure ---------------------------------------------------------------------------------------------------------


def test_signed_ranks_are_exact_and_need_six_pairs():
    assert statistics.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert statistics.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx(2 / 2**6)
    assert statistics.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]) == pytest.approx(2 / 2**6)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    dice = random.Random(3)
    for size in (3, 12):
        held = 0
        for _ in range(200):
            low, high = statistics.interval([dice.gauss(0, 1) for _ in range(size)])
            held += low <= 0 <= high
        assert 0.88 <= held / 200 <= 0.99, size
    assert statistics.interval([1.0]) == (None, None)
    assert statistics.interval([2.0, 2.0]) == (2.0, 2.0)


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
    assert found.critical == pytest.approx(1.25, abs=0.006)
    # He gives 9.28; corrected for ties (one of four, three of two) it is 9.28 / (1 - 78 / 840), chi-squared with 3.
    assert found.p == pytest.approx(chi2.sf(9.28 / (1 - 78 / 840), 3), abs=3e-4)
    assert statistics.ranks(["a", "b"], [[1, 2]] * 5, "min") is None
    assert statistics.ranks(["a", "b", "c"], [[1, 1, 1]] * 5, "min") is None


def test_the_answer_says_by_how_much_and_how_sure(tmp_path):
    shown = page(write_sweep(tmp_path / "sure", draws=12, seeds=(0, 1, 2)))
    assert "Over the 3 seeds that both have it is" in shown.text
    assert "Cell: at equal epochs (each pair cut to its shortest trial) gru comes out" in shown.text
    assert "above lstm on average over 11 pairs, 95 % interval of the difference" in shown.text
    assert "Wilcoxon's signed ranks: p < 0.001" in shown.text or "Wilcoxon's signed ranks: p = 0.0" in shown.text
    heads = [head for head, _ in shown.tables[0][0]]
    assert "95 % interval" in heads


# --- how it learned ---------------------------------------------------------------------------------------------------


def test_lineage_draws_each_member_in_the_colour_of_its_weights(tmp_path):
    folder = bred(write_sweep(tmp_path / "population", draws=3))
    figure, table = training.lineage(read(folder))
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
    assert "went on from t0001" in text
    assert "Importance" not in text


def test_the_learning_rate_is_drawn_where_it_moves(tmp_path):
    folder = write_sweep(tmp_path / "rates", draws=3)
    assert "rates" in page(folder).figures
    for path in folder.glob("trials/*/metrics.jsonl"):
        rows = [{**json.loads(line), "lr": 0.01} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "rates" not in page(folder).figures


# --- what it cost -----------------------------------------------------------------------------------------------------


def test_costs_add_up(tmp_path):
    folder = write_sweep(tmp_path / "costs", draws=3)
    spec = (folder / "sweep.yaml").read_text().replace("cpus: 1.0", "cpus: 2.0").replace("gpus: 0.0", "gpus: 0.5")
    (folder / "sweep.yaml").write_text(spec)
    sweep = read(folder)
    spent = sum(trial.record.seconds for trial in sweep.trials)
    info = dict(cost.of_sweep(sweep))
    hours = spent / 3600
    assert info["device time"].startswith(f"{hours * 2:.4f}"[:6])
    assert f"{hours * 0.5:.4f}"[:6] in info["device time"]
    assert info["energy"].startswith("an estimate, not measured: ")
    assert float(info["energy"].split(": ")[1].split()[0]) == pytest.approx(hours * (2 * 12 + 0.5 * 400), rel=1e-3)
    assert "peak memory" not in info


def test_peak_memory_is_the_most_that_a_run_held(tmp_path):
    write_run(tmp_path / "run", epochs=3)
    path = tmp_path / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "memory_mib": 300.4 + row["epoch"]}) + "\n" for row in rows))
    assert dict(cost.of_run(read(tmp_path / "run")))["peak memory"].startswith("302 MiB")


def test_overhead_is_the_share_of_the_held_time_outside_epochs(tmp_path):
    write_run(tmp_path / "run", epochs=100)  # 31 s of epochs
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    write_json(tmp_path / "run" / "status.json", {**status, "at": "2026-11-21T05:29:00+00:00"})  # held 40 s
    assert dict(cost.of_run(read(tmp_path / "run")))["overhead"].startswith("22 %")
