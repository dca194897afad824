"""Driver and workers run the same files and the same engine, or the sweep stops and says so."""

import dataclasses
import re
import shutil
import site
import sysconfig
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from lstm_lab.config import ConfigError, DataError, to_yaml
from lstm_lab.records.code_state import PACKAGE, CodeState, source_digest
from lstm_lab.records.requests import Requests
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution import callback, driver, execute_sweep, node_check, ray_cluster
from lstm_lab.sweeps.execution.node_check import NodeCheck, data_of
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.execution.trainable import TrialTrainable, WorkerLost
from lstm_lab.sweeps.execution.trial_spec import TrialSpec
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.training.train import train

OURS = CodeState.of_this_process()


@pytest.fixture
def folder(tmp_path, demand):
    path = tmp_path / "s.yaml"
    content = {"experiment": demand.dump(), "space": {"optimizer.lr": {"choice": [0.1, 0.2]}}, "num_samples": 2}
    path.write_text(f"# A title\n{to_yaml(content)}")
    return SweepFolder.create(tmp_path / "s", load_sweep(path))


def test_a_run_says_which_code_and_engine_computed_it(tmp_path, demand):
    run = Run.create(tmp_path / "run", demand.dump())
    train(demand.with_overrides({"trainer.max_epochs": 1}), run)
    code = run.about["code"]
    assert code == OURS.dump()
    assert Path(code["package"]) == PACKAGE
    assert code["engine"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "0", "package": "/here/lstm_lab"}, "other files of lstm_lab, in /here/lstm_lab, than the driver"),
        ({"engine": "torch", "binary": ""}, "computes cells by torch, the driver by"),
        ({"binary": "engine-0"}, r"computes cells by .*engine-0\), the driver by"),
    ],
)
def test_other_files_and_another_engine_are_named(change, message):
    other = dataclasses.replace(OURS, **change)
    assert OURS.difference(OURS) is None
    assert re.search(message, other.difference(OURS))


def test_a_copy_in_another_folder_is_the_same_code():
    assert dataclasses.replace(OURS, package="/elsewhere/lstm_lab", commit=None).difference(OURS) is None


def test_a_worker_with_other_code_refuses_and_the_sweep_stops(folder):
    source = SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0)
    config = source.suggest("tune")
    config["code"] = {**config["code"], "digest": "0"}
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable.setup(config)
    result = trainable.step()
    assert result["ended"] == "refused"
    assert "other files of lstm_lab" in result["reason"]
    assert not folder.run("t0000").exists()
    view = SimpleNamespace(end_trial=lambda *_: None)
    trial = SimpleNamespace(config=config, last_result=result)
    callback.SweepCallback(folder, source, view, Requests(folder.path)).on_trial_complete(0, [], trial)
    assert source.interrupted.is_set()
    assert "other files of lstm_lab" in source.refusal
    # It can be resumed with the right code.
    assert folder.trial("t0000").state == "pending"
    assert TrialSpec.of(source.suggest("tune")).check_code() is None


def test_a_node_that_does_not_see_the_data_leaves_the_trial_to_another(tmp_path, monkeypatch):
    file = tmp_path / "t.csv"
    file.write_text("i,y\n" + "".join(f"{i},{i % 7}\n" for i in range(60)))
    data = {"name": "csv", "path": str(file), "time": "i", "targets": ["y"], "window": 4, "horizon": 2}
    experiment = {"data": data, "task": "forecast"}
    path = tmp_path / "s.yaml"
    path.write_text(f"# A title\n{to_yaml({'experiment': experiment, 'space': {'optimizer.lr': {'choice': [0.1]}}})}")
    folder = SweepFolder.create(tmp_path / "s", load_sweep(path))
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable.setup(SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0).suggest("tune"))
    file.unlink()
    with pytest.raises(WorkerLost, match=f"does not see data.path={file}"):
        trainable.step()


def test_workers_import_the_drivers_package_and_no_copy_in_the_current_folder(tmp_path, monkeypatch):
    assert ray_cluster.import_folder(tmp_path) == PACKAGE.parent
    installed = Path(sysconfig.get_path("purelib"))
    monkeypatch.setattr(ray_cluster, "PACKAGE", installed / "lstm_lab")
    assert ray_cluster.import_folder(tmp_path) == tmp_path
    monkeypatch.setattr(ray_cluster, "PACKAGE", Path(site.getusersitepackages()) / "lstm_lab")
    assert ray_cluster.import_folder(tmp_path) == tmp_path
    folders = []
    monkeypatch.setattr(ray_cluster, "start_local", lambda: folders.append(Path.cwd()) or 1 / 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lstm_lab").mkdir()
    with pytest.raises(ZeroDivisionError), ray_cluster.cluster(SimpleNamespace(describe=lambda **_: None)):
        pass
    assert tmp_path not in folders
    assert Path.cwd() == tmp_path


def test_a_node_is_asked_for_code_and_data(tmp_path, monkeypatch):
    file = tmp_path / "t.csv"
    file.write_text("i,y\n" + "".join(f"{i},{i % 7}\n" for i in range(60)))
    content = {
        "experiment": {
            "data": {"name": "csv", "path": "t.csv", "time": "i", "targets": ["y"], "window": 4, "horizon": 2},
            "task": "forecast",
        },
        "space": {"data.window": {"grid": [3, 4]}},
    }
    path = tmp_path / "s.yaml"
    path.write_text(f"# A title\n{to_yaml(content)}")
    sweep = load_sweep(path)
    data = data_of(sweep)
    assert len(data) == 1
    (tmp_path / ".nodes").mkdir()
    (tmp_path / ".nodes" / "nonce").write_bytes(b"nonce")
    check = NodeCheck(str(tmp_path), "nonce", {}, OURS, {}, data)
    assert check.problem("node") is None
    assert (tmp_path / ".nodes" / "nonce.node").exists()

    def problem(**change):
        found = dataclasses.replace(check, **change).problem("node")
        return type(found), str(found)

    kind, text = problem(code=dataclasses.replace(OURS, digest="0"))
    assert (kind, "other files of lstm_lab" in text) == (ConfigError, True)
    kind, text = problem(versions={"torch": "0.1"})
    assert (kind, "the driver 0.1" in text) == (ConfigError, True)
    kind, text = problem(data=[(data[0][0], "0")])
    assert (kind, "reads other data 'csv'" in text) == (DataError, True)
    shutil.move(file, tmp_path / "gone.csv")
    monkeypatch.chdir("/")
    kind, text = problem()
    assert kind is DataError
    assert f"cannot read the data: {file}: no such file" in text
    assert node_check.TIMEOUT > 60


def test_files_that_change_while_ray_starts_are_not_taken_for_the_drivers(folder, monkeypatch):
    source_digest.cache_clear()
    known = []
    monkeypatch.setattr(driver, "run_phases", lambda *_, **__: known.append(source_digest.cache_info().currsize))
    execute_sweep(folder, wandb="disabled", console=None)
    assert known == [1]
