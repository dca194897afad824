"""Regularizers that act on activations, weights and gradients: each equals its definition."""

from __future__ import annotations

import math

import pytest
import torch
from test_regularizers import LENGTHS, learner_of, padded, with_regularizers
from torch import nn
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.groups import DECAYED, Group, parameter_groups
from lstm_lab.models.sites import StepKey
from lstm_lab.optimizers.clipping import ClipByNorm
from lstm_lab.regularizers import Regularizer
from lstm_lab.regularizers.base import Activations
from lstm_lab.training.train import build

# ---- groups of parameters ----


@pytest.mark.parametrize("name", sorted(Cell.members))
def test_the_group_of_each_parameter_of_a_cell(name):
    """What the state alone reaches is recurrent: with an input of zeros, the gradient of an input matrix is zero."""
    torch.manual_seed(0)
    encoder = Encoder(Cell.members[name].Config(), input_size=3, hidden_size=4)
    groups = parameter_groups(encoder)
    parameters = dict(encoder.named_parameters())
    assert sorted(key for group in groups.values() for key in group) == sorted(parameters)
    for key in [*groups[Group.RECURRENT], *groups[Group.INPUT]]:
        assert parameters[key].dim() > 1 or key.endswith((".u", ".v_f", ".v_r"))
    encoder(torch.zeros(2, 5, 3), torch.tensor([5, 5])).outputs.sum().backward()
    for key, parameter in groups[Group.INPUT].items():
        if "QR" not in key:
            assert parameter.grad is None or not parameter.grad.any(), key
    state_matrices = {key for key in groups[Group.RECURRENT] if parameters[key].grad is not None}
    assert state_matrices == set(groups[Group.RECURRENT])
    assert not any(parameters[key].grad[..., :1].isnan().any() for key in state_matrices)


def test_the_groups_of_a_model(reber):
    learner = build(reber, reber.data.build())
    names = {group: set(found) for group, found in parameter_groups(learner.model).items()}
    assert names[Group.EMBEDDING] == {"embedding.weight"}
    assert names[Group.HEAD] == {"head.weight"}
    assert names[Group.RECURRENT] == {"encoder.layers.0.0.layer.weight_hh_l0"}
    assert names[Group.INPUT] == {"encoder.layers.0.0.layer.weight_ih_l0"}
    assert "head.bias" in names[Group.BIAS]
    assert set(Group) - {Group.BIAS, Group.NORM} == DECAYED
    tied = reber.with_overrides({"model.embedding": {"dim": 6, "tie_weights": True}})
    tied_names = {g: set(found) for g, found in parameter_groups(build(tied, tied.data.build()).model).items()}
    assert tied_names[Group.EMBEDDING] == {"embedding.weight"}
    assert tied_names[Group.HEAD] == set()
    norm = parameter_groups(nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)))
    assert set(norm[Group.NORM]) == {"0.weight"}
    assert set(norm[Group.BIAS]) == {"0.bias", "1.bias"}


# ---- penalties on activations ----


@pytest.mark.parametrize("per_step", [True, False])
def test_ar_and_tar_are_means_over_the_valid_steps(per_step):
    h = padded()
    activations = Activations(h, h / 2, LENGTHS, per_step)
    ar = Regularizer.members["ar"](alpha=3.0).activation_penalty(activations)
    tar = Regularizer.members["tar"](beta=0.5).activation_penalty(activations)
    squares = [(sample[:n] / 2).square().flatten() for sample, n in zip(h, LENGTHS, strict=True)]
    steps = [
        sample[:n].diff(dim=0, prepend=sample[:1]).square().flatten() for sample, n in zip(h, LENGTHS, strict=True)
    ]
    if per_step:
        assert_close(ar, 3.0 * torch.cat(squares).mean())
        assert_close(tar, 0.5 * torch.cat(steps).mean())
    else:
        assert_close(ar, 3.0 * torch.stack([each.mean() for each in squares]).mean())
        assert_close(tar, 0.5 * torch.stack([each.mean() for each in steps]).mean())


@pytest.mark.parametrize("name", ["ar", "tar"])
@pytest.mark.parametrize("per_step", [True, False])
def test_shares_of_a_batch_weighted_as_their_losses_give_its_penalty(name, per_step):
    h, member = padded(), Regularizer.members[name].Config().build()
    count = torch.sum if per_step else len
    whole = member.activation_penalty(Activations(h, h, LENGTHS, per_step))
    shares = [(member.activation_penalty(Activations(h[k::2], h[k::2], LENGTHS[k::2], per_step)), LENGTHS[k::2])
              for k in range(2)]  # fmt: skip
    assert_close(sum(penalty * count(lengths) for penalty, lengths in shares) / count(LENGTHS), whole)


@pytest.mark.parametrize("name", ["ar", "tar"])
def test_a_penalty_is_added_to_the_loss_and_reaches_the_cells(vowels, reber, name):
    for plain in (vowels, reber):
        learner, batch = learner_of(with_regularizers(plain, name))
        output = learner.train()(batch)
        plain_loss, (loss, _) = learner.task.loss(output.logits, batch), learner.step.loss(output, batch)
        penalty = loss - plain_loss
        assert penalty > 0
        penalty.backward()
        groups = parameter_groups(learner.model)
        assert all(parameter.grad.any() for parameter in groups[Group.RECURRENT].values())
        assert not learner.model.head.weight.grad.any()
        assert float(learner.step.sums["loss"] / learner.step.sums["samples"]) == pytest.approx(plain_loss.item())


# ---- weights and gradients ----


def some_gradients(learner, batch, key=StepKey(0, 0, size=8)):
    learner.zero_grad()
    learner.train().step.begin(key)
    learner.step.loss(learner(batch), batch)[0].backward()
    learner.step.clip(ClipByNorm(math.inf), torch.optim.SGD(learner.parameters(), 0.1))
    return {name: parameter.grad.clone() for name, parameter in learner.model.named_parameters()}


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_weight_penalties_act_on_their_groups(vowels, name):
    vowels = vowels.with_overrides({"model.dropout": {}})
    (plain, batch), (regular, _) = learner_of(vowels), learner_of(
        with_regularizers(vowels, {"name": name, "strength": 0.1, "head": 0.0, "recurrent": 0.3})
    )  # fmt: skip
    groups = parameter_groups(regular.model)
    strengths = dict.fromkeys(groups[Group.RECURRENT], 0.3) | dict.fromkeys(groups[Group.INPUT], 0.1)
    one, other = some_gradients(plain, batch), some_gradients(regular, batch)
    for key, parameter in regular.model.named_parameters():
        expected = strengths.get(key, 0.0) * (parameter.sign() if name == "l1" else parameter)
        assert_close(other[key] - one[key], expected.detach(), atol=1e-6, rtol=1e-5)


def test_a_penalty_on_no_parameters_is_refused(vowels, reber):
    with pytest.raises(ConfigError, match=r"regularizers.l2.embedding=0.1 would do nothing: model 'sequence' has no v"):
        with_regularizers(vowels, {"name": "l2", "embedding": 0.1})
    tied = with_regularizers(reber, {"name": "l1", "head": 0.1}, **{"model.embedding": {"dim": 6, "tie_weights": True}})
    with pytest.raises(ConfigError, match=r"regularizers.l1.head=0.1 would do nothing"):
        build(tied, tied.data.build())


def test_weight_noise_is_there_in_the_step_alone(vowels):
    learner, batch = learner_of(with_regularizers(vowels, {"name": "weight_noise", "std": 0.1}))
    before = {name: parameter.detach().clone() for name, parameter in learner.model.named_parameters()}
    noisy_names = {name for group in (Group.RECURRENT, Group.INPUT, Group.HEAD)
                   for name in parameter_groups(learner.model)[group]}  # fmt: skip
    learner.step.begin(StepKey(0, 0, size=8))
    changes = {name: parameter.detach() - before[name] for name, parameter in learner.model.named_parameters()}
    assert {name for name, change in changes.items() if change.any()} == noisy_names
    assert abs(float(torch.cat([changes[name].flatten() for name in noisy_names]).std()) - 0.1) < 0.02
    learner.step.begin(StepKey(0, 1, size=8))  # Noise of one step is not added to that of the last.
    again = {name: parameter.detach() - before[name] for name, parameter in learner.model.named_parameters()}
    assert all(not torch.equal(again[name], changes[name]) for name in noisy_names)
    some_gradients(learner, batch)
    assert all(torch.equal(parameter, before[name]) for name, parameter in learner.model.named_parameters())


def test_gradient_noise_has_its_variance_and_decays(vowels):
    plain, batch = learner_of(vowels)
    noisy_learner, _ = learner_of(with_regularizers(vowels, {"name": "gradient_noise", "eta": 0.3, "gamma": 0.55}))
    for step in (0, 99):
        key = StepKey(1, step, size=8)
        one, other = some_gradients(plain, batch, key), some_gradients(noisy_learner, batch, key)
        noise = torch.cat([(other[name] - one[name]).flatten() for name in one])
        assert float(noise.std()) == pytest.approx((0.3 / (1 + step) ** 0.55) ** 0.5, rel=0.1)
        assert abs(float(noise.mean())) < 0.06
    # Clipping does not reach it.
    noisy_learner.step.clip(ClipByNorm(1e-6), torch.optim.SGD(noisy_learner.parameters(), 0.1))
    assert max(float(parameter.grad.abs().max()) for parameter in noisy_learner.model.parameters()) > 0.01


def test_max_norm_holds_after_each_step(vowels):
    chosen = {"name": "max_norm", "input": 0.5, "recurrent": 0.25, "head": None}
    learner, batch = learner_of(with_regularizers(vowels, chosen))
    optimizer = torch.optim.SGD(learner.model.parameters(), 5.0)
    head = learner.model.head.weight
    some_gradients(learner, batch)
    optimizer.step()
    expected = head.detach().clone()
    learner.step.end()
    groups = parameter_groups(learner.model)
    for group, limit in ((Group.INPUT, 0.5), (Group.RECURRENT, 0.25)):
        for parameter in groups[group].values():
            assert float(parameter.norm(dim=1).max()) <= limit + 1e-6
            assert float(parameter.norm(dim=1).max()) > limit / 2
    assert torch.equal(head, expected)
    with pytest.raises(ConfigError, match="has no limit"):
        with_regularizers(vowels, {"name": "max_norm", "input": None, "recurrent": None, "head": None})
