"""Random numbers by key: published vectors of Philox4x32-10, laws, and the same numbers from all implementations."""

from __future__ import annotations

import math

import pytest
import torch

from lstm_lab import kernels
from lstm_lab.kernels import build, draws, native, philox
from lstm_lab.kernels.philox import NoiseKey

# Random123, tests/kat_vectors: counter, key, result of philox4x32 with 10 rounds.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def hex_words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def engine_words(counter: list[int], key: list[int]) -> list[int]:
    counters, words = torch.tensor(counter).to(torch.uint32), torch.empty(4, dtype=torch.uint32)
    native.require_engine().philox(counters.data_ptr(), 1, *key, words.data_ptr())
    return words.tolist()


def some_key(B: int = 5, step: int = 3, site: str = "zoneout") -> NoiseKey:
    return NoiseKey(seed=7, step=step, samples=torch.arange(B) * 3, site=site)


@pytest.fixture(params=list(build.instruction_sets()))
def instruction_set(request, monkeypatch):
    monkeypatch.setenv("LSTM_LAB_KERNELS", request.param)
    status = kernels.reload()
    yield status if status.active else pytest.skip(status.reason)
    monkeypatch.delenv("LSTM_LAB_KERNELS")
    kernels.reload()


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter, key, result):
    k0, k1 = hex_words(key)
    assert philox.philox4x32(torch.tensor(hex_words(counter)), (k0, k1)).tolist() == hex_words(result)


def test_known_answers_from_the_engine(instruction_set):
    for counter, key, result in KNOWN:
        assert engine_words(hex_words(counter), hex_words(key)) == hex_words(result)


@pytest.mark.parametrize("units", [1, 16, 37])
def test_engine_draws_what_torch_draws(instruction_set, units):
    key, limit = some_key(), philox.threshold(0.3)
    words = philox.words(key, 7, units)
    assert torch.equal(draws.draw_bytes(key, limit, 7, units), words >= limit)
    for below in (False, True):
        bits = draws.draw_bits(key, limit, below, 7, units)
        unpacked = (bits.unsqueeze(-1) >> torch.arange(16)).bitwise_and(1).bool().flatten(2)[..., :units]
        assert torch.equal(unpacked, (words < limit) == below)


def test_a_number_belongs_to_its_sample_step_and_unit():
    key = some_key()
    whole = philox.words(key, 9, 20)
    order = torch.tensor([4, 0, 2])
    part = philox.words(NoiseKey(7, 3, key.samples[order], "zoneout"), 6, 12)
    assert torch.equal(part, whole[order, :6, :12])


@pytest.mark.parametrize(
    "other", [some_key(step=4), some_key(site="dropout"), NoiseKey(8, 3, torch.arange(5) * 3, "zoneout")]
)
def test_another_step_site_or_seed_has_other_numbers(other):
    agreement = draws.keep(some_key(), 0.5, 50, 40).eq(draws.keep(other, 0.5, 50, 40)).double().mean()
    assert abs(agreement.item() - 0.5) < 4 * 0.5 / math.sqrt(5 * 50 * 40)


def test_numbers_are_uniform_and_neighbours_independent():
    u = philox.uniform(NoiseKey(0, 0, torch.arange(40), "law"), 40, 64, torch.float64)
    n = u.numel()
    counts = torch.histc(u, 64, 0, 1)
    chi_square = ((counts - n / 64) ** 2 / (n / 64)).sum().item()
    assert abs(chi_square - 63) < 5 * math.sqrt(2 * 63)
    for dim in range(3):  # of sample, time step and unit
        a, b = u.narrow(dim, 0, u.shape[dim] - 1) - 0.5, u.narrow(dim, 1, u.shape[dim] - 1) - 0.5
        correlation = (a * b).mean().item() * 12
        assert abs(correlation) < 5 / math.sqrt(a.numel())


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.95])
def test_rate_is_the_share_that_is_dropped(rate):
    kept = draws.keep(NoiseKey(1, 0, torch.arange(64), "rate"), rate, 32, 48)
    n = kept.numel()
    assert abs(1 - kept.double().mean().item() - rate) <= 5 * math.sqrt(rate * (1 - rate) / n)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_rates_outside_their_range_are_refused(rate):
    with pytest.raises(ValueError, match="0 <= rate < 1"):
        draws.keep(some_key(), rate, 2, 2)


def test_float32_stays_below_one():
    u = philox.uniform(NoiseKey(0, 0, torch.arange(64), "ends"), 64, 64)
    assert u.dtype is torch.float32
    assert u.min() > 0
    assert u.max() < 1


def test_threads_change_nothing():
    key = NoiseKey(0, 1, torch.arange(64), "threads")
    before = torch.get_num_threads()
    try:
        drawn = []
        for threads in (1, 5):
            torch.set_num_threads(threads)
            drawn.append(draws.keep(key, 0.4, 200, 200))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*drawn)
