"""Whatever is killed meanwhile, a sweep on a cluster ends with every trial accounted for and the same result."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hung import HUNG
from local_cluster import LocalCluster, command_line, descendants

from lstm_lab import config
from lstm_lab.sweeps.store.folder import SweepFolder

EVERY = float(os.environ.get("LSTM_LAB_CHAOS_EVERY", 20))
"""Seconds between two kills; more on a busy machine, where a process takes longer to start."""


def lab(*words, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "lstm_lab", *map(str, words), "--wandb", "disabled"],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "LSTM_LAB_RUNS": str(cwd / "runs"), **environment},
    )  # fmt: skip


def holding(text):
    """Processes whose environment contains a text: (pid, command line)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (entry / "environ").read_bytes():
                found.append((int(entry.name), command_line(int(entry.name))))
    return found


def busy(nodes):
    """Processes of running trials: their title names the trainable only while they work on one."""
    return [pid for pid in nodes.pids() if "Trainable" in command_line(pid)]


def disturb(turn, nodes, driver):
    """Kill a node, the driver or a worker; returns which."""
    if turn == "node":
        nodes.kill_node(1)
        nodes.start_node(1)
    elif turn == "driver":
        below_it = descendants(driver.pid)
        for pid in (driver.pid, *below_it):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    else:
        end = time.monotonic() + EVERY
        while not (workers := busy(nodes)) and driver.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        if not workers:
            return "nothing"
        os.kill(random.Random(len(workers)).choice(workers), signal.SIGKILL)
    return turn


@pytest.mark.slow
def test_whatever_is_killed_every_trial_is_accounted_for(tmp_path, vowels):
    """A worker, a node and the driver in turn, one every 20 s, for as long as the sweep runs."""
    experiment = vowels.with_overrides(
        {"trainer.max_epochs": 243, "model.hidden_size": 96, "data.batch_size": 4, "optimizer.lr": 1e-3}
    )
    rates = [1e-3 * 0.6**power for power in random.Random(0).sample(range(24), 24)]
    content = {
        "experiment": experiment.dump(), "space": {"optimizer.lr": {"grid": rates}},
        "scheduler": {"name": "asha", "grace_period": 3, "reduction_factor": 3}, "resources": {"cpus": 1},
    }  # fmt: skip
    path = tmp_path / "rates.yaml"
    path.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    undisturbed = lab("sweep", path, "--name", "undisturbed", cwd=tmp_path)
    out, _ = undisturbed.communicate(timeout=HUNG)
    assert undisturbed.returncode == 0, out

    nodes, killed, began = LocalCluster(tmp_path / "nodes"), [], time.monotonic()
    nodes.start(nodes=2, cpus=1)
    driver = None
    try:
        folder, said = SweepFolder(tmp_path / "runs" / "disturbed"), []
        words = ["sweep", path, "--name", "disturbed"]
        turns = ["worker", "node", "driver"]
        while time.monotonic() - began < 1500:
            driver = lab(*words, "--address", nodes.address, cwd=tmp_path, **nodes.environment)
            words = ["resume", folder.path]
            while driver.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(EVERY)
                if driver.poll() is None:
                    killed.append(disturb(turns[len(killed) % 3], nodes, driver))
                    ended = sum(trial.state in ("finished", "stopped") for trial in folder.trials())
                    print(f"{time.monotonic() - began:.0f} s: {killed[-1]} killed, {ended} of 24 ended", flush=True)
            said.append(driver.communicate()[0])
            if driver.returncode != -signal.SIGKILL:
                break
        assert driver.returncode == 0, said[-1]
        end = time.monotonic() + HUNG
        while busy(nodes) and time.monotonic() < end:
            time.sleep(0.2)
        assert not busy(nodes)
    finally:
        if driver is not None and driver.poll() is None:
            driver.kill()
        nodes.stop()
    print(f"{len(killed)} kills in {time.monotonic() - began:.0f} s: {killed}")
    assert {"worker", "node", "driver"} <= set(killed)
    assert not holding(str(tmp_path / "nodes"))
    trials = folder.trials()
    assert len(trials) == 24
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    for trial in trials:
        epochs = [row["epoch"] for row in folder.run(trial.id).rows()]
        assert epochs == list(range(len(epochs))), trial.id
    # Whatever was killed, and on whatever workers: the same rows, stops and winner.
    before = SweepFolder(tmp_path / "runs" / "undisturbed")
    assert values_by_rate(folder) == values_by_rate(before)
    assert [trial.state for trial in trials] == [trial.state for trial in before.trials()]
    ours, theirs = (json.loads((each.path / "summary.json").read_text()) for each in (folder, before))
    assert ours["trials"]["total"] == 24
    assert ours["winner"] == theirs["winner"]


def values_by_rate(folder):
    """Learning rate -> the monitored metric after each epoch."""
    return {
        trial.overrides["optimizer.lr"]: [row["val/loss"] for row in folder.run(trial.id).rows()]
        for trial in folder.trials()
    }


@pytest.mark.slow
def test_when_the_head_is_lost_the_driver_prints_the_command_that_resumes(tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer.max_epochs": 60, "data.batch_size": 4})
    content = {"experiment": experiment.dump(), "space": {"optimizer.lr": {"grid": [0.001, 0.002, 0.003, 0.004]}}}
    (tmp_path / "rates.yaml").write_text(f"# Which rate?\n{config.to_yaml(content)}")
    folder, nodes = SweepFolder(tmp_path / "runs" / "lost"), LocalCluster(tmp_path / "nodes")
    nodes.start(nodes=2, cpus=1)
    driver = lab("sweep", "rates.yaml", "--name", "lost", "--address", nodes.address, cwd=tmp_path, **nodes.environment)
    try:
        end = time.monotonic() + HUNG
        while not list(folder.path.glob("trials/*/metrics.jsonl")) and time.monotonic() < end:
            time.sleep(0.2)
        nodes.kill_node(0)
        out, _ = driver.communicate(timeout=HUNG)
        assert driver.returncode == 130, out
        assert f"is gone; resume with: lstm-lab resume {folder.path} --address {nodes.address}" in out
        nodes.kill_node(1)
        nodes.start_node(0)
        driver = lab("resume", folder.path, "--address", nodes.address, cwd=tmp_path, **nodes.environment)
        out, _ = driver.communicate(timeout=HUNG)
        assert driver.returncode == 0, out
    finally:
        if driver.poll() is None:
            driver.kill()
        nodes.stop()
    for trial in folder.trials():
        assert trial.state == "finished"
        assert [row["epoch"] for row in folder.run(trial.id).rows()] == list(range(60))
