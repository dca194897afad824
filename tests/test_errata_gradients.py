"""Errata 1, 2, 5 and 9 of docs/lstm.md, on equations and gradients: what is printed fails, what we say holds."""

from __future__ import annotations

import ast
import re

import pytest
import torch
from reference_lstm import DOC, EXACT, as_cell, autograd, backward, draw, furthest, some_weights, unroll
from torch.func import jacrev
from torch.nn.utils import clip_grad_norm_
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.cells import Cell
from lstm_lab.cells.lstm import LSTM, LSTMState
from lstm_lab.cells.rnn import RNN

# ---- 1. Hand-made backpropagation ----


@pytest.mark.parametrize("run", [LSTM.forward, Cell.forward], ids=["kernel", "step"])
def test_1_backpropagation_needs_gate_derivatives_and_the_recurrent_term(run):
    p, x, dL_dh = some_weights(), draw(6, 3), draw(6, 4, seed=1)
    truth, steps = autograd(p, x, dL_dh, run), unroll([p] * 6, x)
    for missing in (
        {"gate_derivatives": False, "recurrent_term": False},
        {"gate_derivatives": False},
        {"recurrent_term": False},
    ):
        assert furthest(backward(p, steps, dL_dh, **missing)[0], truth) > 0.05, missing
    assert furthest(backward(p, steps, dL_dh)[0], truth) < 1e-10


def test_1_jacobian_from_cell_to_cell_has_ways_around_the_forget_gate():
    p = some_weights()
    before, s = unroll([p] * 4, draw(4, 3))[-2:]

    def next_cell(c):
        h = before.o * torch.tanh(c)
        i, f = (torch.sigmoid(p[f"W_{k}"] @ s.x + p[f"U_{k}"] @ h + p[f"b_{k}"]) for k in "if")
        return f * c + i * torch.tanh(p["W_g"] @ s.x + p["U_g"] @ h + p["b_g"])

    truth, direct = jacrev(next_cell)(before.c), torch.diag(s.f)
    slopes = {"f": before.c * s.f * (1 - s.f), "i": s.g * s.i * (1 - s.i), "g": s.i * (1 - s.g**2)}
    around = sum(slopes[k].diag() @ p[f"U_{k}"] for k in "fig") @ (before.o * (1 - before.c.tanh() ** 2)).diag()
    assert (truth - direct).abs().max() > 1e-2
    assert_close(truth, direct + around, **EXACT)


def test_1_peepholes_add_three_terms_to_the_gradient_of_the_cell():
    """Two steps, so that the cell of the first one meets all of them."""
    p, x, (p_i, p_f, p_o), y = some_weights(), draw(2, 3), draw(3, 4, seed=5), draw(2, 4, seed=1)

    def inside(k, t, h):
        return p[f"W_{k}"] @ x[t] + p[f"U_{k}"] @ h + p[f"b_{k}"]

    zeros = torch.zeros(4).double()
    c1 = (torch.sigmoid(inside("i", 0, zeros)) * torch.tanh(inside("g", 0, zeros))).requires_grad_()
    o1 = torch.sigmoid(inside("o", 0, zeros) + p_o * c1)
    h1 = o1 * torch.tanh(c1)
    i, f = torch.sigmoid(inside("i", 1, h1) + p_i * c1), torch.sigmoid(inside("f", 1, h1) + p_f * c1)
    g = torch.tanh(inside("g", 1, h1))
    c2 = f * c1 + i * g
    o = torch.sigmoid(inside("o", 1, h1) + p_o * c2)
    (truth,) = torch.autograd.grad((y[0] * h1 + y[1] * o * torch.tanh(c2)).sum(), c1)
    with torch.no_grad():
        a_o = y[1] * torch.tanh(c2) * o * (1 - o)
        dc2 = y[1] * o * (1 - c2.tanh() ** 2) + p_o * a_o
        a = {"i": dc2 * g * i * (1 - i), "f": dc2 * c1 * f * (1 - f), "g": dc2 * i * (1 - g**2), "o": a_o}
        dh1 = y[0] + sum(p[f"U_{k}"].T @ a[k] for k in "ifgo")
        plain = dh1 * o1 * (1 - c1.tanh() ** 2) + dc2 * f
        three = p_o * dh1 * torch.tanh(c1) * o1 * (1 - o1) + p_i * a["i"] + p_f * a["f"]
    assert three.abs().max() > 1e-2
    assert_close(plain + three, truth, **EXACT)


# ---- 2. The numeric example ----


def doc_arrays(heading):
    """`name = [...]` lines of the first code block behind a heading of docs/lstm.md."""
    block = DOC.split(heading, 1)[1].split("```", 2)[1]
    found = re.findall(r"^(\w+) *= (\[.*\])$", block, re.M)
    return {name: torch.tensor(ast.literal_eval(value), dtype=torch.float64) for name, value in found}


def doc_table(heading):
    """First cell -> the other cells, of the first table behind a heading of docs/lstm.md."""
    rows = [line for line in DOC.split(heading, 1)[1].split("\n#", 1)[0].splitlines() if line.startswith("| `")]
    return {cells[0]: cells[1:] for cells in ([cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows)}


def printed(value):
    """As the document prints an array: ten decimals."""
    if value.ndim:
        return "[" + ", ".join(printed(part) for part in value) + "]"
    return f"{float(value) + 0.0:.10f}".replace("-0.0000000000", "0.0000000000")


def test_2_printed_example_does_not_conform_and_no_lstm_has_its_numbers():
    given = doc_arrays("### The example as printed")
    dL_dh, dh_dc, dc_df, df_dW = (given[name] for name in ("dL3_dh3", "dh3_dc3", "dc3_df3", "df3_dWf"))
    column, column_c = dL_dh.unsqueeze(1), dc_df.unsqueeze(1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        column @ dh_dc @ column_c @ df_dW
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        column.T @ dh_dc @ column_c @ df_dW  # the gradient laid down as a row gets one product further
    # A unit of h sees its own c alone, and each row of f' [h, x] is a multiple of the same [h, x].
    steps = unroll([some_weights(2, 2)] * 3, draw(3, 2))
    true = steps[2].f * (1 - steps[2].f)
    assert torch.linalg.matrix_rank(true.outer(torch.cat([steps[2].h_before, steps[2].x]))) == 1
    assert torch.linalg.matrix_rank(df_dW) == 2
    assert dh_dc.diag().diag().ne(dh_dc).any()
    conforming = (dL_dh * dh_dc.diag() * dc_df).unsqueeze(1) * df_dW
    assert doc_table("### The example as printed") == {"term of step 3": [printed(conforming)]}


def test_2_jacobians_of_the_example_are_diagonal_and_three_way():
    p, x = some_weights(2, 2), draw(3, 2)
    *_, s = unroll([p] * 3, x)
    H, v = 2, torch.cat([s.h_before, s.x])

    def forget(M):
        return torch.sigmoid(M @ v + p["b_f"])

    M = torch.cat([p["U_f"], p["W_f"]], 1)
    dh_dc, dc_df = jacrev(lambda c: s.o * torch.tanh(c))(s.c), jacrev(lambda f: f * s.c_before + s.i * s.g)(s.f)
    df_dM = jacrev(forget)(M)
    assert_close(dh_dc, torch.diag(s.o * (1 - s.c.tanh() ** 2)), **EXACT)
    assert_close(dc_df, torch.diag(s.c_before), **EXACT)
    assert df_dM.shape == (H, H, 4)
    assert_close(df_dM, torch.einsum("j,jk,m->jkm", s.f * (1 - s.f), torch.eye(H).double(), v), **EXACT)
    # sigma' of the gate's value, as printed, is not the slope f (1 - f) of the gate.
    as_printed = torch.sigmoid(s.f) * (1 - torch.sigmoid(s.f))
    assert not torch.allclose(as_printed, s.f * (1 - s.f), rtol=1e-3)


def test_2_loss_reaches_the_cell_through_h_once():
    """dL/dh dh/dW + dL/dc dc/dW with dh/dW already holding dh/dc dc/dW counts the way through c twice."""
    p, x, dL_dh = some_weights(2, 2), draw(1, 2), draw(2, seed=3)
    dh_dW, dc_dW = (jacrev(lambda W, k=k: getattr(unroll([p | {"W_g": W}], x)[0], k))(p["W_g"]) for k in "hc")
    (s,) = unroll([p], x)
    dL_dc = dL_dh * s.o * (1 - s.c.tanh() ** 2)
    as_printed = torch.einsum("j,jkm->km", dL_dh, dh_dW) + torch.einsum("j,jkm->km", dL_dc, dc_dW)
    truth = autograd(p, x, dL_dh.unsqueeze(0), LSTM.forward)["W_g"]
    assert_close(as_printed, 2 * truth, **EXACT)  # o does not depend on W_g, so the way through c is the only one
    assert_close(torch.einsum("j,jkm->km", dL_dh, dh_dW), truth, **EXACT)


def test_2_worked_example_in_the_document_is_what_hand_and_autograd_give():
    heading = "### The example corrected"
    given = doc_arrays(heading)
    x, y = given.pop("x"), given.pop("y")
    T = len(x)
    steps, dL_dh = unroll([given] * T, x), torch.stack([torch.zeros(2), torch.zeros(2), y]).double()
    total, added = backward(given, steps, dL_dh)
    leaves = [{name: value.clone().requires_grad_() for name, value in given.items()} for _ in range(T)]
    (unroll(leaves, x)[-1].h * y).sum().backward()
    cell = autograd(given, x, dL_dh, LSTM.forward)

    def joined(grads):
        return torch.cat([grads["U_f"], grads["W_f"]], 1)

    expected = {f"{name}_{t}": [printed(getattr(steps[t - 1], name))] for t in (2, 3) for name in "cfoh"}
    for t in (3, 2, 1):
        hand = joined({name: each[t - 1] for name, each in added.items()})
        expected[f"from t = {t}"] = [printed(hand), printed(joined({n: v.grad for n, v in leaves[t - 1].items()}))]
    expected["dL3/d[U_f W_f]"] = [printed(joined(total)), printed(joined(cell))]
    assert doc_table(heading) == expected
    assert_close(joined(total), joined(cell), **EXACT)
    assert furthest({"f": joined({n: v[-1] for n, v in added.items()})}, {"f": joined(cell)}) > 0.05  # step 3 alone


# ---- 5. Names: parameters left out, cell and state, the fourth gate ----

PEEPHOLE = r"""
i_t = \sigma (W_{xi}x_t + W_{hi}h_{t-1} + W_{ci}c_{t-1} + b_i)
f_t = \sigma (W_{xf}x_t + W_{hf}h_{t-1} + W_{cf}c_{t-1} + b_f)
c_t = f_t \odot c_{t-1} + i_t \odot \tanh (W_{xc}x_t + W_{hc}h_{t-1} + b_c)
o_t = \sigma (W_{xo}x_t + W_{ho}h_{t-1} + W_{co}c_t + b_o)
"""
LISTED = re.findall(r"\S+", r"W_{xi} W_{hi} W_{ci} W_{xf} W_{hf} W_{cf} W_{xc} W_{hc} W_{co} b_i b_f b_c b_o")


def peephole_loss(p, x):
    """The peephole equations as printed, with full matrices."""
    h = c = x.new_zeros(len(p["b_i"]))
    total = 0.0
    for x_t in x:
        i = torch.sigmoid(p["W_{xi}"] @ x_t + p["W_{hi}"] @ h + p["W_{ci}"] @ c + p["b_i"])
        f = torch.sigmoid(p["W_{xf}"] @ x_t + p["W_{hf}"] @ h + p["W_{cf}"] @ c + p["b_f"])
        c = f * c + i * torch.tanh(p["W_{xc}"] @ x_t + p["W_{hc}"] @ h + p["b_c"])
        o = torch.sigmoid(p["W_{xo}"] @ x_t + p["W_{ho}"] @ h + p["W_{co}"] @ c + p["b_o"])
        h = o * torch.tanh(c)
        total = total + h.sum()
    return total, h, c


def test_5_parameter_list_leaves_out_two_that_learn():
    used = set(re.findall(r"W_\{\w+\}|b_\w", PEEPHOLE))
    assert (len(used), used - set(LISTED)) == (15, {"W_{xo}", "W_{ho}"})
    H, IN, diagonal = 4, 3, draw(3, 4, seed=9)
    p = {n: draw(H, IN if n[3] == "x" else H, seed=k) for k, n in enumerate(sorted(used)) if n[0] == "W"}
    p |= {n: draw(H, seed=50 + k) for k, n in enumerate(sorted(used)) if n[0] == "b"}
    p |= {n: row.diag() for n, row in zip(("W_{ci}", "W_{cf}", "W_{co}"), diagonal, strict=True)}
    p = {name: value.requires_grad_() for name, value in p.items()}
    x = draw(5, IN)
    loss, h, c = peephole_loss(p, x)
    loss.backward()
    assert all(p[name].grad.abs().max() > 1e-3 for name in ("W_{xo}", "W_{ho}"))
    # The same equations, with diagonal peepholes, in the engine of the house.
    W, U, b = (torch.cat([p[pattern.replace("*", k)] for k in "ifco"]) for pattern in ("W_{x*}", "W_{h*}", "b_*"))
    _, h_, c_ = kernels.lstm(x.unsqueeze(0), torch.tensor([5]), None, None, W, U, b, peephole=diagonal)
    assert_close((h_[0], c_[0]), (h, c), **EXACT)


def test_5_cell_and_hidden_state_are_two_things():
    cell, x, length = as_cell(some_weights()), draw(2, 8, 3), torch.full((2,), 4)
    whole, _ = cell(x, torch.full((2,), 8))
    _, state = cell(x[:, :4], length)
    assert (state.h - state.c).abs().max() > 0.1
    assert_close(cell(x[:, 4:], length, state)[0], whole[:, 4:], **EXACT)
    for half in (LSTMState(state.h, torch.zeros_like(state.c)), LSTMState(torch.zeros_like(state.h), state.c)):
        assert (cell(x[:, 4:], length, half)[0] - whole[:, 4:]).abs().max() > 1e-2


def test_5_three_gates_and_a_cell_that_leaves_their_range():
    p = some_weights() | {f"b_{k}": torch.full((4,), 5.0).double() for k in "ifgo"}
    steps = unroll([p] * 20, 0.1 * draw(20, 3))
    gates = torch.stack([torch.stack([s.i, s.f, s.o]) for s in steps])
    assert bool(((gates > 0) & (gates < 1)).all())
    assert max(float(s.c.abs().max()) for s in steps) > 5  # a gate multiplies; the cell adds up
    assert max(float(s.h.abs().max()) for s in steps) < 1
    assert as_cell(p).layer.weight_ih_l0.shape[0] == 4 * 4  # four blocks: three gates and the candidate g


# ---- 9. An LSTM's gradient can explode ----


def exploding(T):
    """At rest (x = h = c = 0, no biases) c_t = (1/2 + U_g / 4) c_{t-1}: with U_g = 8, each step multiplies by 2.5."""
    zero = {"W": torch.zeros(2, 3).double(), "U": torch.zeros(2, 2).double(), "b": torch.zeros(2).double()}
    p = {f"{letter}_{k}": value for letter, value in zero.items() for k in "ifgo"}
    cell = as_cell(p | {"U_g": 8 * torch.eye(2).double()})
    c0 = torch.zeros(1, 2).double().requires_grad_()
    _, end = cell(torch.zeros(1, T, 3).double(), torch.tensor([T]), LSTMState(torch.zeros(1, 2).double(), c0))
    end.c.sum().backward()
    return cell, c0.grad


def test_9_gradient_of_an_lstm_explodes_and_clipping_bounds_it():
    for T in (2, 20, 60):
        _, gradient = exploding(T)
        assert_close(gradient, torch.full((1, 2), 0.5 * 2.5 ** (T - 1), dtype=torch.float64), **EXACT)
    cell, _ = exploding(60)
    assert clip_grad_norm_(cell.parameters(), 1.0) > 1e20
    assert_close(torch.stack([p.grad.norm() for p in cell.parameters()]).norm(), torch.tensor(1.0).double())


def test_9_an_open_forget_gate_keeps_a_gradient_that_a_plain_network_loses():
    T, length = 100, torch.tensor([100])
    torch.manual_seed(0)
    plain, x, h0 = RNN(3, 4).double(), draw(1, T, 3), torch.zeros(1, 4).double().requires_grad_()
    plain(x, length, RNN.State(h0))[0][:, -1].sum().backward()
    cell, c0 = LSTM(3, 4, forget_bias=8.0).double(), torch.zeros(1, 4).double().requires_grad_()
    cell(x, length, LSTMState(torch.zeros(1, 4).double(), c0))[1].c.sum().backward()
    assert h0.grad.norm() < 1e-10
    assert c0.grad.norm() > 0.1
