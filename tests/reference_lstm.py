"""The equations of the LSTM and their derivatives, written out: one sample, no autograd."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from lstm_lab.cells.lstm import LSTM

DOC = (Path(__file__).parent.parent / "docs" / "lstm.md").read_text(encoding="utf-8")
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
