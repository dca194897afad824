"""Budgets, patience, confirmation and warm start of a sweep, computed from its record."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hung import HUNG
from hypothesis import given
from hypothesis import strategies as st

import lstm_lab
from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord
from lstm_lab.sweeps.execution.confirm_phase import ConfirmPhase
from lstm_lab.sweeps.execution.search_phase import SearchPhase, trials_since_best
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import Trial, best_trial, confirmation

SPACE = {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}}


def make(base, experiment, name="sweep", **more):
    path = base / f"{name}.yaml"
    content = {"experiment": experiment.dump(), "space": SPACE, "num_samples": 4, **more}
    path.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    return SweepFolder.create(base / name, load_sweep(path))


def phase(folder, of=SearchPhase, seconds=0.0):
    return of(folder, "disabled", threading.Event(), lambda: seconds)


def complete(folder, source, trial, values, state="finished"):
    """End a trial as if it had been trained: one row per epoch."""
    spec = next(row for row in folder.trial_rows() if row["trial"] == trial)
    experiment = folder.sweep.experiment_for(spec["overrides"], spec["seed"])
    run = Run.create(folder.path / "trials" / trial, experiment.dump(), command="", job_type="trial")
    run.describe(monitor=experiment.monitor, mode=experiment.mode, parameters=7)
    for epoch, value in enumerate(values):
        run.append({"epoch": epoch, experiment.monitor: value, "seconds": float(epoch)})
        source.epoch_ended()
    run.mark("finished" if state == "finished" else "interrupted")
    if state != "finished":
        folder.decide(trial, state, "for a test")
    source.trial_ended(trial)


def complete_all(folder, source, values):
    """End all trials that are suggested, each with the next of the values."""
    values = iter(values)
    while isinstance(spec := source.suggest(f"tune-{len(folder.trial_rows())}"), dict):
        complete(folder, source, spec["trial"], [9.0, next(values)])
    return [trial.id for trial in folder.trials()]


# --- end of the search ------------------------------------------------------------------------------------------------


def test_a_budget_of_trials_is_rounded_down_to_whole_configurations(tmp_path, demand):
    folder = make(tmp_path, demand, budget={"trials": 5}, seeds=[0, 1])
    source = phase(folder)
    assert source.num_remaining == 4
    assert len(complete_all(folder, source, range(9))) == 4
    assert source.conclude() == "budget.trials: 4 of 8 possible trials are done"
    assert folder.about["ended"].startswith("budget.trials")
    again = phase(folder)
    assert again.num_remaining == 0
    assert again.conclude() is None


def test_a_budget_of_epochs_counts_those_of_an_earlier_process(tmp_path, demand):
    folder = make(tmp_path, demand, budget={"epochs": 5})
    source = phase(folder)
    for _ in range(2):
        complete(folder, source, source.suggest("x")["trial"], [2.0, 1.0])
        assert not source.is_exhausted()
    resumed = phase(folder)
    assert not resumed.is_exhausted()
    left = resumed.suggest("y")["trial"]
    resumed.epoch_ended()
    assert resumed.is_exhausted()
    assert resumed.suggest("z") == SearchPhase.FINISHED
    assert resumed.conclude().startswith("budget.epochs: 5 of 5 epochs")
    (trial,) = [trial for trial in folder.trials() if trial.id == left]
    assert (trial.state, trial.value) == ("stopped", None)
    assert trial.reason.startswith("budget.epochs")


def test_a_budget_of_minutes_counts_the_wall_clock(tmp_path, demand):
    folder = make(tmp_path, demand, budget={"minutes": 0.5})
    assert not phase(folder, seconds=29.0).is_exhausted()
    source = phase(folder, seconds=31.0)
    assert source.is_exhausted()
    assert source.conclude() == "budget.minutes: 0.5 minutes are over"


def test_patience_ends_a_search_without_improvement(tmp_path, demand):
    folder = make(tmp_path, demand, num_samples=20, patience_trials=3)
    source = phase(folder)
    assert len(complete_all(folder, source, [5.0, 6.0, 4.0, 4.0, 5.0, 7.0, 0.0])) == 6
    reason = source.conclude()
    assert reason == "patience_trials: 3 trials were not better than t0002, 4"
    assert phase(folder).num_remaining == 0


def test_a_search_that_tried_everything_has_no_reason_to_end(tmp_path, demand):
    folder = make(tmp_path, demand, patience_trials=3, budget={"epochs": 100, "trials": 4})
    source = phase(folder)
    assert len(complete_all(folder, source, [1.0, 2.0, 3.0, 4.0])) == 4
    assert source.conclude() is None
    assert "ended" not in folder.about


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=12), st.sampled_from(["min", "max"]))
def test_trials_since_the_best_are_counted_from_the_first_best(values, mode):
    trials = []
    for place, value in enumerate(values):
        rows = [] if value is None else [{"epoch": 0, "m": value, "seconds": 1.0}]
        state = "failed" if value is None else "finished"
        record = RunRecord(Path(), {"monitor": "m", "mode": mode}, state, None, rows)
        trials.append(Trial(f"t{place}", place, 0, {}, state, None, record))
    since, best = trials_since_best(trials, mode)
    scored = [value for value in values if value is not None]
    if not scored:
        assert (since, best) == (len(values), None)
    else:
        place = values.index(min(scored) if mode == "min" else max(scored))
        assert (since, best) == (len(values) - 1 - place, trials[place])


# --- confirmation -----------------------------------------------------------------------------------------------------


def test_the_best_configurations_are_confirmed_and_ranked_by_their_mean(tmp_path, demand):
    folder = make(tmp_path, demand, confirm={"top": 2, "seeds": [0, 1, 2]})
    search = phase(folder)
    complete_all(folder, search, [0.1, 0.5, 0.2, 0.9])  # configurations 0 and 2 lead; 0 by chance
    source = phase(folder, ConfirmPhase)
    assert folder.about["confirmed"] == [0, 2]
    assert source.scheduler.name == "fifo"
    entered = [(row["configuration"], row["seed"], row["phase"]) for row in folder.trial_rows()[4:]]
    assert entered == [(0, 1, "confirm"), (0, 2, "confirm"), (2, 1, "confirm"), (2, 2, "confirm")]
    # Killed after the first of them: no trial is added twice.
    complete(folder, source, source.suggest("a")["trial"], [0.8])
    resumed = phase(folder, ConfirmPhase)
    assert (resumed.num_remaining, len(folder.trial_rows())) == (3, 8)
    for value in (0.9, 0.2, 0.3):
        complete(folder, resumed, resumed.suggest("b")["trial"], [value])
    ranked = folder.leaderboard()
    assert [(row.number, row.n) for row in ranked] == [(2, 3), (0, 3), (1, 1), (3, 1)]
    assert ranked[0].mean == pytest.approx((0.2 + 0.2 + 0.3) / 3)
    assert ranked[0].std is not None
    assert best_trial(ranked, "min").configuration == 2
    assert phase(folder, ConfirmPhase).num_remaining == 0
    assert phase(folder, SearchPhase).num_remaining == 0


def test_a_configuration_that_was_stopped_early_is_confirmed_to_completion(tmp_path, demand):
    folder = make(tmp_path, demand, num_samples=1, seeds=[0, 1], scheduler="asha", confirm={"top": 1, "seeds": [0, 1]})
    search = phase(folder)
    complete(folder, search, search.suggest("a")["trial"], [0.1], "stopped")
    complete(folder, search, search.suggest("b")["trial"], [0.4, 0.3])
    source = phase(folder, ConfirmPhase)
    assert [(row["seed"], row["phase"]) for row in folder.trial_rows()[2:]] == [(0, "confirm")]
    complete(folder, source, source.suggest("c")["trial"], [0.6, 0.5])
    assert [trial.id for trial in confirmation(folder.trials(), 0, (0, 1))] == ["t0002", "t0001"]
    assert folder.leaderboard()[0].mean == pytest.approx(0.4)


def test_without_confirm_no_trial_is_added(tmp_path, demand):
    folder = make(tmp_path, demand)
    complete_all(folder, phase(folder), [1.0, 2.0, 3.0, 4.0])
    assert phase(folder, ConfirmPhase).num_remaining == 0
    assert "confirmed" not in folder.about


# --- warm start -------------------------------------------------------------------------------------------------------


def test_earlier_results_are_told_and_those_outside_the_space_counted(tmp_path, demand):
    earlier = make(tmp_path, demand, "earlier", num_samples=6)
    complete_all(earlier, phase(earlier), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    rates = [trial.overrides["optimizer.lr"] for trial in earlier.trials()]
    middle = sorted(rates)[2]
    narrow = {"optimizer.lr": {"loguniform": [1e-3, float(middle)]}}
    folder = make(tmp_path, demand, "later", space=narrow, searcher={"name": "optuna"}, warm_start=[str(earlier.path)])
    assert folder.about["warm_start"] == {"told": 3, "outside": 3}
    assert sorted(row["overrides"]["optimizer.lr"] for row in folder.warm_start()) == sorted(rates)[:3]
    told = {row["overrides"]["optimizer.lr"]: row["value"] for row in folder.warm_start()}
    assert told == {
        rate: value for rate, value in zip(rates, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), strict=True) if rate in told
    }
    study = phase(folder).proposer.study
    assert {t.params["optimizer.lr"]: t.value for t in study.trials} == told
    (earlier.path / "sweep.yaml").unlink()
    assert len(phase(folder).proposer.study.trials) == 3


def test_a_warm_start_from_other_data_or_no_sweep_is_refused(tmp_path, demand, vowels):
    earlier = make(tmp_path, vowels, "earlier")
    for where, message in ((earlier.path, "metric differ"), (tmp_path / "earlie", "not a sweep")):
        with pytest.raises(ConfigError, match=message):
            make(tmp_path, demand, "later", searcher="optuna", warm_start=[str(where)])
        assert not (tmp_path / "later").exists()


# --- as a table -------------------------------------------------------------------------------------------------------


def test_a_sweep_as_a_table(tmp_path, demand):
    space = {
        **SPACE,
        "model.cell": {"choice": ["lstm", "gru"]},
        "model.cell.forget_bias": {"uniform": [0, 1], "when": {"model.cell": "lstm"}},
    }
    folder = make(tmp_path, demand, space=space, num_samples=6)
    source = phase(folder)
    for value in (0.5, 0.4, 0.3):
        complete(folder, source, source.suggest("x")["trial"], [0.9, value])
    table = lstm_lab.load_sweep(folder.path).trials
    metric = folder.sweep.base.monitor
    assert list(table.trial) == [trial.id for trial in folder.trials()] == ["t0000", "t0001", "t0002"]
    assert list(table[metric]) == [0.5, 0.4, 0.3]
    assert list(table.epoch) == [1, 1, 1]
    assert set(table.phase) == {"search"}
    assert (table["model.cell.forget_bias"].notna() == (table["model.cell"] == "lstm")).all()
    with pytest.raises(ConfigError, match="not a sweep"):
        lstm_lab.load_sweep(tmp_path / "swep")


def test_importing_the_package_brings_in_neither_pandas_nor_torch():
    import subprocess
    import sys

    code = "import sys, lstm_lab; lstm_lab.load_sweep; sys.exit(bool({'pandas', 'torch', 'ray'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HUNG)
