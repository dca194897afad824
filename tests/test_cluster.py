"""Sweeps on a cluster: templates, dry run, refusals in one line, two real nodes, remote storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import local_cluster
import pytest
from hung import HUNG
from local_cluster import LocalCluster

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.execution import token_check
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.view.dry_run import plan
from lstm_lab.workflow import removed_if_not_started


def write(path, experiment, **more):
    path.write_text(f"# Which rate?\n{config.to_yaml({'experiment': experiment.dump(), **more})}")
    return path


# --- dry run ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dry_run_prints_what_would_be_started_and_creates_nothing(tmp_path, vowels, runs):
    path = write(
        tmp_path / "rates.yaml", vowels, space={"optimizer.lr": {"grid": [0.01, 0.02, 0.03]}}, seeds=[0, 1],
        resources={"cpus": 0.25, "workers": 2}, timeout=30,
    )  # fmt: skip
    code = (
        "import sys; from lstm_lab.__main__ import app; "
        f"app(['sweep', {str(path)!r}, '--dry-run'], standalone_mode=False); sys.exit('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HUNG)
    assert "trials     6: 3 configurations x 2 seeds, at most 4 epochs each" in done.stdout
    assert "resources  0.25 CPUs for each of 2 workers per trial" in done.stdout
    assert f"at once    {min(6, 2 * (os.cpu_count() or 1))}, on {os.cpu_count()} CPUs" in done.stdout
    assert "timeout    a trial without an epoch for 30 s is ended" in done.stdout
    assert str(runs.resolve() / "rates-N") in done.stdout
    assert not runs.exists()


def test_a_dry_run_prints_that_no_trial_fits(tmp_path, vowels):
    path = write(
        tmp_path / "s.yaml", vowels, space={"optimizer.lr": {"grid": [0.01]}}, resources={"cpus": 10_000}
    )  # fmt: skip
    assert any(
        line.startswith("problem    no trial fits on this machine") for line in plan(load_sweep(path), "s", None, None)
    )
    assert not any("problem" in line for line in plan(load_sweep(path), "s", None, "a:1"))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "why"), [("nonsense", "host:port"), ("127.0.0.1:1", "nothing answers"), (":5", "host:port")]
)
def test_an_address_without_a_cluster_is_refused_at_once(address, why, monkeypatch):
    from lstm_lab.sweeps.execution.ray_cluster import connect

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=why):
        connect(address)


def test_a_cluster_without_a_token_is_refused_before_ray_is_asked(tmp_path, monkeypatch):
    from lstm_lab.sweeps.execution.ray_environment import auth_mode

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="no token for the cluster"):
        auth_mode("a:1")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x")
    assert auth_mode("a:1") == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert auth_mode("a:1") == "disabled"


ENTRY = """
import os, sys, types
before = "ray" in sys.modules
driver = types.ModuleType("driver")
driver.run_phases = lambda folder, **options: print(before, "ray" in sys.modules, os.environ["RAY_AUTH_MODE"])
sys.modules["lstm_lab.sweeps.execution.driver"] = driver
from lstm_lab.sweeps.execution import execute_sweep
execute_sweep(None, wandb="disabled", console=None, address="a:1")
"""


def test_the_auth_mode_is_set_before_ray_is_imported(tmp_path):
    """Ray reads it at its import, and offers no public way to read it again."""
    token = tmp_path / "token"
    token.write_text("x")
    environment = {**os.environ, "RAY_AUTH_TOKEN_PATH": str(token)}
    environment.pop("RAY_AUTH_MODE", None)
    done = subprocess.run([sys.executable, "-c", ENTRY], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "token"]


def test_where_ray_does_not_read_the_auth_mode_again_the_way_out_is_named(monkeypatch):
    import ray._raylet

    from lstm_lab.sweeps.execution import ray_environment

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(ray_environment._Import, "mode", None)
    monkeypatch.delattr(ray._raylet, "Config")
    with pytest.raises(ConfigError, match="set RAY_AUTH_MODE=token in the environment"):
        ray_environment.reread_auth("a:1")
    monkeypatch.setattr(ray_environment._Import, "mode", "token")
    ray_environment.reread_auth("a:1")


def test_only_what_was_started_is_ended(tmp_path):
    """A recorded pid that now belongs to another process is left alone."""
    nodes = LocalCluster(tmp_path)
    stranger = subprocess.Popen(["sleep", "60"])
    ours = subprocess.Popen(["sleep", "60"])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    about = {
        "address": "127.0.0.1:1", "cpus": 1, "scratch": str(scratch),
        "nodes": [
            {"pid": stranger.pid, "started": "1"},
            {"pid": ours.pid, "started": local_cluster.start_time(ours.pid)},
            None,
        ],
    }  # fmt: skip
    (tmp_path / "nodes.json").write_text(json.dumps(about))
    nodes.stop()
    try:
        assert ours.wait(5) == -9
        assert stranger.poll() is None
        assert not scratch.exists()
        assert not (tmp_path / "nodes.json").exists()
    finally:
        stranger.kill()
        stranger.wait()


# --- two nodes --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_uses_both_nodes_and_leaves_the_cluster_running(tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer.max_epochs": 4})
    path = write(tmp_path / "rates.yaml", experiment, space={"optimizer.lr": {"grid": [0.01, 0.02, 0.03, 0.04]}})
    nodes = LocalCluster(tmp_path / "nodes")
    nodes.start(nodes=2, cpus=1)
    try:
        environment = {**os.environ, **nodes.environment, "LSTM_LAB_RUNS": str(tmp_path / "runs")}

        def lab(*words, **more):
            return subprocess.run(
                [sys.executable, "-m", "lstm_lab", *map(str, words), "--wandb", "disabled", "--address", "auto"],
                cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True, timeout=HUNG,
            )  # fmt: skip

        done = lab("sweep", path, "--name", "rates")
        assert done.returncode == 0, done.stdout + done.stderr
        folder = SweepFolder(tmp_path / "runs" / "rates")
        assert [trial.state for trial in folder.trials()] == ["finished"] * 4
        assert not (folder.path / ".nodes").exists()
        refused = lab("sweep", path, "--name", "again", RAY_AUTH_TOKEN_PATH=str(tmp_path / "rates.yaml"))
        assert refused.returncode == 2
        assert "the cluster refuses the token" in refused.stderr.strip().splitlines()[-1]
        assert len([pid for pid in nodes.pids() if "raylet/raylet" in local_cluster.command_line(pid)]) == 2
    finally:
        pids = nodes.pids()
        nodes.stop()
    assert not [pid for pid in pids if local_cluster.start_time(pid)]


# --- storage ----------------------------------------------------------------------------------------------------------


def test_storage_copies_changes_and_fetches_everything(tmp_path):
    from lstm_lab.sweeps.store.remote import RECORDS, Storage

    ours = tmp_path / "ours"
    (ours / "checkpoints").mkdir(parents=True)
    (ours / "metrics.jsonl").write_text("{}\n")
    (ours / "lock").touch()
    (ours / "checkpoints" / "last.ckpt").write_bytes(b"1")
    for uri in (f"file://{tmp_path}/there", "memory://there"):
        storage, order = Storage(uri), []
        storage.push(ours, "trials/t0")

        def write(name, content, order=order, really=storage.write):
            order.append(name)
            really(name, content)

        storage.write = write
        storage.push(ours, "trials/t0")
        assert order == []
        (ours / "checkpoints" / "last.ckpt").write_bytes(b"22")
        (ours / "metrics.jsonl").write_text("{}\n{}\n")
        storage.push(ours, "trials/t0")
        # A kill in between leaves a record that is longer than the checkpoint, never a shorter one.
        assert order == ["trials/t0/metrics.jsonl", "trials/t0/checkpoints/last.ckpt"]
        back = tmp_path / "back"
        (back / "stale").mkdir(parents=True)
        storage.fetch("trials/t0", back)
        found = {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()}
        assert found == {"metrics.jsonl": b"{}\n{}\n", "checkpoints/last.ckpt": b"22"}
        assert not (back / "stale").exists()
        storage.pull("trials", tmp_path / uri[:4] / "records", RECORDS)
        assert [p.name for p in (tmp_path / uri[:4] / "records").rglob("*") if p.is_file()] == ["metrics.jsonl"]
        storage.pull("nowhere", tmp_path / "nowhere")
        assert storage.read("nothing") is None
        (ours / "metrics.jsonl").write_text("{}\n")
        (ours / "checkpoints" / "last.ckpt").write_bytes(b"1")


def test_storage_that_cannot_be_used_is_refused(tmp_path, demand):
    from lstm_lab.sweeps.store.remote import claim_storage

    space = {"optimizer.lr": {"uniform": [0.01, 0.02]}}
    sweep = load_sweep(write(tmp_path / "a.yaml", demand, space=space, num_samples=2))
    assert claim_storage(f"file://{tmp_path}/s", "a", sweep) == f"file://{tmp_path}/s/a"
    (tmp_path / "s" / "a" / "sweep.yaml").write_text("x")
    with pytest.raises(ConfigError, match="is a sweep already"):
        claim_storage(f"file://{tmp_path}/s", "a", sweep)
    with pytest.raises(ConfigError, match="cannot be opened"):
        claim_storage("nonsense://x", "a", sweep)
    with pytest.raises(ConfigError, match="cannot be written"):
        claim_storage("file:///proc/s", "a", sweep)
    clones = write(
        tmp_path / "b.yaml", demand.with_overrides({"trainer.max_epochs": 8}), space=space, num_samples=2,
        scheduler="pbt",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="pbt copies between run folders"):
        claim_storage(f"file://{tmp_path}/s", "b", load_sweep(clones))


@pytest.mark.slow
def test_a_sweep_whose_trials_write_to_a_uri_is_the_same_sweep(tmp_path, vowels):
    path = write(tmp_path / "rates.yaml", vowels, space={"optimizer.lr": {"grid": [0.01, 0.02]}})
    for name, more in (("here", ()), ("there", ("--storage", f"file://{tmp_path}/bucket"))):
        done = subprocess.run(
            [sys.executable, "-m", "lstm_lab", "sweep", path, "--name", name, "--wandb", "disabled", *more],
            cwd=tmp_path, env={**os.environ, "LSTM_LAB_RUNS": str(tmp_path / "runs")},
            capture_output=True, text=True, timeout=HUNG,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    here, there = (SweepFolder(tmp_path / "runs" / name) for name in ("here", "there"))
    for trial in here.trials():
        rows = [[row["val/loss"] for row in folder.run(trial.id).rows()] for folder in (here, there)]
        assert rows[0] == rows[1]
    bucket = tmp_path / "bucket" / "there"
    assert (bucket / "summary.json").is_file()
    for trial in there.trials():
        assert (bucket / "trials" / trial.id / "checkpoints" / "last.ckpt").is_file()
        assert there.run(trial.id).best_checkpoint.is_file()


def test_a_refused_token_is_one_line_at_once(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/home/me/token")
    answer = "import sys, time; print('RPC error: InvalidAuthToken', file=sys.stderr, flush=True); time.sleep(60)"
    monkeypatch.setattr(token_check, "PROBE", answer)
    with pytest.raises(ConfigError, match=r"10.0.0.5:6379: the cluster refuses the token in /home/me/token: copy"):
        token_check.check_token("10.0.0.5:6379")
    monkeypatch.setattr(token_check, "PROBE", "raise ImportError('no GcsClient')")
    token_check.check_token("10.0.0.5:6379")  # Ray itself decides.


def test_a_refused_cluster_leaves_no_empty_sweep(tmp_path):
    folder = SimpleNamespace(path=tmp_path / "new")
    folder.path.mkdir()
    with pytest.raises(ConfigError), removed_if_not_started([folder]):
        raise ConfigError("--address: refused")
    assert not folder.path.exists()
    folder.path.mkdir()
    (folder.path / "trials.jsonl").touch()
    with pytest.raises(ConfigError), removed_if_not_started([folder]):
        raise ConfigError("--address: refused")
    assert folder.path.exists()
