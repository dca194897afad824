"""Runs and sweeps compared on one page, with statistics and beside W&B runs of other code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import mean

import pytest
from report_folders import EXPERIMENT, Parsed, rows_of, write_json, write_run, write_sweep

from lstm_lab import config
from lstm_lab.config import ConfigError, DataError
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report import write_comparison
from lstm_lab.report.parts import critical_difference
from lstm_lab.report.records import wandb_offline
from lstm_lab.report.records.experiments import comparison_groups
from lstm_lab.report.records.read import read


def run(path, level, seed=0, cell="lstm", data="japanese_vowels", digest="efd1dc4bc7b3ecf3", **more):
    """A run of a seed, a cell and a data set."""
    write_run(path, level=level, seed=seed, **more)
    content = {**EXPERIMENT, "data": {**EXPERIMENT["data"], "name": data}, "seed": seed,
               "model": {**EXPERIMENT["model"], "cell": {"name": cell}}}  # fmt: skip
    (path / "experiment.yaml").write_text(config.to_yaml(content))
    about = json.loads((path / "run.json").read_text())
    write_json(path / "run.json", {**about, "data": {**about["data"], "digest": digest}})
    return path


def compared(folders, tmp_path, **more):
    return Parsed(write_comparison(folders, tmp_path / "compare.html", **more).read_text(encoding="utf-8"))


def best(path):
    return min(json.loads(line)["val/loss"] for line in (path / "metrics.jsonl").read_text().splitlines())


def test_runs_that_differ_in_their_seed_alone_are_one_experiment_and_seeds_are_paired(tmp_path):
    ours = [run(tmp_path / f"lstm-{seed}", 0.05, seed) for seed in range(7)]
    theirs = [run(tmp_path / f"gru-{seed}", 0.12, seed, "gru") for seed in range(7)]
    shown = compared([*theirs, *ours], tmp_path)
    table = shown.tables[0]
    assert [line[1][0] for line in table[1:]] == ["lstm-0 (7 seeds)", "gru-0 (7 seeds)"]
    assert float(table[1][3][1]) == pytest.approx(mean(map(best, ours)))
    assert float(table[2][3][1]) == pytest.approx(mean(map(best, theirs)))
    gap = mean(best(b) - best(a) for a, b in zip(ours, theirs, strict=True))
    assert f"Over 7 shared seeds lstm-0 (7 seeds) is on average {gap:#.4g} ahead of gru-0 (7 seeds)" in shown.text
    assert "Wilcoxon signed-rank test: p = 0.016." in shown.text, "2 / 2^7: all seven go one way"
    assert [line[0][0] for line in shown.tables[1][1:]] == ["model.cell.name"]
    drawn = shown.figures["curves-0"]["data"]
    assert len(drawn) == 14
    assert {trace["name"] for trace in drawn if trace["showlegend"]} == {"lstm-0 (7 seeds)", "gru-0 (7 seeds)"}


def test_of_a_sweep_its_best_configuration_is_compared(tmp_path):
    folder = write_sweep(tmp_path / "swept", draws=3)
    best_row = json.loads((folder / "summary.json").read_text())["configurations"][0]
    single = run(tmp_path / "single", 0.5)
    shown = compared([single, folder], tmp_path)
    first = shown.tables[0][1]
    assert (first[1][0], first[2][0]) == ("swept", "sweep")
    values = [min(row["val/loss"] for row in rows_of(folder, trial)) for trial in best_row["trials"]]
    assert float(first[3][1]) == pytest.approx(mean(values))
    assert shown.text.count("evaluated once") == 0
    head = [cell[0] for cell in shown.tables[-1][0]]
    assert shown.tables[-1][1][head.index("test evaluations")][0] == "1"


def test_runs_of_different_engines_are_said_to_be_such(tmp_path):
    folders = [run(tmp_path / name, 0.05 * seed, seed) for seed, name in enumerate("ab", 1)]
    for folder, engine in zip(folders, ("avx512", "torch"), strict=True):
        about = json.loads((folder / "run.json").read_text())
        write_json(folder / "run.json", {**about, "code": {"engine": engine}})
    assert (
        "The experiments ran with different engines of the cells: avx512 and torch." in compared(folders, tmp_path).text
    )
    write_json(folders[1] / "run.json", {**about, "code": "new"})
    with pytest.raises(DataError, match="code"):
        compared(folders, tmp_path)


def test_other_data_are_never_ranked_together(tmp_path):
    ours = run(tmp_path / "a", 0.05)
    theirs = run(tmp_path / "b", 0.01, data="fsdd", digest="0123456789abcdef")
    shown = compared([ours, theirs], tmp_path)
    assert "a is best on japanese_vowels" in shown.text
    assert "b is best on fsdd" in shown.text
    assert " ahead of " not in shown.text


def test_critical_differences_over_data_sets(tmp_path):
    folders, order = [], ["lstm", "mgu", "gru"]
    for number in range(5):
        for rank, cell in enumerate(order):
            folders.append(run(tmp_path / f"{cell}-{number}", 0.05 + 0.1 * rank, 0, cell, f"set{number}", f"d{number}"))
    groups = comparison_groups([read(folder) for folder in folders], [])
    noun, scores = critical_difference.treatments(groups)
    found = critical_difference.ranked(groups, scores)
    assert noun == "experiment"
    assert found.names == ["lstm", "mgu", "gru"]
    assert (found.ranks, found.blocks) == ([1.0, 2.0, 3.0], 5)
    shown = compared(folders, tmp_path)
    assert "critical-difference" in shown.figures
    assert "Experiment lstm has the best mean rank over 5 data sets: 1.00." in shown.text
    assert "Friedman test of equal ranks: p = 0.007" in shown.text


def test_sweeps_over_several_data_sets_rank_what_all_of_them_crossed(tmp_path):
    folders = []
    for number in range(3):
        folder = write_sweep(tmp_path / f"sweep{number}", draws=4, seeds=(0,))
        for path in folder.glob("trials/*"):
            about = json.loads((path / "run.json").read_text())
            write_json(path / "run.json", {**about, "data": {**about["data"], "digest": f"d{number}"}})
            content = {**EXPERIMENT, "data": {"name": f"set{number}"}}
            (path / "experiment.yaml").write_text(config.to_yaml(content))
        folders.append(folder)
    noun, scores = critical_difference.treatments(comparison_groups([read(folder) for folder in folders], []))
    assert noun == "cell"
    assert set(scores) == {"lstm", "gru"}
    for name, row in scores.items():
        assert set(row) == {"set0", "set1", "set2"}
        rows = json.loads((folders[0] / "summary.json").read_text())["configurations"]
        means = [row["mean"] for row in rows if row["overrides"]["model.cell"] == name and row["mean"] is not None]
        assert row["set0"] == min(means)


def test_a_metric_that_not_all_have_is_refused_in_one_line(tmp_path):
    one = run(tmp_path / "a", 0.05)
    with pytest.raises(ConfigError, match=r"has val/nonsense; there are: .*val/loss") as fault:
        write_comparison([one], tmp_path / "c.html", metric="val/nonsense")
    assert "\n" not in str(fault.value)
    with pytest.raises(ConfigError, match="give runs or sweeps"):
        write_comparison([], tmp_path / "c.html")
    with pytest.raises(ConfigError, match="neither a run nor a sweep"):
        write_comparison([tmp_path], tmp_path / "c.html")


def test_by_another_metric_the_direction_is_that_of_its_name(tmp_path):
    paths = [run(tmp_path / "a", 0.05), run(tmp_path / "b", 0.5, cell="gru")]
    shown = compared(paths, tmp_path, metric="val/accuracy")
    assert "Larger values of validation accuracy are taken to be better, by the metric's name." in shown.text
    assert shown.tables[0][1][1][0] == "a"
    assert "taken to be better" not in compared(paths, tmp_path, metric="val/accuracy", mode="max").text


# --- runs of others ---------------------------------------------------------------------------------------------------

LOGGED = """
import wandb
for rate in (0.01, 0.1):
    run = wandb.init(project="theirs", name=f"rate-{rate}", config={"lr": rate, "seed": 0, "net": {"size": 32}})
    for epoch in range(5):
        run.log({"epoch": epoch, "val/loss": 1 / (epoch + 1) + rate})
    run.finish()
"""


def test_offline_wandb_runs_of_other_code_are_read_with_wandbs_own_reader(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    names = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", **{n: str(folder) for n in names}}
    subprocess.run([sys.executable, "-c", LOGGED], env=environment, cwd=folder, check=True, capture_output=True)
    killed = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)[-1]
    killed.write_bytes(killed.read_bytes()[:-20])  # As a kill leaves it: without its end.
    records = wandb_offline.read_wandb(folder)
    assert [(record.about["name"], record.state) for record in records] == [
        ("rate-0.01", "finished"), ("rate-0.1", "interrupted"),
    ]  # fmt: skip
    assert records[0].about["config"] == {"lr": 0.01, "seed": 0, "net": {"size": 32}}
    assert [row["val/loss"] for row in records[0].rows] == [1 / (epoch + 1) + 0.01 for epoch in range(5)]
    shown = compared([run(tmp_path / "ours", 0.05)], tmp_path, from_wandb=folder)
    assert [line[1][0] for line in shown.tables[0][1:]] == ["ours", "rate-0.01", "rate-0.1"]
    assert float(shown.tables[0][2][3][1]) == pytest.approx(0.21)
    assert "Whether the W&B runs were trained on the same data with the same splits is not known." in shown.text
    assert "lr" in [line[0][0] for line in shown.tables[1][1:]]


def test_segments_of_a_resumed_wandb_run_are_joined(tmp_path):
    def segment(steps, start, ended, **config):
        rows = [{"_step": step, "val/loss": float(10 * start + step)} for step in steps]
        about = {"run_id": "abc", "display_name": "theirs", "start_time": f"2026-01-0{start}T00:00:00Z"}
        return {"path": tmp_path / f"{start}.wandb", "run": about, "config": config, "rows": rows, "exit": ended}

    joined = wandb_offline.join_segments(
        [segment(range(3), 1, None, lr=0.1, size=2), segment(range(2, 5), 2, 0, lr=0.2)]
    )
    assert [row["val/loss"] for row in joined.rows] == [10.0, 11.0, 22.0, 23.0, 24.0]
    assert joined.about["config"] == {"lr": 0.2, "size": 2}
    assert joined.state == "finished"


def test_folders_without_wandb_runs_are_refused_in_one_line(tmp_path):
    with pytest.raises(DataError, match="no W&B run below it"):
        wandb_offline.read_wandb(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        wandb_offline.read_wandb(tmp_path / "absent")
    (tmp_path / "run-x.wandb").write_bytes(b"not one of theirs")
    with pytest.raises(DataError, match=r"none of its 1 \.wandb files holds a run") as fault:
        wandb_offline.read_wandb(tmp_path)
    assert "\n" not in str(fault.value)


def test_rows_without_an_epoch_are_counted_by_the_metric(tmp_path):
    rows = [{"_step": 0, "loss": 3.0}, {"_step": 1, "val_acc": 0.5, "_runtime": 2.0}, {"_step": 3, "val_acc": 0.7}]
    assert [(row["epoch"], row["val_acc"]) for row in wandb_offline.by_epoch(rows, "val_acc")] == [(0, 0.5), (1, 0.7)]
    about = {"name": "x", "config": {"lr": 1.0}}
    (group,) = comparison_groups([], [RunRecord(tmp_path, about, "finished", None, rows)], metric="val_acc")
    assert (group.mode, group.experiments[0].mean) == ("max", 0.7)


def test_experiments_that_score_the_same_are_level(tmp_path):
    folders = [
        run(tmp_path / "a", 0.1), run(tmp_path / "b", 0.1, cell="gru"), run(tmp_path / "c", 0.2, cell="rnn"),
    ]  # fmt: skip
    (tmp_path / "b/metrics.jsonl").write_text((tmp_path / "a/metrics.jsonl").read_text())
    shown = compared(folders, tmp_path)
    assert "a and b are level: validation loss" in shown.text
    assert "is best" not in shown.text
