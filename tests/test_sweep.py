"""Sweeps on Ray: every trial is the one train(), its record is complete, the summary follows from the records.

All of them share one Ray, because its start costs as much as a small sweep; test_sweep_killed.py starts its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import pytest
import ray
import torch
from hung import HUNG
from local_cluster import command_line, descendants
from ray.tune.schedulers import FIFOScheduler
from rich.console import Console
from sweeping import RayFolder, ended_sweep

from lstm_lab import config
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution import driver, execute_sweep, population
from lstm_lab.sweeps.execution.callback import end_process
from lstm_lab.sweeps.execution.ray_cluster import cluster
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.training.train import train


@pytest.fixture(scope="module", autouse=True)
def one_ray(tmp_path_factory):
    """One Ray for all sweeps of this file, each with a scratch folder of its own."""
    with cluster(RayFolder(tmp_path_factory.mktemp("ray"))) as scratch, pytest.MonkeyPatch.context() as patch:
        numbers = iter(range(99))

        @contextlib.contextmanager
        def shared(folder, *_, **__):
            yield scratch / f"sweep-{next(numbers)}"

        patch.setattr(driver, "cluster", shared)
        yield


def run_sweep(path, experiment, wandb="disabled", **more):
    """A sweep, its summary and its output."""
    content = config.to_yaml({"experiment": experiment.dump(), **more})
    path.write_text(f"# Which cell for speaker identification?\n{content}")
    folder = SweepFolder.create(path.with_suffix(""), load_sweep(path), command=f"lstm-lab sweep {path.name}")
    with path.with_suffix(".txt").open("w") as file:
        content = execute_sweep(folder, wandb=wandb, console=Console(file=file, width=200))
    return folder, content, path.with_suffix(".txt").read_text()


@pytest.fixture(scope="module")
def vowels_experiment():
    return Experiment.of(
        {
            "data": {"name": "japanese_vowels", "batch_size": 32},
            "task": {"name": "classify", "monitor": "loss"},
            "model": {"hidden_size": 6, "pooling": "mean", "dropout": {"output": 0.2}},
            "optimizer": {"lr": 0.01},
            "trainer": {"max_epochs": 6, "patience": None},
        }
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory, vowels_experiment):
    """One sweep, run once: two cells, two samples, two seeds, some trials stopped by ASHA."""
    return run_sweep(
        tmp_path_factory.mktemp("swept") / "cells.yaml",
        vowels_experiment,
        wandb="offline",
        space={"model.cell": {"grid": ["lstm", "gru"]}, "optimizer.lr": {"loguniform": [1e-4, 3e-2]}},
        num_samples=2,
        seeds=[0, 1],
        seed=3,
        scheduler={"name": "asha", "grace_period": 2, "reduction_factor": 2},
    )


def test_every_trial_has_ended(swept):
    folder, content, output = swept
    counts = content["trials"]
    assert counts["total"] == 8 == counts["finished"] + counts["stopped"]
    assert counts["stopped"] >= 1
    assert counts["failed"] == 0
    for trial in folder.trials():
        assert folder.run(trial.id).status["state"] == trial.state
        assert f"{trial.id} {trial.state}" in output
    assert json.loads((folder.path / "summary.json").read_text()) == content


def test_every_record_has_each_epoch_once(swept):
    folder, _, _ = swept
    for trial in folder.trials():
        rows = folder.run(trial.id).rows()
        assert [row["epoch"] for row in rows] == list(range(trial.epochs))
        assert (trial.epochs == 6) == (trial.state == "finished")


def test_every_trial_has_one_ended_wandb_run(swept):
    folder, content, _ = swept
    assert content["wandb"] == {"mode": "offline", "runs": 8, "ended": 8}
    dirs = list(folder.path.glob("trials/*/wandb/offline-run-*"))
    assert len(dirs) == 8
    assert {d.name.rsplit("-", 1)[-1] for d in dirs} == {trial.id for trial in folder.trials()}


def inspect(directory):
    """The records of an offline run by type, as W&B's own reader prints them."""
    output = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(directory)],
        capture_output=True, text=True, timeout=HUNG, check=True,
    ).stdout  # fmt: skip
    records = {}
    for line in output.splitlines():
        record = json.loads(line)
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def test_the_wandb_run_equals_the_record(swept):
    folder, _, _ = swept
    by_state = {trial.state: trial for trial in folder.trials()}
    assert set(by_state) == {"finished", "stopped"}
    for state, trial in by_state.items():
        run = folder.run(trial.id)
        (directory,) = run.path.glob("wandb/offline-run-*")
        records = inspect(directory)
        history = [record["item"] for record in records["history"]]
        assert [row["val/loss"] for row in history] == [row["val/loss"] for row in run.rows()]
        (started,) = records["run"]
        assert started["config"]["update"]["model"]["hidden_size"] == 6
        assert started["run_group"] == folder.name
        assert started["job_type"] == "trial"
        assert started["tags"] == list(Experiment.of(run.experiment).tags)
        summary = {key: value for record in records["summary"] for key, value in record["update"].items()}
        assert summary["val/loss"]["min"] == min(row["val/loss"] for row in run.rows())
        assert summary["state"] == state
        assert [record.get("exit_code", 0) for record in records["exit"]] == [0]


def test_the_leaderboard_follows_from_the_records(swept):
    folder, content, _ = swept
    for configuration in content["configurations"]:
        best = [min(row["val/loss"] for row in folder.run(trial).rows()) for trial in configuration["trials"]]
        assert configuration["mean"] == pytest.approx(mean(best))
        assert configuration["n"] == 2
    won = content["winner"]
    assert won["trial"] in content["configurations"][0]["trials"]
    assert won["validation"]["loss"] == pytest.approx(folder.run(won["trial"]).status["best"]["value"], rel=1e-6)
    assert set(content["baselines"]["validation"]) == {"majority class", "nearest centroid", "logistic regression"}
    assert content["winner"]["test"] is None


def test_the_seeds_of_a_configuration_are_its_trials(swept):
    folder, _, _ = swept
    configurations = {}
    for trial in folder.trials():
        configurations.setdefault(trial.configuration, []).append(trial)
    assert len(configurations) == 4
    for rows in configurations.values():
        assert [row.seed for row in rows] == [0, 1]
        assert rows[0].overrides == rows[1].overrides


def test_best_yaml_is_accepted_unchanged_and_reproduces_the_metric(swept, tmp_path):
    folder, content, _ = swept
    experiment = load_experiment(folder.path / "best.yaml")
    run = Run.create(tmp_path / "again", experiment.dump(), command="test", job_type="train")
    result = train(experiment, run)
    assert result.value == pytest.approx(content["winner"]["validation"]["loss"], abs=1e-6)


def test_a_trial_equals_a_training_of_its_experiment(swept, tmp_path):
    folder, _, _ = swept
    for trial in folder.trials()[:2]:
        experiment = Experiment.of(folder.run(trial.id).experiment)
        run = Run.create(tmp_path / trial.id, experiment.dump(), command="test", job_type="train")
        train(experiment, run)
        ours, recorded = run.rows()[: trial.epochs], folder.run(trial.id).rows()
        assert [row["val/loss"] for row in ours] == [row["val/loss"] for row in recorded]


def test_a_finished_sweep_resumes_to_the_same_summary_without_ray(swept):
    folder, content, _ = swept
    again = execute_sweep(folder, wandb="offline", console=Console(file=None, quiet=True))
    assert again == content


def test_a_local_ray_has_no_helper_processes():
    """If Ray no longer started as `ray_head` expects, every sweep would be slower."""
    words = [word for pid in descendants(os.getpid()) for word in command_line(pid).split() if "/" in word]
    processes = " ".join(Path(word).name for word in words)
    assert "raylet" in processes
    assert "gcs_server" in processes
    for helper in ("monitor.py", "log_monitor.py", "dashboard.py"):
        assert helper not in processes


def test_a_hung_process_is_ended_by_its_pid_where_tune_shows_no_actor():
    """Ray's actor of a trial is an internal of Tune; the pid of its last result is public."""
    process = subprocess.Popen(["sleep", "600"])
    trial = SimpleNamespace(
        config={"trial": "t0000"}, last_result={"pid": process.pid, "node_ip": ray.util.get_node_ip_address()}
    )
    end_process(trial)
    assert process.wait(10) == -signal.SIGKILL
    with pytest.warns(RuntimeWarning, match="t0000 hangs, and its process cannot be ended"):
        end_process(SimpleNamespace(config=trial.config, last_result=None))


class PickyScheduler(FIFOScheduler):
    """A scheduler as a later Tune may have it: it reads an attribute that today's do not."""

    def on_trial_result(self, tune_controller, trial, result):
        return trial.evaluated_params[result["epoch"]]


def test_a_scheduler_that_refuses_ended_trials_starts_without_them(swept, monkeypatch):
    folder, _, _ = swept
    source = SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0)
    ended = source.trials()
    rungs = driver.restore_scheduler(folder, source, ended)._brackets[0]._rungs
    assert sum(len(recorded) for _, recorded in rungs) > 8
    monkeypatch.setattr(driver, "build_scheduler", lambda source: PickyScheduler())
    with pytest.warns(RuntimeWarning, match="starts without the results of ended trials"):
        assert isinstance(driver.restore_scheduler(folder, source, ended), PickyScheduler)


# --- population-based training ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_population_keeps_its_lineage(tmp_path, vowels_experiment):
    folder, content, output = run_sweep(
        tmp_path / "pbt.yaml",
        # Long enough that neither is through before the other has started.
        vowels_experiment.with_overrides({"trainer.max_epochs": 24}),
        space={"optimizer.lr": {"loguniform": [1e-3, 0.1]}, "optimizer.weight_decay": {"uniform": [0.0, 0.01]}},
        num_samples=2,
        seed=1,
        resources={"cpus": 0.25},
        scheduler={"name": "pbt", "perturbation_interval": 3, "quantile_fraction": 0.5, "resample_probability": 0.2},
    )
    assert content["trials"] == {"total": 2, "finished": 2, "stopped": 0, "failed": 0}
    exploited = [trial for trial in folder.trials() if trial.lineage]
    assert exploited
    for trial in folder.trials():
        run = folder.run(trial.id)
        assert not population.has_clone(run)
        assert [row["epoch"] for row in run.rows()] == list(range(24))
        now = trial.config
        content_of = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
        group, _ = content_of["optimizer_states"][0]["param_groups"]
        assert group["lr"] == now["optimizer.lr"]
        assert run.rows()[-1]["lr"] == pytest.approx(group["lr"], rel=1e-6)
        assert group["weight_decay"] == now["optimizer.weight_decay"]
        assert run.experiment == folder.sweep.experiment_for(now, 0).dump()
    for trial in exploited:
        rates, last = [row["lr"] for row in folder.run(trial.id).rows()], trial.lineage[-1]
        assert rates[last["from_epoch"]] == pytest.approx(last["changes"]["optimizer.lr"]["new"])
        assert f"{trial.id} continues from {last['source']} after epoch {last['from_epoch']}" in output
        for before, after in zip(trial.lineage, trial.lineage[1:], strict=False):
            assert after["changes"]["optimizer.lr"]["old"] == before["changes"]["optimizer.lr"]["new"]
    (row,) = [row for row in content["configurations"] if exploited[0].id in row["trials"]]
    assert row["lineage"][exploited[0].id] == json.loads(json.dumps(exploited[0].lineage))


# --- budget, warm start, confirmation ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_budget_warm_start_and_confirmation_on_ray(tmp_path, vowels):
    """One sweep with all of them: it ends with the reason, and the summary follows from the record."""
    earlier = ended_sweep(tmp_path / "earlier", vowels, {0.01: 1.0, 0.03: 2.0})
    folder, content, output = run_sweep(
        tmp_path / "later.yaml",
        vowels.with_overrides({"trainer.max_epochs": 6}),
        space={"optimizer.lr": {"loguniform": [1e-3, 1e-1]}},
        num_samples=40,
        searcher={"name": "optuna", "n_startup_trials": 1},
        budget={"epochs": 14},
        warm_start=[str(earlier.path)],
        confirm={"top": 1, "seeds": [0, 1]},
        constraints=["optimizer.lr > 0.002"],
        resources={"cpus": os.cpu_count()},  # one process, one trial after another
    )
    trials = folder.trials()
    assert "warm start: the searcher learns from " in output
    assert f"the search has ended: {content['ended']}" in output
    assert content["ended"].startswith("budget.epochs: ")
    searched = [trial for trial in trials if trial.phase == "search"]
    # On the virtual clock four workers train an epoch each at a time, also that in which the 14th is done.
    assert sorted(trial.epochs for trial in searched if trial.epochs) == [4, 4, 4, 4]
    assert {trial.state for trial in searched} == {"stopped"}
    assert all(trial.overrides["optimizer.lr"] > 0.002 for trial in trials)
    again = [trial for trial in trials if trial.phase == "confirm"]
    assert again
    assert all(trial.state == "finished" and trial.epochs == 6 for trial in again)
    assert content["confirmed"] == [again[0].configuration] == [content["configurations"][0]["configuration"]]
    assert content["configurations"][0]["n"] == 2
    assert content["winner"]["trial"] in content["configurations"][0]["trials"]
    for trial in trials:
        run = folder.run(trial.id)
        if (run.path / "run.json").is_file():
            assert run.status["state"] == trial.state
    assert execute_sweep(folder, wandb="disabled", console=Console(quiet=True)) == content
