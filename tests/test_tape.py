"""The tape of any step equals the step in values, gradients, padding and state; or the step is unsupported."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.cells import Cell
from lstm_lab.cells.base import unroll
from lstm_lab.kernels import executor, tape_call
from lstm_lab.kernels.tape import UnsupportedOp

pytestmark = pytest.mark.skipif(not kernels.status().active, reason=kernels.status().reason)

B, T, IN, H = 5, 6, 3, 4
FULL, RAGGED = torch.full((B,), T), torch.tensor([3, T, 1, 5, 2])
SOME_EMPTY, ALL_EMPTY = torch.tensor([0, 4, 0, 6, 1]), torch.zeros(B, dtype=torch.int64)


class Two(NamedTuple):
    h: torch.Tensor
    c: torch.Tensor


class Steps(nn.Module):
    """A step given as a function of itself, x, h and c."""

    def __init__(self, body, dtype=torch.float64):
        super().__init__()
        self.body, self.on = body, True
        torch.manual_seed(0)
        self.W, self.U = nn.Parameter(torch.randn(H, IN) * 0.7), nn.Parameter(torch.randn(2 * H, H) * 0.5)
        self.v, self.b = nn.Parameter(torch.randn(H)), nn.Parameter(torch.randn(2 * H))
        self.R = nn.Parameter(torch.randn(2, H // 2, 3) * 0.6)
        self.s = nn.Parameter(torch.tensor(0.7))
        self.to(dtype)

    def step(self, x, state):
        h, c = self.body(self, x, state.h, state.c)
        return h, Two(h, c)


def tape(module, width=IN):
    return executor.get_tape(module, module.step, Two, width, (H, H))


def both(module, lengths, dtype=torch.float64, x=None):
    """Outputs, state and all gradients, by the engine and by torch."""
    torch.manual_seed(1)
    x = torch.randn(B, T, IN, dtype=dtype) if x is None else x
    start = Two(torch.randn(B, H, dtype=dtype) * 0.5, torch.randn(B, H, dtype=dtype) * 0.5)
    weight = [torch.randn(B, T, H, dtype=dtype), *torch.randn(2, B, H, dtype=dtype)]
    found = []
    for run in (lambda *a: executor.execute(module, module.step, *a), lambda *a: unroll(module.step, *a)):
        own_x, own_start = x.detach().clone().requires_grad_(), [part.clone().requires_grad_() for part in start]
        outputs, end = run(own_x, lengths, Two(*own_start))
        loss = sum((a * w).sum() for a, w in zip((outputs, *end), weight, strict=True))
        leaves = [own_x, *own_start, *module.parameters()]
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        gradients = [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, gradients, strict=True)]
        found.append([outputs, *end, *gradients])
    return found


def mix(m, x, h):
    return x @ m.W.T + (h @ m.U.T)[:, :H]


BODIES = {
    "affine": lambda m, x, h, c: (mix(m, x, h), c * 0.9 - h / 2 + 1),
    "gates": lambda m, x, h, c: (torch.tanh(mix(m, x, h)) * torch.sigmoid(c * m.v), F.relu(h - c)),
    "exponential": lambda m, x, h, c: (torch.exp(-h.abs()) / (1 + c * c), torch.log(2 + c.square()).sqrt()),
    "stable": lambda m, x, h, c: (torch.maximum(F.logsigmoid(mix(m, x, h)), c), torch.logaddexp(h, -c)),
    "soft": lambda m, x, h, c: (F.softplus(mix(m, x, h)) - F.silu(c), torch.minimum(1 - c, h)),
    "pieces": lambda m, x, h, c: (
        torch.cat([h[:, 2:] * c[:, :2], torch.tanh(mix(m, x, h))[:, 1:3]], 1),
        torch.stack([h[:, :2], c[:, 2:]], 2).reshape(-1, H),
    ),
    "heads": lambda m, x, h, c: (
        torch.einsum("bhk,hkn->bhn", h.unflatten(1, (2, H // 2)), m.R).flatten(1)[:, 1 : 1 + H],
        torch.tanh(mix(m, x, c)),
    ),
    "norm": lambda m, x, h, c: (
        torch.tanh(F.layer_norm(mix(m, x, h), (H,), m.v)),
        (c - c.mean(1, keepdim=True)) * m.s + h.sum(1, keepdim=True),
    ),
    "biases": lambda m, x, h, c: (F.linear(h, m.U, m.b)[:, 1 : H + 1], F.linear(x, m.W) + m.v * c + m.s),
    "swapped": lambda m, x, h, c: (c, h),
    "state kept": lambda m, x, h, c: (torch.tanh(mix(m, x, h) + c), c),
    "without the state": lambda m, x, h, c: (torch.sigmoid(x @ m.W.T), torch.tanh(x @ m.W.T) * m.v),
    "without the input": lambda m, x, h, c: (torch.tanh((h @ m.U.T + m.b)[:, H:]), torch.zeros_like(c) + h),
    "numbers": lambda m, x, h, c: (torch.tensor(2.0, dtype=x.dtype) * mix(m, x, h).tanh(), torch.ones_like(c) - 3 * c),
    "x twice": lambda m, x, h, c: (mix(m, torch.sigmoid(x) * (h @ m.W), h).tanh(), c + (x * x) @ m.W.T),
}


@pytest.mark.parametrize(
    "lengths", [FULL, RAGGED, SOME_EMPTY, ALL_EMPTY], ids=["full", "ragged", "some empty", "all empty"]
)
@pytest.mark.parametrize("body", BODIES)
def test_a_tape_equals_torch(body, lengths):
    module = Steps(BODIES[body])
    assert not isinstance(tape(module), UnsupportedOp), tape(module)
    executed, expected = both(module, lengths)
    for ours, theirs in zip(executed, expected, strict=True):
        assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("body", BODIES)
def test_a_tape_in_single_precision(body):
    for ours, theirs in zip(*both(Steps(BODIES[body], torch.float32), RAGGED, torch.float32), strict=True):
        assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


OPERATIONS = (
    lambda m, a, b: torch.tanh(a),
    lambda m, a, b: torch.sigmoid(a),
    lambda m, a, b: a + b,
    lambda m, a, b: a - b,
    lambda m, a, b: a * torch.tanh(b),
    lambda m, a, b: a / (1.5 + b.square()),
    lambda m, a, b: torch.maximum(a, b + 0.01),
    lambda m, a, b: F.relu(a + 0.02),
    lambda m, a, b: torch.cat([a[:, 1:], b[:, :1]], 1),
    lambda m, a, b: F.softplus(a),
    lambda m, a, b: F.logsigmoid(b),
    lambda m, a, b: torch.tanh(a) @ m.U[:H],
    lambda m, a, b: (1 - a) * m.v,
    lambda m, a, b: a.mean(1, keepdim=True) + b,
    lambda m, a, b: F.layer_norm(a + b, (H,), None, m.v),
    lambda m, a, b: torch.exp(-a.abs()) - m.s,
    lambda m, a, b: torch.cat(a.chunk(2, 1)[::-1], 1),
)


def draw_step(data):
    """A random expression over x, h and c: operations with a rule, in any order."""
    which = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 99), st.integers(0, 99))
    plan = data.draw(st.lists(which, max_size=14))

    def body(m, x, h, c):
        known = [h, c, x @ m.W.T, (h @ m.U.T)[:, :H], m.v * h]
        for operation, i, j in plan:
            known.append(operation(m, known[i % len(known)], known[j % len(known)]))
        return torch.tanh(known[-1]), torch.tanh(known[-2]) + 0.1 * known[len(known) // 2]

    return body


@settings(max_examples=40, derandomize=True)
@given(st.data())
def test_random_steps_equal_torch(data):
    module = Steps(draw_step(data))
    assert not isinstance(tape(module), UnsupportedOp), tape(module)
    for ours, theirs in zip(*both(module, RAGGED), strict=True):
        assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_every_cell_has_a_tape():
    """No cell that uses the default `forward` runs step by step in Python."""
    unsupported = {}
    for name, cell in sorted(Cell.members.items()):
        built = cell.Config().build(IN, H)
        state = built.initial_state(torch.zeros(1, IN))
        made = executor.get_tape(built, built.step, type(state), IN, tuple(part.shape[1] for part in state))
        if isinstance(made, UnsupportedOp) and cell.forward is Cell.forward:
            unsupported[name] = str(made)
    assert not unsupported


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda m, x, h, c: (F.dropout(mix(m, x, h), 0.5), c), "random"),
        (lambda m, x, h, c: (mix(m, x, h).add_(1), c), "writes into its argument"),
        (lambda m, x, h, c: (torch.where(h > 0, h, c), c), "no rule for aten.gt"),
        (lambda m, x, h, c: (h - h.mean(0), c), "rows"),
        (lambda m, x, h, c: (h.cumsum(1), c), "no rule for aten.cumsum"),
        (lambda m, x, h, c: (h * (1 / len(h)), c), "computes with the number of rows"),
        (lambda m, x, h, c: (h * len(h), c), "computes with the number of rows"),
        (lambda m, x, h, c: (torch.full_like(h, len(h)), c), "computes with the number of rows"),
        (lambda m, x, h, c: (h + h.new_full(h.shape, len(h)), c), "computes with the number of rows"),
        (lambda m, x, h, c: (h * h[0, 0].item(), c), "turns a tensor into a number"),
        (lambda m, x, h, c: (h * m.s.item(), c), "turns a tensor into a number"),
        (lambda m, x, h, c: (h + 1 if x[0, 0] < 0 else h, c), "turns a tensor into a number"),
        (lambda m, x, h, c: (h * m.outside, c), "neither parameter"),
        (lambda m, x, h, c: (torch.from_numpy(h.detach().numpy() + 1), c), "something else"),
        (lambda m, x, h, c: (h + c.T.mean(), c), "rows"),
    ],
)
def test_an_unsupported_step_runs_through_torch(body, reason):
    module = Steps(body)
    module.outside = torch.ones(1, dtype=torch.float64)
    made = tape(module)
    assert isinstance(made, UnsupportedOp)
    assert re.search(reason, str(made))
    x, start = torch.randn(B, T, IN, dtype=torch.float64), Two(*torch.randn(2, B, H, dtype=torch.float64))
    assert executor.execute(module, module.step, x, FULL, start) is None


def test_more_buffers_than_the_engine_has_run_through_torch():
    parts = [f"p{i}" for i in range(60)]
    Many = NamedTuple("Many", [("h", torch.Tensor), *((part, torch.Tensor) for part in parts)])
    module = Steps(None)
    step = lambda x, state: (state.h * 2, Many(*(part * 2 for part in state)))  # noqa: E731
    made = executor.get_tape(module, step, Many, IN, (H,) * 61)
    assert isinstance(made, UnsupportedOp)
    assert "buffers" in str(made)
    start = Many(*torch.randn(61, B, H, dtype=torch.float64))
    assert executor.execute(module, step, torch.randn(B, T, IN, dtype=torch.float64), FULL, start) is None


def test_a_changed_attribute_is_recorded_again():
    module = Steps(lambda m, x, h, c: (torch.tanh(mix(m, x, h)) if m.on else torch.sigmoid(mix(m, x, h)), c))
    for module.on in (True, False, True):
        executed, expected = both(module, RAGGED)
        assert_close(executed[0], expected[0])
    module.train()
    trained = tape(module)
    module.eval()
    assert tape(module) is not trained


def test_weights_may_be_replaced_and_frozen():
    module = Steps(BODIES["gates"])
    tape(module)
    module.W = nn.Parameter(torch.randn(H, IN, dtype=torch.float64))
    module.U.requires_grad_(False)
    x, start = torch.randn(B, T, IN, dtype=torch.float64), Two(*torch.randn(2, B, H, dtype=torch.float64))
    ours, _ = executor.execute(module, module.step, x, RAGGED, start)
    theirs, _ = unroll(module.step, x, RAGGED, start)
    assert_close(ours, theirs)
    ours.sum().backward()
    assert module.U.grad is None
    assert module.W.grad.abs().min() > 0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_own_samples(threads, monkeypatch):
    monkeypatch.setattr(tape_call, "_MIN_THREAD_WORK", 1.0)
    module = Steps(BODIES["norm"])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for ours, theirs in zip(*both(module, SOME_EMPTY), strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    finally:
        torch.set_num_threads(before)


def test_without_gradients_nothing_is_saved():
    module = Steps(BODIES["gates"])
    x, start = torch.randn(40, T, IN, dtype=torch.float64), Two(*torch.randn(2, 40, H, dtype=torch.float64))
    lengths = torch.randint(0, T + 1, (40,))
    with torch.no_grad():
        outputs, end = executor.execute(module, module.step, x, lengths, start)
    assert not outputs.requires_grad
    expected, last = unroll(module.step, x, lengths, start)
    assert_close(outputs, expected.detach())
    assert_close(list(end), [part.detach() for part in last])


def test_the_strides_of_the_input_do_not_matter():
    module = Steps(BODIES["gates"])
    x = torch.randn(T, B, 2 * IN, dtype=torch.float64).transpose(0, 1)[..., ::2]
    for ours, theirs in zip(*both(module, FULL, x=x), strict=True):
        assert_close(ours, theirs)
    outputs, _ = executor.execute(module, module.step, x, FULL, Two(*torch.zeros(2, B, H, dtype=torch.float64)))
    (gradient,) = torch.autograd.grad(outputs.transpose(0, 2).sum(0).mean(), module.W)
    expected, _ = unroll(module.step, x, FULL, Two(*torch.zeros(2, B, H, dtype=torch.float64)))
    assert_close(gradient, torch.autograd.grad(expected.transpose(0, 2).sum(0).mean(), module.W)[0])


def test_second_derivatives_raise_an_error():
    module = Steps(BODIES["gates"])
    x, start = torch.randn(B, T, IN, dtype=torch.float64), Two(*torch.randn(2, B, H, dtype=torch.float64))
    outputs, _ = executor.execute(module, module.step, x, FULL, start)
    (gradient,) = torch.autograd.grad(outputs.sum(), module.W, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives"):
        gradient.sum().backward()


@pytest.mark.parametrize("length", [-1, T + 1])
def test_lengths_outside_the_batch_raise_an_error(length):
    module = Steps(BODIES["gates"])
    x, start = torch.randn(B, T, IN, dtype=torch.float64), Two(*torch.randn(2, B, H, dtype=torch.float64))
    with pytest.raises(ValueError, match=rf"0\.\.{T}"):
        executor.execute(module, module.step, x, torch.tensor([T, T, length, T, T]), start)
