"""A search on the virtual clock writes the same record whatever real workers do, and however often it is resumed."""

from __future__ import annotations

import json
import math
import random
import threading

import pytest
from test_sweep_budget import make

from lstm_lab.config import to_yaml
from lstm_lab.records import files
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution.driver import phases
from lstm_lab.sweeps.execution.ordered_phase import OrderedPhase
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.execution.tune_decider import TuneDecider
from lstm_lab.sweeps.ordering import Answer
from lstm_lab.sweeps.schedulers import Scheduler
from lstm_lab.sweeps.store.folder import SweepFolder

EPOCHS = 6
SPACE = {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}, "model.hidden_size": {"randint": [2, 30]}}
SWEEPS = {
    "asha": {"num_samples": 8, "seeds": [0, 1],
             "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 2}},
    "hyperband": {"num_samples": 10, "scheduler": {"name": "hyperband", "grace_period": 1, "reduction_factor": 2}},
    "median": {"num_samples": 8, "scheduler": {"name": "median", "grace_period": 2}},
    "tpe": {"num_samples": 9, "searcher": {"name": "optuna", "n_startup_trials": 2}, "max_concurrent_trials": 3,
            "scheduler": {"name": "asha", "grace_period": 2, "reduction_factor": 2}},
    "patience": {"num_samples": 12, "patience_trials": 3, "seeds": [0, 1]},
    "epochs": {"num_samples": 9, "budget": {"epochs": 23}, "searcher": {"name": "hyperopt", "n_startup_trials": 2}},
}  # fmt: skip


class Workers:
    """Real workers without Ray, each an epoch at a time, in random order; they and the driver are killed."""

    def __init__(self, folder, places, seed, kills):
        self.folder, self.places, self.rng, self.kills = folder, places, random.Random(seed), kills
        self.metric = folder.sweep.base.monitor

    def run(self):
        self.start()
        for _ in range(3_000):
            while len(self.active) < self.places and isinstance(spec := self.phase.suggest("tune"), dict):
                self.active.append(spec["trial"])
                self.stand(spec["trial"])
            if not self.active:
                if self.phase.suggest("tune") == OrderedPhase.FINISHED:
                    break
                self.wake()
                continue
            if self.kills and self.rng.random() < 0.1:
                self.kills -= 1
                self.start()
            else:
                self.train(self.rng.choice(self.active))
        else:
            raise AssertionError("it waits for ever")
        self.phase.conclude()
        return self.folder

    def start(self):
        (of, _), self.active, self.idle = phases(self.folder), [], []
        self.phase = of(self.folder, "disabled", threading.Event(), lambda: 0.0)

    def rows(self, trial):
        run = self.folder.run(trial)
        return run.rows() if run.exists() else []

    def stand(self, trial):
        """What a trial does that is given to a worker: it reports where it stands."""
        rows = self.rows(trial)
        if rows:
            self.phase.report(trial, len(rows), rows[-1])
            self.act(trial, len(rows))

    def act(self, trial, epochs):
        answer = self.phase.answer(trial, epochs)
        if answer is Answer.WAIT and trial not in self.idle:
            self.active.remove(trial)
            self.idle.append(trial)
        elif answer is Answer.STOP:
            self.folder.decide(trial, "stopped", self.phase.trial_stop_reason(trial))
            self.ended(trial)
        self.wake()

    def wake(self):
        for trial in list(self.idle):
            if trial in self.idle and self.phase.answer(trial, len(self.rows(trial))) is not Answer.WAIT:
                self.idle.remove(trial)
                self.active.append(trial)
                self.act(trial, len(self.rows(trial)))

    def ended(self, trial):
        self.active.remove(trial)
        self.phase.trial_ended(trial)
        self.wake()

    def train(self, trial):
        row = next(row for row in self.folder.trial_rows() if row["trial"] == trial)
        run, epochs = self.folder.run(trial), len(self.rows(trial))
        if not run.exists():
            experiment = self.folder.sweep.experiment_for(row["overrides"], row["seed"])
            Run.create(run.path, experiment.dump(), command="", job_type="trial")
            run.describe(monitor=experiment.monitor, mode=experiment.mode, parameters=7)
        if epochs == EPOCHS:
            run.mark("finished")
            return self.ended(trial)
        if trial == "t0003" and epochs == 3:
            self.folder.decide(trial, "failed", "it always does")
            return self.ended(trial)
        off = abs(math.log(row["overrides"]["optimizer.lr"] / 0.02)) + row["seed"] / 9
        value = self.value(off, epochs + 1)
        run.append({"epoch": epochs, self.metric: value, "seconds": float(epochs)})
        self.phase.report(trial, epochs + 1, run.rows()[-1])
        return self.act(trial, epochs + 1)

    def value(self, off, epochs):
        return off + off / epochs**2


def record(folder):
    """trials.jsonl, and how each trial ended."""
    states = [(trial.id, trial.state, trial.epochs, trial.reason) for trial in folder.trials()]
    return (folder.path / files.TRIALS).read_text(), states, folder.about.get("ended")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("asha", "tpe") else [pytest.mark.slow]) for name in SWEEPS]
)
def test_the_record_is_the_same_for_any_workers_and_kills(tmp_path, demand, name):
    more, experiment = {"space": SPACE, **SWEEPS[name]}, demand.with_overrides({"trainer.max_epochs": EPOCHS})
    whole = record(Workers(make(tmp_path, experiment, "whole", **more), 1, 0, 0).run())
    assert len({state for _, state, _, _ in whole[1]}) > 1
    for places, kills in ((2, 3), (5, 1)):
        folder = make(tmp_path, experiment, f"on-{places}", **more)
        assert record(Workers(folder, places, places, kills).run()) == whole


@pytest.mark.slow
def test_each_end_has_its_reason(tmp_path, demand):
    def ended(name):
        experiment = demand.with_overrides({"trainer.max_epochs": EPOCHS})
        return Workers(make(tmp_path, experiment, name, space=SPACE, **SWEEPS[name]), 2, 0, 0).run()

    def reasons(folder):
        return {trial.reason for trial in folder.trials() if trial.state == "stopped"}

    folder = ended("epochs")
    assert folder.about["ended"] == "budget.epochs: 23 epochs are done"
    assert len(folder.trials()) < 9
    assert ended("patience").about["ended"].startswith("patience_trials: ")
    assert reasons(ended("asha")) == {"asha: worse than the others"}


def test_a_searcher_is_asked_only_when_it_was_told_what_ended_before(tmp_path, demand):
    experiment = demand.with_overrides({"trainer.max_epochs": EPOCHS})
    more = {"space": SPACE, "num_samples": 7, "searcher": {"name": "optuna", "n_startup_trials": 1}}
    folder = make(tmp_path, experiment, max_concurrent_trials=2, **more)
    Workers(folder, 6, 3, 1).run()
    assert [row["told"] for row in folder.trial_rows()] == [[], [], [0], [1], [2], [3], [4]]


def test_a_sweep_of_an_older_version_goes_on_by_arrival(tmp_path, demand):
    folder = make(tmp_path, demand)
    assert phases(folder)[0] is OrderedPhase
    content = folder.sweep.dump()
    del content["order"], content["max_concurrent_trials"]
    (folder.path / files.SWEEP).write_text(to_yaml(content))
    assert folder.sweep.order == "arrival"
    assert phases(SweepFolder(folder.path))[0] is SearchPhase


def test_the_bracket_of_a_trial_is_drawn_for_that_trial_alone():
    scheduler = Scheduler.members["hyperband"].Config(grace_period=1, reduction_factor=2, brackets=3).build()

    def brackets(order):
        decider = TuneDecider(scheduler, 20, "m", "min", seed=5)
        for trial in order:
            decider.decide(trial, 1, {"m": 1.0})
        tunes = decider.tunes
        return {trial: tunes._brackets.index(tunes._trial_info[decider.trials[trial].trial_id]) for trial in order}

    assert brackets(range(12)) == brackets([5, 3, 11, 0, 1, 2, 4, 10, 9, 8, 7, 6])
    assert len(set(brackets(range(12)).values())) == 3


def test_json_of_a_trial_says_whether_it_is_ordered(tmp_path, demand):
    spec = OrderedPhase(make(tmp_path, demand), "disabled", threading.Event(), lambda: 0.0).suggest("tune")
    assert spec["is_ordered"]
    assert json.loads(spec["overrides_json"])
