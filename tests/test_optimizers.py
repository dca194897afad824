"""Optimisers equal torch's and go downhill; a schedule is a function of the step alone."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.optimizers import Optimizer

TORCH = {
    "adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "adamw": torch.optim.AdamW,
    "muon": torch.optim.AdamW, "nadam": torch.optim.NAdam, "radam": torch.optim.RAdam, "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}  # fmt: skip
"""Whose steps a parameter takes; muon's vectors take those of AdamW."""
OWN = {"name", "no_weight_decay", "layer_decay"}
"""Fields that are no argument of torch's class."""
CURVATURE = torch.tensor([1.0, 3.0, 0.3])

needs_schedulefree = pytest.mark.skipif(
    importlib.util.find_spec("schedulefree") is None, reason="needs the package schedulefree"
)
SCHEDULE_FREE = ["schedule_free_adamw", "schedule_free_sgd"]
each_optimizer = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_schedulefree) if name in SCHEDULE_FREE else name
     for name in sorted(Optimizer.members)],
)  # fmt: skip


def descend(make, steps):
    """The values of a parameter on its way down a quadratic bowl."""
    weight = nn.Parameter(torch.tensor([2.0, -1.0, 3.0]))
    optimizer, path = make([weight]), []
    for _ in range(steps):
        optimizer.zero_grad()
        (CURVATURE * weight.square()).sum().backward()
        optimizer.step()
        path.append(weight.detach().clone())
    return torch.stack(path)


@each_optimizer
def test_every_optimizer_goes_downhill(name):
    config = Optimizer.members[name].Config(lr={"adagrad": 0.5, "radam": 0.3}.get(name, 0.1))
    path = descend(config.build().build_torch, 120)
    height = (CURVATURE * path.square()).sum(1)
    assert height[-1] < 0.02 * height[0]


def other(value):
    """Another value of the same type, in the range of every field."""
    return {bool: lambda: not value, int: lambda: value + 1, float: lambda: 0.123, tuple: lambda: (0.5, 0.6)}[
        type(value)
    ]()


@each_optimizer
def test_every_field_reaches_torch(name):
    member = Optimizer.members[name]
    plain = member.Config().build().build_torch([nn.Parameter(torch.zeros(1))])
    for field in set(member.Config.model_fields) - OWN:
        value = getattr(member.Config(), field)
        changed = member.Config(**{field: other(value), **({"momentum": 0.5} if field == "nesterov" else {})})
        assert plain.defaults[field] == (value and plain.defaults["momentum"] > 0 if field == "nesterov" else value)
        assert changed.build().build_torch([nn.Parameter(torch.zeros(1))]).defaults[field] == other(value)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("adam", {"lr": 0.1, "weight_decay": 0.2, "betas": (0.5, 0.9), "amsgrad": True}),
        ("adamw", {"lr": 0.1, "weight_decay": 0.2, "eps": 0.1}),
        ("adagrad", {"lr": 0.1, "weight_decay": 0.2, "lr_decay": 0.1}),
        ("adamax", {"lr": 0.1, "weight_decay": 0.2}),
        ("nadam", {"lr": 0.1, "weight_decay": 0.2, "momentum_decay": 0.1}),
        ("radam", {"lr": 0.1, "weight_decay": 0.2}),
        ("sgd", {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.0, "nesterov": False}),
        ("sgd", {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.8, "nesterov": True}),
        ("sgd", {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.8, "nesterov": False}),
        ("rmsprop", {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.5, "alpha": 0.8, "centered": True}),
    ],
)
def test_equals_torch_with_the_same_settings(name, choices):
    theirs = descend(lambda weights: TORCH[name](weights, foreach=False, **choices), 30)
    assert_close(descend(Optimizer.members[name].Config(**choices).build().build_torch, 30), theirs)


def test_without_momentum_nesterov_is_plain():
    plain = descend(lambda weights: torch.optim.SGD(weights, 0.05), 10)
    assert_close(descend(Optimizer.members["sgd"].Config(lr=0.05, momentum=0.0).build().build_torch, 10), plain)


# --- groups of parameters ---------------------------------------------------------------------------------------------


class Layered(nn.Module):
    """A parameter of every group."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(5, 3)
        self.cell = Cell.members["norm_lstm"].Config().build(3, 4)
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 2)

    def loss(self):
        h, _ = self.cell(self.embedding(torch.tensor([[1, 2, 3]])), torch.tensor([3]))
        return self.head(self.norm(h)).square().sum()


@each_optimizer
def test_biases_and_norms_do_not_decay(name):
    model = Layered()
    optimizer = Optimizer.members[name].Config(lr=0.1, weight_decay=0.5).build().for_model(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for parameter in model.parameters():  # Weight decay is all that is left to change them.
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"embedding.weight", "cell.W_x", "cell.W_h", "head.weight"}
    assert set(optimizer.state_dict()["param_groups"][0]["param_names"]) <= set(before)


def test_groups_to_decay_are_a_field():
    config = Optimizer.members["sgd"].Config(weight_decay=0.5, no_weight_decay=["head", "bias", "norm"])
    assert_close(sum(len(group["params"]) for group in config.build().for_model(Layered()).param_groups[1:]), 9)
    assert len(Optimizer.members["sgd"].Config().build().for_model(Layered()).param_groups) == 1
    with pytest.raises(ValueError, match=r"no_weight_decay=\[\] would do nothing: weight_decay is 0"):
        Optimizer.members["sgd"].Config(no_weight_decay=[])
    with pytest.raises(ValueError, match="no_weight_decay"):
        Optimizer.members["sgd"].Config(weight_decay=0.1, no_weight_decay=["biases"])


def test_muon_orthogonalises_the_matrices_of_cells_alone():
    model = Layered()
    optimizer = Optimizer.members["muon"].Config(lr=0.1, weight_decay=0.0).build().for_model(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.loss().backward()
    optimizer.step()
    moved = before["cell.W_h"] - model.cell.W_h
    assert torch.linalg.svdvals(moved).std() < 0.4 * torch.linalg.svdvals(model.cell.W_h.grad).std()
    adamw = Layered()
    reference = torch.optim.AdamW(adamw.parameters(), 0.1, weight_decay=0.0)
    adamw.loss().backward()
    reference.step()
    for key in ("embedding.weight", "cell.b", "norm.weight", "head.weight"):
        assert_close(model.state_dict()[key], adamw.state_dict()[key])


@each_optimizer
@pytest.mark.parametrize(("before", "after"), [(0.0, 0.3), (0.3, 0.0), (0.1, 0.2)])
def test_a_stored_state_goes_on_under_another_weight_decay(name, before, after):
    """Population-based training changes it between epochs; the param_groups then differ."""
    member = Optimizer.members[name]
    first, then = (member.Config(lr=0.01, weight_decay=decay).build() for decay in (before, after))
    model = Layered()
    old = first.for_model(model)
    model.loss().backward()
    old.step()
    new = then.for_model(model)
    new.load_state_dict(then.restored(old.state_dict(), model))
    for parameter in model.parameters():
        assert set(new.state[parameter]) == set(old.state[parameter])
        for key, value in old.state[parameter].items():
            assert_close(new.state[parameter][key], value)
    assert [group["weight_decay"] for group in new.param_groups] == [
        group["weight_decay"] for group in then.for_model(model).param_groups
    ]


def test_a_state_stored_without_names_is_one_group_in_the_order_of_the_model():
    model, adam = Layered(), Optimizer.members["adam"].Config(weight_decay=0.1).build()
    old = adam.build_torch(list(model.parameters()))
    model.loss().backward()
    old.step()
    new = adam.for_model(model)
    new.load_state_dict(adam.restored(old.state_dict(), model))
    for parameter in model.parameters():
        assert torch.equal(new.state[parameter]["exp_avg"], old.state[parameter]["exp_avg"])
