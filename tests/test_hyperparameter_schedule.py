"""Hyperparameters that change during training; the winner of a population, trained again alone, is the same run."""

from __future__ import annotations

import shutil

import pytest
import torch
from test_population import PBT, train_to, weights, write

from lstm_lab.config import ConfigError
from lstm_lab.evaluation.predict import load
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records.files import BEST_EXPERIMENT, LINEAGE, write_jsonl
from lstm_lab.records.lineage import hyperparameter_history
from lstm_lab.records.run import MEASURED, Run
from lstm_lab.sweeps.execution.population import Population, exploit
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.summary import write_best
from lstm_lab.training.train import train

EPOCHS = 4


@pytest.fixture
def population(tmp_path, vowels):
    """A population without Ray: t0000 continues from t0001, then t0002 from t0000, and trains to the end."""
    experiment = vowels.with_overrides({"trainer.max_epochs": EPOCHS, "schedule": "cosine"})
    path = write(tmp_path / "p.yaml", experiment, scheduler={**PBT, "perturbation_interval": 1})
    folder = SweepFolder.create(tmp_path / "p", load_sweep(path))
    sweep = folder.sweep
    members, worse = Population(folder, sweep.build_scheduler()), 1.0 if experiment.mode == "min" else -1.0
    for number in range(3):
        point = sweep.search_space.sample((0, number))
        run = folder.run(folder.add_trial(number, Repeat(0), point))
        Run.create(run.path, sweep.experiment_for(point, 0).dump())
    for epochs, best, middle, worst in ((1, "t0001", "t0002", "t0000"), (2, "t0000", "t0001", "t0002")):
        source = folder.run(best)
        train_to(Experiment.of(source.experiment), source, epochs)
        scores = {id: {experiment.monitor: worse * place} for place, id in enumerate((best, middle, worst))}
        assert [row["source"] for row in members.compare(epochs, scores)] == [best]
        exploit(folder.run(worst))
    run = folder.run("t0002")
    train(Experiment.of(run.experiment), run)
    return folder


def measured_out(run):
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in run.rows()]


def test_best_yaml_of_a_population_reproduces_its_winner_bit_for_bit(population, tmp_path):
    """Trained alone, it is killed at a change and between two."""
    winner = population.trial("t0002")
    write_best(population, population.sweep, Configuration.of([winner]), winner)
    path = population.path / BEST_EXPERIMENT
    assert "trained with this schedule" in path.read_text(encoding="utf-8")
    experiment = load_experiment(path)
    assert [change.epoch for change in experiment.hyperparameter_schedule] == [1, 2]
    assert experiment.at(EPOCHS) == population.sweep.experiment_for(winner.config, 0)
    run = Run.create(tmp_path / "alone", experiment.dump())
    for epochs in (1, 3):
        train_to(experiment, run, epochs)
    train(experiment, run)
    original = population.run(winner.id)
    assert measured_out(run) == measured_out(original)
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = weights(run, name), weights(original, name)
        assert all(torch.equal(ours["state_dict"][key], value) for key, value in theirs["state_dict"].items())


def test_a_lineage_that_is_not_known_for_certain_is_not_claimed_to_be_reproduced(tmp_path):
    for trial, rows in (("t0000", []), ("t0001", [{"source": "t0000", "source_exploits": 0}])):
        run = Run.create(tmp_path / trial, {})
        more = {"epoch": 2, "from_epoch": 2, "at": "2026", "overrides": {"lr": 2.0}, "changes": {"lr": {"source": 1.0}}}
        write_jsonl(run.path / LINEAGE, [{**row, **more} for row in rows])
    history = hyperparameter_history(run)
    assert history == ([(0, {"lr": 1.0}), (2, {"lr": 2.0})], True)
    # As older versions wrote it; with a batch that was halved; without its source.
    old = [{key: value for key, value in row.items() if key != "source_exploits"} for row in run.lineage()]
    Run(tmp_path / "t0000").describe(halved=[{"from": 8, "to": 4}])
    assert hyperparameter_history(run) == (history.changes, False)
    shutil.rmtree(tmp_path / "t0000")
    assert hyperparameter_history(run) == (history.changes, False)
    Run.create(tmp_path / "t0000", {})
    write_jsonl(run.path / LINEAGE, old)
    assert hyperparameter_history(run) == (history.changes, False)


def change(epoch, **overrides):
    return {"epoch": epoch, "overrides": {key.replace("__", "."): value for key, value in overrides.items()}}


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([change(2, model__hidden_size=9)], "model.hidden_size: cannot change during training; numbers of the optimi"),
        ([change(2, optimizer__lr=-1.0)], "hyperparameter_schedule, epoch 2: optimizer.lr: must be greater than 0"),
        (
            [change(2, regularizers__l2__strength=0.1)],
            "regularizers.l2.strength: the experiment has none of that name",
        ),
        ([change(3, optimizer__lr=0.1), change(3, optimizer__lr=0.2)], r"epochs must increase .*, got \[3, 3\]"),
        ([change(0, optimizer__lr=0.1)], "hyperparameter_schedule.0.epoch: must be greater than or equal to 1, got 0"),
    ],
)
def test_a_schedule_that_cannot_hold_is_refused(vowels, schedule, message):
    with pytest.raises(ConfigError, match=message):
        vowels.with_overrides({"hyperparameter_schedule": schedule})


def test_values_hold_from_their_epoch_on(tmp_path, vowels):
    schedule = [change(1, optimizer__lr=0.02), change(2, regularizers__ar__alpha=9.0)]
    more = {"trainer.max_epochs": 3, "regularizers": ["ar"], "hyperparameter_schedule": schedule}
    experiment = vowels.with_overrides(more)
    assert Experiment.of(experiment.dump()) == experiment
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    assert [row["lr"] for row in run.rows()] == pytest.approx([experiment.optimizer.lr, 0.02, 0.02])
    # What a run predicts with: Monte-Carlo dropout has the rates of the best epoch.
    assert load(run).experiment == experiment.at(run.status["best"]["epoch"])
    assert "hyperparameter_schedule" not in vowels.dump()
