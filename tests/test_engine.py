"""The compiled engine: built, damaged, switched off; and that a cell computes in each of these cases."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from families import FAMILIES, assert_agree, results

from lstm_lab import kernels
from lstm_lab.kernels import build
from lstm_lab.kernels.native_layers import Family, Flag
from lstm_lab.kernels.tape import Operation
from lstm_lab.kernels.tape_call import Addressing

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def empty_folders(tmp_path, monkeypatch):
    """Nothing built: both folders for binaries are empty."""
    monkeypatch.setattr(build, "PACKAGE_FOLDER", tmp_path / "built")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LSTM_LAB_KERNELS", raising=False)
    yield tmp_path / "built"
    monkeypatch.undo()
    kernels.reload()


def falls_back() -> str:
    """The reason of the fallback, after checking that a cell still computes."""
    status = kernels.reload()
    assert (status.active, status.engine) == (False, "torch")
    assert "\n" not in status.reason
    assert "using torch" in status.reason
    law = FAMILIES["lstm"]
    leaves, lengths = law.leaves(3, 4, 2, 5, torch.float64), torch.tensor([4, 1, 2])
    assert_agree(results(law.fast, lengths, leaves), results(law.slow, lengths, leaves), 1e-10)
    return status.reason


def test_no_compiler(empty_folders, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler found"):
        build.build()
    assert "not built" in falls_back()
    command = [sys.executable, build.__file__]
    done = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    reason = "no C++ compiler found (c++, g++, clang++)"
    assert done.stderr == f"engine not built: {reason}. Cells run through torch instead.\n"


def test_failing_compiler(empty_folders, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(build.BuildError, match="false failed with 1"):
        build.build()
    assert not empty_folders.exists()


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "other source", "no json", "no library"])
def test_damaged_binary(damage, empty_folders, engine):
    folders = (Path(build.__file__).with_name("built"), Path.home() / ".cache" / "lstm-lab" / "kernels")
    files = (file for folder in folders for file in folder.glob("engine-*.json"))
    source = next((file for file in files if build.find_fault(file) is None), None)
    if source is None:
        pytest.skip("the engine is in another folder")
    empty_folders.mkdir()
    info, binary = empty_folders / source.name, empty_folders / source.with_suffix(".so").name
    shutil.copy(source, info)
    shutil.copy(source.with_suffix(".so"), binary)
    assert build.find_fault(info) is None
    content, description, message = binary.read_bytes(), json.loads(info.read_text()), "is damaged"
    if damage == "cut":
        binary.write_bytes(content[: len(content) // 2])
    elif damage == "noise":
        binary.write_bytes(content[:5000] + bytes(64) + content[5064:])
    elif damage == "empty":
        binary.write_bytes(b"")
    elif damage == "other source":
        info.write_text(json.dumps({**description, "source": "0"}))
        message = "was built from another source"
    elif damage == "no json":
        info.write_text("{")
        message = "cannot be read"
    elif damage == "no library":  # although the checksum matches
        binary.write_bytes(b"text")
        info.write_text(json.dumps({**description, "sha256": hashlib.sha256(b"text").hexdigest()}))
        message = "does not load"
    reason = falls_back()
    assert f"{binary} {message}" in reason


@pytest.mark.slow
def test_build_command(empty_folders):
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no compiler")
    binary = build.build()
    assert kernels.reload().active
    assert str(binary) in kernels.status().reason
    stamp = binary.stat().st_mtime_ns
    assert build.build() == binary
    assert binary.stat().st_mtime_ns == stamp


def test_switched_off(monkeypatch):
    for value, reason in (("off", "switched off"), ("fast", "none of off")):
        monkeypatch.setenv("LSTM_LAB_KERNELS", value)
        assert reason in falls_back()
    monkeypatch.delenv("LSTM_LAB_KERNELS")
    kernels.reload()


def test_memory_tuning_reports_whether_it_is_supported():
    names = getattr(os, "confstr_names", {})
    version = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in names else None
    assert kernels.tune_memory() is bool(version and version.startswith("glibc"))


@pytest.mark.parametrize(
    ("header", "mirror"),
    [
        ("tape_operations.h", Operation),
        ("tape.h", Addressing),
        ("layer.h", Family),
        ("layer.h", Flag),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_enums_mirror_those_of_the_engine(header, mirror):
    text = (build.SOURCES / header).read_text()
    body = re.search(rf"enum (?:class )?{mirror.__name__}\b[^{{]*{{([^}}]*)}}", text)[1]
    expected, value = {}, 0
    for entry in body.split(","):
        name, _, number = entry.partition("=")
        value = int(number) if number else value
        expected[name.strip()] = value
        value += 1
    assert {member.name: int(member) for member in mirror} == expected


def test_the_source_key_covers_every_source_file(monkeypatch, tmp_path):
    sources = tmp_path / "csrc"
    shutil.copytree(build.SOURCES, sources)
    monkeypatch.setattr(build, "SOURCES", sources)
    key = build.source_key()
    for path in sorted(sources.iterdir()):
        before = path.read_text()
        path.write_text(before + "\n")
        assert build.source_key() != key, path.name
        path.write_text(before)
    assert build.source_key() == key
