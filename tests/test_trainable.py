"""The trainable trains short epochs without waiting for Tune, and waits where the scheduler decides."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import sweeping
from hypothesis import given, settings

from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.execution import trainable
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.execution.tune_decider import OrderedTrial
from lstm_lab.sweeps.schedulers import Scheduler


@settings(max_examples=150)
@given(
    name=st.sampled_from(["fifo", "asha", "hyperband"]),
    epochs=st.integers(1, 60),
    grace=st.integers(1, 9),
    reduction=st.sampled_from([1.5, 2, 2.5, 3, 4]),
    seed=st.randoms(use_true_random=False),
)
def test_tune_stops_trials_only_at_decision_epochs(name, epochs, grace, reduction, seed):
    """With random curves, reported at every epoch, Tune's scheduler stops only where a trial waits for it."""
    owner = Scheduler.members[name]
    scheduler = owner.Config(
        **({} if name == "fifo" else {"grace_period": grace, "reduction_factor": reduction})
    ).build()
    waits = scheduler.decision_epochs(epochs)
    tunes = scheduler.tune_scheduler(epochs, "m", "min")
    for number in range(12):
        trial = SimpleNamespace(trial_id=str(number), status="RUNNING", is_finished=lambda: False)
        tunes.on_trial_add(None, trial)
        for epoch in range(1, epochs + 1):
            row = {"epochs": epoch, "training_iteration": epoch, "m": seed.random()}
            if tunes.on_trial_result(None, trial, row) == "STOP":
                assert epoch in waits
                break


def test_the_median_decides_at_any_epoch_and_a_population_is_compared_at_its_intervals():
    assert Scheduler.members["median"].Config().build().decision_epochs(20) is None
    for name in ("pbt", "pb2"):
        assert Scheduler.members[name].Config().build().decision_epochs(20) == [5, 10, 15]


def test_the_median_never_asks_tune_to_pause_a_trial():
    """A pause needs a checkpoint of Tune's, which our trials do not write."""
    tunes = Scheduler.members["median"].Config().build().tune_scheduler(20, "m", "min")
    trial, waiting = OrderedTrial(0), SimpleNamespace(trial_id="b", status="PENDING")
    controller = SimpleNamespace(get_live_trials=lambda: [trial, waiting])
    tunes.on_trial_add(controller, trial)
    answers = [tunes.on_trial_result(controller, trial, {"epochs": n, "m": 1.0}) for n in range(1, 9)]
    assert set(answers) == {"CONTINUE"}


@pytest.fixture
def make_trial(tmp_path, demand):
    """Makes trials of eight epochs under asha, without Ray."""
    made = []

    def make(**more):
        base = Experiment.of(demand.dump()).with_overrides({"trainer.max_epochs": 8})
        asha = {"scheduler": {"name": "asha", "grace_period": 2, "reduction_factor": 2}, **more}
        folder = sweeping.write(tmp_path / f"s{len(made)}.yaml", base, **asha)
        spec = SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0).suggest("a")
        made.append(trainable.TrialTrainable(spec))
        return made[-1], folder.run(spec["trial"])

    yield make
    for trial in made:
        trial.cleanup()


def reported_epochs(trial):
    """The epochs that are reported to Tune, one row per step, and how the trial ended."""
    epochs = []
    while "ended" not in (result := trial.step()):
        epochs.append(result["epochs"])
    return epochs, result["ended"]


def test_every_rung_is_reported_and_every_row_recorded(make_trial):
    trial, run = make_trial()
    epochs, ended = reported_epochs(trial)
    assert ended == "finished"
    assert epochs == sorted(set(epochs))
    assert {2, 4, 8} <= set(epochs)
    assert [row["epoch"] for row in run.rows()] == list(range(8))


def test_a_trial_waits_at_a_rung_and_trains_no_further_when_stopped_there(make_trial):
    trial, run = make_trial()
    while trial.step()["epochs"] < 4:
        pass
    trial._thread.join(0.5)
    assert trial._thread.is_alive()
    trial.cleanup()
    assert len(run.rows()) == 4


@pytest.mark.parametrize(
    ("short", "more"), [(0.0, {}), (60.0, {"budget": {"epochs": 30}}), (60.0, {"scheduler": "median"})]
)
def test_a_trial_waits_at_each_epoch_with_long_epochs_a_budget_or_other_schedulers(
    make_trial, monkeypatch, short, more
):
    monkeypatch.setattr(trainable, "SHORT_EPOCH", short)
    trial, run = make_trial(**more)
    for epoch in range(1, 4):
        assert trial.step()["epochs"] == epoch == len(run.rows())
    trial.cleanup()
    assert len(run.rows()) == 3


def test_a_resumed_trial_waits_at_each_epoch(make_trial):
    """The scheduler of a resumed sweep is new."""
    trial, run = make_trial()
    while trial.step()["epochs"] < 2:
        pass
    trial.cleanup()
    assert len(run.rows()) == 2
    again = trainable.TrialTrainable({**trial._spec.config(), "experiment_json": json.dumps(run.experiment)})
    try:
        for epoch in range(3, 6):
            assert again.step()["epochs"] == epoch == len(run.rows())
    finally:
        again.cleanup()
