"""Population-based training: which trial continues from which, and with which values."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from test_population import write

from lstm_lab.config import ConfigError
from lstm_lab.hyperparameter_schedule import is_mutable, optimizer_param_group
from lstm_lab.records.requests import Requests
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution import population
from lstm_lab.sweeps.execution.population import Population
from lstm_lab.sweeps.schedulers import gaussian_process
from lstm_lab.sweeps.schedulers.pb2 import PB2
from lstm_lab.sweeps.schedulers.pbt import PBT as PBTScheduler
from lstm_lab.sweeps.schedulers.population import Observation
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder

# --- which trial continues from which ---------------------------------------------------------------------------------


@pytest.fixture
def members(tmp_path, demand, monkeypatch):
    """Four trials whose results the test chooses, and clones that are recorded but not made."""
    experiment = demand.with_overrides({"trainer.max_epochs": 8})
    folder = SweepFolder.create(tmp_path / "pbt", load_sweep(write(tmp_path / "p.yaml", experiment, num_samples=4)))
    sweep = folder.sweep
    for number in range(4):
        point = sweep.search_space.sample((0, number))
        trial = folder.add_trial(number, Repeat(0), point)
        Run.create(folder.path / "trials" / trial, sweep.experiment_for(point, 0).dump(), command="", job_type="trial")
    monkeypatch.setattr(population, "prepare_clone", lambda source, run, experiment, row: {
        **row, "to": experiment, "from_epoch": row["epoch"]})  # fmt: skip
    return Population(folder, PBTScheduler(perturbation_interval=2, quantile_fraction=0.25, resample_probability=0.25))


def test_the_worst_continues_from_the_best_at_multiples_of_the_interval(members):
    metric = members.base.monitor
    for epoch in range(8):
        for place, trial in enumerate(["t0002", "t0000", "t0003", "t0001"]):
            row = members.on_epoch(trial, {"epoch": epoch, metric: float(place)})
            if trial == "t0001" and (epoch + 1) % 2 == 0 and epoch < 7:
                assert (row["source"], row["epoch"]) == ("t0002", epoch + 1)
                assert row["to"] == members.sweep.experiment_for(row["overrides"], 0)
                for key, change in row["changes"].items():
                    assert change["new"] == row["overrides"][key]
                    assert members.search_space.domains[key].contains(change["new"])
                assert any(change["new"] != change["source"] for change in row["changes"].values())
            elif epoch > 1:
                assert row is None


def test_explored_values_satisfy_the_constraints(tmp_path, demand):
    path = write(tmp_path / "c.yaml", demand.with_overrides({"trainer.max_epochs": 8}),
                 constraints=["optimizer.lr * (1 + model.dropout.output) < 0.02"])  # fmt: skip
    folder = SweepFolder.create(tmp_path / "c", load_sweep(path))
    space, scheduler = folder.sweep.search_space, PBTScheduler(2, 0.25, 0.5)
    for seed in range(50):
        point = space.sample((0, seed))
        new = scheduler.explore(point, space, [], 2, np.random.default_rng(seed))
        assert new["optimizer.lr"] * (1 + new["model.dropout.output"]) < 0.02
        assert list(new) == list(point)


def test_a_resumed_driver_knows_the_earlier_comparisons(members):
    metric = members.base.monitor
    for epoch in range(4):
        for place, trial in enumerate(["t0002", "t0000", "t0003", "t0001"]):
            members.on_epoch(trial, {"epoch": epoch, metric: float(place) - epoch})
    again = Population(members.folder, members.scheduler)
    assert again.scores == members.scores
    assert again.history == members.history
    assert again.since == members.since
    # One lower each epoch, and lower is better; all but the first were cloned from it, and gain from where it stood.
    gains = {trial: [each.gain for each in again.history if each.trial == trial] for trial in again.scores}
    assert gains == {"t0002": [None, 1.0], "t0000": [None, 0.5], "t0003": [None, 0.0], "t0001": [None, -0.5]}


# --- Gaussian process -------------------------------------------------------------------------------------------------


def test_a_gaussian_process_fits_observations_and_is_uncertain_far_away():
    x = np.array([[0.1, 1.0], [0.5, 1.0], [0.9, 2.0]])
    y = np.array([1.0, 3.0, 2.0])
    process = gaussian_process.GaussianProcess(x, y, gaussian_process.Kernel(0.05, 0.0, 1e-9))
    mean, deviation = process(x)
    assert mean == pytest.approx(y, abs=1e-6)
    assert deviation == pytest.approx(0, abs=1e-3)
    mean, deviation = process(np.array([[0.3, 1.0]]))
    assert mean == pytest.approx(y.mean(), abs=0.01)
    assert deviation == pytest.approx(y.std(), rel=0.01)


def test_old_observations_count_less():
    x, y = np.array([[0.2, 0.0], [0.8, 0.0]]), np.array([0.0, 1.0])
    process = gaussian_process.GaussianProcess(x, y, gaussian_process.Kernel(0.2, 0.3, 0.01))
    apart = [np.ptp(process(np.array([[0.2, t], [0.8, t]]))[0]) for t in (0.0, 3.0, 9.0)]
    assert apart == sorted(apart, reverse=True)
    assert apart[2] < 0.3 * apart[0]


def test_a_pending_candidate_is_not_selected_again():
    x, y = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([0.0, 0.0])
    process = gaussian_process.GaussianProcess(x, y, gaussian_process.Kernel(0.2, 0.0, 0.01))
    candidates = np.array([[0.45, 1.0], [0.25, 1.0]])
    assert gaussian_process.select_ucb(process, candidates, np.empty((0, 2)), 1.0) == 0
    assert gaussian_process.select_ucb(process, candidates, np.array([[0.5, 1.0]]), 1.0) == 1


def test_pb2_finds_the_values_that_gain(tmp_path, demand):
    """An epoch gains the more, the nearer the rate is to 0.01."""
    experiment = demand.with_overrides({"trainer.max_epochs": 8})
    path = write(tmp_path / "b.yaml", experiment, num_samples=4, scheduler={"name": "pb2", "perturbation_interval": 2},
                 space={"optimizer.lr": {"loguniform": [1e-4, 1.0]}})  # fmt: skip
    space, found = load_sweep(path).search_space, PB2(2, 0.25)
    tried, history = [], []
    for step in range(24):
        point = found.explore({"optimizer.lr": 0.5}, space, history, 2 * (step + 1), np.random.default_rng(step))
        off = abs(np.log10(point["optimizer.lr"]) + 2)
        tried.append(off)
        history.append(Observation("t0", 2 * step, point, -off))
    assert np.mean(tried[-8:]) < 0.35 < np.mean(tried[:3])


def test_every_domain_maps_to_the_unit_interval():
    arguments = {"choice": ["a", "b", "c"], "grid": [1, 2], "randint": [2, 5], "normal": [1.0, 0.5],
                 "quniform": [0.1, 0.5, 0.1], "qloguniform": [16, 128, 16]}  # fmt: skip
    for name, kind in Domain.members.items():
        domain = kind(arguments.get(name, [0.01, 0.5]))
        low, *_, high = (
            gaussian_process.to_unit_cube({"k": domain}, {"k": value})[0] for value in domain.corner_values()
        )
        assert (low, high) == (pytest.approx(0), pytest.approx(1)), name


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_only_values_that_act_in_the_next_step_may_change(vowels, optimizer):
    found = vowels.with_overrides({"optimizer": optimizer})
    for name, value in found.optimizer.options().items():
        assert is_mutable(found.optimizer, f"optimizer.{name}") == (
            isinstance(value, float) and optimizer_param_group(found.optimizer).get(name) == value
        )
    assert is_mutable(found.optimizer, "optimizer.lr")
    assert is_mutable(found.optimizer, "optimizer.weight_decay")
    assert is_mutable(found.optimizer, "optimizer.momentum") == (optimizer in ("sgd", "rmsprop"))
    for key in ("regularizers.zoneout.h", "regularizers.l2.strength", "regularizers.l1.head", "regularizers.ar.alpha"):
        assert is_mutable(found.optimizer, key)
    for key in ("regularizers", "regularizers.ar", "regularizers.recurrent_dropout.update_locked",
                "regularizers.arr.alpha", "optimizer", "optimizer.name", "model.hidden_size", "model.num_layers",
                "model.cell", "data.batch_size", "trainer.max_epochs", "schedule", "schedule.warmup_fraction",
                "optimizer.lrr"):  # fmt: skip
        assert not is_mutable(found.optimizer, key)


# --- on Ray -----------------------------------------------------------------------------------------------------------


def test_a_population_that_does_not_fit_is_refused(tmp_path, demand, monkeypatch):

    from rich.console import Console

    from lstm_lab.sweeps.execution import driver
    from lstm_lab.sweeps.execution.search_phase import SearchPhase

    folder = SweepFolder.create(
        tmp_path / "pbt", load_sweep(write(tmp_path / "p.yaml", demand.with_overrides({"trainer.max_epochs": 8})))
    )
    monkeypatch.setattr(driver, "cluster_resources", lambda: {"CPU": 2.0})
    asked = SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0)
    with pytest.raises(
        ConfigError, match=r"its 3 trials at the same time, and the CPUs are enough for 2: lower num_samples"
    ):
        driver.run_phase(folder, asked, driver.show(asked, Console(quiet=True), None), tmp_path, Requests(folder.path))


@pytest.mark.slow
def test_pb2_on_ray_records_the_values_that_it_chose(tmp_path, demand):
    from rich.console import Console

    from lstm_lab.sweeps.execution import execute_sweep

    path = write(
        tmp_path / "b.yaml", demand.with_overrides({"trainer.max_epochs": 6}), num_samples=4, resources={"cpus": 0.25},
        scheduler={"name": "pb2", "perturbation_interval": 1, "quantile_fraction": 0.25},
        space={"optimizer.lr": {"loguniform": [1e-5, 1e-1]}},
    )  # fmt: skip
    folder = SweepFolder.create(tmp_path / "b", load_sweep(path))
    content = execute_sweep(folder, wandb="disabled", console=Console(quiet=True))
    trials = folder.trials()
    assert (content["trials"]["finished"], content["trials"]["failed"]) == (4, 0)
    cloned = [trial for trial in trials if trial.lineage]
    assert cloned
    for trial in trials:
        assert [row["epoch"] for row in folder.run(trial.id).rows()] == list(range(6))
    for trial in cloned:
        rate = trial.lineage[-1]["overrides"]["optimizer.lr"]
        assert 1e-5 <= rate <= 1e-1
        assert folder.run(trial.id).rows()[-1]["lr"] == pytest.approx(rate)
