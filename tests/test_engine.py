"""The compiled engine: built, damaged, switched off, and that a cell computes whatever becomes of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from families import FAMILIES, agree, results

from lstm_lab import kernels
from lstm_lab.kernels import build

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Nothing built: both places where a binary may lie are empty folders."""
    monkeypatch.setattr(build, "BESIDE", tmp_path / "built")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LSTM_LAB_KERNELS", raising=False)
    yield tmp_path / "built"
    monkeypatch.undo()
    kernels.reload()


def falls_back() -> str:
    """The one line that says why, after checking that a cell still computes."""
    status = kernels.reload()
    assert (status.active, status.engine) == (False, "torch")
    assert "\n" not in status.reason
    assert "using torch" in status.reason
    law = FAMILIES["lstm"]
    leaves, lengths = law.leaves(3, 4, 2, 5, torch.float64), torch.tensor([4, 1, 2])
    agree(results(law.fast, lengths, leaves), results(law.slow, lengths, leaves), 1e-10)
    return status.reason


def test_no_compiler(elsewhere, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler found"):
        build.build()
    assert "not built" in falls_back()
    command = [sys.executable, build.__file__]
    done = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    why = "no C++ compiler found (c++, g++, clang++)"
    assert done.stderr == f"engine not built: {why}. Cells run through torch instead.\n"


def test_failing_compiler(elsewhere, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(build.BuildError, match="false failed with 1"):
        build.build()
    assert not elsewhere.exists()


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("harm", ["cut", "noise", "empty", "other source", "no json", "no library"])
def test_damaged_binary(harm, elsewhere, engine):
    places = (Path(build.__file__).with_name("built"), Path.home() / ".cache" / "lstm-lab" / "kernels")
    about = next((a for place in places for a in place.glob("engine-*.json") if build.check(a) is None), None)
    if about is None:
        pytest.skip("the engine lies in a place of its own")
    elsewhere.mkdir()
    info, binary = elsewhere / about.name, elsewhere / about.with_suffix(".so").name
    shutil.copy(about, info)
    shutil.copy(about.with_suffix(".so"), binary)
    assert build.check(info) is None
    whole, said, binary_says = binary.read_bytes(), json.loads(info.read_text()), "is damaged"
    if harm == "cut":
        binary.write_bytes(whole[: len(whole) // 2])
    elif harm == "noise":
        binary.write_bytes(whole[:5000] + bytes(64) + whole[5064:])
    elif harm == "empty":
        binary.write_bytes(b"")
    elif harm == "other source":
        info.write_text(json.dumps({**said, "source": "0"}))
        binary_says = "was built from another source"
    elif harm == "no json":
        info.write_text("{")
        binary_says = "cannot be read"
    elif harm == "no library":  # the checksum fits, and yet
        binary.write_bytes(b"text")
        info.write_text(json.dumps({**said, "sha256": hashlib.sha256(b"text").hexdigest()}))
        binary_says = "does not load"
    reason = falls_back()
    assert f"{binary} {binary_says}" in reason


@pytest.mark.slow
def test_build_command(elsewhere):
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no compiler")
    binary = build.build()
    assert kernels.reload().active
    assert str(binary) in kernels.status().reason
    stamp = binary.stat().st_mtime_ns
    assert build.build() == binary
    assert binary.stat().st_mtime_ns == stamp


def test_switched_off(monkeypatch):
    for value, words in (("off", "switched off"), ("fast", "none of off")):
        monkeypatch.setenv("LSTM_LAB_KERNELS", value)
        assert words in falls_back()
    monkeypatch.delenv("LSTM_LAB_KERNELS")
    kernels.reload()


def test_memory_tuning_says_whether_it_did():
    names = getattr(os, "confstr_names", {})
    version = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in names else None
    assert kernels.tune_memory() is bool(version and version.startswith("glibc"))
