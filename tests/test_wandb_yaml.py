"""Sweep files of W&B and ours say the same, or say what they do not."""

from __future__ import annotations

import math

import pytest

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.view.wandb_convert import from_wandb, is_wandb, read, to_wandb


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


def test_there_and_back_is_the_same_sweep(tmp_path, conf):
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
    (tmp_path / "there.yaml").write_text(to_wandb(path))
    content = read(tmp_path / "there.yaml")
    assert is_wandb(content)
    assert not is_wandb(config.load(path))
    assert content["method"] == "bayes"
    assert content["run_cap"] == 12
    assert content["metric"] == {"name": "val/loss", "goal": "minimize"}
    assert content["command"][:3] == ["lstm-lab", "train", str(conf)]
    assert content["command"][-1] == "${args_no_hyphens}"
    (tmp_path / "back.yaml").write_text(from_wandb(tmp_path / "there.yaml", None, {}))
    assert load_sweep(tmp_path / "back.yaml") == load_sweep(path)


def test_a_grid_is_walked_through_on_both_sides(tmp_path, conf):
    path = ours(tmp_path, conf, space={"model.cell": {"grid": ["lstm", "gru"]}}, seeds=[0, 1])
    (tmp_path / "there.yaml").write_text(to_wandb(path))
    assert read(tmp_path / "there.yaml")["method"] == "grid"
    (tmp_path / "back.yaml").write_text(from_wandb(tmp_path / "there.yaml", None, {}))
    back = load_sweep(tmp_path / "back.yaml")
    assert (back.num_configurations, back.seeds) == (2, (0, 1))


def test_what_is_lost_is_said_and_what_would_be_another_question_refused(tmp_path, conf):
    text = to_wandb(ours(tmp_path, conf, num_samples=4, confirm={"top": 1, "seeds": [5]}))
    assert "# Note: confirm is left out" in text
    for more, said in {
        "constraints": (["model.hidden_size <= 8"], "W&B draws from all of the space"),
        "scheduler": ({"name": "pbt", "perturbation_interval": 1}, "no population-based training"),
    }.items():
        space = (
            {"model.hidden_size": {"randint": [4, 9]}}
            if more == "constraints"
            else {"optimizer.lr": {"uniform": [0.1, 1.0]}}
        )
        with pytest.raises(ConfigError, match=said[1]):
            to_wandb(ours(tmp_path, conf, space=space, num_samples=4, **{more: said[0]}))
    space = {
        "model.cell": {"choice": ["lstm", "gru"]},
        "model.hidden_size": {"randint": [4, 9], "when": {"model.cell": "lstm"}},
    }
    with pytest.raises(ConfigError, match="W&B knows no `when`"):
        to_wandb(ours(tmp_path, conf, space=space))


@pytest.mark.parametrize(
    ("parameter", "domain"),
    [
        ({"min": 4, "max": 9}, {"randint": [4, 9]}),
        ({"distribution": "q_uniform", "min": 3, "max": 9, "q": 2}, {"quniform": [4, 8, 2]}),
        ({"distribution": "q_log_uniform_values", "min": 4, "max": 32, "q": 4}, {"qloguniform": [4, 32, 4]}),
        ({"values": [4, 8], "probabilities": [0.5, 0.5]}, {"choice": [4, 8]}),
    ],
)
def test_their_distributions_of_whole_numbers(parameter, domain, tmp_path, conf):
    path = theirs(tmp_path, {"model": {"parameters": {"hidden_size": parameter}}})
    text = from_wandb(path, str(conf), {})
    (tmp_path / "back.yaml").write_text(text)
    assert config.load(tmp_path / "back.yaml")["space"] == {"model.hidden_size": domain}


def test_log_uniform_is_of_exponents_of_e(tmp_path, conf):
    path = theirs(tmp_path, {"lr": {"distribution": "log_uniform", "min": -6, "max": -3}, "cell": {"value": "gru"}})
    (tmp_path / "back.yaml").write_text(from_wandb(path, str(conf), {"lr": "optimizer.lr", "cell": "model.cell"}))
    back = load_sweep(tmp_path / "back.yaml")
    assert back.space["optimizer.lr"].arguments == pytest.approx([math.exp(-6), math.exp(-3)])
    assert back.base.dump()["model"]["cell"]["name"] == "gru"
    assert back.num_samples == 4


@pytest.mark.parametrize(
    ("parameters", "more", "said"),
    [
        ({"model.hidden_siz": {"values": [4, 8]}}, {}, "hidden_siz: no such field"),
        ({"optimizer.lr": {"distribution": "beta"}}, {}, "distribution 'beta' has nothing like it here"),
        ({"optimizer.lr": {"distribution": "uniform", "min": 0.1}}, {}, "distribution uniform needs max"),
        ({"model.hidden_size": {"values": [4, 8], "probabilities": [0.9, 0.1]}}, {}, "equally likely here"),
        ({"seed": {"min": 0, "max": 9}, "optimizer.lr": {"values": [0.1]}}, {}, "seeds are rows, not drawn"),
        ({"optimizer.lr": {"values": [0.1]}}, {"method": "magic"}, "must be grid, random or bayes, got 'magic'"),
        ({"optimizer.lr": {"values": [0.1]}}, {"metric": {"name": "acc", "goal": "maximize"}}, "asks for acc"),
        ({"optimizer.lr": 3}, {}, "must be a mapping, as in"),
    ],
)
def test_what_cannot_be_asked_here_is_one_line(parameters, more, said, tmp_path, conf):
    with pytest.raises(ConfigError, match=said) as error:
        from_wandb(theirs(tmp_path, parameters, **more), str(conf), {})
    assert str(error.value).startswith(str(tmp_path / "theirs.yaml"))
    with pytest.raises(ConfigError, match="give --experiment"):
        from_wandb(theirs(tmp_path, {"optimizer.lr": {"values": [0.1]}}), None, {})
