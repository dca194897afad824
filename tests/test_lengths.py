"""Padded batches: the mask of valid steps, padding set to zero, reversal within each sample's own length."""

from __future__ import annotations

import doctest

import pytest
import torch

from lstm_lab.kernels import lengths as module
from lstm_lab.kernels.lengths import length_mask, mask_padding, reverse_padded

LENGTHS = torch.tensor([0, 3, 1, 5])


@pytest.mark.parametrize("steps", [0, 1, 5, 8])
def test_length_mask_is_true_at_the_first_steps_of_each_sample(steps):
    mask = length_mask(LENGTHS, steps)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[t < length for t in range(steps)] for length in LENGTHS.tolist()]


def test_length_mask_of_no_samples():
    assert length_mask(torch.zeros(0, dtype=torch.int64), 3).shape == (0, 3)


def test_length_mask_lies_on_the_device_of_the_lengths():
    assert length_mask(LENGTHS.to("meta"), 5).device.type == "meta"


@pytest.mark.parametrize("padding", [1.0, torch.inf, torch.nan])
def test_mask_padding_blocks_values_and_gradients_of_the_padding(padding):
    x = torch.randn(4, 5, 2)
    mask = length_mask(LENGTHS, 5)
    dirty = x.masked_fill(~mask.unsqueeze(-1), padding).requires_grad_()
    clean = mask_padding(dirty, LENGTHS)
    assert torch.equal(clean, x * mask.unsqueeze(-1))
    weight = torch.full((2,), 2.0, requires_grad=True)
    (clean @ weight).square().sum().backward()
    assert weight.grad.isfinite().all()
    assert (dirty.grad[~mask] == 0).all()
    assert (dirty.grad[mask] != 0).all()


def test_reverse_padded_reverses_each_sample_and_leaves_its_padding():
    x = torch.randn(4, 5, 2)
    found = reverse_padded(x, LENGTHS)
    for before, after, n in zip(x, found, LENGTHS.tolist(), strict=True):
        assert torch.equal(after[:n], before[:n].flip(0))
        assert torch.equal(after[n:], before[n:])
    assert torch.equal(reverse_padded(found, LENGTHS), x)


def test_the_examples_of_the_docstrings():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
