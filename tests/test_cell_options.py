"""Laws of what a cell's config can choose: every yes and no and every named variant keeps the contract of its cell."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lstm_lab.cells import Cell

B, T, IN, H = 3, 5, 3, 4
LENGTHS = torch.tensor([2, T, 1])
# Numbers list no values: these are worth a look.
NUMBERS = [
    ("mlstm", "num_heads", 2),
    ("mogrifier", "rounds", 1),
    ("mogrifier", "rounds", 2),
    ("mogrifier", "rank", 1),
    ("slstm", "num_heads", 2),
]


def options():
    """(cell, field, value) for every value that is not the default, of every field that lists its values."""
    yield from NUMBERS
    for name, member in sorted(Cell.members.items()):
        for field, info in member.Config.model_fields.items():
            values: Any = (False, True) if info.annotation is bool else ()
            if field != "name" and get_origin(info.annotation) is Literal:
                values = get_args(info.annotation)
            yield from ((name, field, value) for value in values if value != info.default)


each_option = pytest.mark.parametrize(("name", "field", "value"), list(options()))


def build(name, field, value, input_size, hidden_size):
    torch.manual_seed(0)
    cell = Cell.members[name].Config(**{field: value}).build(input_size, hidden_size).double()
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    return cell


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def start(cell, samples):
    x = draw(samples, 3, cell.input_size)
    return [part.detach().requires_grad_() for part in cell(x, torch.full((samples,), 3))[1]]


@each_option
@pytest.mark.parametrize("lengths", [torch.full((B,), T), LENGTHS], ids=["full", "ragged"])
def test_whole_sequence_form_equals_the_unrolled_step(name, field, value, lengths):
    cell = build(name, field, value, IN, H)
    behind = torch.arange(T) >= lengths.unsqueeze(1)
    x = draw(B, T, IN).masked_fill(behind.unsqueeze(-1), torch.nan).requires_grad_()
    state, pull = start(cell, B), draw(B, T, H)
    found = []
    for run in (type(cell).forward, Cell.forward):
        outputs, end = run(cell, x, lengths, cell.State(*state))
        assert (outputs[behind] == 0).all()
        loss = (outputs * pull).sum() + sum(part.square().sum() for part in end) + sum(0 * part.sum() for part in state)
        found.append((outputs, *end, *torch.autograd.grad(loss, [x, *state, *cell.parameters()])))
    assert_close(*found, rtol=1e-9, atol=1e-12)


@each_option
def test_chunks_and_steps_equal_the_whole(name, field, value):
    cell = build(name, field, value, IN, H)
    x, begin = draw(B, T, IN), cell.State(*start(cell, B))
    whole, end = cell(x, torch.full((B,), T), begin)
    first, state = cell(x[:, :3], torch.full((B,), 3), begin)
    second, state = cell(x[:, 3:], torch.full((B,), T - 3), state)
    assert_close((torch.cat((first, second), 1), *state), (whole, *end))
    state, steps = begin, []
    for x_t in x.unbind(1):
        h, state = cell.step(x_t, state)
        steps.append(h)
    assert_close((torch.stack(steps, 1), *state), (whole, *end))


@each_option
def test_gradients_equal_finite_differences(name, field, value):
    cell = build(name, field, value, 2, 2)
    x, state, lengths = draw(2, 3, 2).requires_grad_(), start(cell, 2), torch.tensor([1, 3])

    def outputs_and_state(x, *rest):
        outputs, end = cell(x, lengths, cell.State(*rest[: len(state)]))
        return outputs, *end

    assert torch.autograd.gradcheck(outputs_and_state, [x, *state, *cell.parameters()])


@pytest.mark.parametrize("variant", ["nfg", "cifg"])
def test_a_forget_bias_without_a_forget_gate_is_refused(variant):
    with pytest.raises(ValueError, match="would do nothing"):
        Cell.members["odyssey"].Config(variant=variant, forget_bias=2.0)
    Cell.members["odyssey"].Config(variant=variant)
