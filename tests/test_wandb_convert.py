"""Sweep files convert to W&B and back; what has no equivalent is noted or refused."""

from __future__ import annotations

import math

import pytest

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.view.wandb_convert import from_wandb, is_wandb, to_wandb


@pytest.fixture
def conf(tmp_path, vowels):
    path = tmp_path / "vowels.yaml"
    path.write_text(config.to_yaml(vowels.dump()))
    return path


def ours(tmp_path, conf, **more):
    path = tmp_path / "cells.yaml"
    content = {"experiment": str(conf), "space": {"model.cell": {"choice": ["lstm", "gru"]}}, **more}
    path.write_text(f"# Which cell?\n{config.to_yaml(content)}")
    return path


def theirs(tmp_path, parameters, **more):
    path = tmp_path / "theirs.yaml"
    path.write_text(config.to_yaml({"method": "random", "run_cap": 4, "parameters": parameters, **more}))
    return path


def test_a_sweep_survives_the_round_trip_to_wandb(tmp_path, conf):
    space = {
        "model.cell": {"choice": ["lstm", "gru"]},
        "model.hidden_size": {"randint": [4, 9]},
        "optimizer.lr": {"loguniform": [1e-3, 1e-1]},
        "model.dropout.output": {"uniform": [0.0, 0.5]},
    }
    path = ours(
        tmp_path, conf, space=space, num_samples=6, seeds=[0, 1], searcher="optuna",
        overrides={"trainer.max_epochs": 9},
        scheduler={"name": "asha", "grace_period": 2, "reduction_factor": 2},
    )  # fmt: skip
    (tmp_path / "wandb.yaml").write_text(to_wandb(path))
    content = config.load(tmp_path / "wandb.yaml")
    assert is_wandb(content)
    assert not is_wandb(config.load(path))
    assert content["method"] == "bayes"
    assert content["run_cap"] == 12
    assert content["metric"] == {"name": "val/loss", "goal": "minimize"}
    assert content["command"][:3] == ["lstm-lab", "train", str(conf)]
    assert content["command"][-1] == "${args_no_hyphens}"
    (tmp_path / "back.yaml").write_text(from_wandb(tmp_path / "wandb.yaml", None, {}))
    assert load_sweep(tmp_path / "back.yaml") == load_sweep(path)


def test_a_grid_is_a_grid_in_wandb(tmp_path, conf):
    path = ours(tmp_path, conf, space={"model.cell": {"grid": ["lstm", "gru"]}}, seeds=[0, 1])
    (tmp_path / "wandb.yaml").write_text(to_wandb(path))
    assert config.load(tmp_path / "wandb.yaml")["method"] == "grid"
    (tmp_path / "back.yaml").write_text(from_wandb(tmp_path / "wandb.yaml", None, {}))
    back = load_sweep(tmp_path / "back.yaml")
    assert (back.num_configurations, back.seeds) == (2, (0, 1))


def test_what_wandb_lacks_is_noted(tmp_path, conf):
    more = {"confirm": {"top": 1, "seeds": [5]}, "scheduler": "median", "seeds": [0, 1]}
    text = to_wandb(ours(tmp_path, conf, num_samples=4, **more))
    for note in ("confirm is left out", "scheduler median is left out", "seeds are sampled"):
        assert f"# Note: {note}" in text


REFUSED = {
    "constraints": (
        {"space": {"model.hidden_size": {"randint": [4, 9]}}, "constraints": ["model.hidden_size <= 8"]},
        "constraints: W&B samples all of the space",
    ),
    "a condition": (
        {
            "space": {
                "model.cell": {"choice": ["lstm", "gru"]},
                "model.hidden_size": {"randint": [4, 9], "when": {"model.cell": "lstm"}},
            }
        },
        "space.model.hidden_size: W&B has no `when`",
    ),
    "a section": (
        {"space": {"optimizer": {"choice": [{"name": "adam"}, {"name": "sgd", "lr": 0.1}]}}},
        "space.optimizer: W&B passes single values",
    ),
    "a quantized range off the multiples": (
        {"space": {"model.hidden_size": {"qloguniform": [5, 26, 7]}}},
        "space.model.hidden_size: W&B rounds to multiples of 7",
    ),
    **{
        name: (
            {
                "space": {"optimizer.lr": {"uniform": [0.1, 1.0]}},
                "scheduler": {"name": name, "perturbation_interval": 1},
            },
            "scheduler: W&B has no population-based training; write scheduler: asha or fifo",
        )
        for name in ("pbt", "pb2")
    },
}


@pytest.mark.parametrize(("more", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_another_search_is_refused(more, message, tmp_path, conf):
    path = ours(tmp_path, conf, num_samples=4, **more)
    with pytest.raises(ConfigError) as error:
        to_wandb(path)
    assert str(error.value).startswith(f"{path}: {message}")


DOMAINS = {
    "choice": [4, 8, 12], "grid": [4, 8, 12], "randint": [4, 9], "quniform": [4, 16, 4], "qloguniform": [4, 32, 4],
    "uniform": [0.1, 0.4], "loguniform": [0.001, 0.1], "normal": [0.5, 0.1],
}  # fmt: skip
AS_CHOICE = {"quniform": [4, 8, 12, 16], "grid": [4, 8, 12]}
"""W&B has no such domain: a list of the same values, each equally likely."""


@pytest.mark.parametrize("name", Domain.members)
def test_every_domain_survives_the_round_trip_to_wandb(name, tmp_path, conf):
    key = "optimizer.lr" if name in ("uniform", "loguniform", "normal") else "model.hidden_size"
    # A second domain, without which a grid alone would be a grid in W&B too.
    space = {key: {name: DOMAINS[name]}, "model.dropout.output": {"uniform": [0.0, 0.5]}}
    path = ours(tmp_path, conf, space=space, num_samples=4)
    (tmp_path / "wandb.yaml").write_text(to_wandb(path))
    (tmp_path / "back.yaml").write_text(from_wandb(tmp_path / "wandb.yaml", None, {}))
    back = load_sweep(tmp_path / "back.yaml").space[key]
    assert back.to_yaml() == ({"choice": AS_CHOICE[name]} if name in AS_CHOICE else {name: DOMAINS[name]})


@pytest.mark.parametrize("name", Searcher.members)
def test_every_searcher_names_its_method_in_wandb(name, tmp_path, conf):
    pytest.importorskip("hyperopt")
    (tmp_path / "wandb.yaml").write_text(to_wandb(ours(tmp_path, conf, num_samples=4, searcher=name)))
    method = config.load(tmp_path / "wandb.yaml")["method"]
    assert method == ("random" if name in ("random", "portfolio") else "bayes")
    back = from_wandb(tmp_path / "wandb.yaml", None, {})
    others = {"hyperopt": "optuna", "bohb": "optuna", "portfolio": "random"}
    assert f"searcher: {others.get(name, name)}" in back


@pytest.mark.parametrize(
    ("scheduler", "early_terminate"),
    [
        ("fifo", None),
        ("median", None),
        (
            {"name": "asha", "grace_period": 2, "reduction_factor": 2.0},
            {"type": "hyperband", "min_iter": 2, "eta": 2.0},
        ),
        ({"name": "hyperband", "grace_period": 1}, {"type": "hyperband", "min_iter": 1, "eta": 3.0}),
    ],
    ids=str,
)
def test_early_stopping_in_wandb(scheduler, early_terminate, tmp_path, conf):
    (tmp_path / "wandb.yaml").write_text(to_wandb(ours(tmp_path, conf, num_samples=4, scheduler=scheduler)))
    assert config.load(tmp_path / "wandb.yaml").get("early_terminate") == early_terminate


@pytest.mark.parametrize(
    ("parameter", "domain"),
    [
        ({"min": 4, "max": 9}, {"randint": [4, 9]}),
        ({"distribution": "q_uniform", "min": 3, "max": 9, "q": 2}, {"quniform": [4, 8, 2]}),
        ({"distribution": "q_log_uniform_values", "min": 4, "max": 32, "q": 4}, {"qloguniform": [4, 32, 4]}),
        ({"values": [4, 8], "probabilities": [0.5, 0.5]}, {"choice": [4, 8]}),
    ],
)
def test_distributions_of_whole_numbers_from_wandb(parameter, domain, tmp_path, conf):
    path = theirs(tmp_path, {"model": {"parameters": {"hidden_size": parameter}}})
    text = from_wandb(path, str(conf), {})
    (tmp_path / "back.yaml").write_text(text)
    assert config.load(tmp_path / "back.yaml")["space"] == {"model.hidden_size": domain}


def test_the_bounds_of_log_uniform_are_exponents_of_e(tmp_path, conf):
    path = theirs(tmp_path, {"lr": {"distribution": "log_uniform", "min": -6, "max": -3}, "cell": {"value": "gru"}})
    (tmp_path / "back.yaml").write_text(from_wandb(path, str(conf), {"lr": "optimizer.lr", "cell": "model.cell"}))
    back = load_sweep(tmp_path / "back.yaml")
    assert back.space["optimizer.lr"].arguments == pytest.approx([math.exp(-6), math.exp(-3)])
    assert back.base.dump()["model"]["cell"]["name"] == "gru"
    assert back.num_samples == 4


@pytest.mark.parametrize(
    ("parameters", "more", "message"),
    [
        ({"model.hidden_siz": {"values": [4, 8]}}, {}, "hidden_siz: no such field"),
        ({"optimizer.lr": {"distribution": "beta"}}, {}, "distribution: 'beta' has no equivalent"),
        ({"optimizer.lr": {"distribution": "uniform", "min": 0.1}}, {}, "distribution uniform needs max"),
        ({"model.hidden_size": {"values": [4, 8], "probabilities": [0.9, 0.1]}}, {}, "equally likely"),
        ({"seed": {"min": 0, "max": 9}, "optimizer.lr": {"values": [0.1]}}, {}, "seeds cannot be sampled"),
        (
            {"optimizer.lr": {"values": [0.1]}},
            {"method": "magic"},
            "method: 'magic' has no equivalent; there are: bayes, grid, random",
        ),
        (
            {"optimizer.lr": {"values": [0.1]}},
            {"metric": {"name": "acc", "goal": "maximize"}},
            "metric: acc .maximize. is not what the experiment monitors",
        ),
        ({"optimizer.lr": 3}, {}, "must be a mapping, as in"),
    ],
)
def test_what_has_no_equivalent_here_is_refused_in_one_line(parameters, more, message, tmp_path, conf):
    with pytest.raises(ConfigError, match=message) as error:
        from_wandb(theirs(tmp_path, parameters, **more), str(conf), {})
    assert str(error.value).startswith(str(tmp_path / "theirs.yaml"))
    with pytest.raises(ConfigError, match="give --experiment"):
        from_wandb(theirs(tmp_path, {"optimizer.lr": {"values": [0.1]}}), None, {})


@pytest.mark.parametrize("metric", [{"name": "val_loss", "goal": "minimize"}, {"name": "validation/loss"}])
def test_a_metric_of_other_training_code_is_ours(metric, tmp_path, conf):
    text = from_wandb(theirs(tmp_path, {"optimizer.lr": {"values": [0.1]}}, metric=metric), str(conf), {})
    assert f"# Note: metric: {metric['name']} is called val/loss." in text
