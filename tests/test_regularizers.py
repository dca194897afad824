"""Regularizers: where they act, that they act in training alone, and what they compute."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.config.fields import fields
from lstm_lab.experiment import Experiment
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.groups import DECAYED, Group, parameter_groups
from lstm_lab.models.sites import SITES, Dropout, Noise, Place, StepKey, keyed_parts, sites
from lstm_lab.optimizers.clipping import ClipByNorm
from lstm_lab.regularizers import Regularizer
from lstm_lab.regularizers.base import Activations
from lstm_lab.regularizers.gaussian_noise import Gaussian
from lstm_lab.regularizers.locked_dropout import LockedNoise
from lstm_lab.training.train import build

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
        (demand, {"model": {"name": "segrnn", "segment_length": 8}}), (vowels, {"model": {"name": "lstm_fcn"}}),
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


# ---- noise at sites ----

LOCKED = {"name": "locked_dropout", "input": 0.25, "between": 0.25, "output": 0.25}
WITH_NOISE = {
    "sequence": ("vowels", {"model.num_layers": 2, "regularizers": [LOCKED]}),
    "fields": ("vowels", {"model.num_layers": 2, "model.dropout": {"input": 0.25, "between": 0.25, "output": 0.25}}),
    "gaussian": ("vowels", {"model.dropout": {}, "regularizers": [{"name": "gaussian_noise", "input": 0.1}]}),
    "tokens": ("reber", {"model.embedding.dropout": 0.25, "regularizers": [{"name": "locked_dropout", "input": 0.25}]}),
    "seq2seq": ("demand", {"model": {"name": "seq2seq", "dropout": 0.25}}),
    "seq2seq locked": (
        "demand", {"model": {"name": "seq2seq"}, "regularizers": [{"name": "locked_dropout", "output": 0.25}]}
    ),
    "segrnn": ("demand", {"model": {"name": "segrnn", "segment_length": 8, "dropout": 0.25}}),
}  # fmt: skip


def noisy(name, request):
    fixture, overrides = WITH_NOISE[name]
    return learner_of(request.getfixturevalue(fixture).with_overrides(overrides))


def logits(learner, batch, key):
    learner.step.begin(key)
    return learner(batch).logits.detach()


@pytest.mark.parametrize("name", WITH_NOISE)
def test_noise_is_a_function_of_its_key_and_acts_in_training_alone(name, request):
    learner, batch = noisy(name, request)
    key = StepKey(seed=3, step=5, size=8)
    once = logits(learner.train(), batch, key)
    torch.manual_seed(99)
    assert torch.equal(logits(learner, batch, key), once)
    for other in (key._replace(step=6), key._replace(seed=4)):
        assert not torch.equal(logits(learner, batch, other), once)
    for rank in range(3):  # A worker's share of a batch has the masks that it would have in the whole batch.
        share = logits(learner, batch.shard(rank, 3), StepKey(3, 5, rank, 3, len(batch.x[rank::3])))
        assert_close(share, once[rank::3])
    learner.eval()
    found, x = [part for _, part in keyed_parts(learner.model) if isinstance(part, Noise)], values(4, 3, 5)
    assert found
    assert all(noise(x) is x for noise in found)
    assert torch.equal(logits(learner, batch, key), logits(learner, batch, key._replace(step=6)))


@pytest.mark.parametrize("make", [Dropout, LockedNoise])
@pytest.mark.parametrize("shape", [(2000, 5, 4), (2000, 4)])
def test_dropout_keeps_the_mean_and_zeroes_its_share(make, shape):
    noise = make(0.3).train()
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    y = noise(x)
    assert set(y.unique().tolist()) == {0.0, 1 / 0.7}
    assert abs(float((y == 0).double().mean()) - 0.3) < 0.02
    assert abs(y.mean().item() - 1) < 0.03
    assert not torch.equal(y, noise(x))
    y.sum().backward()
    assert torch.equal(x.grad, y)
    if len(shape) == 3:
        same = (y == y[:, :1]).all()
        assert bool(same) == (make is LockedNoise)


def test_locked_masks_are_the_same_at_every_step_of_a_decoder(request):
    learner, batch = noisy("seq2seq locked", request)
    seen = []
    site = sites(learner.model, Place.OUTPUT)[0]
    site.noises[0].register_forward_hook(lambda module, inputs, output: seen.append(output == 0))
    logits(learner.train(), batch, StepKey(0, 0, size=8))
    assert len(seen) > 1
    assert all(torch.equal(zeros, seen[0]) for zeros in seen)


def test_words_are_dropped_whole(reber):
    learner, batch = learner_of(reber.with_overrides({"model.embedding.dropout": 0.5}))
    learner.train().step.begin(StepKey(0, 0, size=8))
    vectors = learner.model.embedding(batch.x)
    zero = (vectors == 0).all(-1)
    assert torch.equal(zero, (vectors == 0).any(-1))
    dropped = set(batch.x[zero].tolist())
    assert dropped
    assert dropped.isdisjoint(batch.x[~zero].tolist())


def test_locked_dropout_without_effect_is_refused(vowels, demand):
    for chosen, said in [
        ({"name": "locked_dropout"}, "sets no share: give at least one of input, between, output"),
        ({"name": "locked_dropout", "between": 0.3}, "would do nothing at its place 'between': model "
         "'sequence' has one layer; set model.num_layers to 2"),
    ]:  # fmt: skip
        with pytest.raises(ConfigError) as refused:
            with_regularizers(vowels, chosen)
        assert said in str(refused.value)
    with pytest.raises(ConfigError, match="model 'seq2seq' has one layer"):
        with_regularizers(demand, {"name": "locked_dropout", "between": 0.3}, model={"name": "seq2seq"})


def test_gaussian_noise_has_its_standard_deviation():
    noise, x = Gaussian(0.5).train(), values(400, 7, 6).requires_grad_()
    y = noise(x)
    assert abs(float((y - x).detach().std()) - 0.5) < 0.01
    assert abs(float((y - x).detach().mean())) < 0.02
    y.sum().backward()
    assert (x.grad == 1).all()
    assert noise.eval()(x) is x


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
