"""Results below the smallest normal number: the engine makes them 0, and changes nothing else."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.cells import Cell

pytestmark = pytest.mark.usefixtures("needs_engine")
TINY = torch.finfo(torch.float32).tiny
B, T, IN, H = 3, 400, 2, 8


def flushes() -> bool:
    """Whether this thread's arithmetic makes subnormal results 0 now."""
    return bool((torch.tensor([TINY]) * 0.5 == 0).item())


def last_output_gradients(family: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Of x, the initial state and the weights, from the last output alone."""
    law = FAMILIES[family]
    leaves = [(leaf.detach() * 0.3).to(dtype).requires_grad_() for leaf in law.leaves(B, T, IN, H, torch.float64)]
    outputs = law.fast(torch.full((B,), T), leaves)[0]
    return list(torch.autograd.grad(outputs[:, -1].sum(), leaves))


@pytest.mark.parametrize("family", ["lstm", "gru", "rnn", "peephole"])
def test_gradients_of_steps_long_past_are_zero_or_normal(family):
    (dx, *others), (exact_dx, *exact) = (last_output_gradients(family, kind) for kind in (torch.float32, torch.float64))
    assert ((dx == 0) | (dx.abs() >= TINY)).all()
    below = (exact_dx != 0) & (exact_dx.abs() < TINY)
    assert below.any()  # Else the gradient reaches the first step, and this shows nothing.
    assert_close(dx.double(), exact_dx, rtol=2e-3, atol=4 * H * TINY)  # A sum of products, each flushed.
    for ours, truth in zip(others, exact, strict=True):
        assert_close(ours.double(), truth, rtol=1e-4, atol=1e-5)


def test_a_recorded_step_flushes_gradients_alone():
    torch.manual_seed(0)
    cell = Cell.members["mgu"].Config().build(IN, H)
    x = torch.randn(B, T, IN, requires_grad=True)
    outputs = cell(x, torch.full((B,), T))[0]
    outputs[:, -1].sum().backward()
    assert x.grad is not None
    assert (x.grad == 0).any()
    assert ((x.grad == 0) | (x.grad.abs() >= TINY)).all()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("on", [False, True])
def test_the_callers_arithmetic_is_what_it_was(on, threads):
    before, law = torch.get_num_threads(), FAMILIES["lstm"]
    torch.set_num_threads(threads)
    try:
        if not torch.set_flush_denormal(on):
            pytest.skip("torch cannot set it on this CPU")
        leaves = law.leaves(40, 30, 16, 64, torch.float32)
        outputs = law.fast(torch.full((40,), 30), leaves)[0]
        assert flushes() is on
        outputs.sum().backward()
        assert flushes() is on
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def test_a_state_that_decays_ends_at_zero():
    zeros = torch.zeros(1, T, IN), torch.full((1,), T)
    weights = [torch.zeros(4 * H, n) for n in (IN, H)]
    outputs, _, c = kernels.lstm(*zeros, torch.ones(1, H), torch.ones(1, H), *weights)
    assert ((outputs == 0) | (outputs.abs() >= TINY)).all()
    assert_close(outputs[0, :20, 0], torch.tanh(0.5 ** torch.arange(1.0, 21)) / 2, rtol=1e-5, atol=0)
    assert (c == 0).all()
