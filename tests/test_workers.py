"""Trials of several processes, and trials that hang: whatever stops one, its resources are free again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from hung import HUNG

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder


def write(path, experiment, **more):
    path.write_text(f"# Which rate?\n{config.to_yaml({'experiment': experiment.dump(), **more})}")
    return path


def title(process):
    """Title of a process; those of Ray's workers name their task."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def processes(*words):
    """Processes whose title contains any of the words."""
    return [int(each) for each in os.listdir("/proc") if each.isdigit() and any(word in title(each) for word in words)]


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ({"gpus": 0.5, "workers": 2}, "cannot share a GPU"),
        ({"gpus": 2}, "less than or equal to 1"),
        ({"workers": 0}, "workers"),
    ],
)
def test_impossible_resources_are_refused(tmp_path, vowels, resources, why):
    path = write(tmp_path / "s.yaml", vowels, space={"optimizer.lr": {"grid": [0.01, 0.02]}}, resources=resources)
    with pytest.raises(ConfigError, match=why):
        load_sweep(path)


def test_a_trial_holds_a_bundle_for_each_worker():
    from lstm_lab.sweeps.execution.ddp_workers import placement_group
    from lstm_lab.sweeps.sections import Resources

    assert placement_group(Resources(cpus=2, gpus=1, workers=3)).bundles == [{"CPU": 2, "GPU": 1}] * 3
    assert placement_group(Resources(cpus=0.5)).required_resources == {"CPU": 0.5}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_trial_with_a_share_of_a_gpu_is_limited_to_its_share_of_the_memory():
    from lstm_lab.sweeps.execution.ddp_workers import limit_gpu_memory

    limit_gpu_memory(0.1)
    total = torch.cuda.mem_get_info()[1]
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(int(0.2 * total), dtype=torch.uint8, device="cuda")
    torch.cuda.set_per_process_memory_fraction(1.0)
    _taken = torch.empty(int(0.5 * total), dtype=torch.uint8, device="cuda")
    with pytest.raises(ConfigError, match="another process holds the rest"):
        limit_gpu_memory(0.9)


class Watcher(threading.Thread):
    """Records four times a second how many CPUs are free and which trials have ended."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.notes, self.over = folder, [], threading.Event()

    def run(self):
        import ray

        while not self.over.wait(0.25):
            with contextlib.suppress(Exception):
                now = time.time()
                free = ray.available_resources().get("CPU", 0.0)
                running = {t.id for t in self.folder.trials() if t.state == "running"}
                ended = {
                    json.loads(line)["trial"] for line in (self.folder.path / "events.jsonl").read_text().splitlines()
                }
                self.notes.append((now, free, running, ended))


@pytest.mark.slow
def test_trials_of_two_workers_that_are_stopped_early_free_their_resources(tmp_path, vowels):
    from rich.console import Console

    from lstm_lab.sweeps.execution import execute_sweep

    experiment = vowels.with_overrides({"trainer.max_epochs": 12})
    path = write(
        tmp_path / "rates.yaml", experiment, space={"optimizer.lr": {"grid": [0.03, 0.01, 1e-5, 2e-5, 3e-5, 4e-5]}},
        scheduler={"name": "asha", "grace_period": 2, "reduction_factor": 2}, resources={"cpus": 0.5, "workers": 2},
    )  # fmt: skip
    folder = SweepFolder.create(tmp_path / "rates", load_sweep(path))
    watcher = Watcher(folder)
    watcher.start()
    content = execute_sweep(folder, wandb="offline", console=Console(quiet=True))
    watcher.over.set()
    counts = content["trials"]
    assert counts["total"] == 6 == counts["finished"] + counts["stopped"]
    assert counts["stopped"] >= 3
    assert content["wandb"]["ended"] == 6
    for trial in folder.trials():
        assert [row["epoch"] for row in folder.run(trial.id).rows()] == list(range(trial.epochs))
    # Two trials of two halves fill two CPUs: what one leaves is free soon, or the next one has it.
    seen, freed_after = set(), []
    for at, _, before, ended in watcher.notes:
        for trial in ended - seen:
            seen.add(trial)
            later = [note for note in watcher.notes if at <= note[0] <= at + 5]
            freed = [when - at for when, free, running, _ in later if free >= 1.0 or running - before - {trial}]
            assert freed or watcher.notes[-1][0] - at < 5, f"{trial}: nothing was free within 5 s"
            freed_after += freed[:1]
    print("seconds until free:", [round(each, 2) for each in freed_after])
    assert len(seen) >= 3
    time.sleep(1)
    assert not [pid for pid in processes("Trainable", "ray::DDPWorker") if below(pid, os.getpid())]


@pytest.fixture
def lab(tmp_path):
    started = []

    def start(*words):
        environment = {**os.environ, "LSTM_LAB_RUNS": str(tmp_path / "runs"), "WANDB_MODE": "disabled"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "lstm_lab", *map(str, words)],
                cwd=tmp_path,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()


@pytest.mark.slow
def test_a_trial_that_hangs_fails_and_the_others_finish(lab, tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer.max_epochs": 400, "model.hidden_size": 16})
    path = write(
        tmp_path / "rates.yaml", experiment, space={"optimizer.lr": {"grid": [0.03, 0.01, 0.02]}},
        resources={"cpus": os.cpu_count()}, timeout=10,
    )  # fmt: skip
    folder = SweepFolder(tmp_path / "runs" / "rates")
    process = lab("sweep", path, "--name", "rates")
    end = time.monotonic() + HUNG
    stopped = None
    while stopped is None and time.monotonic() < end:
        time.sleep(0.1)
        if len(folder.run("t0000").rows()) >= 3:
            ours = [
                pid
                for pid in processes("Trainable")
                if re.search(r"ray::.*Trainable", title(pid)) and below(pid, process.pid)
            ]
            for pid in ours[:1]:
                os.kill(pid, signal.SIGSTOP)
                stopped = pid
    assert stopped, process.poll()
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 4, out + err
    states = {trial.id: (trial.state, trial.reason) for trial in folder.trials()}
    assert states.pop("t0000") == ("failed", "hung: no epoch for 10 s (timeout)")
    assert {state for state, _ in states.values()} == {"finished"}
    assert "t0000 failed: hung: no epoch for 10 s" in out
    assert not title(stopped)


def below(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False
