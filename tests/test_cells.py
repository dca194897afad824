"""Every registered cell: the step is its definition, and every whole-sequence form is proven against it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.cells.lstm import LSTM
from lstm_lab.kernels.lengths import length_mask

assert_close = partial(close, rtol=1e-9, atol=1e-12)  # in float64
B, T, IN, H = 4, 7, 3, 5
FULL, RAGGED = torch.full((B,), T), torch.tensor([3, T, 1, 5])
TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
# The cell's own forward, and the one of the base class: the same laws hold for both.
FORMS = {"own": lambda cell, *inputs: cell(*inputs), "unrolled": Cell.forward}


@pytest.fixture(params=sorted(Cell.members))
def cell(request):
    return build(request.param)


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def run(request):
    return request.param


def build(name, input_size=IN, hidden_size=H):
    torch.manual_seed(0)
    cell = Cell.members[name].Config().build(input_size, hidden_size).double()
    for parameter in cell.parameters():  # Not zeros or ones, so that every term has an effect.
        nn.init.uniform_(parameter, -0.7, 0.7)
    return cell


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def a_state(cell, samples=B):
    """A state that the cell can reach."""
    state = cell(draw(samples, 3, cell.input_size), torch.full((samples,), 3))[1]
    return type(state)(*(part.detach() for part in state))


def gradients(run, cell, x, lengths, state):
    """Of a fixed weighting of outputs and final state, by name: x, each part of the initial state, each parameter."""
    x = x.clone().requires_grad_()
    state = type(state)(*(part.clone().requires_grad_() for part in state))
    outputs, end = run(cell, x, lengths, state)
    generator = torch.Generator().manual_seed(1)
    valid = length_mask(lengths, x.shape[1]).unsqueeze(-1)
    loss = sum(
        (part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum()
        for part in (outputs.masked_select(valid), *end)
    )
    # An mLSTM never reads its own h: a gradient of zero, not a missing one.
    loss = loss + sum(0 * part.sum() for part in state)
    names = ["x", *state._fields, *(name for name, _ in cell.named_parameters())]
    return dict(zip(names, torch.autograd.grad(loss, [x, *state, *cell.parameters()]), strict=True))


def test_whole_equals_chunked_equals_stepped(cell, run):
    x, start = draw(B, T, IN), a_state(cell)
    whole, end = run(cell, x, FULL, start)
    state, chunks = start, []
    for chunk in x.split(3, 1):
        outputs, state = run(cell, chunk, torch.full((B,), chunk.shape[1]), state)
        chunks.append(outputs)
    assert_close(torch.cat(chunks, 1), whole)
    assert_close(tuple(state), tuple(end))
    state, steps = start, []
    for x_t in x.unbind(1):
        h, state = cell.step(x_t, state)
        steps.append(h)
    assert_close(torch.stack(steps, 1), whole)
    assert_close(tuple(state), tuple(end))


@pytest.mark.parametrize("lengths", [FULL, RAGGED], ids=["full", "ragged"])
def test_whole_sequence_form_equals_the_unrolled_step(cell, lengths):
    x, start = draw(B, T, IN), a_state(cell)
    own, reference = cell(x, lengths, start), Cell.forward(cell, x, lengths, start)
    assert_close(own[0], reference[0])
    assert_close(tuple(own[1]), tuple(reference[1]))
    assert_close(gradients(FORMS["own"], cell, x, lengths, start), gradients(Cell.forward, cell, x, lengths, start))


def test_no_state_means_the_initial_state(cell, run):
    x = draw(B, T, IN)
    outputs, end = run(cell, x, RAGGED)
    expected, last = run(cell, x, RAGGED, cell.initial_state(x))
    assert_close(outputs, expected)
    assert_close(tuple(end), tuple(last))


def test_samples_are_independent(cell, run):
    x, start = draw(B, T, IN).requires_grad_(), a_state(cell)
    outputs, _ = run(cell, x, RAGGED, start)
    (gradient,) = torch.autograd.grad(outputs[1].square().sum(), x)
    others = [0, 2, 3]
    assert gradient[1].abs().min() > 0
    assert gradient[others].abs().max() == 0
    changed = x.detach().clone()
    changed[others] = draw(len(others), T, IN)
    changed.requires_grad_()
    again, _ = run(cell, changed, RAGGED, start)
    assert_close(again[1], outputs[1])
    assert_close(torch.autograd.grad(again[1].square().sum(), changed)[0][1], gradient[1])


@pytest.mark.parametrize("t", [0, 3, T - 1])
def test_the_past_does_not_depend_on_the_future(cell, run, t):
    x, start = draw(B, T, IN).requires_grad_(), a_state(cell)
    outputs, _ = run(cell, x, FULL, start)
    changed = x.detach().clone()
    changed[:, t:] = draw(B, T - t, IN)
    again, _ = run(cell, changed, FULL, start)
    assert_close(again[:, :t], outputs[:, :t])
    assert ((again[:, t] - outputs[:, t]).abs().amax(1) > 1e-6).all()
    (gradient,) = torch.autograd.grad(outputs[:, t].sum(), x)
    assert gradient[:, t + 1 :].abs().sum() == 0
    assert gradient[:, t].abs().min() > 0


@pytest.mark.parametrize("padding", [1e6, torch.inf, torch.nan])
def test_padding_changes_no_result(cell, run, padding):
    clean, start = draw(B, T, IN), a_state(cell)
    behind = ~length_mask(RAGGED, T)
    dirty = clean.masked_fill(behind.unsqueeze(-1), padding)
    clean = clean.masked_fill(behind.unsqueeze(-1), 0.0)
    (outputs, end), (again, same) = run(cell, clean, RAGGED, start), run(cell, dirty, RAGGED, start)
    assert (again[behind] == 0).all()
    assert_close(again, outputs)
    assert_close(tuple(same), tuple(end))
    found = gradients(run, cell, dirty, RAGGED, start)
    assert_close(found, gradients(run, cell, clean, RAGGED, start))
    assert (found["x"][behind] == 0).all()


def test_each_sample_alone_equals_the_padded_batch(cell, run):
    x, start = draw(B, T, IN), a_state(cell)
    outputs, end = run(cell, x, RAGGED, start)
    for i, length in enumerate(RAGGED.tolist()):
        alone, last = run(
            cell, x[i : i + 1, :length], RAGGED[i : i + 1], type(start)(*(part[i : i + 1] for part in start))
        )
        assert_close(alone[0], outputs[i, :length])
        # The state after the sample's own last step, not after the batch's.
        assert_close(tuple(part[0] for part in last), tuple(part[i] for part in end))


def test_one_step_sequences(cell, run):
    x, start = draw(B, 1, IN), a_state(cell)
    outputs, end = run(cell, x, torch.ones(B, dtype=torch.int64), start)
    h, state = cell.step(x[:, 0], start)
    assert_close(outputs, h.unsqueeze(1))
    assert_close(tuple(end), tuple(state))


@pytest.mark.parametrize("lengths", [torch.tensor([3, 3]), torch.tensor([1, 3])], ids=["full", "ragged"])
def test_gradients_equal_finite_differences(cell, lengths):
    cell = build(cell.name, 2, 2)
    x, start = draw(2, 3, 2).requires_grad_(), [part.requires_grad_() for part in a_state(cell, 2)]

    def outputs_and_state(x, *rest):  # gradcheck moves the parameters in place
        outputs, end = cell(x, lengths, cell.State(*rest[: len(start)]))
        return outputs, *end

    assert torch.autograd.gradcheck(outputs_and_state, [x, *start, *cell.parameters()])


@pytest.mark.parametrize("lengths", [FULL, RAGGED], ids=["full", "packed"])
@pytest.mark.parametrize("name", sorted(TORCH))
def test_equals_torch(name, run, lengths):
    cell, twin = build(name), TORCH[name](IN, H, batch_first=True).double()
    twin.load_state_dict({key.removeprefix("layer."): value.clone() for key, value in cell.state_dict().items()})
    x, start = draw(B, T, IN).requires_grad_(), a_state(cell)
    theirs = x.detach().clone().requires_grad_()
    packed = pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False)
    initial = tuple(part.unsqueeze(0) for part in start)
    expected, end = twin(packed, initial if len(initial) > 1 else initial[0])
    expected, _ = pad_packed_sequence(expected, batch_first=True)
    outputs, state = run(cell, x, lengths, start)
    assert_close(outputs, expected)
    assert_close(tuple(state), tuple(part[0] for part in (end if isinstance(end, tuple) else (end,))))
    outputs.square().sum().backward()
    expected.square().sum().backward()
    assert_close(x.grad, theirs.grad)
    for ours, other in zip(cell.parameters(), twin.parameters(), strict=True):
        assert_close(ours.grad, other.grad)


@pytest.mark.parametrize("bias", [-1.0, 0.0, 1.0, 2.5])
def test_the_lstm_starts_with_the_given_forget_bias(bias):
    layer = LSTM.Config(forget_bias=bias).build(IN, H).layer
    assert torch.equal((layer.bias_ih_l0 + layer.bias_hh_l0)[H : 2 * H], torch.full((H,), bias))
    assert LSTM.Config().forget_bias == 1.0


def test_equal_seeds_equal_weights(cell):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in type(cell).Config().build(IN, H).parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_the_state_has_the_dtype_of_the_input(cell):
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(2, IN, dtype=dtype)
        start = cell.initial_state(x)
        assert start.h.shape == (2, H)
        for part, after in zip(start, cell.to(dtype).step(x, start)[1], strict=True):
            assert part.shape == after.shape
            assert part.dtype == after.dtype == dtype


def test_inputs_are_not_modified(cell, run):
    x, start = draw(B, T, IN), a_state(cell)
    before = [x.clone(), *(part.clone() for part in start)]
    run(cell, x, RAGGED, start)
    for original, now in zip(before, [x, *start], strict=True):
        assert torch.equal(original, now)
