"""The house keeps its shape: layers, lint, types, one Lightning namespace, a README whose commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",), ("lint-imports", "--no-cache")],
    ids=lambda words: " ".join(words[:2]),
)
def test_checks_are_clean(command):
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_evaluate_opens_the_test_part():
    callers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lstm_lab").rglob("*.py")
        if re.search(r"\.test_split\(\)", path.read_text())
    ]
    assert callers == ["lstm_lab/evaluate.py"]


def test_make_without_a_target_prints_every_target():
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M)
    assert set(targets) == set(re.findall(r"^  make ([a-z-]+) ", said, re.M))
    assert {"demo", "test", "train", "sweep", "resume", "evaluate", "report"} <= set(targets)


def test_the_readme_names_verbs_and_files_that_exist():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    known = subprocess.run(
        [sys.executable, "-m", "lstm_lab", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for verb in re.findall(r"^\$? ?lstm-lab (\w+)", text, re.M):
        assert re.search(rf"\b{verb}\b", known), verb
    for path in re.findall(r"\b((?:conf|sweeps|docs|lstm_lab)/[\w./-]+\.\w+)", text):
        assert (ROOT / path).exists() or "my_" in path, path


def test_constraints_pin_what_must_be_pinned():
    text = (ROOT / "constraints.txt").read_text()
    assert "torch==2.13.0\n" in text
    version = re.search(r"^pytorch-lightning==(\S+)$", text, re.M)
    assert version
    assert version[1] not in ("2.6.2", "2.6.3")
