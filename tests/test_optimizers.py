"""Optimisers equal torch's and go downhill; a schedule is a function of the step alone."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from lstm_lab.optimizers import Optimizer, Schedule
from lstm_lab.optimizers.schedules.cosine import Cosine
from lstm_lab.optimizers.schedules.decay import Decay
from lstm_lab.optimizers.schedules.plateau import Plateau

TORCH = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}
CURVATURE = torch.tensor([1.0, 3.0, 0.3])

totals = st.integers(1, 300)
warmups = st.floats(0, 1)
each_schedule = pytest.mark.parametrize("name", sorted(Schedule.members))
each_optimizer = pytest.mark.parametrize("name", sorted(Optimizer.members))


def descend(make, steps):
    """The values of a parameter on its way down a quadratic bowl."""
    weight = nn.Parameter(torch.tensor([2.0, -1.0, 3.0]))
    optimizer, path = make([weight]), []
    for _ in range(steps):
        optimizer.zero_grad()
        (CURVATURE * weight.square()).sum().backward()
        optimizer.step()
        path.append(weight.detach().clone())
    return torch.stack(path)


@each_optimizer
def test_every_optimizer_goes_downhill(name):
    config = Optimizer.members[name].Config(lr=0.02)
    path = descend(config.build().build_torch, 400)
    height = (CURVATURE * path.square()).sum(1)
    assert height[-1] < 0.02 * height[0]


@each_optimizer
def test_every_field_reaches_torch(name):
    member = Optimizer.members[name]
    plain = member.Config().build().build_torch([nn.Parameter(torch.zeros(1))])
    for field in set(member.Config.model_fields) - {"name"}:
        assert plain.defaults[field] == getattr(member.Config(), field)
        other = member.Config(**{field: 0.123}).build().build_torch([nn.Parameter(torch.zeros(1))])
        assert other.defaults[field] == 0.123


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("adam", {"lr": 0.1, "weight_decay": 0.2}),
        ("adamw", {"lr": 0.1, "weight_decay": 0.2}),
        ("sgd", {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.0}),
        ("sgd", {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.8}),
        ("rmsprop", {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.5}),
    ],
)
def test_equals_torch_with_the_same_settings(name, choices):
    nesterov = {"nesterov": True} if name == "sgd" and choices["momentum"] else {}
    theirs = descend(lambda weights: TORCH[name](weights, foreach=False, **choices, **nesterov), 30)
    assert_close(descend(Optimizer.members[name].Config(**choices).build().build_torch, 30), theirs)


@each_schedule
@given(total=totals, warmup_fraction=warmups)
def test_the_factor_is_a_fraction_and_a_function_of_the_step(name, total, warmup_fraction):
    config = Schedule.members[name].Config(warmup_fraction=warmup_fraction)
    schedule = config.build()
    factors = [schedule.lr_factor(step, total) for step in range(total)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0
    # Asked in another order, and by another object: no hidden counter.
    assert [schedule.lr_factor(step, total) for step in reversed(range(total))] == factors[::-1]
    assert [config.build().lr_factor(step, total) for step in range(total)] == factors


@each_schedule
@given(total=totals, warmup_fraction=warmups)
def test_the_rate_rises_in_warm_up_and_never_after_it(name, total, warmup_fraction):
    schedule = Schedule.members[name].Config(warmup_fraction=warmup_fraction).build()
    factors = [schedule.lr_factor(step, total) for step in range(total)]
    rising = math.ceil(warmup_fraction * total)
    assert factors[:rising] == pytest.approx([(step + 1) / rising for step in range(rising)])
    falling = factors[max(0, rising - 1) :]
    assert all(later <= before + 1e-12 for before, later in pairwise(falling))
    if rising < total:
        # It reaches the top where warm-up ends, give or take the part of a step.
        assert max(factors) >= schedule.annealed(min(1.0, 1 / (total - warmup_fraction * total)))


@pytest.mark.parametrize("member", [Cosine, Decay])
@given(total=totals, warmup_fraction=st.floats(0, 0.9), end_factor=st.floats(0.001, 1))
def test_a_falling_schedule_ends_at_its_end_factor(member, total, warmup_fraction, end_factor):
    schedule = member.Config(warmup_fraction=warmup_fraction, end_factor=end_factor).build()
    assert schedule.lr_factor(total, total) == pytest.approx(end_factor)
    assert schedule.annealed(0.0) == 1
    assert all(
        schedule.lr_factor(step, total) >= end_factor - 1e-12
        for step in range(math.ceil(warmup_fraction * total), total)
    )


def test_cosine_and_decay_are_half_way_down_in_the_middle():
    assert Cosine(end_factor=0.2).lr_factor(50, 100) == pytest.approx(0.6)  # the mean
    assert Decay(end_factor=0.04).lr_factor(50, 100) == pytest.approx(0.2)  # the geometric mean


def test_plateau_reduces_after_patience():
    plateau, levels = Plateau(patience=2, factor=0.1), []
    for better in (True, False, True, False, False, False, False, True, False, True):
        plateau.observe(better)
        levels.append(plateau.lr_factor(7, 100))
    assert levels == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


@each_schedule
@given(seen=st.lists(st.booleans(), max_size=20), later=st.lists(st.booleans(), max_size=8), total=totals)
def test_a_restored_schedule_continues_unchanged(name, seen, later, total):
    config = Schedule.members[name].Config()
    whole, restored = config.build(), config.build()
    for better in seen:
        whole.observe(better)
    restored.load_state_dict(whole.state_dict())
    for better in later:
        whole.observe(better)
        restored.observe(better)
    assert [whole.lr_factor(s, total) for s in range(total)] == [restored.lr_factor(s, total) for s in range(total)]


@each_schedule
def test_every_field_of_a_schedule_has_an_effect(name):
    member = Schedule.members[name]

    def course(**choices):
        schedule, factors = member.Config(**choices).build(), []
        for epoch in range(12):
            factors += [schedule.lr_factor(10 * epoch + step, 120) for step in range(10)]
            schedule.observe(epoch == 0)
        return factors

    for field, info in member.Config.model_fields.items():
        if field != "name":
            assert course(**{field: 2 if info.annotation is int else 0.25}) != course(), f"{field} does nothing"
