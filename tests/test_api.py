"""The Python API: what a notebook does, from any folder, in any thread, with nothing imported before it is used."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import inspect
import json
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from conftest import VOWELS

import lstm_lab as lab
from lstm_lab import config

QUIET = {"wandb": "disabled", "progress": False}


@pytest.fixture
def vowels_file(tmp_path):
    path = tmp_path / "conf" / "vowels.yaml"
    path.parent.mkdir()
    path.write_text(config.to_yaml({**VOWELS, "trainer": {"max_epochs": 2, "patience": None}}))
    return path


@pytest.fixture
def sweep_file(tmp_path, vowels_file):
    path = tmp_path / "cells.yaml"
    content = {
        "experiment": "conf/vowels.yaml",
        "space": {"model.cell": {"grid": ["lstm", "gru"]}},
        "overrides": {"trainer.max_epochs": 1},
        "seeds": [0, 1],
    }
    path.write_text(f"# LSTM or GRU for speaker identification?\n{config.to_yaml(content)}")
    return path


# --- the surface ------------------------------------------------------------------------------------------------------


def test_every_exported_name_is_there_documented_and_listed():
    assert lab.__all__ == sorted(lab.__all__, key=str.casefold) or sorted(lab.__all__) == sorted(set(lab.__all__))
    for name in lab.__all__:
        found = getattr(lab, name)
        assert inspect.getdoc(found), name
        assert name in dir(lab)
    with pytest.raises(AttributeError, match="no attribute 'tran'"):
        _ = lab.tran


def test_functions_stay_functions_whatever_is_imported():
    for module in ("training.train", "sweeps.spec", "evaluation.evaluate", "evaluation.predict", "report"):
        importlib.import_module(f"lstm_lab.{module}")
    for name in lab.__all__:
        if name not in ("data", "nn"):
            assert callable(getattr(lab, name)), name


def test_importing_it_brings_in_nothing_heavy():
    heavy = ["torch", "ray", "wandb", "pandas", "pytorch_lightning", "optuna", "plotly"]
    code = f"import sys, lstm_lab as lab; lab.train, lab.sweep; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_training_brings_in_neither_ray_nor_wandb(vowels_file):
    code = (
        "import sys, lstm_lab as lab; lab.train(sys.argv[1], wandb='disabled', progress=False);"
        "print([m for m in ('ray', 'wandb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(vowels_file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", ["lstm_lab", "lstm_lab.api", "lstm_lab.trained_run"])
def test_examples_of_the_docstrings_run(module, demand, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestFinder(exclude_empty=True).find(
        importlib.import_module(module), extraglobs={"DEMAND": demand}
    )
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    examples = [test for test in found if test.examples]
    assert examples
    for test in examples:
        assert runner.run(test).failed == 0, test.name


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_from_a_file_with_overrides(vowels_file):
    run = lab.train(vowels_file, "model.cell=gru", "trainer.max_epochs=2", name="mine", **QUIET)
    assert isinstance(run, lab.TrainedRun)
    assert run.path.name == "mine"
    assert run.config.model.cell.name == "gru"
    assert isinstance(run.metrics, pd.DataFrame)
    assert run.metrics.epoch.tolist() == [0, 1]
    best = run.metrics.loc[run.metrics["val/loss"].idxmin()]
    assert run.best["epoch"] == best.epoch
    assert run.best["val/loss"] == best["val/loss"]
    assert (run.path / "report.html").is_file()
    again = lab.load_run(run.path)
    assert again.metrics.equals(run.metrics)


@pytest.mark.slow
def test_it_equals_the_command(vowels_file, tmp_path):
    """One path: `lstm-lab train` and `lab.train` give the same rows."""
    run = lab.train(vowels_file, **QUIET)
    words = [sys.executable, "-m", "lstm_lab", "train", str(vowels_file), "--name", "theirs", "--wandb", "disabled"]
    subprocess.run(words, check=True, capture_output=True)
    theirs = lab.load_run(run.path.parent / "theirs")
    columns = ["epoch", "step", "train/loss", "val/loss", "lr"]
    assert run.metrics[columns].equals(theirs.metrics[columns])


def test_evaluations_are_counted(vowels, monkeypatch):
    run = lab.train(vowels, "trainer.max_epochs=1", **QUIET)
    assert run.evaluate("validation").test_evaluations == 0
    assert run.evaluate().test_evaluations == 1
    assert run.evaluate().test_evaluations == 2
    assert run.test_evaluations()[0]["split"] == "test"


def test_an_experiment_without_a_file():
    experiment = lab.Experiment(**{**VOWELS, "model": {"cell": "peephole", "hidden_size": 4},
                                   "trainer": {"max_epochs": 1}})  # fmt: skip
    run = lab.train(experiment, **QUIET)
    assert run.config == experiment
    assert "peephole" in run.path.name
    assert run.about["tags"] == list(experiment.tags)


def test_a_wrong_key_is_one_line(vowels_file, runs):
    with pytest.raises(lab.ConfigError, match=r"model\.hiden_size: no such field.*did you mean 'hidden_size'"):
        lab.train(vowels_file, "model.hiden_size=3", **QUIET)
    assert not runs.exists() or not list(runs.iterdir())
    with pytest.raises(lab.ConfigError, match="not a run"):
        lab.load_run("nowhere")
    with pytest.raises(lab.ConfigError, match="not a sweep"):
        lab.load_sweep("nowhere")


def test_predictions_of_a_frame_equal_those_of_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hours = pd.date_range("2026-01-01", periods=300, freq="h")
    load = 5 + np.sin(np.arange(300) / 24 * 2 * np.pi) + np.random.default_rng(0).normal(0, 0.1, 300)
    frame = pd.DataFrame({"time": hours, "load": load.round(4)})
    frame.to_csv("load.csv", index=False)
    experiment = lab.Experiment(
        data={"name": "csv", "path": "load.csv", "time": "time", "targets": ["load"], "window": 24, "horizon": 6},
        task="forecast", model={"hidden_size": 4}, trainer={"max_epochs": 1},
    )  # fmt: skip
    run = lab.train(experiment, **QUIET)
    table = run.predict("load.csv")
    assert len(table) == 6
    assert abs(table["load"].mean() - 5) < 5
    pd.testing.assert_frame_equal(run.predict(frame), table)
    with pytest.raises(lab.DataError, match="load"):
        run.predict(frame.drop(columns="load"))


# --- where it runs ----------------------------------------------------------------------------------------------------


def test_it_works_inside_a_running_event_loop_and_in_another_thread(vowels):
    async def notebook():
        return lab.train(vowels, "trainer.max_epochs=1", **QUIET)

    first = asyncio.run(notebook())
    found = []
    thread = threading.Thread(target=lambda: found.append(lab.train(vowels, "trainer.max_epochs=1", **QUIET)))
    thread.start()
    thread.join()
    assert found[0].best["val/loss"] == first.best["val/loss"]


def test_a_script_writes_an_experiment_and_a_sweep_as_mappings(vowels):
    from lstm_lab import api

    assert api._experiment(VOWELS) == vowels
    nested = {"model": {"cell": {"grid": ["lstm", "gru"]}}}
    for written in (vowels, VOWELS, vowels.dump()):
        sweep = api._sweep({"experiment": written, "space": nested, "seeds": [0, 1]})
        assert list(sweep.space) == ["model.cell"]
        assert sweep.title == "Sweep over model.cell"
        assert sweep.base == vowels
    for wrong, message in (
        (3, "must be a file, a Sweep or a mapping, got int"),
        ({"experiment": VOWELS}, "space: must be a mapping"),
        ({"experiment": 3, "space": nested}, "experiment: must be a file, an Experiment or a mapping, got int"),
    ):
        with pytest.raises(lab.ConfigError, match=message):
            lab.sweep(wrong, **QUIET)
    with pytest.raises(lab.ConfigError, match="got list"):
        lab.train([VOWELS], **QUIET)


# --- sweeps -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_from_a_script_without_a_main_guard_in_another_folder(sweep_file, tmp_path):
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "import lstm_lab as lab\n"
        f"sweep = lab.sweep({str(sweep_file)!r}, wandb='disabled', progress=False)\n"
        "print(sweep.path)\n"
    )
    done = subprocess.run([sys.executable, script.name], cwd=script.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sweep = lab.load_sweep(done.stdout.strip().splitlines()[-1])
    assert len(sweep.trials) == 4
    board = sweep.leaderboard
    assert board.columns[:2].tolist() == ["configuration", "model.cell"]
    assert board["mean"].is_monotonic_increasing
    assert board.n.tolist() == [2, 2]
    assert sweep.best.config.model.cell.name == board["model.cell"][0]
    assert (
        sweep.best.best["val/loss"]
        == sweep.trials["val/loss"][sweep.trials.configuration == board.configuration[0]].min()
    )
    assert sweep.summary["configurations"][0]["std"] == board["std"][0]
    assert sweep.report().name == "report.html"
    page = lab.compare(sweep, sweep.best, to="json")
    assert json.loads(page.path.read_text())
    assert sweep.evaluate().test_evaluations == 1
    assert lab.compare(sweep.best)._repr_html_().startswith("<iframe")
