"""Peak memory is that of what was done since it was reset."""

from __future__ import annotations

import pytest
import torch

from lstm_lab.system import peak_memory as module
from lstm_lab.system.peak_memory import peak_memory, reset_peak_memory

MIB = 2**20


def test_a_later_run_does_not_have_the_peak_of_an_earlier_one():
    if torch.cuda.is_available() or not reset_peak_memory():
        pytest.skip("this machine does not let a process reset its peak")
    start = peak_memory()
    large = torch.ones(200 * MIB // 4)
    assert peak_memory() - start > 150 * MIB
    del large
    reset_peak_memory()
    assert peak_memory() - start < 50 * MIB


def test_without_permission_it_is_that_of_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "CLEAR", tmp_path / "missing" / "clear_refs")
    monkeypatch.setattr(module, "STATUS", tmp_path / "status")
    if not torch.cuda.is_available():
        assert reset_peak_memory() is False
    assert peak_memory() > 10 * MIB
