"""Laws of the cells of xLSTM: chunks equal steps, the stabiliser changes no result, heads are independent."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.cells.xlstm import MLSTMState, SLSTMState
from lstm_lab.config import ConfigError
from lstm_lab.experiment import Experiment
from lstm_lab.kernels.lengths import length_mask

assert_close = partial(close, rtol=1e-9, atol=1e-12)  # in float64
B, T, IN, H = 4, 7, 3, 4
FULL = torch.full((B,), T)
each = pytest.mark.parametrize("name", ["slstm", "mlstm"])


def build(name, input_size=IN, hidden_size=H, **choices):
    torch.manual_seed(0)
    cell = Cell.members[name].Config(**choices).build(input_size, hidden_size).double()
    for parameter in cell.parameters():  # Not zeros or ones, so that every term has an effect.
        torch.nn.init.uniform_(parameter, -0.7, 0.7)
    return cell


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def reachable_state(cell, samples=B):
    """A state that the cell can reach, with gradients."""
    state = Cell.forward(cell, draw(samples, 3, cell.input_size), torch.full((samples,), 3))[1]
    return type(state)(*(part.detach().requires_grad_() for part in state))


def results(run, cell, x, lengths, state):
    """Outputs, final state, and the gradients of a fixed weighting of them for x, the state and every weight."""
    x = x.clone().requires_grad_()
    outputs, end = run(cell, x, lengths, state)
    valid = length_mask(lengths, x.shape[1]).unsqueeze(-1)
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (part * torch.randn(part.shape, generator=generator, dtype=torch.float64)).sum()
        for part in (outputs.masked_select(valid), *end)
    )
    inputs = [x, *state, *cell.parameters()]
    return outputs, *end, *torch.autograd.grad(loss + sum(0 * part.sum() for part in inputs), inputs)


def set_to(cell, **values):
    with torch.no_grad():
        for name, value in values.items():
            cell.get_parameter(name).copy_(torch.as_tensor(value, dtype=torch.float64))
    return cell


def test_an_slstm_with_equal_weights_outputs_the_mean():
    cell, x = build("slstm", forget_gate="exp", num_heads=2), draw(B, T, IN)
    gates = torch.arange(4 * H) // H  # z, i, f, o
    set_to(cell, W=cell.W * (gates != 1).unsqueeze(1) * (gates != 2).unsqueeze(1), R=0 * cell.R)
    set_to(cell, b=torch.where(gates == 1, 0.4, torch.where(gates == 2, 0.0, cell.b.detach())))
    z, _, _, o = (x @ cell.W.T + cell.b).chunk(4, 2)
    mean = torch.tanh(z).cumsum(1) / torch.arange(1, T + 1).unsqueeze(1)
    assert_close(cell(x, FULL)[0], torch.sigmoid(o) * mean)


def test_heads_of_an_slstm_are_blocks_of_one_matrix():
    heads, whole, d = build("slstm", num_heads=2), build("slstm"), H // 2
    gates = [torch.block_diag(*(R[gate * d : (gate + 1) * d] for R in heads.R)) for gate in range(4)]
    set_to(whole, W=heads.W, b=heads.b, R=torch.cat(gates).unsqueeze(0))
    x = draw(B, T, IN)
    assert_close(heads(x, FULL)[0], whole(x, FULL)[0])


def test_an_mlstm_is_gated_linear_attention():
    cell, x = build("mlstm", num_heads=2), draw(B, T, IN)
    q, k, v, o, i, f = (x @ cell.W.T + cell.b).split([H, H, H, H, 2, 2], 2)
    q, k, v, o = (*(part.unflatten(2, (2, H // 2)) for part in (q, k / (H // 2) ** 0.5, v)), torch.sigmoid(o))
    F = torch.sigmoid(f).log().cumsum(1)
    D = torch.tril((F.unsqueeze(2) - F.unsqueeze(1) + i.unsqueeze(1)).exp().movedim(3, 1))  # (B, N, t, s)
    S = D * torch.einsum("btnd,bsnd->bnts", q, k)
    read = torch.einsum("bnts,bsnd->btnd", S, v) / S.sum(3).abs().clamp(min=1).transpose(1, 2).unsqueeze(3)
    assert_close(cell(x, FULL)[0], o * read.flatten(2))


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_an_mlstm_in_chunks_equals_its_steps(size, forget):
    cell, steps = build("mlstm", num_heads=2, forget_gate=forget), 200
    x, lengths = draw(B, steps, IN), torch.tensor([steps, 0, 64, 131])
    state = reachable_state(cell)
    x[~length_mask(lengths, steps)] = torch.nan
    found = results(lambda cell, *inputs: cell.chunked(*inputs, size), cell, x, lengths, state)
    expected = results(Cell.forward, cell, x, lengths, state)
    assert_close(found, expected, rtol=1e-8, atol=1e-9)
    single, inputs = cell.float(), (x.float(), lengths, cell.State(*(part.float() for part in state)))
    outputs, end = single.chunked(*inputs, size)
    # Where n q is close to 0 the division loses digits, in steps as in chunks.
    close((outputs, *end), tuple(part.float() for part in expected[:5]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
@each
def test_an_empty_batch_leaves_the_state_unchanged(name, shape):
    cell = build(name, num_heads=2)
    state = reachable_state(cell, shape[0])
    outputs, end = cell(draw(*shape, IN), torch.full(shape[:1], shape[1]), state)
    assert outputs.shape == (*shape, H)
    assert_close(tuple(end), tuple(state))


def without_stabiliser(name, forget, gates, x):
    """The paper's formulas without stabiliser, in float64: outputs of one unit, i~ = x[..., 0] and f~ = x[..., 1]."""
    i = x[..., 0].exp()
    f = x[..., 1].exp() if forget == "exp" else torch.sigmoid(x[..., 1])
    z, k, q = gates
    c, n, outputs = 0.0 * i[:, 0], 0.0 * i[:, 0], []
    for t in range(x.shape[1]):
        c = f[:, t] * c + i[:, t] * z[:, t] * k[:, t]
        n = f[:, t] * n + i[:, t] * k[:, t]
        outputs.append(c / n if name == "slstm" else c * q[:, t] / (n * q[:, t]).abs().clamp(min=1))
    return torch.stack(outputs, 1) / 2  # The output gate is sigmoid(0).


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@each
def test_extreme_gates_do_not_overflow(name, forget):
    steps = 3
    signs = torch.tensor(list(product((-80.0, 80.0), repeat=2 * steps)), dtype=torch.float64)  # all sequences
    x = torch.cat((signs.unflatten(1, (steps, 2)), draw(len(signs), steps, 3)), 2)
    cell = build(name, 5, 1, forget_gate=forget)
    rows = {"slstm": [2, 0, 1, None], "mlstm": [2, 3, 4, None, 0, 1]}[name]  # z i f o; q k v o i f
    W = torch.zeros(len(rows), 5)
    for row, channel in enumerate(rows):
        if channel is not None:
            W[row, channel] = 1.0
    set_to(cell, W=W, b=torch.zeros(len(rows)), **({"R": 0 * cell.R} if name == "slstm" else {}))
    one = torch.ones_like(x[..., 2])
    gates = (torch.tanh(x[..., 2]), one, one) if name == "slstm" else (x[..., 4], x[..., 3], x[..., 2])
    expected = without_stabiliser(name, forget, gates, x).unsqueeze(2)
    assert expected.isfinite().all()
    for run in (type(cell).forward, Cell.forward):
        single = x.float().requires_grad_()
        outputs, end = run(cell.float(), single, torch.full((len(x),), steps))
        close(outputs, expected.float(), rtol=2e-5, atol=1e-7)
        assert all(part.isfinite().all() for part in end)
        for gradient in torch.autograd.grad(outputs.sum(), [single, cell.W, cell.b]):
            assert gradient.isfinite().all()


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@each
@pytest.mark.parametrize("bias", [(-500.0, -500.0), (500.0, 500.0), (-500.0, 500.0), (500.0, -500.0)])
def test_constant_extreme_gates_do_not_overflow(name, forget, bias):
    cell, x = build(name, forget_gate=forget, num_heads=2).float(), draw(B, 100, IN).float().requires_grad_()
    with torch.no_grad():
        i, f = (cell.b[H : 2 * H], cell.b[2 * H : 3 * H]) if name == "slstm" else (cell.b[4 * H : -2], cell.b[-2:])
        i.fill_(bias[0]), f.fill_(bias[1])
        cell.b[:H] = 0.0  # Where x is 0, so are the query of an mLSTM and z.
        x[:, 50:] = 0.0
    for run in (type(cell).forward, Cell.forward):
        outputs, end = run(cell, x, torch.full((B,), 100))
        found = [outputs, *end, *torch.autograd.grad(outputs.sum(), [x, *cell.parameters()])]
        assert all(part.isfinite().all() for part in found)


def test_strong_forgetting_costs_no_precision():
    """What follows in the same chunk is weighted as exactly as if nothing had come before."""
    cell = build("mlstm").float()
    x = draw(1, 20, IN)
    x[:, :10, 0] = -1e4 * cell.W.detach()[-1, 0].sign()  # log f is about -1e4 * |w| in each of these steps
    exact = cell.double().chunked(x, torch.tensor([20]), cell.initial_state(x), 1)[0]
    x = x.float()
    found = cell.float().chunked(x, torch.tensor([20]), cell.initial_state(x), 20)[0]
    close(found[:, 10:], exact[:, 10:].float(), rtol=1e-4, atol=1e-5)


@each
def test_heads_are_independent(name):
    cell = build(name, num_heads=2)
    x, start = draw(B, T, IN), reachable_state(cell)
    outputs, _ = cell(x, FULL, start)
    for part in torch.autograd.grad(outputs[..., : H // 2].sum(), start, materialize_grads=True):
        first, second = part.chunk(2, 1)
        assert second.abs().max() == 0
    assert first.abs().max() > 0  # m, the last


@each
def test_num_heads_must_divide_hidden_size(name):
    content = {"data": "japanese_vowels", "task": "classify", "model": {"hidden_size": 6}}
    experiment = Experiment.of(content).with_overrides({"model.cell": {"name": name, "num_heads": 3}})
    with pytest.raises(ConfigError, match="num_heads=4 does not divide hidden_size=6: set num_heads to 2, or") as e:
        experiment.with_overrides({"model.cell.num_heads": 4})
    assert "model.cell.num_heads=4" in str(e.value)
    with pytest.raises(ConfigError, match="hidden_size to a multiple of 3"):
        experiment.with_overrides({"model.hidden_size": 64})
    with pytest.raises(ValueError, match="num_heads=3 does not divide hidden_size=4"):
        build(name, num_heads=3)


def test_the_state_has_the_widths_of_the_heads():
    x = torch.zeros(2, IN)
    widths = {"slstm": (H, H, H, H), "mlstm": (H, H * H // 2, H, 2)}
    for name, State in (("slstm", SLSTMState), ("mlstm", MLSTMState)):
        state = build(name, num_heads=2).initial_state(x)
        assert type(state) is State
        assert tuple(part.shape[1] for part in state) == widths[name]


@pytest.mark.parametrize(("name", "rows"), [("slstm", slice(2 * H, 3 * H)), ("mlstm", slice(4 * H + 2, None))])
def test_forget_gates_start_with_the_given_bias(name, rows):
    member = partial(Cell.members[name].Config, num_heads=2)
    for bias in (-1.0, 2.5):
        assert (member(forget_bias=bias).build(IN, H).b[rows] == bias).all()
    assert (member().build(IN, H).b[rows] == 1.0).all()
    assert (member(forget_gate="exp").build(IN, H).b[rows] == 0.0).all()
