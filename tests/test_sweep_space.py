"""Every searcher satisfies conditions and constraints; an invalid space is refused in one line."""

from __future__ import annotations

import pytest

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.sweeps.corners import build_corners
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.spec import Sweep, load_sweep

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
def test_every_searcher_satisfies_conditions_and_constraints(write, searcher):
    found = load_sweep(
        write(searcher=searcher, constraints=["model.hidden_size * model.num_layers <= 12"], num_samples=12)
    )
    build_corners(found, "sweep.yaml")
    again = validate(Sweep, config.load(write(**{**found.dump(), "experiment": found.experiment})), "again")
    assert again == found
    searcher = found.build_searcher()
    searcher.setup(found.search_space, found.num_samples, 0, "min")
    results = []
    for number in range(found.num_configurations):
        overrides = searcher.ask(number)
        experiment = found.experiment_for(overrides, 0)
        assert ("model.cell.forget_bias" in overrides) == (overrides["model.cell"] == "lstm")
        assert ("optimizer.momentum" in overrides) == (overrides["optimizer"]["name"] == "sgd")
        assert experiment.optimizer.name == overrides["optimizer"]["name"]
        assert experiment.model.hidden_size <= 12
        assert experiment.model.hidden_size % 4 == 0
        searcher.tell(number, overrides, float(experiment.model.hidden_size))
        results.append((number, overrides, float(experiment.model.hidden_size)))
    later = found.build_searcher()
    later.setup(found.search_space, found.num_samples, 0, "min")
    for result in results:
        later.tell(*result)
    assert found.search_space.contains(later.ask(0))


@pytest.mark.parametrize("searcher", ["optuna", "hyperopt"])
def test_a_model_that_proposes_what_the_constraints_refuse_gets_a_random_configuration(write, searcher):
    found = load_sweep(write(
        searcher={"name": searcher, "n_startup_trials": 2}, num_samples=30,
        space={"optimizer.lr": {"uniform": [0.001, 1.0]}},
        constraints=["optimizer.lr > 0.5"],
    ))  # fmt: skip
    searcher = found.build_searcher()
    searcher.setup(found.search_space, 30, 0, "min")
    for number in range(30):
        overrides = searcher.ask(number)
        assert overrides["optimizer.lr"] > 0.5
        searcher.tell(number, overrides, overrides["optimizer.lr"])


SOON = {"name": "pbt", "perturbation_interval": 1}
BAD = {
    "unknown key of a constraint": ({"constraints": ["model.hidden_sise * model.cell.bias > 1"]}, "hidden_sise"),
    "no key of the space": ({"constraints": ["trainer.max_epochs > 1"]}, "has no key of the space"),
    "no comparison": ({"constraints": ["model.hidden_size * 2"]}, "must be a comparison"),
    "a call": ({"constraints": ["abs(model.hidden_size) > 1"]}, "must be a dotted key"),
    "string and number": ({"constraints": ["model.cell < 3"]}, "not supported"),
    "impossible": ({"constraints": ["model.hidden_size > 99"]}, "constraints"),
    "condition on a range": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.hidden_size": 4}}}},
        "needs a key with choice or grid",
    ),
    "condition on a key outside the space": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.num_layers": 1}}}},
        "not in the space",
    ),
    "condition never true": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.cell": "rnn"}}}},
        "is never 'rnn'",
    ),
    "cycle of conditions": (
        {
            "space": {
                "model.cell": {"choice": ["lstm"], "when": {"schedule": "cosine"}},
                "schedule": {"choice": ["cosine"], "when": {"model.cell": "lstm"}},
            }
        },
        "depends on itself in a cycle",
    ),
    "condition that is no mapping": (
        {"space": {"optimizer.lr": {"uniform": [0.1, 0.2], "when": "lstm"}}},
        "when must be a mapping",
    ),
    "field that one cell lacks": (
        {"space": {**SPACE, "model.cell.forget_bias": {"uniform": [0, 1], "when": {"model.cell": ["gru", "lstm"]}}}},
        "no such field in GRU",
    ),
    "field that a section lacks": (
        {"space": {"optimizer": {"choice": [{"name": "adam", "momentum": 0.9}]}}},
        "with optimizer=adam(momentum=0.9)",
    ),
    "step that does not fit": ({"space": {"optimizer.lr": {"quniform": [0.1, 1.0, 0.4]}}}, "whole number of steps"),
    "normal without variance": ({"space": {"optimizer.lr": {"normal": [0.1, 0.0]}}}, "std must be above 0"),
    "normal below its field": ({"space": {"optimizer.lr": {"normal": [0.01, 0.01]}}}, "greater than 0"),
    "CMA without its package": ({"searcher": {"name": "optuna", "sampler": "cmaes"}}, "pip install cmaes"),
    "startup without a model": ({"searcher": {"name": "optuna", "sampler": "random", "n_startup_trials": 3}},
                                "n_startup_trials"),
    "unknown sampler": ({"searcher": {"name": "optuna", "sampler": "bayes"}}, "sampler"),
    "warm start without a model": ({"warm_start": ["runs/x"]}, "does not learn"),
    "empty budget": ({"budget": {}}, "give trials, epochs or minutes"),
    "budget below one configuration": ({"budget": {"trials": 1}, "seeds": [0, 1]}, "less than the 2 seeds"),
    "nothing to confirm": ({"confirm": {"top": 2, "seeds": [0]}}, "all trained to completion"),
    "confirm seed twice": ({"confirm": {"top": 2, "seeds": [1, 1]}}, "twice"),
    "pbt over a shape": ({"scheduler": SOON, "space": {"model.hidden_size": {"choice": [4, 8]}}},
                         "space.model.hidden_size: pbt"),
    "pbt over an optimizer": ({"scheduler": SOON, "space": {"optimizer": {"choice": ["adam"]}}},
                              "space.optimizer: pbt"),
    "pbt over seeds": ({"scheduler": "pbt", "seeds": [0, 1]}, "one population"),
    "pbt that never compares": ({"scheduler": {"name": "pbt", "perturbation_interval": 9}},
                                "must be below trainer.max_epochs"),
    "pbt of one": ({"scheduler": {"name": "pbt", "perturbation_interval": 1}, "num_samples": 1,
                    "space": {"optimizer.lr": {"loguniform": [0.001, 0.1]}}}, "population of at least 2"),
    "pb2 over a shape": ({"scheduler": {"name": "pb2", "perturbation_interval": 1},
                          "space": {"model.num_layers": {"choice": [1, 2]}}},
                         "space.model.num_layers: pb2"),
    "pb2 with a searcher that learns": ({"scheduler": {"name": "pb2", "perturbation_interval": 1},
                                         "searcher": "hyperopt"},
                                        "all trials of pb2 start at once"),
    "pb2 has no resample_probability": ({"scheduler": {"name": "pb2", "resample_probability": 0.5}},
                                    "resample_probability"),
    "pbt and confirm": ({"scheduler": "pbt", "confirm": {"seeds": [1]}}, "confirm"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "message"), BAD.values(), ids=BAD)
def test_a_bad_sweep_is_refused_in_one_line(write, more, message):
    if "cmaes" in str(more):
        import importlib.util

        if importlib.util.find_spec("cmaes"):
            pytest.skip("cmaes is installed here")
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(**more))
    assert "\n" not in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("searcher", Searcher.members)
def test_searchers_are_documented(searcher):
    assert (Searcher.members[searcher].__doc__ or "").strip()
