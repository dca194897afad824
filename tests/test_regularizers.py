"""Regularizers: where they act, that they act in training alone, and what they compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.experiment import Experiment
from lstm_lab.fields import fields
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.groups import DECAYED, Group, parameter_groups
from lstm_lab.models.sites import SITES, sites
from lstm_lab.regularizers import Regularizer
from lstm_lab.regularizers.base import Activations
from lstm_lab.training import build

B, T, H = 5, 7, 6
LENGTHS = torch.tensor([7, 1, 4, 7, 2])


def values(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def padded():
    return values(B, T, H).masked_fill((torch.arange(T) >= LENGTHS.unsqueeze(1)).unsqueeze(-1), 0.0)


def with_regularizers(experiment, *chosen, **overrides):
    return experiment.with_overrides({**overrides, "regularizers": list(chosen)})


def learner_of(experiment):
    dataset = experiment.data.build()
    learner = build(experiment, dataset)
    return learner, dataset.train.take(torch.arange(8))


# ---- the configuration ----


def test_a_list_is_kept_by_name(vowels):
    chosen = with_regularizers(vowels, {"name": "ar", "alpha": 3.0}, "tar")
    assert chosen.dump()["regularizers"] == {"ar": {"alpha": 3.0}, "tar": {"beta": 1.0}}
    assert Experiment.of(chosen.dump()) == chosen
    assert chosen.with_overrides({"regularizers.ar.alpha": 1.0}).regularizers[0].alpha == 1.0
    assert [each.name for each in chosen.with_overrides({"regularizers.ar": None}).regularizers] == ["tar"]
    assert [each.name for each in vowels.with_overrides({"regularizers": "tar"}).regularizers] == ["tar"]
    both = vowels.with_overrides({"regularizers.ar.alpha": 0.5, "regularizers": ["tar"]})
    assert both.dump()["regularizers"] == {"tar": {"beta": 1.0}, "ar": {"alpha": 0.5}}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["arr"], "no regularizer named 'arr'; did you mean 'ar'?"),
        ([{"name": "ar", "alhpa": 1.0}], "regularizers.0.alhpa: no such field in AR; did you mean 'alpha'?"),
        ({"ar": {"alpha": -1.0}}, "regularizers.ar.alpha: must be greater than or equal to 0, got -1.0"),
        (["ar", "ar"], "'ar' is there twice"),
        ({"ar": 3}, "must be a mapping of its options"),
        (3, "must be a list of names and of mappings with one, got 3"),
    ],
)
def test_a_wrong_list_is_refused_in_one_line(vowels, written, said):
    with pytest.raises(ConfigError) as refused:
        Experiment.of({**vowels.dump(), "regularizers": written})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_regularizer_has_fields_with_a_docstring():
    rows = {row.path: row for row in fields(Experiment) if row.path.startswith("regularizers.")}
    for name, member in Regularizer.members.items():
        for field in set(member.Config.model_fields) - {"name"}:
            assert rows[f"regularizers.{name}.{field}"].doc, (name, field)


def test_models_have_the_sites_that_their_configuration_promises(vowels, demand, reber):
    changes = [
        (vowels, {}), (vowels, {"model.num_layers": 2}), (reber, {}), (demand, {"model": {"name": "seq2seq"}}),
        (demand, {"model": {"name": "segrnn", "segment_length": 8}}),
    ]  # fmt: skip
    for experiment, overrides in changes:
        experiment = experiment.with_overrides(overrides)
        model = build(experiment, experiment.data.build()).model
        promised = experiment.model.places(experiment.data) & SITES
        assert {place for place in SITES if sites(model, place)} >= promised


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
        assert parameters[key].dim() > 1 or key.endswith(".u")
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
