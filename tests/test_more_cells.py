"""Laws of single cells: where each equals another one, its limits, and properties stated in its paper."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.cells.base import Hidden
from lstm_lab.cells.lstm import LSTMState

assert_close = partial(close, rtol=1e-9, atol=1e-12)  # in float64
B, T, IN, H = 4, 7, 3, 4
FULL, RAGGED = torch.full((B,), T), torch.tensor([3, T, 0, 5])


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


def set_to(cell, **values):
    with torch.no_grad():
        for name, value in values.items():
            cell.get_parameter(name).copy_(torch.as_tensor(value, dtype=torch.float64))
    return cell


def as_lstm(cell):
    """An `lstm` with the weights of a cell that has W, U, b in torch's layout."""
    twin = build("lstm", cell.input_size, cell.hidden_size)
    values = {"weight_ih_l0": cell.W, "weight_hh_l0": cell.U, "bias_ih_l0": cell.b, "bias_hh_l0": 0 * cell.b}
    return set_to(twin, **{f"layer.{name}": value for name, value in values.items()})


def test_the_gate_of_an_mgu_keeps_or_replaces_the_state():
    x, h = draw(B, T, IN), reachable_state(build("mgu"))
    outputs, _ = set_to(build("mgu"), **{"b": [-1e3] * H + [0.3] * H})(x, FULL, h)
    assert_close(outputs, h.h.unsqueeze(1).expand(-1, T, -1))
    cell = set_to(build("mgu"), **{"b": [1e3] * H + [0.3] * H})
    twin = set_to(
        build("rnn"),
        **{"layer.weight_ih_l0": cell.W[H:], "layer.weight_hh_l0": cell.U_n},
        **{"layer.bias_ih_l0": cell.b[H:], "layer.bias_hh_l0": 0 * cell.b[H:]},
    )
    assert_close(cell(x, FULL, h)[0], twin(x, FULL, h)[0])


def test_the_gate_of_an_mgu_is_its_reset_gate():
    cell, h = build("mgu"), reachable_state(build("mgu")).h
    set_to(cell, W=0 * cell.W, U_f=0 * cell.U_f, b=[0.0] * 2 * H)  # f is one half
    assert_close(cell.step(draw(B, IN), Hidden(h))[0], h / 2 + torch.tanh(h / 2 @ cell.U_n.T) / 2)


def test_an_indrnn_without_recurrence_is_a_layer():
    cell, x = set_to(build("indrnn"), u=[0.0] * H), draw(B, T, IN)
    assert_close(cell(x, FULL, reachable_state(cell))[0], torch.relu(x @ cell.W.T + cell.b))


def test_indrnn_units_are_independent():
    cell, h = build("indrnn"), reachable_state(build("indrnn")).h.detach()
    jacobian = torch.autograd.functional.jacobian(
        lambda h: cell.step(draw(B, IN) + 9, Hidden(h))[0].sum(0), h
    )  # H, B, H
    others = ~torch.eye(H, dtype=torch.bool)
    assert jacobian.abs().max() > 0
    assert jacobian.transpose(1, 2)[others].abs().max() == 0


def test_recurrent_weights_of_an_indrnn_start_between_0_and_1():
    u = Cell.members["indrnn"].Config().build(IN, 2000).u
    assert ((u >= 0) & (u < 1)).all()
    assert u.mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("name", ["min_gru", "min_lstm"])
def test_minimal_cells_stay_within_the_range_of_their_candidates(name):
    cell, x = build(name), 3 * draw(B, 40, IN)
    start = reachable_state(cell)
    outputs, _ = cell(x, torch.full((B,), 40), start)
    candidates = torch.cat((start.h.unsqueeze(1), x @ cell.W[-H:].T + cell.b[-H:]), 1)
    assert (outputs <= candidates.cummax(1).values[:, 1:] + 1e-12).all()
    assert (outputs >= candidates.cummin(1).values[:, 1:] - 1e-12).all()


def test_gates_of_a_min_lstm_add_up_to_one():
    cell, x, h = build("min_lstm"), draw(B, IN), draw(B, H)
    f, i, candidate = (x @ cell.W.T + cell.b).chunk(3, 1)
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    assert_close(cell.step(x, Hidden(h))[0], f / (f + i) * h + i / (f + i) * candidate)
    # Where f and i are both 0 in float32, the result still follows their ratio.
    set_to(cell, W=0 * cell.W, b=[-200.0] * 2 * H + [1.0] * H).float()
    x, h = x.float(), h.float()
    close(cell.step(x, Hidden(h))[0], (h + 1) / 2)


def test_a_mogrifier_without_rounds_is_the_lstm():
    cell, x = build("mogrifier", rounds=0), draw(B, T, IN)
    start = LSTMState(draw(B, H), draw(B, H))
    found, expected = cell(x, RAGGED, start), as_lstm(cell)(x, RAGGED, start)
    assert_close((found[0], *found[1]), (expected[0], *expected[1]))


@pytest.mark.parametrize("rounds", [1, 2, 5, 6])
def test_mogrifier_gates_by_twice_a_sigmoid(rounds):
    cell, x, start = build("mogrifier", rounds=rounds), draw(B, IN), LSTMState(draw(B, H), draw(B, H))
    a, h = x, start.h  # Counted as in the paper: odd rounds gate x, even rounds gate h.
    for i, (matrix,) in enumerate(cell.QR, start=1):
        if i % 2:
            a = 2 * torch.sigmoid(h @ matrix.T) * a
        else:
            h = 2 * torch.sigmoid(a @ matrix.T) * h
    twin = as_lstm(cell)
    assert_close(tuple(cell.step(x, start)[1]), tuple(twin.step(a, LSTMState(h, start.c))[1]))
    assert (cell.step(x, start)[0] - twin.step(x, start)[0]).abs().max() > 1e-3


def test_a_mogrifier_of_low_rank_equals_the_full_one_with_the_product():
    low, full = build("mogrifier", rank=2), build("mogrifier")
    values = {f"QR.{i}.0": left @ right for i, (left, right) in enumerate(low.QR)}
    set_to(full, W=low.W, U=low.U, b=low.b, **values)
    x = draw(B, T, IN)
    assert_close(low(x, FULL)[0], full(x, FULL)[0])
    with pytest.raises(ValueError, match="rank=2 would do nothing"):
        Cell.members["mogrifier"].Config(rounds=0, rank=2)


@pytest.mark.parametrize(("name", "rows"), [("mogrifier", slice(H, 2 * H)), ("min_lstm", slice(0, H))])
def test_forget_gates_start_with_the_given_bias(name, rows):
    member = Cell.members[name]
    for bias in (-1.0, 2.5):
        assert (member.Config(forget_bias=bias).build(IN, H).b[rows] == bias).all()
    assert (member.Config().build(IN, H).b[rows] == 1.0).all()


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def products(W, x):
    return [sum(w * value for w, value in zip(row, x, strict=True)) for row in W]


@pytest.mark.parametrize("width", [IN, H], ids=["projected", "as it is"])
def test_an_sru_is_its_equations_in_plain_numbers(width):
    cell, x, start = build("sru", width, highway_bias=-1.0), draw(1, T, width), reachable_state(build("sru", width), 1)
    W, b = cell.W.tolist(), cell.b.tolist()
    v_f, v_r, c = cell.v_f.tolist(), cell.v_r.tolist(), start.c[0].tolist()
    alpha, outputs = math.sqrt(1 + 2 * math.exp(-1.0)), []
    for x_t in x[0].tolist():
        z = products(W, x_t)
        s = [alpha * value for value in x_t] if width == H else products(cell.W_s.tolist(), x_t)
        h, new = [], []
        for u in range(H):
            f = sigmoid(z[H + u] + v_f[u] * c[u] + b[u])
            r = sigmoid(z[2 * H + u] + v_r[u] * c[u] + b[H + u])
            new.append(f * c[u] + (1 - f) * z[u])
            h.append(r * new[u] + (1 - r) * s[u])
        c = new
        outputs.append(h)
    found, end = cell(x, torch.tensor([T]), start)
    assert_close(found[0], torch.tensor(outputs, dtype=torch.float64))
    assert_close(end.c[0], torch.tensor(c, dtype=torch.float64))


def test_weights_of_an_sru_start_with_the_variances_of_the_authors():
    torch.manual_seed(0)
    cell = Cell.members["sru"].Config(highway_bias=-2.0, forget_bias=0.0).build(64, 400)
    candidate, f, r = cell.W.chunk(3)
    alpha = 1 + 2 * math.exp(-2.0)  # squared
    for part, variance in ((candidate, 1 / 64), (f, 1 / 128), (r, 1 / 128), (cell.W_s, alpha / 64), (cell.v_f, 0.5)):
        assert part.var().item() == pytest.approx(variance, rel=0.15)
    assert cell.b.tolist() == [0.0] * 400 + [-2.0] * 400
    assert Cell.members["sru"].Config().build(400, 400).W_s is None


@pytest.mark.parametrize("window", [1, 2])
def test_a_qrnn_is_a_convolution_and_its_pooling(window):
    cell, x = build("qrnn", window=window), draw(B, T, IN)
    filters = cell.W.unsqueeze(2) if cell.V is None else torch.stack((cell.V, cell.W), 2)  # (3 H, I, window)
    padded = torch.nn.functional.pad(x.transpose(1, 2), (window - 1, 0))
    z, f, o = torch.nn.functional.conv1d(padded, filters, cell.b).transpose(1, 2).chunk(3, 2)  # (B, T, H) each
    c, outputs = torch.zeros(B, H, dtype=torch.float64), []
    for t in range(T):
        f_t = torch.sigmoid(f[:, t])
        c = f_t * c + (1 - f_t) * torch.tanh(z[:, t])
        outputs.append(torch.sigmoid(o[:, t]) * c)
    assert_close(cell(x, FULL)[0], torch.stack(outputs, 1))


def test_the_lstm_of_1997_is_the_odyssey_without_forget_gate_and_its_peepholes():
    cell, twin, x = build("lstm_1997"), build("odyssey", variant="nfg"), draw(B, T, IN)
    start = LSTMState(draw(B, H), draw(B, H))
    set_to(twin, W=cell.W, R=cell.U, b=cell.b, p=0 * twin.p)
    found, expected = cell(x, RAGGED, start), twin(x, RAGGED, start)
    assert_close((found[0], *found[1]), (expected[0], *expected[1]))
    set_to(twin, p=[[0.5] * H] * 2)
    assert (twin(x, RAGGED, start)[0] - found[0]).abs().max() > 1e-3


def test_the_lstm_of_1997_with_the_squashing_functions_of_its_paper():
    cell, x, h, c = build("lstm_1997"), draw(B, T, IN), draw(B, H), draw(B, H)
    weights = [torch.cat((i, 2 * g, o)) for i, g, o in (part.chunk(3) for part in (cell.W, cell.U, cell.b))]
    outputs, end = cell(x, FULL, LSTMState(h, c / 2))
    for t in range(T):
        i, g, o = (x[:, t] @ weights[0].T + h @ weights[1].T + weights[2]).chunk(3, 1)
        c = c + torch.sigmoid(i) * (4 * torch.sigmoid(g) - 2)
        h = torch.sigmoid(o) * (2 * torch.sigmoid(c) - 1)
        assert_close(outputs[:, t], h)
    assert_close(end.c, c / 2)
    assert sum(parameter.numel() for parameter in cell.parameters()) == 3 * H * (IN + H + 1)
