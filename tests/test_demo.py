"""`make demo` prints what README shows: a sweep is a function of its file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hung import HUNG

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_demo_prints_the_tables_of_the_readme(tmp_path):
    """Equal on processors of the same instruction set; the README's were made with AVX-512."""
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    printed = subprocess.run(
        [sys.executable, "-m", "lstm_lab", "sweep", "sweeps/vowels_cells.yaml", "sweeps/demand_cells.yaml", "--test"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=HUNG,
        env={**os.environ, "LSTM_LAB_RUNS": str(tmp_path), "WANDB_MODE": "offline", "COLUMNS": "80"},
    ).stdout  # fmt: skip
    lines = {re.sub(r"; \d+ s$", "; ...", line.rstrip()) for line in printed.splitlines()}
    missing = [line for line in shown.splitlines() if line != "..." and line not in lines]
    assert not missing, printed[-4000:]
