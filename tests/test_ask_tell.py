"""ask and tell: a sweep over training code of one's own."""

from __future__ import annotations

import math

import pytest
from test_sweep_budget import make

import lstm_lab as lab
from lstm_lab.config import ConfigError
from lstm_lab.records import files
from lstm_lab.sweeps.ask_tell import AskTell
from lstm_lab.sweeps.execution import driver
from lstm_lab.sweeps.store.folder import SweepFolder

TPE = {"num_samples": 6, "seeds": [0, 1], "searcher": {"name": "optuna", "n_startup_trials": 2}}


def value(trial):
    return abs(math.log(trial.experiment.optimizer.lr / 0.02)) + trial.seed / 9


def finish(sweep):
    while trial := sweep.ask():
        sweep.tell(trial, value(trial), seconds=2.0)
    return sweep


def rows(folder):
    return [(row["trial"], row["overrides"], row["seed"]) for row in folder.trial_rows()]


def test_it_is_a_sweep_like_any_other(tmp_path, demand):
    folder = make(tmp_path, demand, **TPE)
    with AskTell(folder) as sweep:
        with pytest.raises(ConfigError, match="another process is working on this sweep"):
            AskTell(SweepFolder(folder.path))
        first = sweep.ask()
        assert (first.experiment.seed, first.overrides) == (0, folder.trial_rows()[0]["overrides"])
        sweep.tell(first, {folder.sweep.base.monitor: value(first), "val/mae": 3.0})
        finish(sweep)
        assert sweep.best.value == min(trial.value for trial in folder.trials() if trial.seed == 0)
    result = lab.load_sweep(folder.path)
    assert list(result.trials["state"]) == 12 * ["finished"]
    assert result.leaderboard["mean"].is_monotonic_increasing
    assert result.summary["winner"]["trial"] == sweep.best.id
    assert "Best configuration" in result.report("markdown").read_text()
    assert (folder.path / files.BEST_EXPERIMENT).is_file()
    with pytest.raises(ConfigError, match=r"go on in Python: lstm_lab.ask_tell\("):
        driver.run_phases(folder, wandb="disabled", console=None)


def test_it_goes_on_after_a_kill_as_if_nothing_had_happened(tmp_path, demand):
    whole = make(tmp_path, demand, "whole", **TPE)
    finish(AskTell(whole)).close()
    folder = make(tmp_path, demand, "killed", **TPE)
    for steps in (1, 3, 2, 0, 4):
        sweep = AskTell(SweepFolder(folder.path))
        for _ in range(steps):
            trial = sweep.ask()
            sweep.tell(trial.id, value(trial))
        sweep.ask()  # Asked, and never told: it is asked again.
        sweep._stack.close()  # The lock goes with a process.
    finish(AskTell(SweepFolder(folder.path))).close()
    assert rows(folder) == rows(whole)
    assert [row["told"] for row in folder.trial_rows()] == [row["told"] for row in whole.trial_rows()]


def test_failures_and_what_cannot_be_told(tmp_path, demand):
    with AskTell(make(tmp_path, demand, num_samples=3)) as sweep:
        one, two, three = sweep.ask(), sweep.ask(), sweep.ask()
        assert sweep.ask() is None
        sweep.tell(two, float("nan"))
        sweep.fail(three, "CUDA out of memory")
        for trial, told, message in (
            (three, 1.0, f"{three.id} was not asked for, or has been told already: awaited are {one.id}"),
            (one, {"val/other": 1.0}, "is missing: give it, or the value alone"),
        ):
            with pytest.raises(ConfigError, match=message):
                sweep.tell(trial, told)
        sweep.tell(one, 1.0)
        states = {trial.id: (trial.state, trial.reason) for trial in sweep.folder.trials()}
    assert states == {
        one.id: ("finished", None),
        two.id: ("failed", f"{sweep.base.monitor} is nan"),
        three.id: ("failed", "CUDA out of memory"),
    }


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"scheduler": "asha"}, "scheduler: asha looks at epochs"),
        ({"scheduler": {"name": "pbt", "perturbation_interval": 1}}, "scheduler: pbt looks at epochs"),
        ({"confirm": {"seeds": [5]}}, "confirm: is not done by ask and tell"),
        ({"budget": {"epochs": 9}}, "ask and tell count trials alone"),
    ],
)
def test_what_it_does_not_serve_is_refused(tmp_path, demand, section, message):
    with pytest.raises(ConfigError, match=message):
        AskTell(make(tmp_path, demand, **section))
