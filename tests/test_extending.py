"""docs/extending.md: each example is written into a copy of the package and used there, with nothing else edited."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks

PAGE = ROOT / "docs" / "extending.md"
EXAMPLES = [block for block in blocks(PAGE) if block.language == "python"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package with every example in it."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "lstm_lab", folder / "lstm_lab", ignore=shutil.ignore_patterns("__pycache__"))
    for example in EXAMPLES:
        path = folder / example.file
        if path.is_file():
            assert path.name == "__main__.py", f"{example.file} exists: an example is a new file"
            text = path.read_text()
            path.write_text(text.replace("\n\ndef main()", f"\n{example.text}\n\ndef main()", 1))
        else:
            path.write_text(example.text)
    return folder


def in_copy(package: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_every_row_of_the_table_has_its_example_and_needs_one_file_or_two():
    rows = re.findall(r"^\| \[([\w ]+)\]\(#([\w-]+)\) \| (.+?) \| .+ \| .+ \|$", PAGE.read_text(), re.M)
    assert [name for name, _, _ in rows] == [
        "cell", "data set", "task", "optimizer", "schedule", "regularizer", "searcher", "scheduler",
        "section of the report", "verb",
    ]  # fmt: skip
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.M)
    for name, anchor, where in rows:
        files = re.findall(r"`(lstm_lab/[\w/.]+)`", where)
        assert len(files) == 1 or (name == "verb" and len(files) == 2)
        section = next(each for each in sections if each.split("\n")[0].lower().replace(" ", "-") == anchor)
        written = re.findall(r"^# (lstm_lab/\S+)$", section, re.M)
        assert len(written) == len(files)
        for pattern, path in zip(files, written, strict=True):
            assert re.fullmatch(re.escape(pattern).replace("NAME", r"\w+"), path), path


@pytest.mark.slow
def test_examples_are_listed_train_and_search(package, tmp_path):
    names = [name for example in EXAMPLES for name in re.findall(r'^class \w+\(.*name="(\w+)"', example.text, re.M)]
    assert len(names) == 8
    done = in_copy(package, str(ROOT / "tests" / "use_examples.py"), str(package), *names, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_new_cell_is_held_to_the_contract_of_all_cells(package, tmp_path):
    for suite in ("test_cells.py", "test_models.py"):
        shutil.copy(ROOT / "tests" / suite, tmp_path)
    done = in_copy(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "leaky", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 30
