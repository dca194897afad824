"""More than one goal: objectives of a sweep, its Pareto front, and what compares trials by one metric alone."""

from __future__ import annotations

import json
import random

import pytest
import torch
from sweeping import tell_all, tell_all_after_kills
from test_ask_tell import rows
from test_sweep_budget import complete, make, phase

import lstm_lab as lab
from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.data.base import Batch, Split
from lstm_lab.evaluation.latency import measure_latency, typical_sample
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import read_run
from lstm_lab.sweeps.ask_tell import AskTell
from lstm_lab.sweeps.execution.confirm_phase import ConfirmPhase
from lstm_lab.sweeps.objectives import Criteria, Objective, pareto_fronts
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.view.wandb_convert import to_wandb
from lstm_lab.training.train import train
from lstm_lab.verbs import terminal

GOALS = {"val/scaled_mse": "min", "parameters": "min", "latency": "min"}
TPE = {"name": "optuna", "n_startup_trials": 2}
NSGA2 = {"name": "optuna", "sampler": "nsga2", "population_size": 4}


def told(trial):
    """A large rate is accurate and slow: every configuration is on the front."""
    lr = trial.experiment.optimizer.lr
    return {"val/scaled_mse": 0.1 / lr + trial.seed / 9, "parameters": 1000.0, "latency": 100 * lr}


def finish(sweep, told=told):
    return tell_all(sweep, told)


def dominated_only_by_brute_force(points):
    def dominates(a, b):
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    left, found, front = set(range(len(points))), {}, 0
    while left:
        front += 1
        best = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        found |= dict.fromkeys(best, front)
        left -= best
    return [found[i] for i in range(len(points))]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_fronts_are_those_of_the_definition(size):
    rng = random.Random(size)
    points = [tuple(rng.randrange(6) for _ in range(size)) for _ in range(60)]
    assert pareto_fronts(points) == dominated_only_by_brute_force(points)
    assert pareto_fronts([]) == []


def test_more_than_one_goal_has_a_pareto_front_everywhere(tmp_path, demand):
    folder = make(tmp_path, demand, monitor=GOALS, num_samples=5, seeds=[0, 1])

    def one_is_bad(trial):
        worse = 1000.0 if trial.id in ("t0004", "t0005") else 1.0
        return {name: worse * value for name, value in told(trial).items()}

    with AskTell(folder) as sweep:
        finish(sweep, one_is_bad)
    result = lab.load_sweep(folder.path)
    summary, table = result.summary, result.leaderboard
    assert summary["objectives"] == GOALS
    assert len(summary["pareto_front"]) == 4
    assert 2 not in summary["pareto_front"]
    best = summary["configurations"][0]
    assert best["front"] == 1
    assert best["mean"] == min(row["mean"] for row in summary["configurations"])
    assert best["objectives"]["val/scaled_mse"] == best["mean"]
    assert list(table["front"]) == [1, 1, 1, 1, 2]
    assert table["latency"].iloc[-1] > table["latency"].iloc[0]
    assert list(result.trials["latency"]) == pytest.approx(
        [100 * lr * (1000 if number in (4, 5) else 1) for number, lr in enumerate(result.trials["optimizer.lr"])]
    )
    printed = terminal.leaderboard(json.loads(json.dumps(summary)))
    assert {"front", "latency (ms)"} <= {column.header for column in printed.columns}
    assert "4 configurations that no other dominates" in printed.caption
    page = result.report("markdown").read_text()
    assert "## Pareto front" in page
    assert "4 configurations on the Pareto front" in page
    assert "another run of the same file has other values" in page
    assert "of 4 on the Pareto front" in page
    assert "best by val/scaled_mse: val/scaled_mse" in (folder.path / "best.yaml").read_text()


@pytest.mark.parametrize("searcher", [TPE, NSGA2, {"name": "random"}], ids=["tpe", "nsga2", "random"])
def test_searchers_for_several_objectives_go_on_after_a_kill_as_if_nothing_had_happened(tmp_path, demand, searcher):
    more = {"monitor": GOALS, "num_samples": 8, "searcher": searcher}
    whole = make(tmp_path, demand, "whole", **more)
    finish(AskTell(whole)).close()
    folder = make(tmp_path, demand, "killed", **more)
    tell_all_after_kills(folder, told)
    assert canonical_json(rows(folder)) == canonical_json(rows(whole))


def test_a_searcher_learns_every_objective(tmp_path, demand):
    """What it proposes depends on the second objective too."""
    more = {"monitor": GOALS, "num_samples": 8, "searcher": TPE}
    one, other = make(tmp_path, demand, "one", **more), make(tmp_path, demand, "other", **more)
    finish(AskTell(one)).close()
    finish(AskTell(other), lambda trial: {**told(trial), "latency": -trial.experiment.optimizer.lr}).close()
    assert rows(one)[:2] == rows(other)[:2]
    assert rows(one) != rows(other)


def test_an_earlier_sweep_teaches_its_objectives(tmp_path, demand):
    first = make(tmp_path, demand, "first", monitor=GOALS)
    finish(AskTell(first)).close()
    second = make(tmp_path, demand, "second", monitor=GOALS, searcher=TPE, warm_start=[str(first.path)])
    assert [len(row["objectives"]) for row in second.warm_start()] == 4 * [3]
    searcher = AskTell(second)._searcher
    assert [len(trial.values) for trial in searcher.study.trials] == 4 * [3]


def test_the_front_is_confirmed_with_more_seeds(tmp_path, demand):
    goals = {"val/scaled_mse": "min", "parameters": "min"}
    folder = make(tmp_path, demand, monitor=goals, confirm={"top": 2, "seeds": [0, 1]})
    search = phase(folder)
    for number, parameters in enumerate([100, 300, 50, 400]):
        search.suggest(f"tune-{number}")
        complete(folder, search, f"t000{number}", [[0.4, 0.2, 0.6, 0.5][number]])
        folder.run(f"t000{number}").describe(parameters=parameters)
    assert [row.front for row in folder.leaderboard()] == [1, 1, 1, 2]
    phase(folder, ConfirmPhase)
    assert folder.about["confirmed"] == [1, 0]
    assert [(row.number, row.front) for row in folder.leaderboard()][2:] == [(3, 2), (2, 2)]


def test_a_trial_without_an_objective_comes_last(tmp_path, demand):
    folder = make(tmp_path, demand, monitor=GOALS, num_samples=2)
    search = phase(folder)
    for number, value in enumerate([0.1, 0.2]):
        search.suggest(f"tune-{number}")
        complete(folder, search, f"t000{number}", [value])
    folder.run("t0001").describe(latency={"ms": 3.0, "steps": 4, "repeats": 20, "device": "cpu"})
    assert [(row.number, row.front) for row in folder.leaderboard()] == [(1, 1), (0, None)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"monitor": {"val/scaled_mse": "min", "size": "min"}}, r"no objective 'size'; there are: val/scaled_mse, .*, "
         "parameters, latency, peak_memory"),
        ({"monitor": {"val/scaled_mse": "max", "parameters": "min"}}, "less is better: write val/scaled_mse: min"),
        ({"monitor": {"val/scaled_mse": "min"}}, "takes several objectives"),
        ({"monitor": "val/mae"}, r"write overrides: \{task.monitor: mae\}"),
        ({"monitor": {"parameters": "min", "val/scaled_mse": "min"}}, r"of its best val/scaled_mse: put that first \["),
        ({"monitor": {"val/mae": "min", "parameters": "min"}}, r"or write overrides: \{task.monitor: mae\}"),
        ({"scheduler": "asha"}, "'asha' compares trials by one metric, .* write scheduler: fifo"),
        ({"scheduler": {"name": "pbt", "perturbation_interval": 1}}, "'pbt' compares trials by one metric"),
        ({"searcher": "hyperopt"}, "searcher 'hyperopt' learns from one metric alone; write searcher: optuna"),
        ({"searcher": {"name": "optuna", "sampler": "nsga2"}}, "population_size: 50 is the first generation"),
        ({"searcher": {"name": "optuna", "population_size": 4}}, "no effect with sampler tpe"),
        ({"patience_trials": 3}, "patience_trials: compares trials by one metric"),
        ({"keep_checkpoints": 2}, "keep_checkpoints: compares trials by one metric"),
    ],
)  # fmt: skip
def test_what_compares_by_one_metric_is_refused(tmp_path, demand, more, message):
    content = {
        "title": "Which?",
        "experiment": demand.with_overrides({"trainer.max_epochs": 4}).dump(),
        "space": {"optimizer.lr": {"loguniform": [1e-3, 3e-2]}},
        "num_samples": 4,
        "monitor": GOALS,
        **more,
    }
    with pytest.raises(ValueError, match=message):
        Sweep.model_validate(content)


def test_a_sampler_of_one_metric_is_refused():
    with pytest.raises(ValueError, match="cmaes learns from one metric alone"):
        Searcher.members["optuna"]("cmaes", None).check_criteria(Criteria.of(GOALS), 9)


def test_wandb_has_no_second_objective(tmp_path, demand):
    (tmp_path / "conf.yaml").write_text(json.dumps(demand.dump()))
    content = {
        "title": "Which?",
        "experiment": "conf.yaml",
        "monitor": GOALS,
        "space": {"optimizer.lr": {"loguniform": [1e-3, 3e-2]}},
    }
    (tmp_path / "sweep.yaml").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="monitor: W&B optimises one metric; leave it out"):
        to_wandb(tmp_path / "sweep.yaml")


def test_every_objective_must_be_told(tmp_path, demand):
    with AskTell(make(tmp_path, demand, monitor=GOALS)) as sweep:
        trial = sweep.ask()
        with pytest.raises(ConfigError, match="tell: parameters, latency are missing: give each objective"):
            sweep.tell(trial, 0.3)


class Lengths(Split):
    def __init__(self, *lengths):
        self.lengths = torch.tensor(lengths)

    def __len__(self):
        return len(self.lengths)

    def take(self, index):
        lengths = self.lengths[index]
        return Batch(torch.zeros(len(index), int(lengths.max()), 1), lengths, torch.zeros(len(index)))


def test_latency_is_that_of_a_sample_of_median_length():
    batch = typical_sample(Lengths(9, 2, 30, 4, 3))
    assert batch.x.shape == (1, 4, 1)
    assert batch.lengths.tolist() == [4]


def test_latency_is_measured_once_a_trial_is_trained(tmp_path, demand):
    demand = demand.with_overrides({"trainer.max_epochs": 1})
    run, dataset = Run.create(tmp_path / "run", demand.dump()), demand.data.build()
    train(
        demand,
        run,
        dataset=dataset,
        on_trained=lambda dataset: run.describe(latency=measure_latency(run, demand, dataset)),
    )
    found = run.about["latency"]
    assert found["ms"] > 0
    assert found["repeats"] >= 20
    assert found["steps"] == int(dataset.validation.take(torch.tensor([0])).lengths[0])
    assert Criteria((Objective("latency", "min"),)).values(read_run(run.path)) == {"latency": found["ms"]}
