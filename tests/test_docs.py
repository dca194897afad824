"""Every Python, shell and YAML block of README and docs is executed in a small version, or marked with the reason."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from pages import PAGES, ROOT, Block, blocks, execute_without_ray, sandbox

import lstm_lab.__main__ as cli
from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.spec import load_sweep

SHOWN = {"text", "math", "pycon"}
"""Languages of blocks that are only shown: output, formulas."""
RUN = {"python", "console", "bash", "yaml"}
WITH_BLOCKS = [page for page in PAGES if any(block.language in RUN for block in blocks(page))]
TINY = ("trainer.max_epochs=1", "model.hidden_size=4")
"""Overrides of every training."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("pages")
        patch.setenv("LSTM_LAB_CACHE", str(folder / "cache"))
        patch.setenv("LSTM_LAB_RUNS", str(folder / "runs"))
        return sandbox(folder / "sandbox")


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """The sandbox, as the current folder; runs go to its runs/."""
    folder = shutil.copytree(prepared, tmp_path / "sandbox")
    for path in (folder / "sweeps").glob("*.yaml"):
        path.write_text(path.read_text().replace(str(prepared), str(folder)))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LSTM_LAB_RUNS")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    return folder


@pytest.fixture
def without_ray(monkeypatch):
    """Sweeps train on one thread of this process."""
    monkeypatch.setattr("lstm_lab.sweeps.execution.execute_sweep", execute_without_ray)


def run_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    while words and "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    if words[0] == "make":
        # Nothing is installed or trained: the recipe is expanded, and what it calls stands in a block of its own.
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    elif words[0] == "lstm-lab":
        if words[1] == "train" and "--resume" not in words:
            words += [change for change in TINY if not any(change.split("=")[0] in word for word in words)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, f"{command}: exit code {ended.value.code}"
    else:
        pytest.fail(f"{command}: neither lstm-lab nor make: run it here, or mark the block as not run")


def check_yaml(block: Block) -> None:
    content = yaml.safe_load(block.text)
    if block.file:
        path = os.path.join(os.getcwd(), block.file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(block.text)
    if "space" in content:
        with open("block.yaml", "w") as file:
            file.write(block.text if block.text.startswith("#") else f"# A title\n{block.text}")
        load_sweep("block.yaml")
    elif "data" in content:
        Experiment.of(content)
    else:
        # Lines that can stand in any sweep file.
        for line in filter(None, (line.split("#")[0].strip() for line in block.text.splitlines())):
            load_sweep("sweeps/vowels_cells.yaml", [line.replace(": ", "=", 1)])


def run_page(page, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    names: dict = {
        "__name__": "__page__",
        # What a reader has: sequences, a class of each, and a series.
        "X": [rng.normal(size=(int(length), 3)) for length in rng.integers(5, 9, 48)],
        "y": np.repeat(["left", "right"], 24),
        "df": pd.read_csv("load.csv", parse_dates=["time"]),
    }
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.reason or block.language in SHOWN or (block.file or "").startswith("lstm_lab/"):
            continue
        try:
            if block.language == "python":
                exec(compile(block.text, where, "exec"), names)
            elif block.language == "yaml":
                check_yaml(block)
            else:
                for command in block.commands:
                    run_command(command, monkeypatch)
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_block_is_run_or_says_why_not(page):
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        assert block.language in RUN | SHOWN, f"{where}: a block of language '{block.language}' is not known"
        if block.language in ("console", "bash") and not block.reason:
            assert block.commands, f"{where}: holds no command: is it text?"


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda path: path.name)
def test_blocks_of_a_page_run_in_order(page, place, without_ray, monkeypatch):
    run_page(page, monkeypatch)


@pytest.mark.slow
def test_blocks_of_the_readme_run_on_ray(place, monkeypatch):
    run_page(ROOT / "README.md", monkeypatch)
