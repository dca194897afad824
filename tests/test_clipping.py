"""Clipping of gradients, and early stopping with a least change: what the optimizer sees, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data.loader import Loader
from lstm_lab.optimizers.clipping import AutoClip, ClipByNorm
from lstm_lab.records.run import Run
from lstm_lab.training.train import build, train


def test_autoclip_is_a_percentile_of_all_norms_so_far():
    clipping, norms = AutoClip(25.0, 40.0), []
    parameter = torch.nn.Parameter(torch.zeros(2))
    for norm in torch.rand(30, generator=torch.Generator().manual_seed(0)).mul(100).tolist():
        parameter.grad = torch.tensor([0.6, 0.8]) * norm
        norms.append(float(clipping.clip([parameter])))
        limit = min(float(np.percentile(norms, 25.0)), 40.0)
        assert float(parameter.grad.norm()) == pytest.approx(min(norm, limit), rel=1e-5)
    restored = AutoClip(25.0, 40.0)
    restored.load_state_dict(clipping.state_dict())
    assert restored.norms == clipping.norms == sorted(norms)
    parameter.grad = torch.tensor([torch.inf, 0.0])
    clipping.clip([parameter])  # Half precision has overflown: the step is left out, and so is its norm.
    assert len(clipping.norms) == 30


@pytest.mark.parametrize(
    ("algorithm", "clipped"), [("norm", lambda g: g * 1e-3 / g.norm()), ("value", lambda g: g.clamp(-1e-3, 1e-3)),
                               ("autoclip", lambda g: g * 1e-3 / g.norm())],
)  # fmt: skip
def test_what_the_optimizer_sees_is_clipped(tmp_path, vowels, algorithm, clipped):
    """Clipping before the backward pass would leave the gradient as it is (as a published implementation did)."""
    experiment = vowels.with_overrides(
        {"optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0}, "trainer.max_epochs": 1, "data.batch_size": 1000,
         "trainer.gradient_clip_val": 1e-3, "trainer.gradient_clip_algorithm": algorithm,
         "model.dropout": {"input": 0.0, "output": 0.0}}
    )  # fmt: skip
    dataset = experiment.data.build()
    before = build(experiment, dataset)
    batch = next(iter(Loader(dataset.train, 1000, seed=experiment.seed)))
    before.task.loss(before(batch).logits, batch).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in before.model.parameters()])
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    after = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    moved = torch.cat([
        (parameter.detach() - after[f"model.{name}"]).flatten() for name, parameter in before.model.named_parameters()
    ])  # fmt: skip
    torch.testing.assert_close(moved, clipped(gradient), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gradient_clip_algorithm": "value", "gradient_clip_val": None}, "gradient_clip_val is null"),
        ({"gradient_clip_percentile": 20.0}, "gradient_clip_percentile=20 would do nothing"),
        ({"min_delta": 0.1, "patience": None}, "min_delta=0.1 would do nothing: patience is null"),
    ],
)
def test_fields_of_the_trainer_without_effect_are_refused(vowels, changes, said):
    with pytest.raises(ConfigError, match=said):
        vowels.with_overrides({f"trainer.{key}": value for key, value in changes.items()})


def test_min_delta_ends_training_whose_gain_is_small(tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer.patience": 1, "trainer.min_delta": 10.0, "trainer.max_epochs": 9})
    run = Run.create(tmp_path / "run", experiment.dump())
    assert train(experiment, run).epochs == 2


@pytest.mark.parametrize("limit", [None, 0.5])
def test_clipping_by_norm_does_without_torchs_own_functions(monkeypatch, limit):
    def clipped():
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2, 2))]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        return ClipByNorm(limit).clip(parameters), [parameter.grad for parameter in parameters]

    quick = clipped()
    monkeypatch.delattr(torch, "_foreach_norm")
    assert_close(clipped(), quick)
