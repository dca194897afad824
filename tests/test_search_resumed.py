"""A search that was interrupted and resumed proposes what an uninterrupted one does."""

import math
import shutil

import pytest
from test_sweep_budget import complete, make, phase

from lstm_lab.config import ConfigError, Interrupted, Notice, load, to_yaml
from lstm_lab.records import files
from lstm_lab.records.scores import Scores
from lstm_lab.sweeps import execution
from lstm_lab.sweeps.execution.confirm_phase import ConfirmPhase
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.spec import Sweep, load_sweep
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.repair import repair
from lstm_lab.workflow import run_sweep

SPACE = {
    "optimizer.lr": {"loguniform": [1e-3, 1e-1]},
    "model.hidden_size": {"randint": [2, 30]},
    "model.cell": {"choice": ["lstm", "gru"]},
}
SEARCHERS = {
    "optuna": {"name": "optuna", "n_startup_trials": 3},
    "gp": {"name": "optuna", "n_startup_trials": 3, "sampler": "gp"},
    "random of optuna": {"name": "optuna", "sampler": "random"},
    "hyperopt": {"name": "hyperopt", "n_startup_trials": 3},
    "random": "random",
}
SUMMARY = {
    "title": "a", "metric": "val/loss", "mode": "min", "baselines": {}, "skill": {}, "failures": [],
    "configurations": [], "trials": {"total": 1, "finished": 1, "stopped": 0, "failed": 0},
}  # fmt: skip


def value_of(overrides):
    """The result of a configuration; one in ten fails."""
    return abs(math.log(overrides["optimizer.lr"] / 0.02)) + overrides["model.hidden_size"] / 100


def search(folder, ahead, stops=()):
    """Run a search, `ahead` trials at a time, the oldest ending first; it is interrupted after so many ended trials."""
    source, running, ended = phase(folder), [], 0
    while True:
        while len(running) < ahead and isinstance(spec := source.suggest("tune"), dict):
            running.append(spec["trial"])
        if not running:
            return [row["overrides"] for row in folder.trial_rows()]
        trial = running.pop(0)
        overrides = next(row["overrides"] for row in folder.trial_rows() if row["trial"] == trial)
        complete(folder, source, trial, [value_of(overrides)], "failed" if ended == 4 else "finished")
        ended += 1
        if ended in stops:
            source, running = phase(folder), []


@pytest.mark.parametrize(
    "searcher",
    # Fitting Gaussian processes takes seconds.
    [
        pytest.param(value, id=name, marks=[pytest.mark.slow] if name == "gp" else [])
        for name, value in SEARCHERS.items()
    ],
)
@pytest.mark.parametrize("ahead", [1, 3])
def test_a_resumed_search_equals_an_uninterrupted_one(tmp_path, demand, searcher, ahead):
    if "gp" in str(searcher):
        pytest.importorskip("scipy")
    more = {"space": SPACE, "num_samples": 9, "searcher": searcher}
    whole = search(make(tmp_path, demand, "whole", **more), ahead)
    assert search(make(tmp_path, demand, "resumed", **more), ahead, stops=(1, 2, 5, 7)) == whole
    assert len({str(overrides) for overrides in whole}) == 9


def test_a_search_of_an_older_version_is_resumed_with_its_own_configurations(tmp_path, demand):
    folder = make(tmp_path, demand, space=SPACE, num_samples=6, searcher=SEARCHERS["optuna"])
    source = phase(folder)
    recorded = {"optimizer.lr": 0.05, "model.hidden_size": 29, "model.cell": "gru"}
    folder.add_trial(0, Repeat(0), recorded)
    resumed = phase(folder)
    complete(folder, resumed, resumed.suggest("a")["trial"], [0.1])
    assert source.proposer.ask(0) != recorded
    told = [trial for trial in resumed.proposer.study.get_trials() if trial.value is not None]
    assert [trial.params["model.hidden_size"] for trial in told] == [29]


def test_a_configuration_that_was_tried_twice_is_confirmed_once(tmp_path, demand):
    confirm = {"top": 2, "seeds": [0, 1]}
    folder = make(tmp_path, demand, space={"model.hidden_size": {"choice": [4, 5, 6]}}, num_samples=6, confirm=confirm)
    source = phase(folder)
    while isinstance(spec := source.suggest("tune"), dict):
        row = next(row for row in folder.trial_rows() if row["trial"] == spec["trial"])
        complete(folder, source, spec["trial"], [row["overrides"]["model.hidden_size"] / 10])
    sizes = [row["overrides"]["model.hidden_size"] for row in folder.trial_rows()]
    assert len(set(sizes)) < len(sizes)
    phase(folder, ConfirmPhase)
    confirmed = [trial.overrides["model.hidden_size"] for trial in folder.trials() if trial.phase == "confirm"]
    assert confirmed == sorted(set(sizes))[:2]


# --- what a sweep was asked for ---------------------------------------------------------------------------------------


def write(path, content):
    path.write_text(f"# A title\n{to_yaml(content)}")
    return path


def test_the_seed_of_the_experiment_is_that_of_the_trials(tmp_path, demand):
    best = write(tmp_path / "best.yaml", demand.with_overrides({"seed": 7}).dump())
    content = {"experiment": str(best), "space": {"optimizer.lr": {"choice": [0.1, 0.2]}}}
    path = write(tmp_path / "s.yaml", content)
    assert load_sweep(path).seeds == (7,)
    assert load_sweep(path, ["experiment.seed=8"]).seeds == (8,)
    assert Sweep(title="a", **{**content, "experiment": load(best)}).seeds == (7,)
    assert load_sweep(path, ["seeds=[6, 7]"]).seeds == (6, 7)
    with pytest.warns(Notice, match=r"the experiment has seed 7, its trials have seeds: \[0, 1\]"):
        assert load_sweep(path, ["seeds=[0, 1]"]).seeds == (0, 1)
    with pytest.raises(ConfigError, match=r"experiment.seed: has no effect beside seeds: \[0\]"):
        load_sweep(path, ["seeds=[0]", "experiment.seed=3"])


def test_a_resumed_sweep_evaluates_on_the_test_split_once_if_it_was_asked_to(tmp_path, demand, monkeypatch):
    folder, interrupted, evaluated = make(tmp_path, demand), [True], []

    def execute(folder, **_):
        if interrupted.pop():
            raise KeyboardInterrupt
        before = summary.read_summary(folder.path)
        content = {**SUMMARY, "winner": {"trial": "t0000", "config": {}, "test": None}}
        if before:
            summary._keep_test_scores(folder, content)
        return content

    def evaluate_best(folder):
        evaluated.append(folder.name)
        winner = {"trial": "t0000", "config": {}, "test": {"loss": 1.0}}
        content = {**SUMMARY, "winner": winner, "baselines": {"test": {}}, "skill": {"test": {}}}
        files.write_json(folder.path / files.SUMMARY, content)
        return Scores(split="test", monitor="loss", mode="min", model={"loss": 1.0}, baselines={}, test_evaluations=1)

    monkeypatch.setattr(execution, "execute_sweep", execute)
    monkeypatch.setattr(summary, "evaluate_best", evaluate_best)
    monkeypatch.setattr(summary, "publish", lambda *_, **__: {})
    monkeypatch.setattr("lstm_lab.report.write_report", lambda path: path)
    with pytest.raises(Interrupted):
        run_sweep(folder, test=True)
    for _ in range(2):
        interrupted.append(False)
        run_sweep(folder)
    assert evaluated == [folder.name]


def test_a_trial_whose_both_records_are_lost_is_asked_for_again(tmp_path, demand):
    folder = make(tmp_path, demand, order="arrival")
    search = phase(folder)
    for number in range(3):
        search.suggest(f"tune-{number}")
    asked = {trial.configuration: trial.overrides for trial in folder.trials()}
    shutil.rmtree(folder.run("t0001").path)
    files.write_jsonl(folder.path / files.TRIALS, [row for row in folder.trial_rows() if row["trial"] != "t0001"])
    assert repair(folder.path) == []
    search = phase(folder)
    while isinstance(search.suggest("tune"), dict):
        pass
    found = {trial.configuration: trial.overrides for trial in folder.trials()}
    assert len(folder.trials()) == len(found) == 4
    assert {number: found[number] for number in asked} == asked
