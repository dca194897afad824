"""On Ray, a sweep has the same record on one worker, two or four, whatever is killed meanwhile."""

from __future__ import annotations

import itertools
import os
import signal

import pytest
from hung import HUNG
from test_sweep_killed import alive, children, lab, title, wait_for, write_sweep

from lstm_lab.records import files
from lstm_lab.records.files import read_json
from lstm_lab.sweeps.store.folder import SweepFolder

__all__ = ["lab"]
SWEEPS = {
    "asha": {
        "space": {"model.hidden_size": {"choice": [4, 8, 24]}, "optimizer.lr": {"loguniform": [1e-3, 3e-2]}},
        "num_samples": 5, "seeds": [0, 1], "scheduler": {"name": "asha", "grace_period": 2, "reduction_factor": 2},
    },
    "tpe": {
        "space": {"optimizer.lr": {"loguniform": [1e-4, 3e-2]}}, "num_samples": 7,
        "searcher": {"name": "optuna", "n_startup_trials": 2}, "max_concurrent_trials": 3,
        "scheduler": {"name": "asha", "grace_period": 2, "reduction_factor": 2},
    },
    "pb2": {
        "space": {"optimizer.lr": {"loguniform": [1e-4, 3e-2]}}, "num_samples": 4,
        "scheduler": {"name": "pb2", "perturbation_interval": 3},
    },
}  # fmt: skip


def record(folder):
    """What was tried, how it ended and what won; no times."""
    rows = [
        (trial.id, trial.overrides, trial.seed, trial.state, trial.reason,
         [row["val/loss"] for row in folder.run(trial.id).rows()],
         [(row["source"], row["epoch"], row["overrides"]) for row in trial.lineage])
        for trial in folder.trials()
    ]  # fmt: skip
    won = read_json(folder.path / files.SUMMARY)["winner"]
    return (folder.path / files.TRIALS).read_text(), rows, won["trial"], won["validation"]


def epochs(folder):
    return sum(trial.epochs for trial in folder.trials())


def kill_driver(process, folder):
    below = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(alive, below)))


def run(lab, tmp_path, path, name, cpus, kill):
    folder = SweepFolder(tmp_path / "runs" / name)
    process = lab("sweep", path, "--name", name, f"resources.cpus={cpus}")
    if kill == "driver":
        for more in (6, 6):
            reached = epochs(folder) if folder.path.exists() else 0
            wait_for(lambda now=process, enough=reached + more: now.poll() is not None or epochs(folder) >= enough)
            if process.poll() is not None:
                break
            kill_driver(process, folder)
            process = lab("resume", folder.path)
    elif kill == "worker":
        workers = []
        wait_for(lambda: workers.extend(pid for pid in children(process.pid) if "Trainable" in title(pid)) or workers)
        wait_for(lambda: epochs(folder) >= 4)
        os.kill(workers[0], signal.SIGKILL)
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 0, out + err
    return record(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_workers_and_kills_change_nothing(lab, tmp_path, vowels, name):
    experiment = vowels.with_overrides({"model.dropout.input": 0.0, "trainer.max_epochs": 12})
    path = write_sweep(tmp_path / f"{name}.yaml", experiment, **SWEEPS[name])
    whole = run(lab, tmp_path, path, "whole", 1, None)
    print(f"{name}: {len(whole[1])} trials, winner {whole[2]}, {whole[3]['loss']:.6f}")
    # On two cores: one worker, two, four.
    for cpus, kill in itertools.product((2, 1, 0.5), (None, "driver", "worker")):
        if (cpus, kill) != (1, None):
            assert run(lab, tmp_path, path, f"on-{cpus}-{kill}", cpus, kill) == whole, (cpus, kill)
            print(f"{name}: {2 / cpus:g} workers, {kill or 'nothing'} killed: the same")
