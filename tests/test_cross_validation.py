"""Cross-validation: folds without leaks, each with its own trials, and a hopeless fold stops the rest."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_ordered_phase import SPACE, Workers
from test_sweep_budget import make

from lstm_lab.config import ConfigError, DataError, Notice, to_yaml
from lstm_lab.data.preprocessing.cross_validation import Fold
from lstm_lab.experiment import Experiment
from lstm_lab.records import files
from lstm_lab.sweeps.execution.tune_decider import FoldDecider
from lstm_lab.sweeps.ordering import Planned, VirtualClock
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.leaderboard import best_trial
from lstm_lab.sweeps.store.record import winner_folder
from lstm_lab.sweeps.store.summary import audit, write_best

LABELS = np.array([0] * 12 + [1] * 9 + [2] * 3)
ALONE = list(range(24))
PAIRS = [number // 2 for number in range(24)]


def masks(groups, labels=None, **options):
    section = {"name": "k_fold", "n_splits": 3, **options}
    count = Fold(cross_validation=section, number=0).num_folds
    folds = [Fold(cross_validation=section, number=number) for number in range(count)]
    return np.stack([fold.is_validation(groups, labels, "x.csv") for fold in folds])


@pytest.mark.parametrize("name", ["k_fold", "stratified_k_fold"])
def test_each_sample_is_for_validation_once_in_each_repetition(name):
    found = masks(ALONE, LABELS, name=name, n_repeats=2)
    assert found.shape == (6, 24)
    assert (found[:3].sum(0) == 1).all()
    assert (found[3:].sum(0) == 1).all()
    assert (found[:3] != found[3:]).any()


def test_stratified_folds_have_the_same_share_of_every_class():
    found = masks(ALONE, LABELS, name="stratified_k_fold")
    assert [np.bincount(LABELS[mask]).tolist() for mask in found] == [[4, 3, 1]] * 3


@pytest.mark.parametrize("name", ["k_fold", "group_k_fold", "stratified_k_fold"])
def test_no_group_is_on_both_sides(name):
    for mask in masks(PAIRS, LABELS, name=name):
        assert not {group for group, inside in zip(PAIRS, mask, strict=True) if inside} & {
            group for group, inside in zip(PAIRS, mask, strict=True) if not inside
        }


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        (
            ALONE,
            {"name": "group_k_fold"},
            "x.csv: no two samples have a group in common: name the column of the groups ",
        ),
        ([0, 1] * 12, {}, "x.csv: 2 groups of samples are too few for 3 folds: lower cross_validation.n_splits"),
        (ALONE, {"name": "stratified_k_fold", "n_splits": 13}, "x.csv: no class has more than 12 samples, too few for"),
    ],
)
def test_folds_that_cannot_be_made_are_one_line(groups, options, message):
    with pytest.raises(DataError, match=message):
        masks(groups, LABELS, **options)


def rows(number, end=100, **options):
    return Fold(cross_validation={"name": "time_series_split", "n_splits": 3, **options}, number=number).rows(end)


def test_rolling_origin_expands_or_slides_and_ends_before_the_test_split():
    assert [rows(number) for number in range(3)] == [((0, 25), (25, 50)), ((0, 50), (50, 75)), ((0, 75), (75, 100))]
    sliding = [rows(number, max_train_size=30, validation_size=10, gap=5) for number in range(3)]
    assert sliding == [((35, 65), (70, 80)), ((45, 75), (80, 90)), ((55, 85), (90, 100))]


def fold_of(experiment, number, **section):
    return experiment.with_overrides({"data.fold": {"cross_validation": section, "number": number}}).data.build()


def test_the_test_split_is_the_same_with_every_fold(demand):
    own = demand.data.build()
    for number in range(2):
        data = fold_of(demand, number, name="time_series_split", n_splits=2)
        assert data.test_split().ranges == own.test_split().ranges
        assert max(each.end for each in data.validation.ranges) <= min(each.first for each in own.test_split().ranges)
        assert data.digest != own.digest


def test_scale_and_classes_come_from_the_training_samples_of_the_fold(vowels):
    first, second = (fold_of(vowels, number, name="stratified_k_fold", n_splits=3) for number in (0, 1))
    assert first.info.mean != second.info.mean
    assert (len(first.train), len(first.validation), len(first.test_split())) == (180, 90, 370)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.fold": {"cross_validation": "time_series_split", "number": 0}},
         "time_series_split does not go with data 'japanese_vowels'; write group_k_fold or k_fold or stratified"),
        ({"data.fold": {"cross_validation": "k_fold", "number": 5}}, "there are 5 folds, numbered from 0 to 4"),
    ],
)  # fmt: skip
def test_a_fold_that_does_not_exist_is_refused(vowels, overrides, message):
    with pytest.raises(ConfigError, match=message):
        vowels.with_overrides(overrides)


def test_synthetic_data_have_no_folds():
    content = {"data": {"name": "adding", "fold": {"cross_validation": "k_fold", "number": 0}}, "task": "regress"}
    with pytest.raises(ConfigError, match="its splits are fixed, leave it out"):
        Experiment.of(content)


# --- the sweep --------------------------------------------------------------------------------------------------------

FOLDS = {"name": "time_series_split", "n_splits": 3}
ASHA = {"name": "asha", "grace_period": 2, "reduction_factor": 2}


def sweep_file(path, experiment, **more):
    content = {"experiment": experiment.dump(), "cross_validation": FOLDS, **more}
    path.write_text(f"# Folds\n{to_yaml(content)}")
    return path


def test_cross_validation_of_one_configuration_needs_no_space(tmp_path, demand):
    sweep = load_sweep(sweep_file(tmp_path / "cv.yaml", demand, seeds=[3, 4]))
    assert sweep.num_configurations == 1
    assert sweep.repeats == tuple(Repeat(seed, fold) for seed in (3, 4) for fold in range(3))
    fold = sweep.experiment_for({}, 3, 2).data.fold
    assert (fold.number, fold.cross_validation.n_splits) == (2, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"order": "arrival", "scheduler": ASHA, "space": SPACE}, "write order: virtual, or scheduler: fifo"),
        ({"cross_validation": "k_fold"}, "k_fold does not go with data 'taylor'; write time_series_split"),
        ({"space": {"optimizer.lr": {"uniform": [0, 1]}}, "num_samples": 3, "scheduler": "pbt"},
         "cross_validation: has no meaning for pbt"),
        ({"space": SPACE, "budget": {"trials": 2}}, "budget.trials: 2 is less than the 3 folds of one configuration"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_folds_is_refused(tmp_path, demand, more, message):
    with pytest.raises(ConfigError, match=message):
        load_sweep(sweep_file(tmp_path / "cv.yaml", demand, **more))


def folds_sweep(tmp_path, demand, name):
    experiment = demand.with_overrides({"trainer.max_epochs": 6})
    more = {"space": SPACE, "num_samples": 6, "cross_validation": FOLDS, "scheduler": ASHA, "max_concurrent_trials": 2}
    return make(tmp_path, experiment, name, **more)


def test_the_mean_over_folds_decides_and_a_hopeless_fold_stops_the_rest_of_its_configuration(tmp_path, demand):
    folder = Workers(folds_sweep(tmp_path, demand, "whole"), 1, 0, 0).run()
    trials = folder.trials()
    assert [trial.fold for trial in trials[:4]] == [0, 1, 2, 0]
    stopped = {trial.configuration for trial in trials if trial.reason == "asha: worse than the others"}
    rest = [trial for trial in trials if "of its configuration was stopped" in str(trial.reason)]
    assert rest
    assert {trial.configuration for trial in rest} <= stopped
    assert {trial.epochs for trial in rest} <= {0, 2, 4}
    assert any(trial.epochs == 0 and trial.reason.endswith("it never started") for trial in rest)
    # None of a configuration that was stopped before is trained to completion after it.
    for trial in rest:
        earlier = [each for each in trials if each.configuration == trial.configuration and each.fold < trial.fold]
        assert any(each.state == "stopped" for each in earlier)
    assert audit(folder, "disabled")["runs"] == 0
    check_best(folder)
    with pytest.warns(Notice, match=r"was trained on fold \d alone; .*best\.yaml"):
        assert winner_folder(folder.path).parent == folder.path / "trials"


def check_best(folder):
    best = folder.leaderboard()[0]
    assert (best.n, best.mean) == (3, pytest.approx(np.mean([trial.value for trial in best.trials])))
    won = best_trial([best], "min")
    assert abs(won.value - best.mean) == min(abs(trial.value - best.mean) for trial in best.trials)
    write_best(folder, folder.sweep, best, won)
    text = (folder.path / files.BEST_EXPERIMENT).read_text()
    assert f"over 3 folds: {best.mean!r}, standard deviation {best.std!r}" in text
    assert "fold: null" in text
    assert json.loads((folder.path / files.TRIALS).read_text().splitlines()[1])["fold"] == 1


@pytest.mark.slow
def test_folds_are_the_same_for_any_workers_and_kills(tmp_path, demand):
    def record(folder):
        return (folder.path / files.TRIALS).read_text(), [(t.id, t.state, t.epochs, t.reason) for t in folder.trials()]

    whole = record(Workers(folds_sweep(tmp_path, demand, "whole"), 1, 0, 0).run())
    for places, kills in ((3, 3), (5, 1)):
        folder = folds_sweep(tmp_path, demand, f"on-{places}")
        assert record(Workers(folder, places, places, kills).run()) == whole


def test_a_fold_is_compared_with_the_same_fold_alone():
    class Seen:
        def __init__(self):
            self.trials = []

        def decide(self, trial, epochs, row):
            self.trials.append(trial)
            return True

    decider = FoldDecider(Seen, lambda trial: trial % 2)
    for trial in range(6):
        decider.decide(trial, 1, {})
    assert {fold: each.trials for fold, each in decider.deciders.items()} == {0: [0, 2, 4], 1: [1, 3, 5]}


def test_the_clock_asks_for_no_trial_behind_a_stopped_one_of_its_group():
    class Trials:
        def __init__(self):
            self.left, self.skipped = [[Planned(4, group=0)] * 3, [Planned(4, group=1)]], []

        def plan(self):
            return self.left.pop(0) if self.left else []

        def skip(self, trial, because):
            self.skipped.append((trial, because))

        def end(self, trial):
            pass

    class Never:
        def decide(self, trial, epochs, row):
            return trial == 3

    source = Trials()
    clock = VirtualClock(1, source, Never(), decision_epochs=[2])
    assert clock.take() == 0
    clock.report(0, 2, {})
    clock.end(0)
    assert source.skipped == [(1, 0), (2, 0)]
    assert clock.take() == 3
