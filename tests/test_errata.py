"""The ten errata of docs/lstm.md: what five documents on LSTM tuning print fails, what we say instead holds."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import jacrev
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from lstm_lab import kernels
from lstm_lab.cells import Cell
from lstm_lab.cells.base import unroll as step_by_step
from lstm_lab.cells.lstm import LSTM, LSTMState
from lstm_lab.cells.rnn import RNN
from lstm_lab.config import ConfigError
from lstm_lab.data.labelled import LabelledParts
from lstm_lab.evaluate import evaluate
from lstm_lab.models.encoder import Encoder
from lstm_lab.run import Run
from lstm_lab.train import train

DOC = (Path(__file__).parent.parent / "docs" / "lstm.md").read_text(encoding="utf-8")
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- The equations and their derivatives, written out: one sample, no autograd ----


class Step(NamedTuple):
    """One time step, in the letters of the equations."""

    x: torch.Tensor
    h_before: torch.Tensor
    c_before: torch.Tensor
    i: torch.Tensor
    f: torch.Tensor
    g: torch.Tensor
    o: torch.Tensor
    c: torch.Tensor
    h: torch.Tensor


def some_weights(IN=3, H=4):
    """W_k (H, IN), U_k (H, H), b_k (H,) for k in i, f, g, o."""
    shapes = {"W": (H, IN), "U": (H, H), "b": (H,)}
    return {f"{letter}_{k}": draw(*shapes[letter], seed=ord(letter) + ord(k)) for letter in "WUb" for k in "ifgo"}


def unroll(weights, x):
    """`weights`: one dictionary for each step, so that steps can be told apart; x (T, I). From h_0 = c_0 = 0."""
    h = c = x.new_zeros(len(weights[0]["b_i"]))
    steps = []
    for p, x_t in zip(weights, x, strict=True):
        i, f, o = (torch.sigmoid(p[f"W_{k}"] @ x_t + p[f"U_{k}"] @ h + p[f"b_{k}"]) for k in "ifo")
        g = torch.tanh(p["W_g"] @ x_t + p["U_g"] @ h + p["b_g"])
        c_new = f * c + i * g
        h_new = o * torch.tanh(c_new)
        steps.append(Step(x_t, h, c, i, f, g, o, c_new, h_new))
        h, c = h_new, c_new
    return steps


def backward(p, steps, dL_dh, *, gate_derivatives=True, recurrent_term=True):
    """Gradients of every weight, and what each step adds to it. `dL_dh` (T, H): what the loss itself asks of each h_t.

    Without the two options it is the recipe as printed.
    """
    added = {name: [torch.zeros_like(value) for _ in steps] for name, value in p.items()}
    zeros = torch.zeros_like(steps[0].h)
    from_later_h, from_later_c = zeros, zeros
    for t in reversed(range(len(steps))):
        x, h_before, c_before, i, f, g, o, c, _ = steps[t]
        dh = dL_dh[t] + (from_later_h if recurrent_term else zeros)
        do = dh * torch.tanh(c)
        dc = dh * o * (1 - torch.tanh(c) ** 2) + from_later_c
        d = {"i": dc * g, "f": dc * c_before, "g": dc * i, "o": do}
        if gate_derivatives:
            slope = {"i": i * (1 - i), "f": f * (1 - f), "g": 1 - g**2, "o": o * (1 - o)}
            d = {k: d[k] * slope[k] for k in d}  # with respect to what stands inside sigmoid or tanh
        for k in "ifgo":
            added[f"W_{k}"][t], added[f"U_{k}"][t], added[f"b_{k}"][t] = d[k].outer(x), d[k].outer(h_before), d[k]
        from_later_h = sum(p[f"U_{k}"].T @ d[k] for k in "ifgo")
        from_later_c = dc * f
    return {name: sum(each) for name, each in added.items()}, added


def as_cell(p):
    """The same weights in a cell of the house."""
    cell = LSTM(p["W_i"].shape[1], len(p["b_i"])).double()
    with torch.no_grad():
        for name, letter in (("weight_ih_l0", "W"), ("weight_hh_l0", "U"), ("bias_ih_l0", "b")):
            cell.layer.get_parameter(name).copy_(torch.cat([p[f"{letter}_{k}"] for k in "ifgo"]))
        cell.layer.get_parameter("bias_hh_l0").zero_()
    return cell


def autograd(p, x, dL_dh, run):
    """Gradients of sum_t dL_dh[t] . h_t through the cell."""
    cell = as_cell(p)
    outputs, _ = run(cell, x.unsqueeze(0), torch.tensor([len(x)]))
    (outputs[0] * dL_dh).sum().backward()
    names = (("W", "weight_ih_l0"), ("U", "weight_hh_l0"), ("b", "bias_ih_l0"))
    grads = {letter: cell.layer.get_parameter(name).grad.chunk(4) for letter, name in names}
    return {f"{letter}_{k}": grads[letter]["ifgo".index(k)] for letter in "WUb" for k in "ifgo"}


def furthest(ours, theirs):
    """Largest difference of two sets of gradients, as a share of the largest gradient."""
    return float(max((ours[n] - theirs[n]).abs().max() for n in theirs) / max(v.abs().max() for v in theirs.values()))


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


# ---- 3. Batch size and speed ----


def test_3_smaller_batches_take_more_steps_for_the_same_arithmetic(tmp_path, vowels):
    steps = {}
    for size in (64, 16):
        experiment = vowels.with_overrides({"data.batch_size": size, "trainer.max_epochs": 1})
        run = Run.create(tmp_path / str(size), experiment.dump(), command="test", job_type="train")
        train(experiment, run)
        steps[size] = run.rows()[-1]["step"]
    n = len(vowels.data.build().train)
    assert steps == {64: -(-n // 64), 16: -(-n // 16)}
    assert steps[16] > 3 * steps[64]

    def cost(size):
        """Multiplications of matrices in one epoch of 64 samples: how many, and their operations in all."""
        cell, x = as_cell(some_weights()), draw(64, 5, 3)
        with FlopCounterMode(display=False) as counter, CountCalls() as calls:
            for part in x.split(size):
                step_by_step(cell.step, part, torch.full((size,), 5), cell.initial_state(part))[0].sum().backward()
        return calls.mm, counter.get_total_flops()

    (few, work), (many, same_work) = cost(64), cost(8)
    assert same_work == work
    assert many == 8 * few


class CountCalls(torch.utils._python_dispatch.TorchDispatchMode):
    mm = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.mm += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm)
        return func(*args, **(kwargs or {}))


# ---- 4. Validation on the test part ----


def rows_with(experiment, run_path, noise, validate_on_test):
    """The record of a short training, with the test part as it is or replaced by noise."""
    data = experiment.data.build()
    (sequences, labels), parts = data._parts.test, data._parts
    if noise:
        chance = np.random.default_rng(0)
        sequences = [chance.normal(size=s.shape).astype(np.float32) for s in sequences]
        data.__dict__["_parts"] = LabelledParts(train=parts.train, test=(sequences, labels))
    if validate_on_test:
        data.__dict__["validation"] = data.open_test()
    run = Run.create(run_path, experiment.dump(), command="test", job_type="train")
    train(experiment, run, dataset=data)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.rows()]


def test_4_validating_on_test_leaks_and_a_run_here_never_opens_it(tmp_path, vowels, monkeypatch):
    short = vowels.with_overrides({"trainer.max_epochs": 2})
    leaky = [rows_with(short, tmp_path / f"leaky{noise}", noise, True) for noise in (False, True)]
    assert leaky[0] != leaky[1]  # what decides the checkpoint knows the test part
    sealed = [rows_with(short, tmp_path / f"sealed{noise}", noise, False) for noise in (False, True)]
    assert sealed[0] == sealed[1]

    owner, opened = type(short.data.build()), []
    open_test = owner.open_test
    monkeypatch.setattr(owner, "open_test", lambda data: opened.append(data) or open_test(data))
    run = Run.create(tmp_path / "run", short.dump(), command="test", job_type="train")
    train(short, run)
    assert (len(opened), len(run.openings())) == (0, 0)
    evaluate(run)
    assert (len(opened), len(run.openings())) == (1, 1)


def test_4_the_best_of_many_on_test_promises_what_nothing_can_keep():
    """200 models that toss coins, 100 questions: the best of them has no skill at all."""
    coins = np.random.default_rng(0)
    answers, guesses = coins.integers(0, 2, 200), coins.integers(0, 2, (200, 200))
    right = guesses == answers
    validation, test = right[:, :100].mean(1), right[:, 100:].mean(1)
    assert test.max() > 0.6  # chosen and reported on the same part
    assert abs(test[validation.argmax()] - 0.5) < 0.1  # chosen on one part, reported on another


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


# ---- 6. Code that does not run, dropout that does nothing ----

AS_PRINTED = """
import torch.nn as nn

class LSTMModel(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, dropout=0.5):
        super(LSTMModel, self).__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, dropout=dropout)
        self.fc = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(x.device)
        c0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(x.device)
        out, _ = self.lstm(x, (h0, c0))
        out = self.fc(out[:, -1, :])
        return out
"""


def test_6_printed_model_has_two_undefined_names():
    def model(source):
        room = {"__name__": "printed"}
        exec(source, room)
        return room["LSTMModel"](3, 4, 2)

    with pytest.raises(NameError, match="output_size"):
        model(AS_PRINTED)
    with_size = AS_PRINTED.replace("dropout=0.5):", "dropout=0.5, output_size=1):")
    with pytest.raises(NameError, match="torch"):
        model(with_size)(torch.zeros(5, 7, 3))
    assert model("import torch\n" + with_size)(torch.zeros(5, 7, 3)).shape == (5, 1)


def test_6_dropout_between_layers_needs_two_of_them(vowels):
    x = draw(4, 7, 3)

    def differ(layer):
        torch.manual_seed(0)
        return float((layer(x)[0] - layer(x)[0]).detach().abs().max())

    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        single = nn.LSTM(3, 4, 1, batch_first=True, dropout=0.5).double().train()
    assert differ(single) == 0.0
    assert differ(nn.LSTM(3, 4, 2, batch_first=True, dropout=0.5).double().train()) > 1e-3
    with pytest.raises(ConfigError, match="would do nothing"):
        vowels.with_overrides({"model.dropout": {"between": 0.5}})
    live = vowels.with_overrides({"model.dropout": {"output": 0.5}})
    model = (
        live.model.build(SimpleNamespace(input_size=3), SimpleNamespace(output_size=5, per_step=False)).double().train()
    )
    assert live.model.depth == 1
    assert (model(x, torch.full((4,), 7)) - model(x, torch.full((4,), 7))).abs().max() > 1e-3


# ---- 7. The last column is not the last step ----


def both_ways(layer):
    """An encoder of the house with the weights of a one-layer, two-way nn.LSTM."""
    encoder = Encoder(LSTM.Config(), input_size=3, hidden_size=4, bidirectional=True).double()
    for cell, suffix in zip(encoder.layers[0], ("", "_reverse"), strict=True):
        cell.layer.load_state_dict({name: getattr(layer, name + suffix) for name in cell.layer.state_dict()})
    return encoder


def test_7_last_column_reads_padding():
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4, batch_first=True).double()
    samples = [draw(n, 3, seed=n) for n in (2, 7, 4)]
    lengths = torch.tensor([2, 7, 4])
    x = pad_sequence(samples, batch_first=True)
    alone = torch.stack([layer(sample)[0][-1] for sample in samples])
    wrong = (layer(x)[0][:, -1] - alone).abs().amax(1)
    assert bool((wrong[[0, 2]] > 1e-2).all())
    assert wrong[1] < 1e-10  # the longest sample has no padding
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    assert_close(layer(packed)[1][0][0], alone, **EXACT)
    encoder = Encoder(LSTM.Config(), input_size=3, hidden_size=4).double()
    encoder.layers[0][0].layer.load_state_dict(layer.state_dict())
    assert_close(encoder(x, lengths).final, alone, **EXACT)


def test_7_last_column_of_two_directions_holds_half_of_the_answer():
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 4, batch_first=True, bidirectional=True).double(), draw(2, 7, 3).requires_grad_()
    out, (h_n, _) = layer(x)
    (read,) = torch.autograd.grad(out[:, -1, 4:].sum(), x, retain_graph=True)
    assert torch.count_nonzero(read[:, :-1]) == 0  # the backward direction has read one step of seven
    (read,) = torch.autograd.grad(h_n[1].sum(), x)
    assert bool((read.abs().amax(2) > 0).all())
    assert_close(h_n[1], out[:, 0, 4:], **EXACT)
    assert_close(both_ways(layer)(x, torch.tensor([7, 7])).final, torch.cat([h_n[0], h_n[1]], 1), **EXACT)


# ---- 8. A vocabulary from (label, text) pairs ----

REVIEWS = [(1, "A fine film"), (2, "A dull , dull film indeed")]


def basic_english(line):
    return line.lower().split()


def build_vocabulary(token_lists, specials):
    """What the printed library call does: specials first, then words by falling count."""
    counts = Counter(token for tokens in token_lists for token in tokens)
    return {word: k for k, word in enumerate([*specials, *sorted(counts, key=lambda w: (-counts[w], w))])}


def test_8_vocabulary_over_pairs_crashes_and_lacks_a_padding_word():
    with pytest.raises(AttributeError, match="'tuple' object has no attribute 'lower'"):
        build_vocabulary(map(basic_english, REVIEWS), ["<unk>"])
    texts = [basic_english(text) for _, text in REVIEWS]
    vocabulary = build_vocabulary(texts, ["<unk>"])
    ids = [torch.tensor([vocabulary.get(word, vocabulary["<unk>"]) for word in text]) for text in texts]
    with pytest.raises(RuntimeError, match="equal size"):
        torch.stack(ids)
    # Padded with 0 all the same, three unknown words and three steps of padding are one and the same.
    unknown = torch.cat([ids[0], torch.tensor([vocabulary["<unk>"]] * 3)])
    assert torch.equal(pad_sequence(ids, batch_first=True)[0], unknown)
    vocabulary = build_vocabulary(texts, ["<pad>", "<unk>"])
    ids = [torch.tensor([vocabulary.get(word, vocabulary["<unk>"]) for word in [*text, "unheard"]]) for text in texts]
    padded = pad_sequence(ids, batch_first=True, padding_value=vocabulary["<pad>"])
    assert torch.equal((padded != vocabulary["<pad>"]).sum(1), torch.tensor([4, 7]))


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


# ---- 10. The order of the gates ----


class PrintedCell(nn.Module):
    """The cell as printed: gates in the order f, i, g, o, and a bias in each of two linear maps."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W_x, self.W_h = nn.Linear(input_size, 4 * hidden_size), nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x, hidden_state):
        h_prev, c_prev = hidden_state
        f, i, g, o = torch.chunk(self.W_x(x) + self.W_h(h_prev), 4, dim=1)
        c = torch.sigmoid(f) * c_prev + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


def permuted(value):
    """f, i, g, o <-> i, f, g, o: the swap of the first two blocks is its own inverse."""
    first, second, g, o = value.chunk(4)
    return torch.cat([second, first, g, o])


def test_10_gate_order_needs_a_permutation_both_ways():
    torch.manual_seed(0)
    cell, x = PrintedCell(3, 4).double(), draw(2, 6, 3)
    theirs = (cell.W_x.weight, cell.W_h.weight, cell.W_x.bias, cell.W_h.bias)

    def printed_outputs(cell):
        state = (torch.zeros(2, 4).double(), torch.zeros(2, 4).double())
        outputs = []
        for x_t in x.unbind(1):
            h, state = cell(x_t, state)
            outputs.append(h)
        return torch.stack(outputs, 1)

    def torch_outputs(values):
        layer = nn.LSTM(3, 4, batch_first=True).double()
        with torch.no_grad():
            for parameter, value in zip(layer.parameters(), values, strict=True):
                parameter.copy_(value)
        return layer(x)[0]

    truth = printed_outputs(cell)
    assert (torch_outputs(theirs) - truth).abs().max() > 1e-2
    ours = [permuted(value) for value in theirs]
    assert_close(torch_outputs(ours), truth, **EXACT)
    merged = [*ours[:2], ours[2] + ours[3], torch.zeros_like(ours[3])]
    assert_close(torch_outputs(merged), truth, **EXACT)  # only the sum of the two biases acts
    outputs, _, _ = kernels.lstm(x, torch.tensor([6, 6]), None, None, *ours)
    assert_close(outputs, truth, **EXACT)
    back = PrintedCell(3, 4).double()
    names = ("W_x.weight", "W_h.weight", "W_x.bias", "W_h.bias")
    back.load_state_dict(dict(zip(names, map(permuted, ours), strict=True)))
    assert torch.equal(printed_outputs(back), truth)


# ---- The document itself ----


def test_every_erratum_in_the_document_names_tests_that_exist():
    sections = re.split(r"^### Erratum (\d+)", DOC, flags=re.M)[1:]
    numbers, texts = sections[::2], sections[1::2]
    assert numbers == [str(k) for k in range(1, 11)]
    tests = {name for name in globals() if re.match(r"test_\d+_", name)}
    named = {number: set(re.findall(r"`(test_\d+_\w+)`", text)) for number, text in zip(numbers, texts, strict=True)}
    assert all(name.startswith(f"test_{number}_") for number, names in named.items() for name in names)
    assert set().union(*named.values()) == tests
    assert all(named.values())
