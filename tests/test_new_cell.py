"""A cell in one file: it is listed, validated, trained, and held to the contract of all cells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_lab

MY_CELL = '''
"""The minimal gated unit: one gate that both forgets and resets."""

import torch
from torch import nn

from lstm_lab.cells.base import Cell, Hidden
from lstm_lab.config.registry import Named


class MGU(Cell, name="my_cell"):
    """Zhou et al. (2016): f = sigmoid(W_f x + U_f h), n = tanh(W_n x + U_n (f * h)), h' = (1 - f) * h + f * n."""

    class Config(Named):
        bias: bool = True
        """Whether the gates have a bias."""

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(input_size, hidden_size)
        self.W = nn.Linear(input_size, 2 * hidden_size, bias=bias)
        self.U_f = nn.Linear(hidden_size, hidden_size, bias=False)
        self.U_n = nn.Linear(hidden_size, hidden_size, bias=False)

    def step(self, x, state):
        W_fx, W_nx = self.W(x).chunk(2, 1)  # (B, H) each
        f = torch.sigmoid(W_fx + self.U_f(state.h))
        n = torch.tanh(W_nx + self.U_n(f * state.h))
        h = (1 - f) * state.h + f * n
        return h, Hidden(h)
'''

SCRIPT = """
import sys

import pytest
import torch

import lstm_lab
from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.data.loader import Loader
from lstm_lab.experiment import Experiment
from lstm_lab.config.fields import fields

assert lstm_lab.__file__.startswith(sys.argv[1]), lstm_lab.__file__
assert Cell.members["my_cell"].__name__ == "MGU"
assert [row.path for row in fields(Experiment) if row.of == "my_cell"] == ["model.cell.bias"]

plain = {"data": "japanese_vowels", "task": "classify"}
experiment = Experiment.of({**plain, "model": {"cell": "my_cell", "hidden_size": 16}})
assert experiment.with_overrides({"model.cell.bias": False}).model.cell.bias is False
try:
    experiment.with_overrides({"model.cell.bais": False})
except ConfigError as fault:
    assert "no such field in MGU; did you mean 'bias'?" in str(fault)
else:
    raise AssertionError("a typo was accepted")

torch.manual_seed(0)
data = experiment.data.build()
task = experiment.task.build(data.info)
model = experiment.model.build(data.info, task)
optimizer = experiment.optimizer.build().build_torch(model.parameters())
losses = []
for epoch in range(4):
    total = 0.0
    for batch in Loader(data.train, 16, seed=0):
        loss = task.loss(model(batch.x, batch.lengths).logits, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach())
    losses.append(total)
assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0], losses

code = pytest.main(["-q", "-p", "no:cacheprovider", "-k", "my_cell", "test_cells.py", "test_models.py"])
sys.exit(code)
"""


@pytest.mark.slow
def test_a_cell_is_one_file(tmp_path):
    tests = Path(__file__).parent
    shutil.copytree(Path(lstm_lab.__file__).parent, tmp_path / "lstm_lab", ignore=shutil.ignore_patterns("__pycache__"))
    for suite in ("test_cells.py", "test_models.py"):
        shutil.copy(tests / suite, tmp_path)
    (tmp_path / "lstm_lab" / "cells" / "my_cell.py").write_text(MY_CELL)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # The contract suites took it up by themselves.
    assert int(done.stdout.rsplit(" passed", 1)[0].rsplit(maxsplit=1)[-1]) > 30
