"""The configurations that shipped sweeps draw first: a random stream does not change unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstm_lab.sweeps.spec import load_sweep

ROOT = Path(__file__).parent.parent
FIRST_FIVE = [
    ("lstm", 96, 0.0030874704960169963, 0.020486761968097345),
    ("gru", 96, 0.0030874704960169963, 0.020486761968097345),
    ("lstm", 64, 0.004902897128060851, 0.40045404344598606),
    ("gru", 64, 0.004902897128060851, 0.40045404344598606),
    ("lstm", 96, 0.0038222750967163883, 0.30064460311888297),
]
"""Cell, hidden size, learning rate and dropout of the first configurations of sweeps/vowels_cells.yaml."""
FIRST_OF_HYPEROPT = [
    ("lstm", 64, 0.0030709933141592686, 0.018888088833278638),
    ("gru", 32, 0.004513397224144893, 0.43530043689634),
    ("lstm", 64, 0.0029616619807123893, 0.12513083961689436),
]


def first_configurations(searcher, count):
    found = [searcher.ask(number) for number in range(count)]
    keys = ("model.cell", "model.hidden_size", "optimizer.lr", "model.dropout.output")
    return [tuple(overrides[key] for key in keys) for overrides in found]


def test_a_shipped_sweep_draws_the_configurations_it_always_drew(monkeypatch):
    monkeypatch.chdir(ROOT)
    sweep = load_sweep("sweeps/vowels_cells.yaml")
    searcher = sweep.build_searcher()
    searcher.setup(sweep.search_space, sweep.num_samples, sweep.seed, sweep.base.mode)
    for found, expected in zip(first_configurations(searcher, 5), FIRST_FIVE, strict=True):
        assert found == (*expected[:2], *(pytest.approx(value, rel=1e-12) for value in expected[2:]))


def test_hyperopt_draws_the_configurations_it_always_drew(monkeypatch):
    monkeypatch.chdir(ROOT)
    pytest.importorskip("hyperopt")
    sweep = load_sweep("sweeps/vowels_cells.yaml", ["space.model.cell={choice: [lstm, gru]}", "searcher=hyperopt"])
    searcher = sweep.build_searcher()
    searcher.setup(sweep.search_space, sweep.num_samples, sweep.seed, sweep.base.mode)
    for found, expected in zip(first_configurations(searcher, 3), FIRST_OF_HYPEROPT, strict=True):
        assert found == (*expected[:2], *(pytest.approx(value, rel=1e-12) for value in expected[2:]))
