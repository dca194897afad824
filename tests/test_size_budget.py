"""Size by budget: the largest model within a number of parameters, and no other."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.models import SequenceModel
from lstm_lab.models.size_budget import largest_hidden_size, num_parameters
from lstm_lab.sweeps.corners import build_corners
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.training.train import build

IN, OUT = 3, 2
INFO, TASK = SimpleNamespace(input_size=IN), SimpleNamespace(output_size=OUT, per_step=False)
WORDS = SimpleNamespace(input_size=7, tokens=tuple("_abcdef"))


def config(**fields):
    return validate(SequenceModel.Config, fields, "test")


EVERYTHING = {
    "num_layers": 3, "bidirectional": True, "skip": "highway", "learn_initial_state": True, "pooling": "additive",
}  # fmt: skip


# The search knows nothing of the cell: with every option each one in the slow tests.
@pytest.mark.parametrize(
    ("cell", "fields"),
    [
        *(pytest.param(cell, {}, id=cell) for cell in sorted(Cell.members)),
        *(
            pytest.param(cell, EVERYTHING, id=f"{cell}-everything", marks=() if cell == "lstm" else pytest.mark.slow)
            for cell in sorted(Cell.members)
        ),
    ],
)
def test_the_largest_model_within_the_budget(cell, fields):
    if cell in ("slstm", "mlstm"):
        fields = {**fields, "learn_initial_state": False}
    for budget in (2_000, 9_000):
        model = config(cell=cell, max_parameters=budget, **fields).build(INFO, TASK)
        sizes = [config(cell=cell, hidden_size=model.hidden_size + n, **fields).build(INFO, TASK) for n in (0, 1)]
        assert num_parameters(model) == num_parameters(sizes[0]) <= budget < num_parameters(sizes[1])


def test_a_budget_builds_the_same_model_as_its_hidden_size():
    """The search draws no random numbers: equal seeds, equal weights. The embedding counts."""
    fields = {"embedding": {"dim": 5}, "init": {"recurrent": "orthogonal", "chrono": 9}}
    torch.manual_seed(0)
    found = config(max_parameters=5_000, **fields).build(WORDS, TASK)
    torch.manual_seed(0)
    named = config(hidden_size=found.hidden_size, **fields).build(WORDS, TASK)
    assert found.state_dict().keys() == named.state_dict().keys()
    for key, value in found.state_dict().items():
        assert torch.equal(value, named.state_dict()[key])
    assert num_parameters(found) == 35 + sum(p.numel() for p in [*found.encoder.parameters(), *found.head.parameters()])


def test_every_budget_against_exhaustive_search():
    def build(size):
        if size % 3:
            raise ValueError("multiples of 3 only")
        return nn.Linear(size, size)

    for budget in range(12, 700):
        expected = max(size for size in range(3, 40, 3) if size * size + size <= budget)
        assert largest_hidden_size(build, budget) == expected
    with pytest.raises(ConfigError, match=r"max_parameters=11: too few: with hidden_size=3 the model has 12"):
        largest_hidden_size(build, 11)


def test_a_model_that_refuses_every_size_raises_its_own_error():
    def build(size):
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        largest_hidden_size(build, 100)


def test_too_small_a_budget_is_one_line(vowels):
    experiment = vowels.with_overrides({"model.hidden_size": 64}).with_overrides({"model.max_parameters": 20})
    with pytest.raises(ConfigError) as fault:
        build(experiment, experiment.data.build())
    assert "model.max_parameters=20: too few: with hidden_size=1" in str(fault.value)
    assert "\n" not in str(fault.value)


# ---- either hidden_size or max_parameters ----


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 32, "max_parameters": 1000}, "hidden_size=32 and max_parameters=1000 both set the size"),
        ({"hidden_size": None}, "no size for the model"),
        ({"max_parameters": 0}, "max_parameters: must be greater than or equal to 1"),
        ({"max_parameters": True}, "max_parameters: must be a valid integer or null"),
        ({"hidden_size": 0}, "hidden_size: must be greater than or equal to 1"),
    ],
)
def test_contradicting_sizes_are_refused(fields, message):
    with pytest.raises(ConfigError) as fault:
        config(**fields)
    assert message in str(fault.value)


def test_experiments_are_restored_from_disk(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("data: japanese_vowels\ntask: classify\nmodel: {num_layers: 2}\n")
    sized, budgeted = load_experiment(path), load_experiment(path, ["model.max_parameters=5000"])
    assert (sized.model.hidden_size, sized.model.max_parameters) == (64, None)
    assert (budgeted.model.hidden_size, budgeted.model.max_parameters) == (None, 5000)
    for experiment in (sized, budgeted):
        assert Experiment.of(experiment.dump()) == experiment
    # What was dumped holds the default: it gives way. What was chosen does not.
    assert sized.with_overrides({"model.max_parameters": 5000}) == budgeted
    chosen = sized.with_overrides({"model.hidden_size": 32})
    with pytest.raises(ConfigError, match="both set the size"):
        chosen.with_overrides({"model.max_parameters": 5000})
    assert chosen.with_overrides({"model.max_parameters": 5000, "model.hidden_size": None}) == budgeted
    assert budgeted.with_overrides({"model.max_parameters": None, "model.hidden_size": 32}) == chosen


def test_a_sweep_compares_cells_at_equal_parameters(tmp_path):
    path = tmp_path / "cells.yaml"
    path.write_text(
        "# Which cell is best at equal parameters?\n"
        "experiment: {data: japanese_vowels, task: classify}\n"
        "space:\n  model.cell: {grid: [lstm, gru, rnn]}\n  model.max_parameters: {grid: [5000, 20000]}\n"
    )
    sweep = load_sweep(path)
    build_corners(sweep, str(path))
    info = sweep.base.data.build().info
    for cell in ("lstm", "gru", "rnn"):
        experiment = sweep.experiment_for({"model.cell": cell, "model.max_parameters": 20_000}, 0)
        model = experiment.model.build(info, experiment.task.build(info))
        assert 19_000 < num_parameters(model) <= 20_000
