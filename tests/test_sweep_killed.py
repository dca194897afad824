"""Sweeps by the command line, each with its own Ray: trials that fail, and processes that are killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hung import HUNG

from lstm_lab import config
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.training.train import train


def write_sweep(path, experiment, **more):
    content = {"experiment": experiment.dump(), **more}
    path.write_text(f"# Which cell for speaker identification?\n{config.to_yaml(content)}")
    return path


@pytest.fixture
def vowels_experiment(vowels):
    return vowels.with_overrides({"model.dropout.input": 0.0, "trainer.max_epochs": 6})


@pytest.fixture
def lab(tmp_path):
    """Starts the command line in the test's folder; processes that it leaves are ended by their pid."""
    started = []

    def start(*words):
        started.append(_lab(*words, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        below = children(process.pid)
        for pid in (process.pid, *below):
            with contextlib.suppress(ProcessLookupError):
                if process.poll() is None:
                    os.kill(pid, signal.SIGKILL)


def _lab(*words, cwd):
    environment = {**os.environ, "LSTM_LAB_RUNS": str(cwd / "runs"), "WANDB_MODE": "offline"}
    return subprocess.Popen(
        [sys.executable, "-m", "lstm_lab", *map(str, words)],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_failed_trials_do_not_stop_a_sweep(lab, tmp_path, vowels_experiment):
    experiment = vowels_experiment.with_overrides(
        {"optimizer": {"name": "sgd", "lr": 0.1}, "trainer.gradient_clip_val": None, "trainer.max_epochs": 2}
    )
    path = write_sweep(tmp_path / "risky.yaml", experiment, space={"optimizer.lr": {"grid": [0.1, 1e38, 0.2]}})
    process = lab("sweep", path, "--name", "risky")
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 4, err
    assert "Traceback" not in out + err
    content = json.loads((tmp_path / "runs/risky/summary.json").read_text())
    assert content["trials"] == {"total": 3, "finished": 2, "stopped": 0, "failed": 1}
    (failure,) = content["failures"]
    assert failure["trial"] == "t0001"
    assert failure["reason"].startswith("Diverged: ")
    assert failure["reason"] in out
    assert content["wandb"] == {"mode": "offline", "runs": 3, "ended": 3}
    assert content["winner"]["trial"] in ("t0000", "t0002")
    # Nothing of Ray stays: neither its scratch folder nor a process that looked into it.
    scratch = json.loads((tmp_path / "runs/risky/about.json").read_text())["scratch"]
    assert not Path(scratch).exists()
    wait_for(lambda: not [pid for pid in Path("/proc").iterdir() if pid.name.isdigit() and scratch in title(pid.name)])


def wait_for(condition, seconds=HUNG):
    """Wait until a condition holds; it depends on a real process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def children(pid):
    """Children of a process, their children, and so on."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name stands in brackets and may hold anything; the parent is the second word behind it.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, generation = [], [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.slow
def test_a_sweep_that_was_killed_and_interrupted_ends_as_an_undisturbed_one(lab, tmp_path, vowels_experiment):
    """A worker killed, then Ctrl-C, then the driver killed: the same trials, rows and values as undisturbed."""
    experiment = vowels_experiment.with_overrides({"trainer.max_epochs": 40, "model.hidden_size": 24})
    path = write_sweep(
        tmp_path / "cells.yaml",
        experiment,
        space={"model.cell": {"grid": ["lstm", "gru"]}, "optimizer.lr": {"loguniform": [1e-3, 1e-2]}},
        num_samples=4,
    )
    folder = SweepFolder(tmp_path / "runs" / "cells")

    def epochs():
        return sum(trial.epochs for trial in folder.trials())

    process = lab("sweep", path, "--name", "cells")
    wait_for(lambda: epochs() >= 10)
    workers = []
    # Its title names the trial only while it works on one.
    wait_for(lambda: workers.extend(pid for pid in children(process.pid) if "Trainable" in title(pid)) or workers)
    os.kill(workers[0], signal.SIGKILL)
    reached = epochs()
    wait_for(lambda: epochs() >= reached + 30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 130, err
    assert (
        err.strip() == f"lstm-lab: interrupted; resume with: lstm-lab resume {folder.path.relative_to(tmp_path)}"
        or (str(folder.path) in err)
    )
    reached = epochs()

    process = lab("resume", folder.path)
    wait_for(lambda: epochs() >= reached + 30)
    below = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(alive, below)))

    process = lab("resume", folder.path)
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 0, out + err
    trials = folder.trials()
    assert [trial.state for trial in trials] == ["finished"] * 8
    for trial in trials:
        rows = folder.run(trial.id).rows()
        assert [row["epoch"] for row in rows] == list(range(40))
        undisturbed = Run.create(
            tmp_path / "alone" / trial.id, folder.run(trial.id).experiment, command="", job_type=""
        )
        train(Experiment.of(undisturbed.experiment), undisturbed)
        assert [row["val/loss"] for row in undisturbed.rows()] == [row["val/loss"] for row in rows]
    content = json.loads((folder.path / "summary.json").read_text())
    assert content["trials"] == {"total": 8, "finished": 8, "stopped": 0, "failed": 0}
    assert content["wandb"] == {"mode": "offline", "runs": 8, "ended": 8}
