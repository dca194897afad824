"""Averages of weights equal their formulas; validation and checkpoints use them, training and resuming do not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import StopAt
from test_optimizers import SCHEDULE_FREE, needs_schedulefree
from test_training import assert_same, start, uninterrupted, weights
from torch.testing import assert_close

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.optimizers import Averaging, schedule_free
from lstm_lab.optimizers.averaging.nt_asgd import NTASGD
from lstm_lab.training.checkpointing import read_checkpoint
from lstm_lab.training.train import train

walks = st.lists(st.floats(-3, 3, allow_subnormal=False, width=32), min_size=1, max_size=30)


def averaged(averaging, walk, epochs=False):
    """The average after each weight of a walk, None before the first."""
    found = []
    for number, weight in enumerate(walk, 1):
        if epochs:
            averaging.after_epoch([torch.tensor(weight)], number / len(walk))
        else:
            averaging.after_step([torch.tensor(weight)])
        found.append(None if averaging.average is None else float(averaging.average[0]))
    return found


@settings(max_examples=30)
@given(walk=walks)
def test_ema(walk):
    mean, expected = walk[0], [walk[0]]
    for t, weight in enumerate(walk[1:], 1):
        kept = min(0.6, (1 + t) / (10 + t))
        mean = kept * mean + (1 - kept) * weight
        expected.append(mean)
    assert averaged(Averaging.members["ema"](decay=0.6), walk) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30)
@given(walk=walks)
def test_swa_and_last_k(walk):
    begin = len(walk) // 2
    expected = [None] * begin + [sum(walk[begin : i + 1]) / (i + 1 - begin) for i in range(begin, len(walk))]
    swa = averaged(Averaging.members["swa"](swa_epoch_start=begin / len(walk)), walk, epochs=True)
    assert [value is None for value in swa] == [value is None for value in expected]
    assert swa[begin:] == pytest.approx(expected[begin:], abs=1e-5)
    means = [sum(walk[max(0, i - 2) : i + 1]) / min(3, i + 1) for i in range(len(walk))]
    assert averaged(Averaging.members["last_k"](k=3), walk, epochs=True) == pytest.approx(means, abs=1e-5)


@settings(max_examples=60)
@given(costs=st.lists(st.integers(0, 9), max_size=25), n=st.integers(1, 6), mode=st.sampled_from(["min", "max"]))
def test_nt_asgd_is_triggered_as_the_paper_says(costs, n, mode):
    averaging, triggered, seen = Averaging.members["nt_asgd"](n=n), False, []
    for number, cost in enumerate(costs):
        averaging.after_step([torch.tensor(float(number))])
        # Algorithm 1: t > n and v > min over l in {0, ..., t - n} of logs[l].
        triggered = triggered or (len(seen) > n and cost > min(seen[: len(seen) - n]))
        seen.append(cost)
        averaging.observe(cost if mode == "min" else -cost, mode)
        assert averaging.is_triggered == triggered
    assert (averaging.average is not None) == (averaging.count > 0)


def test_nt_asgd_is_the_mean_of_all_steps_since():
    averaging = Averaging.members["nt_asgd"](n=1)
    for cost in (1.0, 2.0, 3.0):
        averaged(averaging, [50.0])
        averaging.observe(cost, "min")
    assert averaged(averaging, [1.0, 2.0, 6.0]) == pytest.approx([1.0, 1.5, 3.0])


CHOICES = {
    "ema": {"name": "ema", "decay": 0.9},
    "swa": {"name": "swa", "swa_epoch_start": 0.25},
    "last_k": {"name": "last_k", "k": 2},
    "nt_asgd": {"name": "nt_asgd", "n": 1},
}


def experiment_with(base, name):
    epochs = 4 if name == "nt_asgd" else 3
    return base.with_overrides({"averaging": CHOICES[name], "trainer.max_epochs": epochs})


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_resumed_equals_uninterrupted(tmp_path, vowels, monkeypatch, name):
    # As if the metric rose, so that NT-ASGD is triggered by the third validation.
    observe = NTASGD.observe
    monkeypatch.setattr(NTASGD, "observe", lambda self, value, mode: observe(self, float(len(self.costs)), "min"))
    experiment = experiment_with(vowels, name)
    whole, result = uninterrupted(tmp_path, experiment)
    content = read_checkpoint(whole.checkpoints / "last.ckpt")
    trained = content["learner"]["averaging"]["trained"]
    assert trained is not None
    assert any(not torch.equal(value, content["state_dict"][key]) for key, value in trained.items())
    # What was validated is what is evaluated.
    assert evaluate(whole, "validation").model["loss"] == pytest.approx(result.value, rel=1e-4)
    run = start(tmp_path / "cut", experiment)
    for looks in (25,) if name == "nt_asgd" else (8, 9):
        with pytest.raises(Interrupted):
            train(experiment, run, stop=StopAt(looks))
    train(experiment, run)
    assert_same(run, whole)
    again = read_checkpoint(run.checkpoints / "last.ckpt")["learner"]["averaging"]["trained"]
    assert all(torch.equal(value, again[key]) for key, value in trained.items())


@pytest.mark.parametrize("name", SCHEDULE_FREE)
@needs_schedulefree
def test_a_schedule_free_optimizer_is_validated_by_its_average(tmp_path, vowels, name):
    experiment = vowels.with_overrides({"optimizer": {"name": name, "lr": 0.02}, "trainer.max_epochs": 3})
    whole, result = uninterrupted(tmp_path, experiment)
    content = read_checkpoint(whole.checkpoints / "last.ckpt")
    trained, (state,) = content["learner"]["averaging"]["trained"], content["optimizer_states"]
    names = state["param_groups"][0]["param_names"]
    assert len(names) == len(trained)
    for number, key in enumerate(names):
        # y = 0.9 x + 0.1 z, of the weights x that are validated and y at which gradients are taken.
        x, y, z = content["state_dict"][f"model.{key}"], trained[f"model.{key}"], state["state"][number]["z"]
        assert_close(y, 0.9 * x + 0.1 * z)
        assert not torch.equal(x, y)
    assert evaluate(whole, "validation").model["loss"] == pytest.approx(result.value, rel=1e-4)
    run = start(tmp_path / "cut", experiment)
    for looks in (3, 8):
        with pytest.raises(Interrupted):
            train(experiment, run, stop=StopAt(looks))
    train(experiment, run)
    assert_same(run, whole)
    again = read_checkpoint(run.checkpoints / "last.ckpt")["learner"]["averaging"]["trained"]
    assert all(torch.equal(value, again[key]) for key, value in trained.items())


@needs_schedulefree
def test_a_schedule_free_optimizer_takes_no_schedule_and_no_average(vowels):
    chosen = vowels.with_overrides({"optimizer": "schedule_free_adamw", "schedule.warmup_fraction": 0.1})
    with pytest.raises(ConfigError, match=r"schedule=cosine: optimizer 'schedule_free_adamw' takes the place of a"):
        chosen.with_overrides({"schedule": "cosine"})
    with pytest.raises(ConfigError, match=r"averaging=ema: optimizer 'schedule_free_adamw' averages the weights its"):
        chosen.with_overrides({"averaging": "ema"})
    with pytest.raises(ConfigError, match=r"betas\[0\]=0: the weights would have no share"):
        chosen.with_overrides({"optimizer.betas": [0.0, 0.9]})


def test_without_the_package_a_schedule_free_optimizer_is_refused(vowels, monkeypatch):
    monkeypatch.setattr(schedule_free.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package schedulefree: pip install schedulefree, or use adamw"):
        vowels.with_overrides({"optimizer": "schedule_free_sgd"})


def test_training_goes_on_with_the_weights_themselves(tmp_path, vowels):
    """What is trained is what would be trained without an average."""
    plain = start(tmp_path / "plain", vowels)
    train(vowels, plain)
    averaging = vowels.with_overrides({"averaging": "ema"})
    run = start(tmp_path / "ema", averaging)
    train(averaging, run)
    stored = read_checkpoint(run.checkpoints / "last.ckpt")["learner"]["averaging"]["trained"]
    assert all(torch.equal(value, weights(plain)[key]) for key, value in stored.items())
    assert [row["train/loss"] for row in run.rows()] == [row["train/loss"] for row in plain.rows()]
    assert [row["val/loss"] for row in run.rows()] != [row["val/loss"] for row in plain.rows()]


def test_every_averaging_has_a_field_that_is_checked(vowels):
    for name, field in {"ema": "decay", "swa": "swa_epoch_start", "last_k": "k", "nt_asgd": "n"}.items():
        with pytest.raises(ConfigError, match=f"averaging.{field}"):
            Experiment.with_overrides(vowels, {"averaging": {"name": name, field: -1}})


# --- backtracking -----------------------------------------------------------------------------------------------------


BACKTRACKING = {
    "schedule": {"name": "backtracking", "patience": 1, "factor": 0.1}, "optimizer.lr": 3.0, "trainer.max_epochs": 6,
}  # fmt: skip


def test_backtracking_returns_to_the_best_epoch_and_resumes_exactly(tmp_path, vowels):
    experiment = vowels.with_overrides(BACKTRACKING)
    whole, _ = uninterrupted(tmp_path, experiment)
    rows = whole.rows()
    best, waited, level = None, 0, 1.0
    for row in rows:
        assert row["lr"] == pytest.approx(3.0 * level)
        improved = best is None or row["val/loss"] < best["val/loss"]
        best, waited = (row, 0) if improved else (best, waited + 1)
        assert ("rolled_back_to" in row) == (waited == 1)
        if waited == 1:
            assert row["rolled_back_to"] == best["epoch"]
            waited, level = 0, level * 0.1
    assert any("rolled_back_to" in row for row in rows)
    run = start(tmp_path / "cut", experiment)
    for _ in range(40):
        try:
            train(experiment, run, stop=StopAt(17))
        except Interrupted:
            continue
        break
    assert_same(run, whole)


def test_after_a_roll_back_the_checkpoint_holds_the_best_weights_and_state(tmp_path, vowels):
    experiment = vowels.with_overrides(BACKTRACKING)
    seen = []

    def compare(row):
        if "rolled_back_to" in row:
            last, best = (torch.load(run.checkpoints / name, weights_only=True) for name in ("last.ckpt", "best.ckpt"))
            for key, value in best["state_dict"].items():
                assert torch.equal(last["state_dict"][key], value)
            for key, state in best["optimizer_states"][0]["state"].items():
                for name, value in state.items():
                    assert_close(last["optimizer_states"][0]["state"][key][name], value, rtol=0, atol=0)
            seen.append(row["epoch"])

    run = start(tmp_path / "run", experiment)
    train(experiment, run, on_epoch=compare)
    assert seen


def test_patience_that_early_stopping_leaves_no_time_for_is_refused(vowels):
    for name in ("plateau", "backtracking"):
        with pytest.raises(ConfigError, match=r"schedule.patience=5 would do nothing: training stops after"):
            vowels.with_overrides({"schedule": {"name": name, "patience": 5}, "trainer.patience": 5})
    vowels.with_overrides({"schedule": {"name": "plateau", "patience": 4}, "trainer.patience": 5})
