"""Regularizers: where they act, that they act in training alone, and what they compute."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.config.fields import fields
from lstm_lab.experiment import Experiment
from lstm_lab.models.sites import SITES, Dropout, Noise, Place, StepKey, keyed_parts, sites
from lstm_lab.regularizers import Regularizer
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
