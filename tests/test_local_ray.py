"""Ray on this machine: closed to everybody but this process, in a folder of its own that does not outlive it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hung import HUNG

from lstm_lab.config import ConfigError
from lstm_lab.sweeps.execution import ray_environment, scratch

# --- the token --------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_environment(monkeypatch):
    """An environment that would let anybody in, or that names the token of a cluster."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of a cluster")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/of/a/cluster")


def test_a_local_sweep_sets_its_own_token_whatever_the_environment_says(tmp_path, open_environment):
    with ray_environment.auth_mode_set(None), ray_environment.environment(ray_environment.local_settings(tmp_path)):
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert "RAY_AUTH_TOKEN" not in os.environ
        token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert token.parent == tmp_path
        assert token.stat().st_mode & 0o777 == 0o600
        assert len(token.read_text()) == 64
        ray_environment.reread_auth()
        ray_environment.require_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert os.environ["RAY_AUTH_TOKEN"] == "of a cluster"


def test_a_ray_that_would_let_anybody_in_is_refused(tmp_path, open_environment, monkeypatch):
    import ray._raylet

    settings = ray_environment.local_settings(tmp_path)
    ray_environment.reread_auth()
    with pytest.raises(ConfigError, match="RAY_AUTH_MODE=token has no effect"):
        ray_environment.require_token()
    with ray_environment.environment({**settings, "RAY_AUTH_TOKEN": "0" * 64}):
        ray_environment.reread_auth()
        with pytest.raises(ConfigError, match="another token than this process has made"):
            ray_environment.require_token()
    with ray_environment.environment(settings):
        monkeypatch.delattr(ray._raylet, "get_authentication_mode")
        with pytest.raises(ConfigError, match=r"would let anybody in .*: install ray 2\.60"):
            ray_environment.require_token()


NAMESPACE = Path(__file__).parent / "ray_namespace.py"


@pytest.mark.slow
def test_nobody_at_another_address_gets_in_without_the_token(tmp_path):
    """Two network namespaces, joined by a pair of interfaces: the sweep's Ray in one, a stranger in the other."""
    tried = subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no network namespace can be made here: {tried.stderr.strip()}")
    done = subprocess.run(
        ["unshare", "-rn", "--fork", "--kill-child", sys.executable, NAMESPACE], cwd=tmp_path,
        env={**os.environ, "RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True, timeout=HUNG,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["scratch 700", "with the token: let in", "without it: refused"]


# --- the folder -------------------------------------------------------------------------------------------------------


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "PARENT", tmp_path)
    return tmp_path


def left(parent, name, mode=0o700, marker=0o600):
    """A folder as a killed driver leaves it."""
    folder = parent / name
    folder.mkdir(mode=0o700)
    (folder / scratch.MARKER).touch(mode=marker)
    (folder / "token").write_text("x")
    folder.chmod(mode)
    return folder


def test_the_folder_is_private_and_removed(parent):
    with scratch.scratch_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.parent == parent
        scratch.remove_leftovers()
        assert folder.is_dir()  # Its driver lives.
    assert not list(parent.iterdir())


def test_what_a_killed_driver_left_goes_with_the_next_command(parent, monkeypatch):
    from lstm_lab.__main__ import main

    killed = left(parent, "ll-killed")
    monkeypatch.setattr(sys, "argv", ["lstm-lab", "list", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert not killed.exists()


def test_nothing_but_what_killed_drivers_left_is_removed(parent):
    outside = parent / "outside"
    outside.mkdir()
    kept = [
        left(parent, "precious"),  # another name
        left(parent, "ll-open", mode=0o755),
        left(parent, "ll-marker", marker=0o644),
        left(outside, "ll-elsewhere"),
    ]
    (parent / "ll-bare").mkdir(mode=0o700)
    (parent / "ll-link").symlink_to(kept[-1])
    (parent / "ll-file").touch(mode=0o600)
    linked = parent / "ll-linked-marker"
    linked.mkdir(mode=0o700)
    (linked / scratch.MARKER).symlink_to(kept[-1] / scratch.MARKER)
    if os.geteuid() == 0:
        kept.append(left(parent, "ll-stranger"))
        os.chown(kept[-1], 1234, 1234)
    gone = left(parent, "ll-gone")
    (gone / "link").symlink_to(kept[-1])
    scratch.remove_leftovers()
    assert not gone.exists()
    assert all((folder / "token").is_file() for folder in kept)
    assert {path.name for path in parent.iterdir()} >= {"ll-bare", "ll-link", "ll-file", "ll-linked-marker"}


def test_a_ray_that_does_not_start_is_one_line(monkeypatch):
    """On a machine that is very busy, Ray gives up on its own processes, with a bare Exception."""
    from lstm_lab.sweeps.execution import ray_cluster

    def gives_up(**options):
        raise Exception("The current node timed out during startup.\nIt was busy")

    for name in ("reread_auth", "require_token"):
        monkeypatch.setattr(ray_cluster, name, lambda *_: None)
    monkeypatch.setattr(ray_cluster.ray_head, "init_local", gives_up)
    with pytest.raises(ConfigError, match=r"Ray does not start on this machine: The current node timed out during sta"):
        ray_cluster.start_local()
