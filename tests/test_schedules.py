"""Schedules of the learning rate: factors of torch's, warm-up, restored."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lstm_lab.optimizers import Schedule
from lstm_lab.optimizers.schedules.cosine import Cosine
from lstm_lab.optimizers.schedules.cosine_restarts import CosineRestarts
from lstm_lab.optimizers.schedules.exponential import Exponential
from lstm_lab.optimizers.schedules.one_cycle import OneCycle
from lstm_lab.optimizers.schedules.plateau import Plateau
from lstm_lab.optimizers.schedules.polynomial import Polynomial
from lstm_lab.optimizers.schedules.step import Step

totals = st.integers(1, 80)
warmups = st.floats(0, 1)
each_schedule = pytest.mark.parametrize("name", sorted(Schedule.members))


def schedule_config(name, warmup_fraction):
    """One-cycle rises by itself, and has no warm-up before."""
    return Schedule.members[name].Config(warmup_fraction=0.0 if name == "one_cycle" else warmup_fraction)


@each_schedule
@given(total=totals, warmup_fraction=warmups)
def test_the_factor_is_a_fraction_and_a_function_of_the_step(name, total, warmup_fraction):
    config = schedule_config(name, warmup_fraction)
    schedule = config.build()
    factors = [schedule.lr_factor(step, total) for step in range(total)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0
    # Asked in another order, and by another object: no hidden counter.
    assert [schedule.lr_factor(step, total) for step in reversed(range(total))] == factors[::-1]
    assert [config.build().lr_factor(step, total) for step in range(total)] == factors


@pytest.mark.parametrize("name", sorted(set(Schedule.members) - {"one_cycle", "cosine_restarts"}))
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


@pytest.mark.parametrize("member", [Cosine, CosineRestarts, Exponential, Polynomial])
@given(total=totals, warmup_fraction=st.floats(0, 0.9), end_factor=st.floats(0.001, 1))
def test_a_falling_schedule_ends_at_its_end_factor(member, total, warmup_fraction, end_factor):
    schedule = member.Config(warmup_fraction=warmup_fraction, end_factor=end_factor).build()
    assert schedule.lr_factor(total, total) == pytest.approx(end_factor)
    assert schedule.annealed(0.0) == 1
    assert all(
        schedule.lr_factor(step, total) >= end_factor - 1e-12
        for step in range(math.ceil(warmup_fraction * total), total)
    )


def test_cosine_and_exponential_are_half_way_down_in_the_middle():
    assert Cosine(end_factor=0.2).lr_factor(50, 100) == pytest.approx(0.6)  # the mean
    assert Exponential(end_factor=0.04).lr_factor(50, 100) == pytest.approx(0.2)  # the geometric mean


def curve(schedule, total=100):
    return [schedule.lr_factor(step, total) for step in range(total)]


def torchs(scheduler, total=100):
    """The factors of a scheduler of torch, given the class and its arguments."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    cls, choices = scheduler
    made, factors = cls(optimizer, **choices), []
    for _ in range(total):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return factors


def test_schedules_equal_torchs():
    schedulers = torch.optim.lr_scheduler
    pairs = [
        (Polynomial(power=2.0), (schedulers.PolynomialLR, {"total_iters": 100, "power": 2.0})),
        (Step(milestones=(0.3, 0.8), gamma=0.5), (schedulers.MultiStepLR, {"milestones": [30, 80], "gamma": 0.5})),
        (Exponential(end_factor=0.1), (schedulers.ExponentialLR, {"gamma": 0.1**0.01})),
        (CosineRestarts(num_cycles=4), (schedulers.CosineAnnealingWarmRestarts, {"T_0": 25})),
    ]
    for ours, theirs in pairs:
        assert curve(ours) == pytest.approx(torchs(theirs)), type(ours).__name__
    ours = curve(CosineRestarts(num_cycles=3, t_mult=2.0), 70)
    assert ours == pytest.approx(torchs((schedulers.CosineAnnealingWarmRestarts, {"T_0": 10, "T_mult": 2}), 70))
    # Torch reaches the ends on the first and the last step; a fraction of all steps lies one step further.
    theirs = {"max_lr": 1.0, "total_steps": 101, "pct_start": 0.31 * 100 / 101 + 1 / 101, "cycle_momentum": False}
    assert curve(OneCycle(pct_start=0.31)) == pytest.approx(torchs((schedulers.OneCycleLR, theirs)), abs=0.02)
    assert max(curve(OneCycle(pct_start=0.5))) == 1.0


def test_what_a_schedule_refuses():
    with pytest.raises(ValueError, match="one_cycle rises by itself: use pct_start"):
        OneCycle.Config(warmup_fraction=0.1)
    with pytest.raises(ValueError, match="must increase"):
        Step.Config(milestones=[0.5, 0.5])
    assert all(Schedule.members[name].Config().build().needs_total_steps for name in
               ("cosine", "cosine_restarts", "exponential", "one_cycle", "polynomial", "step"))  # fmt: skip


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

    other = {"milestones": [0.2], "num_cycles": 2, "t_mult": 2.0, "power": 2.0, "div_factor": 5.0, "patience": 2}
    for field in set(member.Config.model_fields) - {"name"}:
        if (name, field) != ("one_cycle", "warmup_fraction"):
            value = 20.0 if field == "final_div_factor" else other.get(field, 0.25)
            assert course(**{field: value}) != course(), f"{field} does nothing"
