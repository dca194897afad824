"""Pages in a browser: nothing overlaps, nothing is empty, text has contrast, nothing is loaded."""

from __future__ import annotations

import json

import pytest
from browser import inspect_pages, needs_browser
from report_folders import write_json, write_rows, write_run, write_sweep

from lstm_lab.report import write_comparison, write_report

FORECAST = {
    "split": "validation", "epoch": 20, "samples": 300, "total": 300, "kind": "forecasts", "target_name": "demand",
    "num_targets": 1,
    "windows": [
        {"name": name, "error": 400.0 + 100 * number, "past": [30000.0 + 90 * (t % 48) for t in range(96)],
         "target": [31000.0 + 80 * t for t in range(24)],
         "predictions": [[31100.0 + 81 * t + shift for t in range(24)] for shift in (0, -900, -500, 500, 900)]}
        for number, name in enumerate(("median", "90th percentile", "worst"))
    ],
    "error_by_step": [200.0 + 10 * t for t in range(24)], "columns": ["demand", "", "", "", ""],
    "coverage": [{"level": 0.9, "coverage": 0.88}, {"level": 0.8, "coverage": 0.81}],
}  # fmt: skip
CLASSES = {
    "split": "validation", "epoch": 20, "samples": 54, "total": 54, "kind": "classes",
    "classes": [str(n) for n in range(9)],
    "confusion": [[5 if a == b else int(b == a + 1) for b in range(9)] for a in range(9)],
    "calibration": [{"confidence": 0.5, "accuracy": 0.4, "n": 10}, {"confidence": 0.95, "accuracy": 0.9, "n": 44}],
    "worst": [{"sample": 7, "target": "1", "prediction": "2", "probability": 0.04, "length": 18}],
}  # fmt: skip
TAGS = {
    **CLASSES, "kind": "tags", "worst": [], "classes": ["helix", "sheet", "coil"],
    "confusion": [[50, 3, 2], [4, 40, 6], [1, 2, 60]],
    "sequences": [{"name": "worst", "accuracy": 0.5, "target": [0, 0, 1, 1, 2, -1] * 10,
                   "prediction": [0, 1, 1, 2, 2, 0] * 10, "length": 60}],
}  # fmt: skip


def with_examples(folder, examples):
    """A sweep whose best trial has examples."""
    trial = json.loads((folder / "summary.json").read_text())["winner"]["trial"]
    run = folder / "trials" / trial
    status = json.loads((run / "status.json").read_text())
    write_json(run / "status.json", {**status, "best": {"epoch": examples["epoch"], "value": 0.1}})
    write_json(run / "examples.json", examples)
    (run / "checkpoints" / "best.ckpt").touch()
    return folder


def with_exploits(folder):
    """Trials that continued from others."""
    for epoch, trial, source in ((4, "t0002", "t0000"), (8, "t0003", "t0001"), (12, "t0002", "t0001")):
        path = folder / "trials" / trial / "lineage.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        change = {"optimizer.lr": {"old": 0.001, "source": 0.002, "new": 0.0024}}
        write_rows(path, [*rows, {"trial": trial, "epoch": epoch, "source": source, "from_epoch": epoch + 1,
                                  "at": f"2026-11-21T05:30:{epoch:02}+00:00", "overrides": {},
                                  "changes": change}])  # fmt: skip
    return folder


def check_layout(found, height=700):
    for name, measured in found.items():
        assert measured["wide"] <= 0, f"{name} scrolls sideways"
        assert measured["height"] > height
        assert measured["cut"] == [], f"{name}: these are cut off"
        assert measured["overlapping"] == [], f"{name}: these overlap"
        assert measured["lowContrast"] == [], f"{name}: these have a contrast below 4.5"
        assert measured["refused"] == measured["loaded"] == [], f"{name} wanted to load something"
        assert measured["plots"]
        for plot in measured["plots"]:
            assert plot["marks"] > 0, f"{name}: {plot['id']} is empty"
            assert plot["over"] == [], f"{name}: labels of {plot['id']} overlap"
            assert plot["out"] == [], f"{name}: labels of {plot['id']} are cut off"
            assert min(plot["width"], plot["height"]) > 150


@pytest.mark.slow
@needs_browser
def test_a_page_can_be_read_filtered_and_sorted_and_loads_nothing(tmp_path):
    folder = with_examples(write_sweep(tmp_path / "vowels", draws=12), CLASSES)
    rows = [json.loads(line)["overrides"] for line in (folder / "trials.jsonl").read_text().splitlines()[:-1]]
    found = inspect_pages(tmp_path, {"classes": write_report(folder)}, widths=(1280,))
    check_layout(found)
    (measured,) = found.values()
    ids = {plot["id"] for plot in measured["plots"]}
    assert {"budget", "importance", "interaction", "parallel", "curves-monitor", "confusion", "calibration"} <= ids
    configurations = {json.dumps(row): row for row in rows}.values()
    small = sum(row["model.cell"] == "lstm" and row["model.hidden_size"] <= 32 for row in configurations)
    gru = sum(row["model.cell"] == "gru" for row in configurations)
    assert measured["filtered"] == {"gru": gru, "small": small, "none": 0, "all": len(configurations)}
    assert 0 < small < len(configurations)
    assert measured["sorted"] == sorted(row["optimizer.lr"] for row in configurations)
    brushed = measured["brushed"]
    low, high = (10**end for end in brushed["range"])
    board = json.loads((folder / "summary.json").read_text())["configurations"]
    rates = [row["overrides"]["optimizer.lr"] for row in board if row["mean"] is not None]
    inside = [rate for rate in rates if low <= rate <= high]
    assert 0 < len(inside) < len(rates)
    assert sorted(brushed["rates"]) == sorted(inside), "the leaderboard shows the range of the axis"
    count = f"{len(inside)} of {len(board)} shown, filtered by the parallel coordinates"
    assert brushed["counts"] == [count, count], "above the leaderboard and below the figure"
    assert (brushed["after"], brushed["open"]) == (len(board), 0), "one button shows all again"
    assert brushed["last"] == [f"{len(board)} of {len(board)} shown", ""]


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_kind_of_page_at_desktop_and_phone_width(tmp_path, dark):
    sweeps = {
        "classes": with_examples(write_sweep(tmp_path / "vowels"), CLASSES),
        "forecast": with_examples(write_sweep(tmp_path / "demand", draws=12, seeds=(0,)), FORECAST),
        "tags": with_examples(write_sweep(tmp_path / "protein", draws=3), TAGS),
        "population": with_exploits(write_sweep(tmp_path / "population", draws=3)),
    }
    pages = {name: write_report(folder) for name, folder in sweeps.items()}
    write_run(tmp_path / "run-1")
    pages["run"] = write_report(tmp_path / "run-1")
    pages["compare"] = write_comparison([*sweeps.values(), tmp_path / "run-1"], tmp_path / "compare.html")
    found = inspect_pages(tmp_path, pages, dark=dark)
    check_layout(found)
    backgrounds = {measured["background"] for measured in found.values()}
    assert backgrounds == ({"rgb(21, 23, 26)"} if dark else {"rgb(255, 255, 255)"})
    drawn = {name: {plot["id"] for plot in measured["plots"]} for name, measured in found.items()}
    assert {"window-0", "window-1", "window-2", "error-by-step"} <= drawn["forecast@390"]
    assert {"labels-0", "confusion"} <= drawn["tags@390"]
    assert "lineage" in drawn["population@1280"]
