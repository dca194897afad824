"""Population-based training: an exploit copies the source's weights with new values, whenever a process is killed."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
import torch

from lstm_lab import config
from lstm_lab.records.files import read_jsonl
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution import population
from lstm_lab.sweeps.execution.population import exploit, prepare_clone
from lstm_lab.training.train import train

SPACE = {
    "optimizer.lr": {"loguniform": [1e-3, 0.1]},
    "optimizer.weight_decay": {"uniform": [0.0, 0.01]},
    "model.dropout.output": {"uniform": [0.0, 0.4]},
    "trainer.gradient_clip_val": {"choice": [0.5, 1.0, 2.0]},
}
PBT = {"name": "pbt", "perturbation_interval": 2, "quantile_fraction": 0.5, "resample_probability": 0.2}


class Enough(Exception):
    pass


def train_to(experiment, run, epochs):
    """Train, and interrupt after so many epochs."""

    def stop(row):
        if row["epoch"] + 1 >= epochs:
            raise Enough

    with pytest.raises(Enough):
        train(experiment, run, on_epoch=stop)


def write(path, experiment, **more):
    content = {"experiment": experiment.dump(), "space": SPACE, "num_samples": 3, "scheduler": PBT, **more}
    path.write_text(f"# Which numbers, and when?\n{config.to_yaml(content)}")
    return path


@pytest.fixture
def pair(tmp_path, vowels):
    """A source with three epochs, and a trial with two."""
    made = []
    for name, lr, epochs in (("t0000", 0.01, 3), ("t0001", 0.002, 2)):
        experiment = vowels.with_overrides({"optimizer.lr": lr, "trainer.max_epochs": 6, "regularizers": ["ar"]})
        run = Run.create(tmp_path / name, experiment.dump(), command="", job_type="trial")
        train_to(experiment, run, epochs)
        made.append((experiment, run))
    return made


def weights(run, name="last.ckpt"):
    return torch.load(run.checkpoints / name, weights_only=True)


NEW = {
    "optimizer.lr": 0.03, "optimizer.weight_decay": 0.004, "model.dropout.output": 0.1, "regularizers.ar.alpha": 9.0,
}  # fmt: skip


def clone(pair):
    (_, source), (experiment, run) = pair
    changed = experiment.with_overrides(NEW)
    row = prepare_clone(
        source, run, changed, {"trial": "t0001", "epoch": 2, "source": "t0000", "overrides": NEW, "changes": {}}
    )
    return changed, source, run, row


def test_an_exploit_takes_the_weights_and_record_of_the_source_and_new_values(pair):
    changed, source, run, row = clone(pair)
    assert row["from_epoch"] == 3
    exploit(run)
    ours, theirs = weights(run), weights(source)
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
    assert run.rows() == source.rows()
    assert run.lineage() == [row]


def test_the_values_in_the_record_are_those_in_the_optimiser(pair):
    changed, _, run, _ = clone(pair)
    exploit(run)
    train(changed, run)
    assert [row["epoch"] for row in run.rows()] == list(range(6))
    # Metrics are 32-bit numbers.
    assert [row["lr"] for row in run.rows()] == pytest.approx([0.01] * 3 + [0.03] * 3, rel=1e-6)
    group, without_decay = weights(run)["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (0.03, 0.004)
    assert (without_decay["lr"], without_decay["weight_decay"]) == (0.03, 0.0)


def test_an_exploit_equals_the_source_with_its_values_changed(pair, tmp_path):
    """Changing the values of the source in place gives the same rows from then on."""
    changed, source, run, _ = clone(pair)
    exploit(run)
    train(changed, run)
    ((experiment, _), _) = pair
    other = experiment.with_overrides(NEW)
    content = weights(source)
    population.update_param_groups(content, experiment, other)
    torch.save(content, source.checkpoints / "last.ckpt")
    train(other, source)
    assert [row["val/loss"] for row in run.rows()] == [row["val/loss"] for row in source.rows()]


def test_a_clone_stays_when_the_source_is_removed(pair):
    changed, source, run, row = clone(pair)
    shutil.rmtree(source.path)
    exploit(run)
    assert train(changed, run).epochs == 6
    assert run.lineage() == [row]


@pytest.mark.parametrize("moved", range(5))
def test_an_exploit_that_is_killed_and_repeated_ends_the_same(pair, monkeypatch, moved):
    changed, source, run, row = clone(pair)
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
            exploit(run)
    monkeypatch.undo()
    exploit(run)
    exploit(run)
    assert not population.has_clone(run)
    assert run.lineage() == [row]
    assert run.rows() == source.rows()
    assert run.experiment == changed.dump()
    assert torch.equal(*(next(iter(weights(each)["state_dict"].values())) for each in (run, source)))


def test_an_exploit_that_is_killed_at_its_end_is_recorded_once(pair, monkeypatch):
    _, _, run, row = clone(pair)
    monkeypatch.setattr(population.shutil, "rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        exploit(run)
    monkeypatch.undo()
    exploit(run)
    assert run.lineage() == [row]


def test_a_best_checkpoint_that_is_newer_than_the_last_is_not_copied(pair):
    """Between the two renames of a source that has just improved."""
    source = pair[0][1].checkpoints
    (source / "best.ckpt").unlink()
    (source / "last.ckpt").replace(source / "best.ckpt")
    (source / "previous.ckpt").replace(source / "last.ckpt")
    assert clone(pair)[3] is None


def test_a_clone_whose_preparation_is_killed_does_not_exist(pair, monkeypatch):
    before = weights(pair[1][1])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        clone(pair)
    monkeypatch.undo()
    run = pair[1][1]
    exploit(run)
    assert run.lineage() == []
    assert weights(run)["epoch"] == before["epoch"]
    assert clone(pair)[3] is not None


def test_a_source_that_takes_over_a_clone_itself_is_waited_for(pair):
    (first, ahead), (second, behind) = pair
    row = {"trial": "t0000", "epoch": 3, "source": "t0001", "at": "2026-01-01T00:00:00+00:00", "overrides": NEW}
    assert prepare_clone(behind, ahead, first.with_overrides(NEW), {**row, "changes": {}})["from_epoch"] == 2
    # Halfway: the record is the other's already, the weights are not.
    (ahead.path / "clone" / "metrics.jsonl").replace(ahead.path / "metrics.jsonl")
    later = threading.Timer(0.1, exploit, (ahead,))
    later.start()
    done = prepare_clone(ahead, behind, second.with_overrides(NEW), {**row, "source": "t0000", "changes": {}})
    later.join()
    assert done["from_epoch"] == 2
    held = read_jsonl(behind.path / "clone" / "metrics.jsonl")
    assert [each["epoch"] for each in held] == [0, 1]


def test_a_source_that_has_finished_is_not_copied(pair, tmp_path):
    (experiment, source), _ = pair
    train(experiment, source)
    assert clone(pair)[3] is None
    assert not population.has_clone(pair[1][1])
