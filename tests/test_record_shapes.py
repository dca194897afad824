"""JSON of another type anywhere in a record: refused by one line, or left out like an incomplete row."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from report_folders import evaluation_row, write_run, write_sweep

from lstm_lab.config import ConfigError, DataError
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import read_run
from lstm_lab.report.records.read import read
from lstm_lab.sweeps.store.record import read_about, read_summary, read_sweep
from lstm_lab.training.checkpointing import read_checkpoint


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "r", epochs=3)
    (tmp_path / "r" / "tests.jsonl").write_text(json.dumps(evaluation_row()) + "\n")
    return Run(tmp_path / "r")


def change(path, *keys, to):
    content = json.loads(path.read_text())
    inside = content
    for key in keys[:-1]:
        inside = inside[key]
    inside[keys[-1]] = to
    path.write_text(json.dumps(content))


WRONG = [
    ("run.json", ("data",), [], "run.json: data: "),
    ("run.json", ("data", "digest"), 7, "run.json: data.digest: input should be a valid string, not 7"),
    ("run.json", ("git",), "abc", "run.json: git: "),
    ("run.json", ("versions", "torch"), None, "run.json: versions.torch: "),
    ("run.json", ("created",), "yesterday", "run.json: created: "),
    ("run.json", ("mode",), "less", "run.json: mode: "),
    ("run.json", ("parameters",), "many", "run.json: parameters: "),
    ("status.json", ("state",), ["finished"], "status.json: state: "),
    ("status.json", ("seconds",), "3", "status.json: seconds: "),
    ("tests.jsonl", ("scores",), None, "tests.jsonl: evaluation 1: scores: "),
    ("tests.jsonl", ("baselines", "majority class"), 3, "tests.jsonl: evaluation 1: baselines.majority class: "),
]


@pytest.mark.parametrize(("file", "keys", "value", "message"), WRONG)
def test_a_value_of_another_type_is_one_line_with_its_place(file, keys, value, message, run):
    change(run.path / file, *keys, to=value)
    with pytest.raises(DataError) as caught:
        _ = read_run(run.path).test_evaluations
    assert str(caught.value).startswith(f"{run.path}/{message}")
    assert "correct it, or restore a copy of the file" in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "[" * 100_000, "\xff", '{"a": '])
@pytest.mark.parametrize("file", ["run.json", "status.json"])
def test_a_file_that_is_no_object_is_one_line(file, content, run):
    (run.path / file).write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=f"{file}: (incomplete or not JSON|holds no JSON object)"):
        read_run(run.path)


@pytest.mark.parametrize("file", ["run.json", "status.json", "metrics.jsonl", "tests.jsonl"])
def test_a_link_to_itself_is_one_line(file, run):
    (run.path / file).unlink()
    os.symlink(file, run.path / file)
    with pytest.raises(
        (ConfigError, DataError), match=r"cannot be read: Too many levels of symbolic links|neither a run nor a sweep"
    ):
        _ = read(run.path).test_evaluations


def test_rows_of_another_type_are_left_out(run):
    good = run.rows()
    odd = [
        "3",
        "[]",
        '{"epoch": "4"}',
        '{"epoch": 4, "val/loss": "low"}',
        '{"epoch": -1}',
        '{"epoch": 1e400}',
        "[" * 99_999,
    ]
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write("\n".join(odd))
    assert run.rows() == good


def test_a_run_that_never_started_says_so_where_its_data_are_needed(run):
    change(run.path / "run.json", "data", to=None)
    with pytest.raises(DataError, match="its training has not begun"):
        _ = run.data


@pytest.fixture(scope="module")
def sweep_folder(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("shapes") / "s", draws=2, most=4)


@pytest.fixture
def sweep(sweep_folder, tmp_path):
    return Path(shutil.copytree(sweep_folder, tmp_path / "s"))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("winner",), 3), (("winner", "trial"), ["t0000"]), (("trials", "total"), "4"), (("metric",), None),
        (("configurations",), {}), (("configurations", 0), "best"), (("configurations", 0, "trials"), []),
        (("configurations", 0, "mean"), "low"), (("baselines", "validation"), [1]), (("failures", 0, "trial"),
        "../../x"),
        (("configurations", 0, "lineage"), {"t0000": "t0001"}),
    ],
)  # fmt: skip
def test_a_summary_of_another_type_is_one_line(keys, value, sweep):
    change(sweep / "summary.json", *keys, to=value)
    with pytest.raises(DataError, match=r"summary.json: .*: correct it, or restore a copy of the file"):
        read_summary(sweep)


@pytest.mark.parametrize(("key", "value"), [("seconds", "1"), ("confirmed", 3), ("storage", []), ("warm_start", 1)])
def test_about_json_of_another_type_is_one_line(key, value, sweep):
    change(sweep / "about.json", key, to=value)
    with pytest.raises(DataError, match=f"about.json: {key}: "):
        read_about(sweep)


@pytest.mark.parametrize("section", ["space: 3", "space: {a: 1}", "space: {a: {}}", "experiment: []", "seeds: {a: 1}"])
def test_sweep_yaml_of_another_type_is_one_line(section, sweep):
    lines = {"experiment": "experiment: {}", "space": "space: {}", section.partition(":")[0]: section}
    (sweep / "sweep.yaml").write_text("\n".join(lines.values()) + "\n")
    with pytest.raises(DataError, match=r"sweep.yaml: .*: correct it"):
        read_sweep(sweep)


def test_rows_of_trials_of_another_type_are_left_out(sweep):
    before = [trial.id for trial in read_sweep(sweep).trials]
    rows = [{"trial": "../../etc"}, {"trial": 3}, {"trial": "t0099", "configuration": "0", "seed": 0, "overrides": {}}]
    with (sweep / "trials.jsonl").open("a") as file:
        file.write("\n" + "".join(json.dumps(row) + "\n" for row in rows))
    assert [trial.id for trial in read_sweep(sweep).trials] == before


def test_a_summary_of_trials_that_are_gone_is_that_of_an_earlier_end(sweep):
    lines = (sweep / "trials.jsonl").read_text().splitlines()
    (sweep / "trials.jsonl").write_text("\n".join([*lines[1:], lines[1].replace("t0001", "t0088")]))
    assert read_sweep(sweep).summary is None


@pytest.mark.parametrize(
    "content",
    [{}, 3, {"state_dict": 3, "callbacks": {"Keeper": {"epochs": 1}}, "learner": {}},
     {"state_dict": {}, "callbacks": [], "learner": {}}, {"state_dict": {}, "callbacks": {"Keeper": 3},
     "learner": {}},
     {"state_dict": {"w": 1}, "callbacks": {"Keeper": {"epochs": 1}}, "learner": {}},
     {"state_dict": {}, "callbacks": {"Keeper": {"epochs": "1"}}, "learner": {}}],
)  # fmt: skip
def test_a_checkpoint_of_another_type_is_one_line(content, tmp_path):
    import torch

    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(DataError, match=r"best.ckpt: incomplete or not ours"):
        read_checkpoint(tmp_path / "best.ckpt")


def test_a_value_that_is_not_in_the_space_is_not_compared(sweep):
    from lstm_lab.report.parts.paired import blocks

    record = read_sweep(sweep)
    before = len(blocks(record, "model.cell", ["lstm", "gru"]))
    record.configurations[0].overrides["model.cell"] = "fast"
    assert len(blocks(record, "model.cell", ["lstm", "gru"])) == before - 1
