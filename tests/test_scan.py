"""The parallel scan equals the recurrence step by step, for each cell that has one."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.cells import Cell
from lstm_lab.cells.base import unroll
from lstm_lab.cells.scan import scan
from lstm_lab.kernels.lengths import length_mask

B, IN, H = 4, 3, 5
SCANNED = [("min_gru", {}), ("min_lstm", {}), ("qrnn", {"window": 1}), ("qrnn", {"window": 2})]


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def gradients(total, leaves):
    """Of what does not take part: zeros."""
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]


def sequential(keep, update, start, lengths):
    states, s = [], start
    for t in range(update.shape[1]):
        s = torch.where((t < lengths).unsqueeze(1), keep[:, t] * s + update[:, t], s)
        states.append(s)
    return torch.stack(states, 1) if states else update


@pytest.mark.parametrize("T", [0, 1, 2, 3, 4, 7, 8, 31])
def test_it_equals_the_recurrence_in_values_and_gradients(T):
    torch.manual_seed(0)
    lengths = torch.tensor([T, T // 2, 0, max(T - 1, 0)])
    leaves = [torch.sigmoid(draw(B, T, H)), draw(B, T, H), draw(B, H)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    behind = ~length_mask(lengths, T).unsqueeze(-1)
    dirty = [leaf.masked_fill(behind, torch.nan) for leaf in leaves[:2]]
    found, expected = scan(*dirty, leaves[2], lengths), sequential(*leaves, lengths)
    assert_close(found, expected)
    weight = draw(B, T, H)
    for ours, theirs in zip(*(gradients((s * weight).sum(), leaves) for s in (found, expected)), strict=True):
        assert_close(ours, theirs)


def test_first_and_second_derivatives_equal_finite_differences():
    lengths = torch.tensor([5, 3])
    leaves = [leaf.requires_grad_() for leaf in (torch.sigmoid(draw(2, 5, 2)), draw(2, 5, 2), draw(2, 2))]
    assert torch.autograd.gradcheck(lambda *leaves: scan(*leaves, lengths), leaves)
    assert torch.autograd.gradgradcheck(lambda *leaves: scan(*leaves, lengths), leaves)


def test_a_long_sequence_of_gates_near_zero_keeps_its_digits():
    """Quotients of cumulative products, as scans are also written, would divide by zero here."""
    keep, update, lengths = torch.full((1, 5000, 1), 1e-3), torch.ones(1, 5000, 1), torch.tensor([5000])
    states = scan(keep, update, torch.zeros(1, 1), lengths)
    assert_close(states[:, -1], torch.full((1, 1), 1 / (1 - 1e-3)))


@pytest.mark.parametrize("T", [1, 6, 17])
@pytest.mark.parametrize(("name", "choices"), SCANNED)
def test_a_cell_without_the_engine_equals_its_step(name, choices, T, monkeypatch):
    torch.manual_seed(0)
    cell = Cell.members[name].Config(**choices).build(IN, H).double()
    lengths = torch.tensor([T, T // 2, 0, max(T - 1, 1)])
    x = draw(B, T, IN).requires_grad_()
    start = type(cell.initial_state(x))(*(draw(B, H).requires_grad_() for _ in cell.State._fields))
    inputs = [x, *start, *cell.parameters()]

    def results(run):
        outputs, end = run()
        values = [outputs, *end]
        total = sum((value * torch.linspace(0.5, 2, value.numel()).view(value.shape)).sum() for value in values)
        return [*values, *gradients(total, inputs)]

    truth = results(lambda: unroll(cell.step, x, lengths, start))

    def run():
        return cell(x.masked_fill(~length_mask(lengths, T).unsqueeze(-1), torch.nan), lengths, start)

    engine = results(run)

    def refuse(*_):
        raise AssertionError("the Python loop")

    monkeypatch.setattr("lstm_lab.cells.base.unroll", refuse)
    with kernels.disabled():
        scanned = results(run)
    for part, (ours, played, theirs) in enumerate(zip(scanned, engine, truth, strict=True)):
        assert_close(ours, theirs, msg=lambda text, part=part: f"{part}: {text}")
        assert_close(played, theirs)
