"""Random inputs for the command: `make fuzz`. A short run stands here, the 5,000 in the slow tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzzing.engine import EXIT_CODES, Hang, run_command, time_limit
from fuzzing.inputs import GENERATORS, fuzz

HERE = Path(__file__).parent


def fuzzing(*words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "fuzzing", *words]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, env=environment)


def test_sixty_inputs_end_as_the_readme_says():
    assert [str(failure) for failure in fuzz(1, range(60))] == []


@pytest.mark.slow
def test_five_thousand_inputs_end_as_the_readme_says():
    done = fuzzing("--number", "5000", "--seed", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5000 inputs, 0 failures" in done.stdout


def test_the_documented_exit_codes_are_those_that_are_accepted():
    lines = (HERE.parent / "README.md").read_text().partition("## Exit codes")[2].splitlines()
    documented = {
        int(line.split("|")[1]) for line in lines if line.startswith("| ") and line.split("|")[1].strip().isdigit()
    }
    assert documented == EXIT_CODES


def test_what_is_wrong_with_a_command_is_found(monkeypatch, tmp_path):
    def ends(action):
        monkeypatch.setattr("lstm_lab.report.write_report", action)
        return run_command(["report", str(tmp_path)])

    def raises(error):
        def action(*_):
            raise error

        return action

    from lstm_lab.config import DataError

    assert ends(lambda *_: "page") == ""
    assert ends(raises(DataError("one line"))) == ""
    assert "KeyError: 'x'" in ends(raises(KeyError("x")))
    assert ends(raises(SystemExit(7))) == "exit code 7"
    assert ends(raises(SystemExit(3))).startswith("exit code 3, but the error is not one last line")
    assert ends(lambda *_: print("Traceback (most recent call last):") or "page").startswith("a traceback is printed")


def compute_for_ever():
    while True:  # In Python: a loop in C lets no signal in.
        pass


def test_what_does_not_end_is_found_by_what_it_computes():
    with pytest.raises(Hang), time_limit(0.05):
        compute_for_ever()
    with time_limit(0.05):
        time.sleep(0.2)


def test_an_input_is_drawn_from_the_seed_and_its_index_alone(tmp_path, monkeypatch):
    from random import Random

    def content(folder):
        folder.mkdir()
        monkeypatch.chdir(folder)
        commands = next(iter(GENERATORS))(Random("3:14"), tmp_path)
        return commands, {path.name: path.read_bytes() for path in folder.iterdir()}

    assert content(tmp_path / "a") == content(tmp_path / "b")
