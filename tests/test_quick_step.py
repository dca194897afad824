"""The quick step and the quick clipping: torch's own, to the last bit."""

from __future__ import annotations

import copy

import pytest
import torch

from lstm_lab.optimizers.clipping import ClipByNorm
from lstm_lab.optimizers.quick_step import quick_step

SHAPES = [(7, 5), (33,), (1,), (64, 16)]
MAKERS = {
    "adam": lambda p: torch.optim.Adam(p, fused=True, weight_decay=0.1, betas=(0.8, 0.99), eps=1e-6),
    "adamw": lambda p: torch.optim.AdamW(p, fused=True, weight_decay=0.1),
    "groups": lambda p: torch.optim.AdamW([{"params": p[:2]}, {"params": p[2:], "weight_decay": 0.0}], fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, fused=True, amsgrad=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, fused=True),
}


def made(maker):
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    return parameters, maker(parameters)


def give_gradients(parameters, seed, without=()):
    generator = torch.Generator().manual_seed(seed)
    for i, parameter in enumerate(parameters):
        parameter.grad = torch.randn(parameter.shape, generator=generator) if i not in without else None


def run(step, parameters, optimizer, between=None):
    for i in range(6):
        optimizer.param_groups[0]["lr"] = 0.01 * (i + 1)
        give_gradients(parameters, i, (1,) if i in (0, 3) else ())
        step()
        if between and i == 3:
            between()


@pytest.mark.parametrize("name", MAKERS)
def test_steps_equal_torchs_in_any_order(name):
    expected, theirs = made(MAKERS[name])
    run(theirs.step, expected, theirs)
    parameters, ours = made(MAKERS[name])
    quick, order = quick_step(ours), iter([0, 1, 1, 0, 1, 1])
    # Also after a state of the same values has been loaded.
    run(lambda: (quick if next(order) else ours.step)(), parameters, ours,
        lambda: ours.load_state_dict(copy.deepcopy(ours.state_dict())))  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(parameters, expected, strict=True))
    for a, b in zip(ours.state_dict()["state"].values(), theirs.state_dict()["state"].values(), strict=True):
        assert all(torch.equal(a[key], b[key]) for key in b)


def test_without_torchs_operators_torch_takes_the_step(monkeypatch):
    expected, theirs = made(MAKERS["adam"])
    run(theirs.step, expected, theirs)
    monkeypatch.delattr(torch, "_fused_adamw_")
    parameters, ours = made(MAKERS["adam"])
    run(quick_step(ours), parameters, ours)
    assert all(torch.equal(a, b) for a, b in zip(parameters, expected, strict=True))


@pytest.mark.parametrize("limit", [0.5, 1e6, None])
def test_clipping_equals_torchs(limit):
    ours, _ = made(MAKERS["sgd"])
    theirs, _ = made(MAKERS["sgd"])
    for parameters in (ours, theirs):
        give_gradients(parameters, 3, (2,))
    norm = ClipByNorm(limit).clip(ours)
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(theirs, float("inf") if limit is None else limit))
    assert all(a.grad is b.grad or torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))


def test_no_gradient_has_norm_zero():
    assert float(ClipByNorm(1.0).clip([torch.nn.Parameter(torch.ones(2))])) == 0
