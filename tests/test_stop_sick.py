"""Hopeless trials are ended early, by decisions that are a function of the sweep; others are compared as before."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from test_ordered_phase import EPOCHS, SPACE, Workers, record
from test_sweep_budget import make
from test_virtual_clock import Halving, Real, World, simulate

from lstm_lab.config import ConfigError
from lstm_lab.config.registry import import_all
from lstm_lab.sweeps.ask_tell import AskTell
from lstm_lab.sweeps.hopeless import PREFIX, HopelessDecider, HopelessRule, Suspect, check_epochs

import_all("lstm_lab.sweeps.hopeless.rules")


class SickWorld(World):
    """Some trials stay at chance, some learn."""

    def value(self, trial, epochs, told):
        rng = random.Random(f"{self.seed} {trial} {told if self.learns else ''}")
        return 2.0 if rng.random() < 0.4 else rng.random() + 1 / epochs


def decider(rungs, max_epochs, reasons=None):
    return HopelessDecider(
        Halving(), rungs, max_epochs, "value", "min", lambda trial: trial, lambda trial: max_epochs,
        {} if reasons is None else reasons,
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), rungs=st.sampled_from([[1, 3], [4], [], None]), workers=st.integers(1, 5),
    places=st.integers(1, 6), learns=st.booleans(), kills=st.integers(0, 3),
)  # fmt: skip
def test_real_speeds_workers_and_kills_change_no_decision(seed, rungs, workers, places, learns, kills):
    world, max_epochs = SickWorld(seed, 12, 1, 9, learns), 9
    looks = None if rungs is None else sorted({*rungs, *check_epochs(max_epochs)})
    expected, reasons = {}, {}
    log, stops = simulate(world, workers, looks or range(1, max_epochs), decider(rungs, max_epochs, expected))
    real = Real(
        world, workers, places, random.Random(seed), lambda: decider(rungs, max_epochs, reasons), kills,
        decision_epochs=looks, starts_ahead=True, asks_ahead=not learns,
    ).run()  # fmt: skip
    assert real.search.log == log
    assert {trial.number: trial.stop for trial in real.clock.trials if trial.stop is not None} == stops
    assert reasons == expected
    assert all(real.record[trial] == (stops[trial], True) for trial in reasons)


def test_trials_that_learn_are_compared_as_if_none_had_been_ended():
    """What is ended counts at the rungs as if it had stayed where it was: so the scheduler stops a healthy trial at the
    same rung with and without stop_sick."""
    ended = 0
    for seed in range(20):
        world = SickWorld(seed, 14, 1, 9, learns=False)
        reasons = {}
        _, plain = simulate(world, 4, [3, 6], Halving())
        _, stops = simulate(world, 4, sorted({3, 6, *check_epochs(9)}), decider([3, 6], 9, reasons))
        healthy = set(range(14)) - set(reasons)
        assert {trial: plain.get(trial) for trial in healthy} == {trial: stops.get(trial) for trial in healthy}
        # At the last check a trial that learns may be too far away too.
        assert all(world.value(trial, 9, "") == 2.0 for trial in reasons if stops[trial] < 8)
        ended += sum(stops[trial] < plain.get(trial, 9) for trial in reasons)
    assert ended > 10


def suspect(values, *others, losses=None, rates=None, validation=None, mode="min", max_epochs=16):
    def curve(values):
        return {2**n: {"m": value, "train/loss": value, "val/loss": abs(value)} for n, value in enumerate(values)}

    own = curve(values)
    for n, row in enumerate(own.values()):
        row["train/loss"] = row["train/loss"] if losses is None else losses[n]
        row["lr"] = 0.1 if rates is None else rates[n]
        row["val/loss"] = row["val/loss"] if validation is None else validation[n]
    return Suspect(own, [curve(each) for each in others], max_epochs, "m", mode)


def found(name, *arguments, **more):
    return HopelessRule.registered[name]().check(suspect(*arguments, **more)) is not None


LEARNING = [[2.0, 1.0, 0.5], [2.1, 1.2, 0.6], [2.0, 1.5, 0.9], [1.9, 0.8, 0.4]]


def test_at_chance_is_what_does_not_move_while_others_do():
    assert found("at chance", [2.2, 2.2, 2.19], *LEARNING)
    scores = [[1 - v / 2 for v in each] for each in LEARNING]
    losses = [1.1, 1.1, 1.1]
    assert found("at chance", [-0.1, -0.1, -0.1], *scores, mode="max", validation=losses)
    assert not found("at chance", [-0.1, -0.1, -0.1], *scores, mode="max", validation=[1.1, 0.9, 0.6]), "it begins to"
    assert not found("at chance", [2.2, 2.2, 2.19], *LEARNING[:3]), "too few others"
    assert not found("at chance", [2.2, 2.0, 1.8], *LEARNING), "slow, and on its way"
    assert not found("at chance", [2.2, 2.2, 2.19], *[[2.2, 2.2, 2.19]] * 2, *LEARNING[:2]), "others are not better"
    assert not found("at chance", [2.2, 2.2, 2.19], *[[2.2, 2.1, 2.0]] * 8), "nor by so much"
    assert not found("at chance", [2.2, 2.2, 2.19], *LEARNING, rates=[0.01, 0.02, 0.04]), "it warms up"


def test_diverging_is_a_training_loss_that_has_doubled_and_rises():
    assert found("diverging", [2.0, 3.0, 5.0], losses=[2.0, 3.0, 4.5])
    assert not found("diverging", [2.0, 3.0, 5.0], losses=[2.0, 5.0, 4.5]), "it falls again"
    assert not found("diverging", [2.0, 1.5, 1.0], losses=[2.0, 3.0, 4.5]), "validation is better"
    assert found("diverging", [-1.0, 0.5, 2.0], losses=[-1.0, -0.5, 0.5]), "a density may be negative"


def test_dead_is_what_has_not_moved_at_all_and_is_not_the_best():
    assert found("dead", [2.2, 2.2], LEARNING[0])
    assert not found("dead", [2.2, 2.2]), "none is better"
    assert not found("dead", [0.0, 0.0], LEARNING[0]), "it was solved at once"
    assert not found("dead", [2.2, 2.2], LEARNING[0], losses=[2.2, 2.1])


class SickWorkers(Workers):
    """Small rates learn nothing."""

    def value(self, off, epochs):
        return 9.0 if off > 1.7 else super().value(off, epochs)


@pytest.mark.parametrize("scheduler", ["asha", pytest.param("fifo", marks=pytest.mark.slow)])
def test_the_record_of_a_sweep_is_the_same_for_any_workers_and_kills(tmp_path, demand, scheduler):
    section = {"name": "asha", "grace_period": 3, "reduction_factor": 2} if scheduler == "asha" else {"name": "fifo"}
    more = {"space": SPACE, "num_samples": 14, "scheduler": section, "stop_sick": True}
    experiment = demand.with_overrides({"trainer.max_epochs": EPOCHS})
    whole = record(SickWorkers(make(tmp_path, experiment, "whole", **more), 1, 0, 0).run())
    sick = [reason for _, _, _, reason in whole[1] if (reason or "").startswith(PREFIX)]
    assert sick
    assert all("at chance: val/" in reason for reason in sick)
    for places, kills in ((2, 3), (5, 1)):
        folder = make(tmp_path, experiment, f"on-{places}", **more)
        assert record(SickWorkers(folder, places, places, kills).run()) == whole


@pytest.mark.parametrize(("more", "told"), [
    ({"order": "arrival"}, "stop_sick.*order: virtual"),
    ({"scheduler": {"name": "pbt", "perturbation_interval": 1}}, "stop_sick.*pbt"),
    ({"monitor": {"val/loss": "min", "parameters": "min"}}, "stop_sick"),
    ({"constraints": ["latency <= 5 ms"]}, "stop_sick"),
])  # fmt: skip
def test_what_it_does_not_go_with_is_refused_in_one_line(tmp_path, demand, more, told):
    with pytest.raises(ConfigError, match=told) as error:
        make(tmp_path, demand, stop_sick=True, **more)
    assert "\n" not in str(error.value)


def test_ask_and_tell_see_no_epochs(tmp_path, demand):
    with pytest.raises(ConfigError, match="stop_sick"):
        AskTell(make(tmp_path, demand, stop_sick=True))
