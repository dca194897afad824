"""Pages as a browser shows them: nothing overlaps, nothing is empty, everything can be read, nothing goes out."""

from __future__ import annotations

import json

import pytest
from browser import looked_at, needs_browser
from report_folders import write_json, write_rows, write_run, write_sweep

from lstm_lab.report import write_comparison, write_report

FORECAST = {
    "part": "validation", "epoch": 20, "samples": 300, "of": 300, "kind": "forecasts", "target": "demand", "targets": 1,
    "windows": [
        {"name": name, "error": 400.0 + 100 * place, "past": [30000.0 + 90 * (t % 48) for t in range(96)],
         "truth": [31000.0 + 80 * t for t in range(24)],
         "said": [[31100.0 + 81 * t + shift for t in range(24)] for shift in (0, -900, -500, 500, 900)]}
        for place, name in enumerate(("one in the middle", "worse than nine in ten", "the worst"))
    ],
    "steps": [200.0 + 10 * t for t in range(24)], "parts": ["demand", "", "", "", ""],
    "inside": [{"level": 0.9, "share": 0.88}, {"level": 0.8, "share": 0.81}],
}  # fmt: skip
CLASSES = {
    "part": "validation", "epoch": 20, "samples": 54, "of": 54, "kind": "classes",
    "classes": [str(n) for n in range(9)],
    "confusion": [[5 if a == b else int(b == a + 1) for b in range(9)] for a in range(9)],
    "calibration": [{"sure": 0.5, "right": 0.4, "n": 10}, {"sure": 0.95, "right": 0.9, "n": 44}],
    "worst": [{"sample": 7, "truth": "1", "answer": "2", "chance": 0.04, "length": 18}],
}  # fmt: skip
TAGS = {
    **CLASSES, "kind": "tags", "worst": [], "classes": ["helix", "sheet", "coil"],
    "confusion": [[50, 3, 2], [4, 40, 6], [1, 2, 60]],
    "strips": [{"name": "the worst", "right": 0.5, "truth": [0, 0, 1, 1, 2, -1] * 10, "answer": [0, 1, 1, 2, 2, 0] * 10,
                "length": 60}],
}  # fmt: skip


def answered(folder, examples):
    """The winner of a sweep as one whose answers were looked at."""
    trial = json.loads((folder / "summary.json").read_text())["winner"]["trial"]
    run = folder / "trials" / trial
    status = json.loads((run / "status.json").read_text())
    write_json(run / "status.json", {**status, "best": {"epoch": examples["epoch"], "value": 0.1}})
    write_json(run / "examples.json", examples)
    (run / "checkpoints" / "best.ckpt").touch()
    return folder


def bred(folder):
    """Members that went on as clones of others."""
    for epoch, trial, source in ((4, "t0002", "t0000"), (8, "t0003", "t0001"), (12, "t0002", "t0001")):
        path = folder / "trials" / trial / "lineage.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        change = {"optimizer.lr": {"old": 0.001, "source": 0.002, "new": 0.0024}}
        write_rows(path, [*rows, {"trial": trial, "epoch": epoch, "source": source, "from_epoch": epoch + 1,
                                  "at": f"2026-11-21T05:30:{epoch:02}+00:00", "overrides": {},
                                  "changes": change}])  # fmt: skip
    return folder


def sound(found, height=700):
    for name, seen in found.items():
        assert seen["wide"] <= 0, f"{name} scrolls sideways"
        assert seen["height"] > height
        assert seen["crossed"] == [], f"{name}: these overlap"
        assert seen["faint"] == [], f"{name}: these have a contrast below 4.5"
        assert seen["refused"] == seen["loaded"] == [], f"{name} wanted to load something"
        assert seen["plots"]
        for plot in seen["plots"]:
            assert plot["marks"] > 0, f"{name}: {plot['id']} is empty"
            assert plot["over"] == [], f"{name}: labels of {plot['id']} overlap"
            assert plot["out"] == [], f"{name}: labels of {plot['id']} are cut off"
            assert min(plot["width"], plot["height"]) > 150


@needs_browser
def test_a_page_can_be_read_filtered_and_sorted_and_loads_nothing(tmp_path):
    folder = answered(write_sweep(tmp_path / "vowels", draws=12), CLASSES)
    asked = [json.loads(line)["overrides"] for line in (folder / "trials.jsonl").read_text().splitlines()[:-1]]
    found = looked_at(tmp_path, {"classes": write_report(folder)}, widths=(1280,))
    sound(found)
    (seen,) = found.values()
    ids = {plot["id"] for plot in seen["plots"]}
    assert {"budget", "importance", "interaction", "parallel", "curves-monitor", "confusion", "calibration"} <= ids
    points = {json.dumps(row): row for row in asked}.values()
    small = sum(row["model.cell"] == "lstm" and row["model.hidden_size"] <= 32 for row in points)
    gru = sum(row["model.cell"] == "gru" for row in points)
    assert seen["filtered"] == {"gru": gru, "small": small, "none": 0, "all": len(points)}
    assert 0 < small < len(points)
    assert seen["sorted"] == sorted(row["optimizer.lr"] for row in points)
    brushed = seen["brushed"]
    low, high = (10**end for end in brushed["range"])
    board = json.loads((folder / "summary.json").read_text())["configurations"]
    rates = [point["overrides"]["optimizer.lr"] for point in board if point["mean"] is not None]
    inside = [rate for rate in rates if low <= rate <= high]
    assert 0 < len(inside) < len(rates)
    assert sorted(brushed["kept"]) == sorted(inside), "the leaderboard keeps what is kept along the axis"
    told = f"{len(inside)} of {len(board)} shown, by ranges of the parallel coordinates"
    assert brushed["told"] == [told, told], "above the leaderboard and below the figure"
    assert (brushed["after"], brushed["open"]) == (len(board), 0), "one button lets everything go"
    assert brushed["last"] == [f"{len(board)} of {len(board)} shown", ""]


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_kind_of_page_on_a_desk_and_on_a_phone(tmp_path, dark):
    sweeps = {
        "classes": answered(write_sweep(tmp_path / "vowels"), CLASSES),
        "forecast": answered(write_sweep(tmp_path / "demand", draws=12, seeds=(0,)), FORECAST),
        "tags": answered(write_sweep(tmp_path / "protein", draws=3), TAGS),
        "population": bred(write_sweep(tmp_path / "population", draws=3)),
    }
    pages = {name: write_report(folder) for name, folder in sweeps.items()}
    write_run(tmp_path / "run-1")
    pages["run"] = write_report(tmp_path / "run-1")
    pages["compare"] = write_comparison([*sweeps.values(), tmp_path / "run-1"], tmp_path / "compare.html")
    found = looked_at(tmp_path, pages, dark=dark)
    sound(found)
    papers = {seen["paper"] for seen in found.values()}
    assert papers == ({"rgb(21, 23, 26)"} if dark else {"rgb(255, 255, 255)"})
    drawn = {name: {plot["id"] for plot in seen["plots"]} for name, seen in found.items()}
    assert {"window-0", "window-1", "window-2", "steps"} <= drawn["forecast@390"]
    assert {"tags-0", "confusion"} <= drawn["tags@390"]
    assert "lineage" in drawn["population@1280"]
