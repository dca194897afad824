"""A relative path of an experiment means one file, from whichever folder it is trained, swept, evaluated or resumed."""

import json
import shutil
import warnings

import numpy as np
import pytest
from sweeping import run_trials

from lstm_lab import config
from lstm_lab.__main__ import main
from lstm_lab.config import DataError, Notice, paths
from lstm_lab.config.paths import environment_elsewhere, path_fields, search_folders
from lstm_lab.data import Dataset
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.examples.collect import compute_examples
from lstm_lab.experiment import Experiment, load_experiment, recorded_experiment
from lstm_lab.records.run import Run
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.training.train import train
from lstm_lab.workflow import best_run, create_run

DATA = {"name": "csv", "path": "t.csv", "time": "i", "targets": ["y"], "window": 6, "horizon": 2}
BASE = {"data": DATA, "task": "forecast", "model": {"hidden_size": 3}, "trainer": {"max_epochs": 1}}


def write_series(path, seed=0):
    values = np.random.default_rng(seed).normal(size=80)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("i,y\n" + "".join(f"{i},{value:.3f}\n" for i, value in enumerate(values)))
    return path


def write_yaml(path, content, title="# A title\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(title + config.to_yaml(content))
    return path


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Change to a folder that has no files."""

    def change(name="elsewhere"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)

    change()
    return change


def test_a_path_is_looked_up_beside_the_file_then_in_the_current_folder_then_below_the_data_folder(
    tmp_path, monkeypatch, elsewhere
):
    conf = write_yaml(tmp_path / "conf" / "x.yaml", BASE)
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path / "data"))
    below = write_series(tmp_path / "data" / "t.csv")
    assert load_experiment(conf).data.path == str(below)
    here = write_series(tmp_path / "elsewhere" / "t.csv")
    assert load_experiment(conf).data.path == str(here)
    beside = write_series(tmp_path / "conf" / "t.csv")
    found = load_experiment(conf)
    assert found.data.path == str(beside)
    assert found.dump()["written_paths"] == [{"written": "t.csv", "file": str(beside)}]
    assert Experiment.of(found.dump()) == found
    # One that was typed is first of all a path of the folder in which it was typed.
    assert load_experiment(conf, ["data.path=t.csv"]).data.path == str(here)
    assert load_experiment(conf, [f"data.path={below}"]).dump()["data"]["path"] == str(below)


def test_a_path_that_means_two_different_files_is_said(tmp_path, monkeypatch, elsewhere):
    conf = write_yaml(tmp_path / "conf" / "x.yaml", BASE)
    beside = write_series(tmp_path / "conf" / "t.csv")
    here = write_series(tmp_path / "elsewhere" / "t.csv", seed=1)
    with pytest.warns(Notice, match=f"data.path: t.csv means {beside}, not {here}, which has other content"):
        load_experiment(conf)
    shutil.copy(beside, here)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_experiment(conf)


def test_a_path_that_does_not_exist_is_refused_before_anything_is_made(tmp_path, monkeypatch, capsys, elsewhere):
    write_yaml(tmp_path / "conf" / "x.yaml", BASE)
    write_series(tmp_path / "conf" / "tt.csv")
    sweep = {"experiment": "../conf/x.yaml", "space": {"optimizer.lr": {"choice": [0.1, 0.2]}}}
    write_yaml(tmp_path / "elsewhere" / "s.yaml", sweep)
    for words in (["train", "../conf/x.yaml"], ["sweep", "s.yaml"]):
        monkeypatch.setattr("sys.argv", ["lstm-lab", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 3
        message = capsys.readouterr().err
        assert f"t.csv: no such file or folder in {tmp_path}/conf, {tmp_path}/elsewhere" in message
        assert f"did you mean '{tmp_path}/conf/tt.csv'?" in message
    assert not (tmp_path / "runs").exists()


def test_every_path_field_is_declared():
    fields = {
        "data.path": {"data": DATA, "task": "forecast"},
        "data.test_path": {"data": {"name": "ts", "path": "a.ts", "test_path": "b.ts"}, "task": "classify"},
        "model.embedding.pretrained": {
            "data": {"name": "csv_text", "path": "t.csv"}, "task": "classify",
            "model": {"embedding": {"pretrained": "v.txt"}},
        },
    }  # fmt: skip
    for key, content in fields.items():
        assert key in {found for found, _, _ in path_fields(Experiment.of(content))}
    hub = Experiment.of({"data": {"name": "huggingface", "path": "owner/set"}, "task": "classify"})
    assert hub.with_absolute_paths() == hub


def test_no_field_is_called_a_path_and_is_not_looked_up_as_one():
    declared = {"path", "test_path", "validation_path", "pretrained", "y_path", "test_y_path", "validation_y_path",
                "target_path", "test_target_path", "validation_target_path"}  # fmt: skip
    for member in Dataset.members.values():
        for name, info in member.Config.model_fields.items():
            if name == "path" or name.endswith("_path"):
                assert name in declared, (member, name)
                assert paths._annotation(info) is not None, (member, name)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A run that was trained on a relative path, from the folder that has the file."""
    write_series(tmp_path / "a" / "t.csv")
    write_yaml(tmp_path / "a" / "x.yaml", BASE)
    monkeypatch.chdir(tmp_path / "a")
    experiment = load_experiment("x.yaml")
    run, dataset = create_run(experiment, stem="x")
    train(experiment, run, dataset=dataset)
    return run


def test_a_run_is_evaluated_and_predicts_from_another_folder(trained, tmp_path, elsewhere):
    elsewhere()
    run = Run.open(trained.path)
    assert evaluate(run, "validation").model["loss"] > 0
    assert compute_examples(run) is not None
    assert load_experiment(run.path / "experiment.yaml") == recorded_experiment(run)
    assert predict(run, str(tmp_path / "a" / "t.csv"))[1]


def test_of_a_moved_file_the_written_path_counts_and_other_content_is_refused(trained, tmp_path, elsewhere):
    file = tmp_path / "a" / "t.csv"
    moved = file.rename(write_series(tmp_path / "b" / "t.csv"))
    elsewhere("c")
    with pytest.raises(DataError, match=f"{file}: no such file or folder any more, nor t.csv in .*/c.*: put it back, "
                                        "change to the folder that has t.csv, or set LSTM_LAB_DATA"):  # fmt: skip
        evaluate(trained, "validation")
    assert predict(trained, str(moved))[1]
    elsewhere("b")
    assert evaluate(trained, "validation").model["loss"] > 0
    write_series(moved, seed=1)
    for use in (evaluate, lambda run: train(recorded_experiment(run), run)):
        with pytest.raises(DataError, match=r"was trained on data .* restore the old data"):
            use(trained)


def test_the_trials_of_a_sweep_find_a_relative_path_from_any_folder(tmp_path, elsewhere):
    write_series(tmp_path / "a" / "t.csv")
    write_series(tmp_path / "a" / "u.csv", seed=1)
    write_yaml(tmp_path / "a" / "base.yaml", BASE)
    content = {"experiment": "base.yaml", "space": {"data.path": {"grid": ["t.csv", "u.csv"]}}}
    sweep = load_sweep(write_yaml(tmp_path / "a" / "s.yaml", content))
    folder = SweepFolder.create(tmp_path / "runs" / "s", sweep)
    elsewhere("trial")
    assert len(run_trials(folder)) == 2
    paths = {config.load(path)["data"]["path"] for path in folder.path.glob("trials/*/experiment.yaml")}
    assert paths == {str(tmp_path / "a" / "t.csv"), str(tmp_path / "a" / "u.csv")}
    assert [trial.state for trial in folder.trials()] == ["finished"] * 2
    header, _ = predict(best_run(folder.path), str(tmp_path / "a" / "u.csv"))  # what `predict SWEEP` does
    assert header[-1] == "y"
    # What was written stays the value of the hyperparameter.
    assert {trial.overrides["data.path"] for trial in folder.trials()} == {"t.csv", "u.csv"}


def test_a_sweep_whose_file_is_gone_is_refused_before_ray_starts(tmp_path, elsewhere):
    file = write_series(tmp_path / "a" / "t.csv")
    base = write_yaml(tmp_path / "a" / "base.yaml", BASE)
    content = {"experiment": str(base), "space": {"optimizer.lr": {"loguniform": [1e-3, 1e-2]}}, "num_samples": 2}
    folder = SweepFolder.create(tmp_path / "runs" / "s", load_sweep(write_yaml(tmp_path / "a" / "s.yaml", content)))
    assert len(run_trials(folder, limit=1)) == 1
    moved = file.rename(write_series(tmp_path / "b" / "t.csv"))
    with pytest.raises(DataError, match="no such file or folder any more"):
        run_trials(folder)
    elsewhere("b")
    assert [id for id, _ in run_trials(folder)] == ["t0001"]
    assert config.load(folder.path / "trials/t0001/experiment.yaml")["data"]["path"] == str(moved)


def test_an_inspected_file_is_written_as_the_experiment_finds_it(tmp_path, monkeypatch, capsys, elsewhere):
    write_series(tmp_path / "elsewhere" / "t.csv")
    monkeypatch.setattr("sys.argv", ["lstm-lab", "data", "inspect", "t.csv", "--write", "conf/my.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0, capsys.readouterr().err
    assert config.load("conf/my.yaml")["data"]["path"] == "../t.csv"
    elsewhere("c")
    assert load_experiment(tmp_path / "elsewhere/conf/my.yaml").data.path == str(tmp_path / "elsewhere/t.csv")


def test_folders_of_the_environment_mean_the_same_in_a_worker(monkeypatch, tmp_path, elsewhere):
    monkeypatch.setenv("LSTM_LAB_DATA", "data")
    monkeypatch.setenv("LSTM_LAB_KERNELS", "off")
    found = environment_elsewhere()
    assert found["LSTM_LAB_DATA"] == str(tmp_path / "elsewhere" / "data")
    assert found["LSTM_LAB_KERNELS"] == "off"
    assert search_folders()[-1] == tmp_path / "elsewhere" / "data"


def test_the_record_of_a_run_of_an_older_version_keeps_its_relative_path(trained, tmp_path, elsewhere):
    content = config.load(trained.path / "experiment.yaml")
    del content["written_paths"]
    content["data"]["path"] = "t.csv"
    (trained.path / "experiment.yaml").write_text(config.to_yaml(content))
    assert json.dumps(trained.experiment["data"]["path"]) == '"t.csv"'
    elsewhere("a")
    assert recorded_experiment(trained).data.path == str(tmp_path / "a" / "t.csv")
