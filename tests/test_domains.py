"""Domains: samples, quantized values, the round trip to Optuna, perturbed values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_lab.sweeps.space.yaml import DomainInYaml


@given(st.integers(-50, 50), st.integers(1, 40), st.sampled_from([1, 2, 0.1, 0.25, 3]), st.integers(0, 99))
def test_quantized_values_have_few_digits(low, steps, step, seed):
    high = low + steps * step if isinstance(step, int) else float(f"{low + steps * step:.12g}")
    domain = DomainInYaml.read({"quniform": [low, high, step]})
    value = domain.sample(np.random.default_rng(seed))
    assert isinstance(value, int) == isinstance(step, int)
    assert low <= value <= high
    assert len(repr(value)) <= 6
    assert math.isclose((value - low) / step, round((value - low) / step), abs_tol=1e-9)
    assert domain.contains(value)
    _, encode = domain.optuna_distribution()
    assert domain.value(encode(value)) == value


@given(st.floats(-5, 5), st.floats(0.01, 5), st.integers(0, 999))
def test_a_normal_value_survives_the_round_trip_to_optuna(mean, std, seed):
    domain = DomainInYaml.read({"normal": [mean, std]})
    value = domain.sample(np.random.default_rng(seed))
    _, encode = domain.optuna_distribution()
    assert math.isclose(domain.value(encode(value)), value, rel_tol=1e-6, abs_tol=1e-6)


def test_a_normal_is_normal():
    domain = DomainInYaml.read({"normal": [2.0, 0.5]})
    samples = [domain.sample(np.random.default_rng(seed)) for seed in range(3000)]
    assert abs(np.mean(samples) - 2) < 0.03
    assert abs(np.std(samples) - 0.5 * 0.9866) < 0.02  # truncated at three standard deviations
    assert 0.65 < np.mean(np.abs(np.array(samples) - 2) < 0.5) < 0.72


@pytest.mark.parametrize(
    "domain",
    [{"loguniform": [0.1, 1]}, {"uniform": [0, 1]}, {"randint": [2, 5]}, {"choice": [1, 2, 4]},
     {"quniform": [0, 1, 0.25]}, {"qloguniform": [4, 16, 4]}, {"normal": [0, 1]}],
    ids=lambda domain: next(iter(domain)),
)  # fmt: skip
def test_perturb_changes_the_value_and_stays_in_the_domain(domain):
    found, rng = DomainInYaml.read(domain), np.random.default_rng(0)
    for start in [*found.corner_values(), found.sample(rng)]:
        moved = [found.perturb(start, rng) for _ in range(20)]
        assert all(found.contains(value) for value in moved)
        assert any(value != start for value in moved)
