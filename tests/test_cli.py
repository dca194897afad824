"""The command line: what it prints, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hung import HUNG

from lstm_lab import config
from lstm_lab.records.run import Run
from lstm_lab.training.train import train as fit

ROOT = Path(__file__).parent.parent


@pytest.fixture
def conf(tmp_path, vowels):
    path = tmp_path / "x.yaml"
    path.write_text(config.to_yaml(vowels.with_overrides({"trainer.max_epochs": 2}).dump()))
    return path


GOOD_CSV = "time,load\n" + "".join(f"2024-01-01T{hour:02d}:00,{hour * 1.5}\n" for hour in range(24))
CSV = "data={name: csv, path: bad.csv, time: time, targets: [load], window: 4, horizon: 2}"
LONG = CSV.replace("bad", "good").replace("window: 4", "window: 40")
OTHER = CSV.replace("bad", "good").replace("[load]", "[lod]")
ANCHOR = "task={name: forecast, anchor: season}"

BAD = {
    "no such file": (["train", "nope.yaml"], 2, "nope.yaml: no such file"),
    "close to a file": (["train", "y.yaml"], 2, "did you mean 'x.yaml'"),
    "a folder": (["train", "."], 2, "is a folder"),
    "typo in a key": (["train", "x.yaml", "model.hiden_size=8"], 2, "did you mean 'hidden_size'"),
    "typo in a name": (["train", "x.yaml", "model.cell=lsmt"], 2, "did you mean 'lstm'"),
    "wrong type": (["train", "x.yaml", "optimizer.lr=fast"], 2, "optimizer.lr: must be a valid number"),
    "fraction for an integer": (["train", "x.yaml", "model.hidden_size=64.5"], 2, "must be a valid integer"),
    "yes for a number": (["train", "x.yaml", "seed=true"], 2, "seed: must be a valid integer"),
    "below its bound": (["train", "x.yaml", "data.batch_size=0"], 2, "data.batch_size: must be greater"),
    "dead dropout": (["train", "x.yaml", "model.dropout.between=0.5"], 2, "set num_layers to 2"),
    "task and data apart": (["train", "x.yaml", "task=forecast"], 2, "does not go with data"),
    "anchor without a season": (["train", "x.yaml", "data={name: taylor, window: 48}", ANCHOR], 2, "task.anchor"),
    "no equals sign": (["train", "x.yaml", "fast"], 2, "must be key=value"),
    "no file at all": (["train"], 2, "give either"),
    "both file and run": (["train", "x.yaml", "--resume", "runs/a"], 2, "give either"),
    "run that is not there": (["train", "--resume", "runs/a"], 2, "not a run"),
    "sweep that is not there": (["resume", "runs/a"], 2, "neither a run nor a sweep"),
    "name with a slash": (["train", "x.yaml", "--name", "a/b"], 2, "plain folder name"),
    "sweep without file": (["sweep", "num_samples=3"], 2, "give a sweep file"),
    "experiment as a sweep": (["sweep", "x.yaml"], 2, "lstm-lab train takes an experiment"),
    "evaluate nothing": (["evaluate", "runs/a"], 2, "neither a run nor a sweep"),
    "report of nothing": (["report", "."], 2, "neither"),
    "unknown option": (["train", "--fast"], 2, "No such option"),
    "unknown verb": (["tune"], 2, "No such command"),
    "fields of nothing": (["fields", "modl"], 2, "did you mean 'model'"),
    "not YAML": (["train", "torn.yaml"], 2, "not valid YAML"),
    "empty file": (["train", "empty.yaml"], 2, "missing"),
    "list at the top": (["train", "list.yaml"], 2, "must be a mapping"),
    "not UTF-8": (["train", "latin.yaml"], 2, "not UTF-8"),
    "CSV that is not there": (["train", "x.yaml", "task=forecast", CSV.replace("bad", "none")], 3, "none.csv"),
    "CSV with text": (["train", "x.yaml", "task=forecast", CSV], 3, "bad.csv"),
    "CSV too short": (["train", "x.yaml", "task=forecast", LONG], 3, "window 40"),
    "CSV without the column": (["train", "x.yaml", "task=forecast", OTHER], 3,
                               "did you mean 'load'"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "code", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_with_its_exit_code_and_leaves_nothing(lab, conf, tmp_path, words, code, said):
    (tmp_path / "torn.yaml").write_text("data: {name: [")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "list.yaml").write_text("- data\n")
    (tmp_path / "latin.yaml").write_bytes(b"# \xe9\n")
    (tmp_path / "good.csv").write_text(GOOD_CSV)
    (tmp_path / "bad.csv").write_text(GOOD_CSV.replace("4.5", "four"))

    def there():
        return sorted(path for path in tmp_path.rglob("*") if tmp_path / "cache" not in (path, *path.parents))

    before = there()
    ended, out, err = lab(*words)
    assert ended == code
    assert said in err
    assert err.startswith("lstm-lab: ")
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in out + err
    assert there() == before


def test_train_prints_epochs_baselines_and_what_comes_next(lab, conf, runs):
    code, out, err = lab("train", conf, "--wandb", "disabled", "model.cell=gru")
    assert (code, err) == (0, "")
    assert len(re.findall(r"^epoch +\d+ ", out, re.M)) == 2
    for name in ("model", "majority class", "nearest centroid", "logistic regression"):
        assert re.search(rf"^{name} ", out, re.M)
    run = Run.open(runs / "x-1")
    assert run.status["state"] == "finished"
    assert run.experiment["model"]["cell"]["name"] == "gru"
    assert f"lstm-lab evaluate {run.path}" in out
    assert run.test_evaluations() == []
    page = (run.path / "report.html").read_text()
    assert "logistic regression" in page
    code, out, _ = lab("train", conf, "--wandb", "disabled")
    assert (runs / "x-2" / "run.json").is_file()


def test_evaluate_speaks_json_and_counts(lab, conf, runs):
    lab("train", conf, "--wandb", "disabled", "--name", "one")
    for time_ in (1, 2):
        code, out, _ = lab("evaluate", runs / "one", "--json")
        assert code == 0
        assert json.loads(out)["test_evaluations"] == time_


def test_resume_of_a_finished_run_changes_nothing(lab, conf, runs):
    lab("train", conf, "--wandb", "disabled", "--name", "one")
    before = (runs / "one" / "metrics.jsonl").read_bytes()
    for words in (("train", "--resume", runs / "one"), ("resume", runs / "one")):
        code, out, _ = lab(*words)
        assert code == 0
        assert "finished" in out
    assert (runs / "one" / "metrics.jsonl").read_bytes() == before


def test_one_offline_wandb_run(lab, conf, runs):
    lab("train", conf, "--name", "one")
    assert len(list((runs / "one" / "wandb").glob("offline-run-*"))) == 1
    run = Run.open(runs / "one")
    told = run.about["wandb"]
    assert told.pop("id").endswith("-one")
    assert told == {"mode": "offline", "ended": True, "rows": len(run.rows())}


@pytest.mark.parametrize(
    "kind", ["cell", "task", "dataset", "optimizer", "schedule", "searcher", "scheduler", "domain"]
)
def test_list_shows_every_kind(lab, kind):
    code, out, _ = lab("list", "--json")
    assert code == 0
    members = json.loads(out)[kind]
    assert members
    assert all(members.values()), "every member says in a line what it is"
    _, text, _ = lab("list")
    assert all(re.search(rf"^  {name} ", text, re.M) for name in members)


@pytest.mark.parametrize("of", ["experiment", "sweep"])
def test_fields_and_schema(lab, of):
    code, out, _ = lab("fields", of, "--json")
    assert code == 0
    rows = json.loads(out)
    assert all(row["doc"] and row["type"] and row["default"] for row in rows)
    code, out, _ = lab("schema", of)
    assert code == 0
    assert out == (ROOT / {"experiment": "conf", "sweep": "sweeps"}[of] / "schema.json").read_text(), "run make schema"


def test_every_shipped_file_fits_the_schema():
    from jsonschema import Draft202012Validator

    for folder, pattern in (("conf", "*.yaml"), ("sweeps", "*.yaml")):
        schema = Draft202012Validator(json.loads((ROOT / folder / "schema.json").read_text()))
        for path in (ROOT / folder).glob(pattern):
            assert not list(schema.iter_errors(config.load(path))), path


def test_doctor_speaks_json(lab):
    code, out, _ = lab("doctor", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["system"]["wandb"]["mode"] == "offline"
    assert isinstance(found["problems"], list)
    assert lab("doctor")[0] == 0


def imported(statement):
    """Heavy modules that a statement brings into a fresh interpreter."""
    heavy = ("torch", "ray", "wandb", "optuna", "pandas")
    script = f"import sys\n{statement}\nprint([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return said.stdout.strip().splitlines()[-1]


def test_help_is_light():
    assert imported("import lstm_lab.__main__ as m\ntry: m.app(['--help'])\nexcept SystemExit: pass") == "[]"


def test_an_experiment_needs_neither_ray_nor_wandb():
    assert imported("import lstm_lab.experiment") == "['torch']"


def test_ctrl_c_saves_and_prints_the_command_that_goes_on(tmp_path, vowels, runs):
    experiment = vowels.with_overrides({"trainer.max_epochs": 400, "trainer.patience": None})
    path = tmp_path / "long.yaml"
    path.write_text(config.to_yaml(experiment.dump()))
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_lab", "train", str(path), "--name", "long", "--wandb", "disabled"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    try:
        rows = runs / "long" / "metrics.jsonl"
        end = time.monotonic() + HUNG
        while not (rows.exists() and rows.read_text().count("\n") > 3) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=HUNG)
    finally:
        process.kill()
    assert process.returncode == 130
    (line,) = err.strip().splitlines()
    command = line.partition("resume with: ")[2]
    assert command == f"lstm-lab train --resume {runs / 'long'}"
    run = Run.open(runs / "long")
    assert run.status["state"] == "interrupted"
    # The command goes on where it stopped, and ends where it would have ended.
    run_short = experiment.with_overrides({"trainer.max_epochs": len(run.rows()) + 2})
    whole = Run.create(tmp_path / "whole", run_short.dump(), command="", job_type="")
    fit(run_short, whole)
    fit(run_short, run)
    assert [row["val/loss"] for row in run.rows()] == [row["val/loss"] for row in whole.rows()]


def test_conf_files_are_short_and_named(tmp_path):
    for path in (ROOT / "conf").glob("*.yaml"):
        text = path.read_text()
        assert text.startswith("# "), path
        assert len(text.splitlines()) <= 20, path
