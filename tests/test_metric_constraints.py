"""Constraints on metrics: a configuration that breaks one is marked, never the best, and told to the searcher so."""

from __future__ import annotations

import json
import random

import pytest
from sweeping import tell_all, tell_all_after_kills
from test_ask_tell import rows
from test_objectives import GOALS, NSGA2, TPE
from test_sweep_budget import complete, complete_all, make, phase

import lstm_lab as lab
from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.sweeps.ask_tell import AskTell
from lstm_lab.sweeps.execution.confirm_phase import ConfirmPhase
from lstm_lab.sweeps.objectives import Criteria, is_limit
from lstm_lab.sweeps.objectives.compromise import compromise_scores
from lstm_lab.sweeps.objectives.pareto import pareto_fronts
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store.extension import Addition, extend
from lstm_lab.sweeps.store.record import winner_folder
from lstm_lab.sweeps.view.dry_run import plan
from lstm_lab.verbs import terminal

METRIC = "val/scaled_mse"
SMALL = {"constraints": ["latency <= 1 ms"], "num_samples": 8}
"""A large rate is accurate and slow, as `answer` has it: the best of all breaks the constraint."""


def answer(trial):
    lr = trial.experiment.optimizer.lr
    return {METRIC: 0.1 / lr + trial.seed / 9, "latency": 100 * lr}


def told(sweep, answer=answer):
    return tell_all(sweep, answer)


def test_constraints_on_metrics_and_on_the_space_stand_in_one_list():
    found = ["latency <= 5 ms", "val/accuracy>=0.9", "parameters <= 1e5", "peak_memory <= 200 MiB", "latncy <= 3"]
    keys = ["model.hidden_size * model.num_layers <= 256", "model.hidden_size <= 64", "optimizer.lr >= 1e-3"]
    assert [is_limit(text) for text in [*found, *keys]] == [*5 * [True], *3 * [False]]
    limits = Criteria.of(None, [*found[:4], *keys]).limits
    assert [limit.text for limit in limits] == [
        "latency <= 5 ms", "val/accuracy >= 0.9", "parameters <= 100000", "peak_memory <= 200 MiB",
    ]  # fmt: skip
    values = {"latency": 6.0, "val/accuracy": 0.95, "parameters": 1e5}
    criteria = Criteria.of(None, found[:4])
    assert criteria.violations(values) == pytest.approx((0.2, -0.05 / 0.9, 0.0, None), nan_ok=True)
    assert criteria.broken(values) == ("latency <= 5 ms: 6 ms", "peak_memory <= 200 MiB: not measured")


def test_what_breaks_a_constraint_is_never_the_best_and_marked_everywhere(tmp_path, demand):
    folder = make(tmp_path, demand, **SMALL, seeds=[0, 1])
    with AskTell(folder) as sweep:
        told(sweep)
    result = lab.load_sweep(folder.path)
    means = {
        number: (sum(100 * lr for lr in of["optimizer.lr"]) / 2, of[METRIC].mean())
        for number, of in result.trials.groupby("configuration")
    }
    keep = {number for number, (latency, _) in means.items() if latency <= 1.0}
    assert 0 < len(keep) < 8
    summary, table = result.summary, result.leaderboard
    expected = [*sorted(keep, key=lambda n: means[n][1]), *sorted(set(means) - keep, key=lambda n: means[n][0])]
    assert list(table["configuration"]) == expected
    assert [not broken for broken in table["broken"]] == [number in keep for number in expected]
    assert summary["constraints"] == ["latency <= 1 ms"]
    assert summary["configurations"][-1]["broken"][0].startswith("latency <= 1 ms: ")
    assert min(means, key=lambda n: means[n][1]) not in keep
    assert result.best.path.name in summary["configurations"][0]["trials"]
    printed = terminal.leaderboard(json.loads(json.dumps(summary)))
    cells = {column.header: list(column.cells) for column in printed.columns}
    assert cells["constraints"] == [*len(keep) * ["kept"], *(8 - len(keep)) * ["breaks latency"]]
    page = result.report("markdown").read_text().replace("\\", "")
    assert page.count("breaks latency <= 1 ms: ") == 8 - len(keep)
    assert "ranks behind all that keep them" in page


def test_no_configuration_keeps_the_constraints_is_one_line_with_the_nearest(tmp_path, demand):
    folder = make(tmp_path, demand, constraints=["latency <= 0.01 ms"])
    with AskTell(folder) as sweep:
        told(sweep)
        assert sweep.best is None
    result = lab.load_sweep(folder.path)
    nearest = min(result.trials.itertuples(), key=lambda row: row.latency)
    line = f"no configuration keeps the constraints; the nearest, {nearest.trial}, breaks latency <= 0.01 ms: "
    assert result.summary["winner"] is None
    assert not (folder.path / "best.yaml").exists()
    for find in (winner_folder, lambda path: result.evaluate()):
        with pytest.raises(ConfigError, match=f"has no best trial: {line}"):
            find(folder.path)
    assert f"No result: {line}" in result.report("markdown").read_text().replace("\\", "")


GP = pytest.param({**TPE, "sampler": "gp"}, marks=pytest.mark.slow)


@pytest.mark.parametrize("searcher", [TPE, GP, NSGA2], ids=["tpe", "gp", "nsga2"])
def test_a_searcher_learns_which_configurations_keep_the_constraints(tmp_path, demand, searcher):
    more = {**SMALL, "searcher": searcher}
    whole = make(tmp_path, demand, "whole", **more)
    with AskTell(whole) as sweep:
        told(sweep)
        found = [row.violations for row in sorted(whole.leaderboard(), key=lambda row: row.number)]
        assert [[*trial.constraints.values()] for trial in sweep._searcher.study.trials] == [[*row] for row in found]
    folder = make(tmp_path, demand, "killed", **more)
    tell_all_after_kills(folder, answer)
    assert canonical_json(rows(folder)) == canonical_json(rows(whole))
    again = make(tmp_path, demand, "again", **more, warm_start=[str(whole.path)])
    known = again.about["warm_start"]
    planned = "\n".join(plan(again.sweep, "again.yaml", None, None))
    assert f"warm start {known['told']} earlier configurations; {known['outside']} lie outside the space" in planned
    gone = again.sweep.model_copy(update={"warm_start": ("nothing",)})
    with pytest.raises(ConfigError, match="nothing: "):
        list(plan(gone, "again.yaml", None, None))
    earlier = AskTell(again)._searcher.study.trials
    ranked = [[*row.violations] for row in whole.leaderboard()]
    assert [[*trial.constraints.values()] for trial in earlier] == ranked


def test_what_breaks_a_constraint_changes_what_is_proposed(tmp_path, demand):
    base = {"num_samples": 8, "searcher": TPE}
    folders = [make(tmp_path, demand, "free", **base), make(tmp_path, demand, "bound", **{**base, **SMALL})]
    for folder in folders:
        told(AskTell(folder)).close()
    free, bound = (rows(folder) for folder in folders)
    assert free[:2] == bound[:2]
    assert free != bound


def test_only_what_keeps_the_constraints_is_confirmed(tmp_path, demand):
    folder = make(tmp_path, demand, constraints=["parameters <= 100"], confirm={"top": 3, "seeds": [0, 1]})
    search = phase(folder)
    for number, parameters in enumerate([90, 300, 50, 400]):
        search.suggest(f"tune-{number}")
        complete(folder, search, f"t000{number}", [[0.4, 0.2, 0.6, 0.5][number]])
        folder.run(f"t000{number}").describe(parameters=parameters)
    phase(folder, ConfirmPhase)
    assert folder.about["confirmed"] == [0, 2]
    assert [row.number for row in folder.leaderboard()] == [0, 2, 1, 3]


def test_patience_counts_from_the_best_that_keeps_them(tmp_path, demand):
    """No trial has 7 parameters or more here, so that none is the best and nothing is waited for."""
    folder = make(tmp_path, demand, num_samples=6, patience_trials=2, constraints=["parameters <= 6"])
    assert len(complete_all(folder, phase(folder), [0.5, *5 * [0.6]])) == 6
    kept = make(tmp_path, demand, "kept", num_samples=6, patience_trials=2, constraints=["parameters <= 7"])
    assert len(complete_all(kept, phase(kept), [0.5, *5 * [0.6]])) == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"constraints": ["latncy <= 5 ms"]}, r"no trial has a metric 'latncy'; there are: val/scaled_mse, .*latency"),
        ({"constraints": ["val/accuracy >= 0.9"]}, "no trial has a metric 'val/accuracy'"),
        ({"constraints": ["test/scaled_mse <= 5"]}, "the test split is held out: write a metric of the validation"),
        ({"constraints": ["latency <= 5 s"]}, "latency is in ms: write latency <= 5 ms"),
        ({"constraints": ["parameters <= 5 k"]}, "parameters has no unit"),
        ({"constraints": ["latency < 5"]}, "compared with a number by <= or >="),
        ({"constraints": ["latency <= fast"]}, "compared with a number by <= or >="),
        ({"constraints": ["parameters * latency <= 5"]}, "in a constraint of its own"),
        ({"constraints": ["latency <= nan"]}, "compared with a number"),
        (
            {"constraints": ["latency <= 5 ms"], "scheduler": "asha"},
            "'asha' stops trials before; write scheduler: fifo",
        ),
        ({"constraints": ["latency <= 5 ms"], "searcher": "hyperopt"}, "'hyperopt' does not learn which"),
        ({"compromise": "knee"}, "compromise: needs several objectives"),
        ({"compromise": {"latency": 1}, "monitor": {METRIC: "min", "parameters": "min"}}, "'latency' is no objective"),
        ({"compromise": {}, "monitor": GOALS}, "no objective has a weight"),
        ({"compromise": {"latency": 0}, "monitor": GOALS}, "greater than 0"),
        ({"compromise": "middle", "monitor": GOALS}, "'first' or 'knee'"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_it_starts(demand, more, message):
    content = {
        "title": "Which?",
        "experiment": demand.dump(),
        "space": {"optimizer.lr": {"loguniform": [1e-3, 3e-2]}},
        "num_samples": 4,
        **more,
    }
    with pytest.raises(ValueError, match=message):
        Sweep.model_validate(content)


def test_a_sampler_that_cannot_learn_them_is_refused():
    criteria = Criteria.of(None, ["latency <= 5 ms"])
    with pytest.raises(ValueError, match="sampler cmaes does not learn which"):
        Searcher.members["optuna"]("cmaes", None).check_criteria(criteria, 9)


# --- the compromise of several objectives -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_knee_is_the_point_farthest_below_the_line_between_the_ends(seed):
    rng = random.Random(seed)
    points = [(rng.random(), 5 + 100 * rng.random()) for _ in range(40)]
    front = [point for point, number in zip(points, pareto_fronts(points), strict=True) if number == 1]
    (x1, y1), (x2, y2) = min(front), max(front)

    def below(point):
        """Distance from the line, on axes that have the ends at 0 and 1."""
        x, y = (point[0] - x1) / (x2 - x1), (point[1] - y2) / (y1 - y2)
        return (1 - x - y) / 2**0.5

    scores = compromise_scores(front, front, (1.0, 1.0))
    assert front[scores.index(min(scores))] == max(front, key=below)
    assert compromise_scores(front, front, (1.0, 1e-9)).index(min(compromise_scores(front, front, (1.0, 1e-9)))) == (
        front.index(min(front))
    )


def test_the_compromise_is_the_best_and_can_be_changed_afterwards(tmp_path, demand):
    goals = {METRIC: "min", "latency": "min"}
    weights = {METRIC: 1, "latency": 3}
    folder = make(tmp_path, demand, monitor=goals, num_samples=8, compromise="knee")
    told(AskTell(folder)).close()
    trials = folder.trials()
    points = [(trial.value, 100 * trial.overrides["optimizer.lr"]) for trial in trials]
    best = {
        name: min(range(8), key=lambda i, w=w: compromise_scores(points, points, w)[i])
        for name, w in {"knee": (1, 1), "first": (1, 0), "weights": (1, 3)}.items()
    }  # Every configuration is on the front.
    assert len(set(best.values())) > 1
    assert folder.leaderboard()[0].number == best["knee"]
    result = lab.load_sweep(folder.path)
    assert "Of the Pareto front, the knee of the front" in (folder.path / "best.yaml").read_text()
    page = result.report("markdown").read_text().replace("\\", "")
    assert "Best configuration by compromise, of 8 on the Pareto front" in page
    assert "best.yaml has the knee of the front" in page
    extend(folder, Addition(changes={"compromise": weights}))
    AskTell(folder).close()
    assert len(folder.trials()) == 8
    assert lab.load_sweep(folder.path).summary["configurations"][0]["configuration"] == best["weights"]
    assert f"weighted sum ({METRIC} 1, latency 3)" in (folder.path / "best.yaml").read_text()
