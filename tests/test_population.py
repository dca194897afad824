"""Population-based training: a clone is its donor's weights with its own numbers, whatever is killed on the way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.run import Run
from lstm_lab.sweep import population
from lstm_lab.sweep.population import Population, adopt, lineage, prepare
from lstm_lab.sweep.record import SweepFolder
from lstm_lab.sweep.schedulers import changeable, group_of
from lstm_lab.sweep.spec import load_sweep
from lstm_lab.train import train

SPACE = {
    "optimizer.lr": {"loguniform": [1e-3, 0.1]},
    "optimizer.weight_decay": {"uniform": [0.0, 0.01]},
    "model.dropout.output": {"uniform": [0.0, 0.4]},
    "trainer.gradient_clip": {"choice": [0.5, 1.0, 2.0]},
}
PBT = {"name": "pbt", "interval": 2, "share": 0.5, "resample": 0.2}


class Enough(Exception):
    pass


def train_to(experiment, run, epochs):
    """Train, and be cut off after so many epochs."""

    def stop(row):
        if row["epoch"] + 1 >= epochs:
            raise Enough

    with pytest.raises(Enough):
        train(experiment, run, on_epoch=stop)


def write(path, experiment, **more):
    content = {"experiment": experiment.dump(), "space": SPACE, "samples": 3, "scheduler": PBT, **more}
    path.write_text(f"# Which numbers, and when?\n{config.to_yaml(content)}")
    return path


@pytest.fixture
def pair(tmp_path, vowels):
    """A donor three epochs on, and a trial two epochs on."""
    made = []
    for name, lr, epochs in (("t0000", 0.01, 3), ("t0001", 0.002, 2)):
        experiment = vowels.with_overrides({"optimizer.lr": lr, "trainer.max_epochs": 6})
        run = Run.create(tmp_path / name, experiment.dump(), command="", job_type="trial")
        train_to(experiment, run, epochs)
        made.append((experiment, run))
    return made


def weights(run, name="last.ckpt"):
    return torch.load(run.checkpoints / name, weights_only=True)


NEW = {"optimizer.lr": 0.03, "optimizer.weight_decay": 0.004, "model.dropout.output": 0.1}


def clone(pair):
    (_, donor), (experiment, run) = pair
    changed = experiment.with_overrides(NEW)
    row = prepare(donor, run, changed, {"trial": "t0001", "epoch": 2, "from": "t0000", "overrides": NEW})
    return changed, donor, run, row


def test_a_clone_has_the_donors_weights_and_record_and_its_own_numbers(pair):
    changed, donor, run, row = clone(pair)
    assert row["from_epoch"] == 3
    adopt(run)
    ours, theirs = weights(run), weights(donor)
    assert all(torch.equal(ours["state_dict"][key], value) for key, value in theirs["state_dict"].items())
    for key, state in theirs["optimizer_states"][0]["state"].items():
        assert all(torch.equal(ours["optimizer_states"][0]["state"][key][name], each) for name, each in state.items())
    (group,), (old,) = (content["optimizer_states"][0]["param_groups"] for content in (ours, theirs))
    assert (group["lr"], group["weight_decay"]) == (pytest.approx(0.03), 0.004)
    assert (old["lr"], old["weight_decay"]) == (0.01, 0.0)
    assert {k: v for k, v in group.items() if k not in ("lr", "weight_decay")} == {
        k: v for k, v in old.items() if k not in ("lr", "weight_decay")
    }
    assert run.experiment == changed.dump()
    assert run.rows() == donor.rows()
    assert lineage(run) == [row]


def test_the_numbers_in_the_record_are_those_in_the_optimiser(pair):
    changed, _, run, _ = clone(pair)
    adopt(run)
    train(changed, run)
    assert [row["epoch"] for row in run.rows()] == list(range(6))
    # Metrics are 32-bit numbers.
    assert [row["lr"] for row in run.rows()] == pytest.approx([0.01] * 3 + [0.03] * 3, rel=1e-6)
    (group,) = weights(run)["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (0.03, 0.004)


def test_a_clone_is_what_the_donor_would_have_become_with_those_numbers(pair, tmp_path):
    """Not cloning but changing the donor's numbers in place: the same rows from there on."""
    changed, donor, run, _ = clone(pair)
    adopt(run)
    train(changed, run)
    ((experiment, _), _) = pair
    other = experiment.with_overrides(NEW)
    content = weights(donor)
    population.retune(content, experiment, other)
    torch.save(content, donor.checkpoints / "last.ckpt")
    train(other, donor)
    assert [row["val/loss"] for row in run.rows()] == [row["val/loss"] for row in donor.rows()]


def test_the_clone_outlives_the_checkpoint_it_was_made_of(pair):
    changed, donor, run, row = clone(pair)
    shutil.rmtree(donor.path)
    adopt(run)
    assert train(changed, run).epochs == 6
    assert lineage(run) == [row]


@pytest.mark.parametrize("moved", range(5))
def test_killed_while_it_becomes_a_clone_it_becomes_the_same(pair, monkeypatch, moved):
    changed, donor, run, row = clone(pair)
    real, count = Path.replace, [0]

    def dies(self, target):
        if self.parent.name == "clone":
            count[0] += 1
            if count[0] > moved:
                raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    if moved < 4:
        with pytest.raises(KeyboardInterrupt):
            adopt(run)
    monkeypatch.undo()
    adopt(run)
    adopt(run)
    assert not population.is_awaited(run)
    assert lineage(run) == [row]
    assert run.rows() == donor.rows()
    assert run.experiment == changed.dump()
    assert torch.equal(*(next(iter(weights(each)["state_dict"].values())) for each in (run, donor)))


def test_killed_once_it_is_a_clone_its_lineage_has_no_double(pair, monkeypatch):
    _, _, run, row = clone(pair)
    monkeypatch.setattr(population.shutil, "rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        adopt(run)
    monkeypatch.undo()
    adopt(run)
    assert lineage(run) == [row]


def test_a_best_checkpoint_from_after_the_newest_is_not_taken(pair):
    """Caught between the two renames of a donor that has just become better."""
    donor = pair[0][1].checkpoints
    (donor / "best.ckpt").unlink()
    (donor / "last.ckpt").replace(donor / "best.ckpt")
    (donor / "previous.ckpt").replace(donor / "last.ckpt")
    assert clone(pair)[3] is None


def test_killed_while_a_clone_is_prepared_there_is_none(pair, monkeypatch):
    before = weights(pair[1][1])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        clone(pair)
    monkeypatch.undo()
    run = pair[1][1]
    adopt(run)
    assert lineage(run) == []
    assert weights(run)["epoch"] == before["epoch"]
    assert clone(pair)[3] is not None


def test_a_donor_at_its_end_is_not_cloned(pair, tmp_path):
    (experiment, donor), _ = pair
    train(experiment, donor)
    assert clone(pair)[3] is None
    assert not population.is_awaited(pair[1][1])


# --- who is cloned by whom --------------------------------------------------------------------------------------------


@pytest.fixture
def members(tmp_path, demand, monkeypatch):
    """Four trials that say what the test makes them say, and clones that are only written down."""
    experiment = demand.with_overrides({"trainer.max_epochs": 8})
    folder = SweepFolder.create(tmp_path / "pbt", load_sweep(write(tmp_path / "p.yaml", experiment, samples=4)))
    sweep = folder.sweep
    for number in range(4):
        point = sweep.region.draw({}, (0, number))
        trial = folder.ask(number, 0, point)
        Run.create(folder.path / "trials" / trial, sweep.at(point, 0).dump(), command="", job_type="trial")
    monkeypatch.setattr(population, "prepare", lambda donor, run, experiment, row: {**row, "to": experiment})
    return Population(folder, interval=2, share=0.25, resample=0.25)


def test_the_worst_goes_on_from_the_best_at_multiples_of_the_interval(members):
    metric = members.base.decides
    for epoch in range(8):
        for place, trial in enumerate(["t0002", "t0000", "t0003", "t0001"]):
            row = members.report(trial, {"epoch": epoch, metric: float(place)})
            if trial == "t0001" and (epoch + 1) % 2 == 0 and epoch < 7:
                assert (row["from"], row["epoch"]) == ("t0002", epoch + 1)
                assert row["to"] == members.sweep.at(row["overrides"], 0)
                for key, change in row["changes"].items():
                    assert change["new"] == row["overrides"][key]
                    assert members.region.domains[key].holds(change["new"])
                assert any(change["new"] != change["donor"] for change in row["changes"].values())
            elif epoch > 1:
                assert row is None


def test_changed_numbers_keep_the_constraints(tmp_path, demand):
    path = write(tmp_path / "c.yaml", demand.with_overrides({"trainer.max_epochs": 8}),
                 constraints=["optimizer.lr * (1 + model.dropout.output) < 0.02"])  # fmt: skip
    folder = SweepFolder.create(tmp_path / "c", load_sweep(path))
    found = Population(folder, 2, 0.25, 0.5)
    import numpy as np

    for seed in range(50):
        point = folder.sweep.region.draw({}, (0, seed))
        new = found.changed(point, np.random.default_rng(seed))
        assert new["optimizer.lr"] * (1 + new["model.dropout.output"]) < 0.02
        assert list(new) == list(point)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_only_what_torch_obeys_in_the_next_step_may_change(vowels, optimizer):
    found = vowels.with_overrides({"optimizer": optimizer})
    for name, value in found.optimizer.choices().items():
        assert changeable(found, f"optimizer.{name}") == (isinstance(value, float) and group_of(found)[name] == value)
    assert changeable(found, "optimizer.lr")
    assert changeable(found, "optimizer.weight_decay")
    assert changeable(found, "optimizer.momentum") == (optimizer in ("sgd", "rmsprop"))
    for key in ("optimizer", "optimizer.name", "model.hidden_size", "model.depth", "model.cell", "data.batch_size",
                "trainer.max_epochs", "schedule", "schedule.warmup", "optimizer.lrr"):  # fmt: skip
        assert not changeable(found, key)


# --- on Ray -----------------------------------------------------------------------------------------------------------


def test_more_trials_than_fit_side_by_side_are_refused(tmp_path, demand, monkeypatch):
    import threading

    from rich.console import Console

    from lstm_lab.sweep import tune
    from lstm_lab.sweep.questions import Search

    folder = SweepFolder.create(
        tmp_path / "pbt", load_sweep(write(tmp_path / "p.yaml", demand.with_overrides({"trainer.max_epochs": 8})))
    )
    monkeypatch.setattr(tune.ray, "cluster_resources", lambda: {"CPU": 2.0})
    asked = Search(folder, "disabled", threading.Event(), lambda: 0.0)
    with pytest.raises(ConfigError, match=r"its 3 trials side by side, here is room for 2: lower samples or resources"):
        tune.run_trials(folder, asked, Console(quiet=True), tmp_path)
