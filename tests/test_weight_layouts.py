"""The LSTM in the layouts of textbooks equals torch's, and weights convert both ways."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.cells.lstm import LSTMState
from lstm_lab.cells.textbook import FusedLSTM, TextbookLSTM

B, T, IN, H = 3, 6, 2, 4
FULL = torch.full((B,), T)
FORMS = sorted(name for name, member in Cell.members.items() if issubclass(member, TextbookLSTM))
each_form = pytest.mark.parametrize("name", FORMS)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.LSTM(IN, H, batch_first=True).double()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def run(cell, x, h, c):
    if isinstance(cell, nn.LSTM):
        outputs, (h, c) = cell(x, (h.unsqueeze(0), c.unsqueeze(0)))
        return outputs, h[0], c[0]
    outputs, state = cell(x, FULL, LSTMState(h, c))
    return outputs, *state


def test_the_layouts_of_the_documents_are_registered():
    assert FORMS == ["concatenated", "fused", "split"]
    assert len(dict(Cell.members["split"].Config().build(IN, H).named_parameters())) == 12


@each_form
def test_from_torch_computes_the_same(name, layer):
    cell = Cell.members[name].from_torch(layer)
    inputs = draw(B, T, IN), draw(B, H), draw(B, H)
    assert_close(run(cell, *inputs), run(layer, *inputs))
    assert_close(Cell.forward(cell, inputs[0], FULL, LSTMState(*inputs[1:]))[0], run(layer, *inputs)[0])


@each_form
def test_to_torch_computes_the_same(name):
    torch.manual_seed(1)
    cell = Cell.members[name].Config(forget_bias=0.3).build(IN, H).double()
    inputs = draw(B, T, IN), draw(B, H), draw(B, H)
    layer = cell.to_torch()
    assert_close(run(layer, *inputs), run(cell, *inputs))
    assert all(parameter.requires_grad for parameter in layer.parameters())


@each_form
def test_conversion_and_back_changes_nothing(name, layer):
    cell = Cell.members[name].from_torch(layer)
    again = type(cell).from_torch(cell.to_torch())
    for before, after in zip(cell.parameters(), again.parameters(), strict=True):
        assert torch.equal(before, after)
        assert after.requires_grad


@each_form
def test_training_has_the_same_effect(name, layer):
    cell, x = Cell.members[name].from_torch(layer), draw(B, T, IN)
    zeros = torch.zeros(B, H, dtype=torch.float64)
    for model in (cell, layer):
        run(model, x, zeros, zeros)[0].square().sum().backward()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                # Where torch adds two biases, both are trained: a layout with one bias moves by the sum.
                rate = 0.05 if model is layer and key.startswith("bias") and name != "fused" else 0.1
                parameter -= rate * parameter.grad
    assert_close(run(cell, x, zeros, zeros), run(layer, x, zeros, zeros))


@each_form
def test_the_forget_gate_has_the_given_bias(name):
    layer = Cell.members[name].Config(forget_bias=2.5).build(IN, H).to_torch()
    assert_close((layer.bias_ih_l0 + layer.bias_hh_l0)[H : 2 * H], torch.full((H,), 2.5))


def test_without_the_permutation_the_result_differs(layer):
    cell = FusedLSTM.from_torch(layer)
    with torch.no_grad():
        cell.W_x.weight.copy_(layer.weight_ih_l0)
        cell.W_h.weight.copy_(layer.weight_hh_l0)
    inputs = draw(B, T, IN), draw(B, H), draw(B, H)
    assert (run(cell, *inputs)[0] - run(layer, *inputs)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("option", [{"num_layers": 2}, {"bidirectional": True}, {"bias": False}, {"proj_size": 2}])
def test_other_layers_raise_an_error(option):
    (key,) = option
    with pytest.raises(ValueError, match=f"only {key}=.* is supported"):
        FusedLSTM.from_torch(nn.LSTM(IN, H, batch_first=True, **option))
