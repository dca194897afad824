"""Checkpoints that are removed to save disk space, and batches that do not fit into memory."""

from __future__ import annotations

import json

import pytest
from sweeping import run_trials, write

from lstm_lab.experiment import Experiment
from lstm_lab.records.files import read_json
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution.out_of_memory import train_within_memory
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.repair import repair
from lstm_lab.system.out_of_memory import OutOfMemory
from lstm_lab.training.train import train

# --- disk space -------------------------------------------------------------------------------------------------------


def test_only_the_checkpoints_of_the_best_configurations_are_kept(tmp_path, vowels):
    folder = write(tmp_path / "small.yaml", vowels.with_overrides({"trainer.max_epochs": 1}), keep_checkpoints=2,
                   seeds=[0, 1])  # fmt: skip
    run_trials(folder)
    content = summary.write(folder, "disabled")
    kept = {trial.configuration for trial in folder.trials() if folder.run(trial.id).best_checkpoint.is_file()}
    assert kept == {row["configuration"] for row in content["configurations"][:2]}
    assert content["removed"]["trials"] == 4
    rows = [json.loads(line) for line in (folder.path / "removed.jsonl").read_text().splitlines()]
    assert sum(row["bytes"] for row in rows) == content["removed"]["bytes"] > 0
    # Removed checkpoints are no damage, and nothing is removed twice.
    assert repair(folder.path) == []
    assert run_trials(folder) == []
    assert summary.write(folder, "disabled") == content


def test_configurations_to_be_confirmed_keep_their_checkpoints(tmp_path, vowels):
    folder = write(tmp_path / "c.yaml", vowels, keep_checkpoints=1, confirm={"top": 3, "seeds": [5]})
    assert folder.sweep.num_kept_configurations == 3
    assert write(tmp_path / "d.yaml", vowels).sweep.num_kept_configurations is None


# --- memory -----------------------------------------------------------------------------------------------------------


def train_in_small_memory(run):
    """Trains the run with an experiment; batches above 16 do not fit, in the words of torch's allocator."""

    def attempt(experiment):
        if experiment.data.batch_size > 16:
            run.append({"epoch": 0, experiment.monitor: 1.0, "seconds": 0.1})
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:132] DefaultCPUAllocator: can't allocate memory")
        return train(experiment, run)

    return attempt


def test_out_of_memory_is_named_with_the_batch_size_and_the_way_out(tmp_path, vowels):
    run = Run.create(tmp_path / "t0000", vowels.dump())
    with pytest.raises(OutOfMemory, match=r"batch_size 32 does not fit into memory .*halve_batch: true"):
        train_within_memory(train_in_small_memory(run), vowels, run, halve_batch=False)


def test_the_batch_is_halved_only_on_request_until_it_fits(tmp_path, vowels):
    experiment = vowels.with_overrides({"data.batch_size": 64, "trainer.max_epochs": 2})
    run = Run.create(tmp_path / "t0000", experiment.dump())
    train_within_memory(train_in_small_memory(run), experiment, run, halve_batch=True)
    assert read_json(run.path / "run.json")["halved"] == [{"from": 64, "to": 32}, {"from": 32, "to": 16}]
    assert run.experiment["data"]["batch_size"] == 16
    alone = Run.create(tmp_path / "alone", experiment.with_overrides({"data.batch_size": 16}).dump())
    train(Experiment.of(alone.experiment), alone)
    assert [row["val/loss"] for row in run.rows()] == [row["val/loss"] for row in alone.rows()]


def test_another_error_is_not_taken_for_memory(tmp_path, vowels):
    def attempt(experiment):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        train_within_memory(attempt, vowels, Run.create(tmp_path / "t0000", vowels.dump()), halve_batch=True)
