"""A space in a sweep: every searcher keeps conditions and constraints, and what cannot be is refused in a line."""

from __future__ import annotations

import pytest

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.spec import Sweep, build_corners, load_sweep

SPACE = {
    "model.cell": {"choice": ["lstm", "gru"]},
    "model.cell.forget_bias": {"uniform": [0.0, 2.0], "when": {"model.cell": "lstm"}},
    "model.hidden_size": {"qloguniform": [4, 16, 4]},
    "optimizer": {"choice": [{"name": "adam", "lr": 0.01}, {"name": "sgd", "lr": 0.1, "momentum": 0.9}]},
    "optimizer.momentum": {"quniform": [0.1, 0.9, 0.2], "when": {"optimizer": "sgd"}},
}


@pytest.fixture
def write(tmp_path, vowels):
    def written(**more):
        path = tmp_path / "sweep.yaml"
        content = {"experiment": vowels.dump(), "space": SPACE, "num_samples": 6, **more}
        path.write_text(f"# Which?\n{config.to_yaml(content)}")
        return path

    return written


@pytest.mark.parametrize(
    "searcher",
    ["random", {"name": "hyperopt", "n_startup_trials": 3}]
    + [{"name": "optuna", "sampler": s, "n_startup_trials": 3} for s in ("tpe", "gp")],
)
def test_every_searcher_keeps_conditions_and_constraints_and_every_point_builds(write, searcher):
    found = load_sweep(
        write(searcher=searcher, constraints=["model.hidden_size * model.num_layers <= 12"], num_samples=12)
    )
    build_corners(found, "here")
    again = config.validate(Sweep, config.load(write(**{**found.dump(), "experiment": found.experiment})), "again")
    assert again == found
    source = found.searcher.build()
    source.setup(found.search_space, found.num_samples, 0, "min")
    told = []
    for number in range(found.num_configurations):
        point = source.ask(number)
        experiment = found.experiment_for(point, 0)
        assert ("model.cell.forget_bias" in point) == (point["model.cell"] == "lstm")
        assert ("optimizer.momentum" in point) == (point["optimizer"]["name"] == "sgd")
        assert experiment.optimizer.name == point["optimizer"]["name"]
        assert experiment.model.hidden_size <= 12
        assert experiment.model.hidden_size % 4 == 0
        source.tell(number, point, float(experiment.model.hidden_size))
        told.append((number, point, float(experiment.model.hidden_size)))
    later = found.searcher.build()
    later.setup(found.search_space, found.num_samples, 0, "min")
    for row in told:
        later.tell(*row)
    assert found.search_space.contains(later.ask(0))


@pytest.mark.parametrize("searcher", ["optuna", "hyperopt"])
def test_a_model_that_insists_on_what_is_refused_is_helped_out(write, searcher):
    found = load_sweep(write(
        searcher={"name": searcher, "n_startup_trials": 2}, num_samples=30,
        space={"optimizer.lr": {"uniform": [0.001, 1.0]}},
        constraints=["optimizer.lr > 0.5"],
    ))  # fmt: skip
    source = found.searcher.build()
    source.setup(found.search_space, 30, 0, "min")
    for number in range(30):
        point = source.ask(number)
        assert point["optimizer.lr"] > 0.5
        source.tell(number, point, point["optimizer.lr"])


SOON = {"name": "pbt", "perturbation_interval": 1}
BAD = {
    "unknown key of a constraint": ({"constraints": ["model.hidden_sise * model.cell.bias > 1"]}, "hidden_sise"),
    "no key of the space": ({"constraints": ["trainer.max_epochs > 1"]}, "speaks of no key of the space"),
    "no comparison": ({"constraints": ["model.hidden_size * 2"]}, "must be a comparison"),
    "a call": ({"constraints": ["abs(model.hidden_size) > 1"]}, "must be a dotted key"),
    "text and number": ({"constraints": ["model.cell < 3"]}, "not supported"),
    "impossible": ({"constraints": ["model.hidden_size > 99"]}, "constraints"),
    "condition on a range": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.hidden_size": 4}}}},
        "needs a key with choice or grid",
    ),
    "condition on what is not there": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.num_layers": 1}}}},
        "not in the space",
    ),
    "condition never true": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.cell": "rnn"}}}},
        "is never 'rnn'",
    ),
    "circle": (
        {
            "space": {
                "model.cell": {"choice": ["lstm"], "when": {"schedule": "cosine"}},
                "schedule": {"choice": ["cosine"], "when": {"model.cell": "lstm"}},
            }
        },
        "circle",
    ),
    "condition that is no mapping": (
        {"space": {"optimizer.lr": {"uniform": [0.1, 0.2], "when": "lstm"}}},
        "when must be a mapping",
    ),
    "field that the arm lacks": (
        {"space": {**SPACE, "model.cell.forget_bias": {"uniform": [0, 1], "when": {"model.cell": ["gru", "lstm"]}}}},
        "at the corner",
    ),
    "field that a section lacks": (
        {"space": {"optimizer": {"choice": [{"name": "adam", "momentum": 0.9}]}}},
        "at the corner optimizer=adam(momentum=0.9)",
    ),
    "step that does not fit": ({"space": {"optimizer.lr": {"quniform": [0.1, 1.0, 0.4]}}}, "whole number of steps"),
    "no spread": ({"space": {"optimizer.lr": {"normal": [0.1, 0.0]}}}, "deviation must be above 0"),
    "normal below its field": ({"space": {"optimizer.lr": {"normal": [0.01, 0.01]}}}, "greater than 0"),
    "CMA without its package": ({"searcher": {"name": "optuna", "sampler": "cmaes"}}, "pip install cmaes"),
    "startup without a model": ({"searcher": {"name": "optuna", "sampler": "random", "n_startup_trials": 3}},
                                "n_startup_trials"),
    "unknown sampler": ({"searcher": {"name": "optuna", "sampler": "bayes"}}, "sampler"),
    "warm start of what does not learn": ({"warm_start": ["runs/x"]}, "does not learn"),
    "empty budget": ({"budget": {}}, "give trials, epochs or minutes"),
    "budget below a point": ({"budget": {"trials": 1}, "seeds": [0, 1]}, "less than the 2 seeds"),
    "nothing to confirm": ({"confirm": {"top": 2, "seeds": [0]}}, "all trained through"),
    "confirm seed twice": ({"confirm": {"top": 2, "seeds": [1, 1]}}, "twice"),
    "pbt over a shape": ({"scheduler": SOON, "space": {"model.hidden_size": {"choice": [4, 8]}}},
                         "space.model.hidden_size: pbt"),
    "pbt over an optimiser": ({"scheduler": SOON, "space": {"optimizer": {"choice": ["adam"]}}},
                              "space.optimizer: pbt"),
    "pbt over seeds": ({"scheduler": "pbt", "seeds": [0, 1]}, "one population"),
    "pbt that never compares": ({"scheduler": {"name": "pbt", "perturbation_interval": 9}}, "never before the last"),
    "pbt of one": ({"scheduler": {"name": "pbt", "perturbation_interval": 1}, "num_samples": 1,
                    "space": {"optimizer.lr": {"loguniform": [0.001, 0.1]}}}, "population of at least 2"),
    "pb2 over a shape": ({"scheduler": {"name": "pb2", "perturbation_interval": 1},
                          "space": {"model.num_layers": {"choice": [1, 2]}}},
                         "space.model.num_layers: pb2"),
    "pb2 with a searcher that learns": ({"scheduler": {"name": "pb2", "perturbation_interval": 1},
                                         "searcher": "hyperopt"},
                                        "the points of pb2 all begin at once"),
    "pb2 moves nothing by chance": ({"scheduler": {"name": "pb2", "resample_probability": 0.5}},
                                    "resample_probability"),
    "pbt and confirm": ({"scheduler": "pbt", "confirm": {"seeds": [1]}}, "confirm"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "said"), BAD.values(), ids=BAD)
def test_a_bad_sweep_is_refused_in_one_line(write, more, said):
    if "cmaes" in str(more):
        import importlib.util

        if importlib.util.find_spec("cmaes"):
            pytest.skip("cmaes is installed here")
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(**more))
    assert "\n" not in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("searcher", Searcher.members)
def test_searchers_are_documented(searcher):
    assert (Searcher.members[searcher].__doc__ or "").strip()
