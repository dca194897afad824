"""BOHB: the densities of its paper, at the largest budget with enough configurations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from test_ordered_phase import Workers
from test_sweep_budget import make

from lstm_lab.records import files
from lstm_lab.sweeps.objectives import Outcome
from lstm_lab.sweeps.searchers.bohb import BOHB, Axis, Density

SPACE = {
    "optimizer.lr": {"loguniform": [1e-4, 1e-1]},
    "model.hidden_size": {"randint": [4, 9]},
    "model.cell": {"choice": ["lstm", "gru", "rnn"]},
    "model.dropout.output": {"uniform": [0.0, 0.5]},
}


@pytest.fixture
def space(tmp_path, demand):
    return make(tmp_path, demand, space=SPACE).sweep.search_space


def searcher(space, mode="min", **more):
    found = BOHB(**{**BOHB.Config().model_dump(exclude={"name"}), **more})
    found.setup(space, 99, 0, mode)
    return found


def test_a_density_is_the_product_of_its_kernels_and_sums_to_one():
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.random(12), rng.integers(3, size=12), rng.random(12)])
    density = Density.of(points, [0, 3, 0], 1e-3)
    h, w, k = density.bandwidths

    def kernel(x, center):
        normal = math.prod(
            math.exp(-(((x[j] - center[j]) / b) ** 2) / 2) / (b * math.sqrt(2 * math.pi)) for j, b in ((0, h), (2, k))
        )
        return normal * ((1 - w) if x[1] == center[1] else w / 2)

    at = np.column_stack([rng.random(7), rng.integers(3, size=7), rng.random(7)])
    expected = [np.log(np.mean([kernel(x, center) for center in points])) for x in at]
    assert density.log_density(at) == pytest.approx(expected)
    grid = np.linspace(-2, 3, 251)
    whole = np.array([(a, c, b) for a, c, b in itertools.product(grid, range(3), grid)])
    assert np.exp(density.log_density(whole)).sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1.0, abs=1e-3)
    drawn = density.draw(500, np.random.default_rng(1), 3.0)
    assert ((drawn[:, ::2] >= 0) & (drawn[:, ::2] <= 1)).all()
    assert set(drawn[:, 1]) <= {0, 1, 2}


def test_a_value_is_decoded_to_itself(space):
    for number in range(40):
        overrides = space.sample((0, number))
        axes = [Axis.of(key, *domain.optuna_distribution()) for key, domain in space.domains.items()]
        found = searcher(space)._overrides(np.array([axis.encode(overrides) for axis in axes]))
        assert found["model.cell"] == overrides["model.cell"]
        assert found["model.hidden_size"] == overrides["model.hidden_size"]
        assert found["optimizer.lr"] == pytest.approx(overrides["optimizer.lr"])


def test_the_model_is_of_the_largest_budget_with_enough_configurations(space):
    found = searcher(space)  # Four hyperparameters: five good and bad ones at least, seven in all.
    for number in range(7):
        overrides = space.sample((0, number))
        rungs = ((1, 9.0 - number), (3, float(number))) if number < 6 else ((1, 9.0 - number),)
        found.tell_outcome(number, overrides, Outcome(0.0, by_epochs=rungs))
        assert (found.densities(np.random.default_rng(0)) is None) == (number < 6)
    good, bad = found.densities(np.random.default_rng(0))
    rows = sorted(found.results[1], key=lambda row: row[0])
    expected = [[axis.encode(row) for axis in found.axes] for _, row in rows]
    assert good.points.tolist() == expected[:5]
    assert bad.points.tolist() == expected[-5:]
    found.tell_outcome(7, space.sample((0, 7)), Outcome(None))  # A failure is bad at every budget.
    good, _ = found.densities(np.random.default_rng(0))
    best = sorted(found.results[3], key=lambda row: row[0])[:5]
    assert good.points.tolist() == [[axis.encode(row) for axis in found.axes] for _, row in best]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_it_finds_the_better_end(space, mode):
    found = searcher(space, mode, random_fraction=0.0)

    def value(overrides):
        loss = abs(math.log(overrides["optimizer.lr"] / 3e-2)) + (overrides["model.cell"] != "gru")
        return loss if mode == "min" else -loss

    losses = []
    for number in range(60):
        overrides = found.ask(number)
        found.tell(number, overrides, value(overrides))
        losses.append(abs(value(overrides)))
    assert np.median(losses[30:]) < 0.5 * np.median(losses[:8])


def test_a_third_is_random_and_nothing_is_drawn_before_there_is_a_model(space):
    found = searcher(space)
    assert [found.ask(number) for number in range(6)] == [space.sample((0, number)) for number in range(6)]
    for number in range(30):
        found.tell(number, found.ask(number), float(number))
    random = [found.ask(number) == space.sample((0, number)) for number in range(30, 330)]
    assert 0.25 < np.mean(random) < 0.42


def test_with_hyperband_it_is_the_same_for_any_workers_and_kills(tmp_path, demand):
    experiment = demand.with_overrides({"trainer.max_epochs": 9})
    space = {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}}
    more = {"num_samples": 14, "searcher": "bohb", "space": space, "max_concurrent_trials": 3}
    more["scheduler"] = {"name": "hyperband", "reduction_factor": 3}

    def record(folder):
        return (folder.path / files.TRIALS).read_text(), [(t.id, t.state, t.epochs, t.reason) for t in folder.trials()]

    whole = record(Workers(make(tmp_path, experiment, "whole", **more), 1, 0, 0).run())
    assert {state for _, state, *_ in whole[1]} == {"finished", "stopped"}
    for places, kills in ((2, 2), (8, 1)):
        folder = make(tmp_path, experiment, f"on-{places}", **more)
        assert record(Workers(folder, places, places, kills).run()) == whole
