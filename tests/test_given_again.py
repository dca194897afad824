"""A trial whose process dies before it has begun it is given to Tune again, which gives it up."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace

import pytest
from sweeping import write
from test_sweep import one_ray, run_sweep

from lstm_lab.records.requests import Requests
from lstm_lab.sweeps.execution.callback import SweepCallback
from lstm_lab.sweeps.execution.ordered_phase import OrderedPhase
from lstm_lab.sweeps.execution.search_phase import SearchPhase

__all__ = ["one_ray"]


class Given:
    """A trial of Tune that has failed so many times."""

    def __init__(self, config, failures=1):
        self.config, self.failures = config, failures

    def should_recover(self):
        return self.failures <= SweepCallback.MAX_DEATHS - 1

    def get_error(self):
        return "The actor died"


@pytest.mark.parametrize("kind", [SearchPhase, OrderedPhase])
def test_a_trial_that_no_process_began_is_given_again_and_fails_after_three(tmp_path, vowels, kind):
    folder = write(tmp_path / "rates.yaml", vowels, num_samples=2)
    source = kind(folder, "disabled", threading.Event(), lambda: 0.0)
    shown = []
    view = SimpleNamespace(
        rows={"t0000": None}, criteria=folder.sweep.criteria, end_trial=lambda *end: shown.append(end)
    )
    callback = SweepCallback(folder, source, view, Requests(folder.path))
    for number in range(SweepCallback.MAX_DEATHS):
        config = source.suggest(f"tune-{number}")
        assert config["trial"] == "t0000"
        assert (shown, folder.trial("t0000").state) == ([], "pending")
        source.on_trial_complete(f"tune-{number}", error=True)
        callback.on_trial_error(0, [], Given(config))
    assert folder.trial("t0000").state == "failed"
    assert [end[:2] for end in shown] == [("t0000", "failed")]
    assert source.suggest("tune-3")["trial"] == "t0001"


def test_the_source_has_no_more_only_when_nothing_can_be_given_again(tmp_path, vowels):
    source = SearchPhase(write(tmp_path / "rates.yaml", vowels, num_samples=1), "disabled", threading.Event(),
                         lambda: 0.0)  # fmt: skip
    assert source.suggest("tune-0")["trial"] == "t0000"
    assert source.suggest("tune-1") is None
    source.on_trial_complete("tune-0")
    assert source.suggest("tune-1") == SearchPhase.FINISHED


@pytest.mark.slow
@pytest.mark.parametrize("order", ["virtual", "arrival"])
def test_on_ray_a_process_killed_between_two_trials_costs_neither(tmp_path, vowels, monkeypatch, order):
    completed = SweepCallback.on_trial_complete
    killed = []

    def kill_the_first(self, iteration, trials, trial, **info):
        if not killed:
            killed.append(trial.last_result["pid"])
            os.kill(killed[0], signal.SIGKILL)
        completed(self, iteration, trials, trial, **info)

    monkeypatch.setattr(SweepCallback, "on_trial_complete", kill_the_first)
    experiment = vowels.with_overrides({"trainer.max_epochs": 2})
    space = {"optimizer.lr": {"loguniform": [1e-3, 3e-2]}}
    folder, content, _ = run_sweep(
        tmp_path / "rates.yaml", experiment, order=order, num_samples=3, space=space, resources={"cpus": 2}
    )
    assert len(killed) == 1
    assert [trial.state for trial in folder.trials()] == ["finished"] * 3
    assert content["trials"]["failed"] == 0
