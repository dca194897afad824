"""Sweeps on Ray: every trial the one train(), the same after an interruption as without one, ended whatever dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean

import pytest

from lstm_lab import config
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.run import Run
from lstm_lab.sweep.record import SweepFolder
from lstm_lab.sweep.spec import load_sweep
from lstm_lab.train import train


def write_sweep(path, experiment, **more):
    content = {"experiment": experiment.dump(), **more}
    path.write_text(f"# Which cell hears who speaks?\n{config.to_yaml(content)}")
    return path


@pytest.fixture(scope="module")
def vowels_experiment():
    return Experiment.of(
        {
            "data": {"name": "japanese_vowels", "batch_size": 32},
            "task": {"name": "classify", "decides": "loss"},
            "model": {"hidden_size": 6, "pooling": "mean", "dropout": {"output": 0.2}},
            "optimizer": {"lr": 0.01},
            "trainer": {"max_epochs": 6, "patience": None},
        }
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory, vowels_experiment):
    """One sweep, run once: two arms, two draws, two seeds, some stopped by ASHA."""
    from rich.console import Console

    from lstm_lab.sweep.tune import sweep_on

    base = tmp_path_factory.mktemp("swept")
    os.environ["LSTM_LAB_RUNS"] = str(base)
    path = write_sweep(
        base / "cells.yaml",
        vowels_experiment,
        space={"model.cell": {"grid": ["lstm", "gru"]}, "optimizer.lr": {"loguniform": [1e-4, 3e-2]}},
        samples=2,
        seeds=[0, 1],
        seed=3,
        scheduler={"name": "asha", "grace": 2, "reduction": 2},
    )
    folder = SweepFolder.create(base / "cells", load_sweep(path), command="lstm-lab sweep cells.yaml")
    with (base / "said.txt").open("w") as file:
        content = sweep_on(folder, wandb="offline", console=Console(file=file, width=200))
    return folder, content, (base / "said.txt").read_text()


def test_every_trial_asked_for_came_to_an_end(swept):
    folder, content, said = swept
    counts = content["trials"]
    assert counts["asked"] == 8 == counts["finished"] + counts["stopped"]
    assert counts["stopped"] >= 1
    assert counts["failed"] == 0
    for trial in folder.trials():
        assert folder.run(trial.id).status["state"] == trial.state
        assert f"{trial.id} {trial.state}" in said
    assert json.loads((folder.path / "summary.json").read_text()) == content


def test_every_trial_has_its_record_without_gaps_or_doubles(swept):
    folder, _, _ = swept
    for trial in folder.trials():
        rows = folder.run(trial.id).rows()
        assert [row["epoch"] for row in rows] == list(range(trial.epochs))
        assert (trial.epochs == 6) == (trial.state == "finished")


def test_one_ended_wandb_run_for_each_trial(swept):
    folder, content, _ = swept
    assert content["wandb"] == {"mode": "offline", "runs": 8, "ended": 8}
    dirs = list(folder.path.glob("trials/*/wandb/offline-run-*"))
    assert len(dirs) == 8
    assert {d.name.rsplit("-", 1)[-1] for d in dirs} == {trial.id for trial in folder.trials()}


def inspect(directory):
    """What W&B's own reader finds in an offline run, by type of record."""
    said = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(directory)],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    records = {}
    for line in said.splitlines():
        record = json.loads(line)
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def test_the_wandb_run_says_what_the_record_says(swept):
    folder, _, _ = swept
    by_state = {trial.state: trial for trial in folder.trials()}
    assert set(by_state) == {"finished", "stopped"}
    for state, trial in by_state.items():
        run = folder.run(trial.id)
        (directory,) = run.path.glob("wandb/offline-run-*")
        records = inspect(directory)
        history = [record["item"] for record in records["history"]]
        assert [row["val/loss"] for row in history] == [row["val/loss"] for row in run.rows()]
        (begun,) = records["run"]
        assert begun["config"]["update"]["model"]["hidden_size"] == 6
        assert begun["run_group"] == folder.name
        assert begun["job_type"] == "trial"
        summary = {key: value for record in records["summary"] for key, value in record["update"].items()}
        assert summary["val/loss"]["min"] == min(row["val/loss"] for row in run.rows())
        assert summary["state"] == state
        assert [record.get("exit_code", 0) for record in records["exit"]] == [0]


def test_the_leaderboard_follows_from_the_records(swept):
    folder, content, _ = swept
    for point in content["points"]:
        best = [min(row["val/loss"] for row in folder.run(trial).rows()) for trial in point["trials"]]
        assert point["mean"] == pytest.approx(mean(best))
        assert point["n"] == 2
    won = content["winner"]
    assert won["trial"] in content["points"][0]["trials"]
    assert won["validation"]["loss"] == pytest.approx(folder.run(won["trial"]).status["best"]["value"], rel=1e-6)
    assert set(content["baselines"]["validation"]) == {"majority class", "nearest centroid", "logistic regression"}
    assert content["winner"]["test"] is None


def test_seeds_are_rows_of_one_point(swept):
    folder, _, _ = swept
    points = {}
    for trial in folder.trials():
        points.setdefault(trial.point, []).append(trial)
    assert len(points) == 4
    for rows in points.values():
        assert [row.seed for row in rows] == [0, 1]
        assert rows[0].overrides == rows[1].overrides


def test_best_yaml_is_accepted_unchanged_and_reproduces_the_metric(swept, tmp_path):
    folder, content, _ = swept
    experiment = load_experiment(folder.path / "best.yaml")
    run = Run.create(tmp_path / "again", experiment.dump(), command="test", job_type="train")
    result = train(experiment, run)
    assert result.value == pytest.approx(content["winner"]["validation"]["loss"], abs=1e-6)


def test_a_trial_is_the_one_train(swept, tmp_path):
    folder, _, _ = swept
    for trial in folder.trials()[:2]:
        experiment = Experiment.of(folder.run(trial.id).experiment)
        run = Run.create(tmp_path / trial.id, experiment.dump(), command="test", job_type="train")
        train(experiment, run)
        ours, theirs = run.rows()[: trial.epochs], folder.run(trial.id).rows()
        assert [row["val/loss"] for row in ours] == [row["val/loss"] for row in theirs]


def test_nothing_of_ray_stays(swept):
    import ray

    assert not ray.is_initialized()
    assert not [name for name in os.listdir("/tmp") if name.startswith(f"ll-{os.getpid()}-")]


def test_a_finished_sweep_resumes_to_the_same_answer_without_ray(swept):
    from rich.console import Console

    from lstm_lab.sweep.tune import sweep_on

    folder, content, _ = swept
    again = sweep_on(folder, wandb="offline", console=Console(file=None, quiet=True))
    assert again == content


# --- failures and kills, through the command line ---------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path):
    """Starts the command line in the test's folder; what it leaves running is ended by its pid."""
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


def test_failed_trials_do_not_stop_a_sweep(lab, tmp_path, vowels_experiment):
    experiment = vowels_experiment.with_overrides(
        {"optimizer": {"name": "sgd", "lr": 0.1}, "trainer.gradient_clip": None, "trainer.max_epochs": 2}
    )
    path = write_sweep(tmp_path / "risky.yaml", experiment, space={"optimizer.lr": {"grid": [0.1, 1e38, 0.2]}})
    process = lab("sweep", path, "--name", "risky")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 4, err
    assert "Traceback" not in out + err
    content = json.loads((tmp_path / "runs/risky/summary.json").read_text())
    assert content["trials"] == {"asked": 3, "finished": 2, "stopped": 0, "failed": 1}
    (failure,) = content["failures"]
    assert failure["trial"] == "t0001"
    assert failure["reason"].startswith("Diverged: ")
    assert failure["reason"] in out
    assert content["wandb"] == {"mode": "offline", "runs": 3, "ended": 3}
    assert content["winner"]["trial"] in ("t0000", "t0002")


def wait_for(condition, seconds=120):
    """Until it holds: the other side is a real process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def children(pid):
    """Processes below one, all generations."""
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


def test_killed_and_interrupted_it_ends_as_if_nothing_had_happened(lab, tmp_path, vowels_experiment):
    """A worker killed, then Ctrl-C, then the driver killed: the same trials, rows and values as undisturbed."""
    experiment = vowels_experiment.with_overrides({"trainer.max_epochs": 40, "model.hidden_size": 24})
    path = write_sweep(
        tmp_path / "cells.yaml",
        experiment,
        space={"model.cell": {"grid": ["lstm", "gru"]}, "optimizer.lr": {"loguniform": [1e-3, 1e-2]}},
        samples=4,
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
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.strip() == f"lstm-lab: interrupted; go on with: lstm-lab resume {folder.path.relative_to(tmp_path)}" or (
        str(folder.path) in err
    )
    reached = epochs()

    process = lab("resume", folder.path)
    wait_for(lambda: epochs() >= reached + 30)
    below = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(alive, below)))

    process = lab("resume", folder.path)
    out, err = process.communicate(timeout=240)
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
    assert content["trials"] == {"asked": 8, "finished": 8, "stopped": 0, "failed": 0}
    assert content["wandb"] == {"mode": "offline", "runs": 8, "ended": 8}
