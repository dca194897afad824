"""Few-shot: prototypes equal a loop, episodes keep splits apart, unseen classes stay unseen, faults are one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import lstm_lab as lab
from lstm_lab.config import ConfigError, DataError
from lstm_lab.evaluation.embedding import embed, whole_split
from lstm_lab.evaluation.few_shot import Episodes, by_nearest_example, by_prototype, draw, few_shot
from lstm_lab.experiment import Experiment


def waves(n=240, seed=0):
    """Six frequencies, random phases."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 6
    steps = np.arange(24)
    phases, noise = rng.uniform(0, 6, n), rng.normal(0, 0.2, (n, 24))
    X = np.sin(phases[:, None] + (0.25 + 0.2 * y[:, None]) * steps) + noise
    return (5 * X[:, :, None] + 3).astype(np.float32), np.array([f"w{k}" for k in y])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        X, y = waves()
        np.savez("waves.npz", X=X, y=y)
        data = {"name": "arrays", "path": "waves.npz", "only_classes": ["w0", "w1", "w3", "w4"], "batch_size": 32}
        experiment = {"data": data, "task": "classify", "model": {"hidden_size": 12}, "optimizer": {"lr": 0.01},
                      "trainer": {"max_epochs": 12}}  # fmt: skip
        yield lab.train(Experiment.of(experiment).with_absolute_paths(), progress=False, wandb="disabled", name="w")


def test_classes_that_are_left_out_are_in_no_split_and_in_another_hash(run):
    data = run.config.data
    dataset, whole = data.build(), data.model_copy(update={"only_classes": ()}).build()
    assert dataset.info.classes == ("w0", "w1", "w3", "w4")
    assert len(whole.info.classes) == 6
    assert dataset.digest != whole.digest
    for part, full in ((dataset.train, whole.train), (dataset.validation, whole.validation),
                       (dataset.test_split(), whole.test_split())):  # fmt: skip
        names = [whole.info.classes[k] for k in full.labels.tolist()]
        assert len(part) == sum(name in dataset.info.classes for name in names)
        assert set(part.labels.tolist()) <= {0, 1, 2, 3}


def test_prototypes_and_neighbours_equal_a_loop():
    torch.manual_seed(0)
    examples, classes, queries = torch.randn(9, 4), torch.arange(9) % 3, torch.randn(7, 4)
    means = [examples[classes == k].mean(0) for k in range(3)]
    by_hand = [min(range(3), key=lambda k: float((query - means[k]).norm())) for query in queries]
    assert by_prototype(examples, classes, queries, 3).tolist() == by_hand
    nearest = [int(classes[min(range(9), key=lambda i: float((query - examples[i]).norm()))]) for query in queries]
    assert by_nearest_example(examples, classes, queries, 3).tolist() == nearest
    one_each = examples[:3]
    assert torch.equal(by_prototype(one_each, classes[:3], queries, 3),
                       by_nearest_example(one_each, classes[:3], queries, 3))  # fmt: skip


def test_an_episode_has_as_many_examples_of_each_class_as_it_says_and_is_drawn_again_by_its_seed():
    train, validation = np.arange(40) % 4, np.arange(20) % 4
    episodes = Episodes(ways=3, queries=4, count=5)
    for e in draw(episodes, 2, 3, train, validation):
        assert torch.bincount(e.classes).tolist() == [2, 2, 2]
        assert torch.bincount(e.truth).tolist() == [4, 4, 4]
        assert len(set(e.examples.tolist())) == 6
        assert [train[i] for i in e.examples[::2]] == [validation[i] for i in e.queries[::4]]
    first, again = (next(draw(episodes, 2, 3, train, validation)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_new_data_are_read_on_the_scale_of_the_training(run):
    experiment = run.config
    info = experiment.data.dataset.restore_info(run.data["info"])
    other = experiment.with_overrides({"data.only_classes": ["w2", "w5"]}).data.build()
    batch = whole_split(other.train, info, other.info)
    raw = other.train.take(torch.arange(len(other.train))).x * other.info.std[0] + other.info.mean[0]
    assert_close(batch.x, (raw - info.mean[0]) / info.std[0], rtol=1e-4, atol=1e-4)


def test_unseen_classes_are_told_apart_by_the_trained_encoder(run):
    found = few_shot(run, ["data.only_classes=[w2,w5]"], Episodes((1, 5), count=60))
    assert found.classes == ("w2", "w5")
    assert found.trained == ()
    scores = {(row.method, row.shots): row.mean for row in found.rows}
    assert scores["prototypes", 5] > scores["prototypes, raw inputs", 5] + 0.1
    assert scores["prototypes", 5] >= scores["prototypes", 1]
    assert few_shot(run, ["data.only_classes=[w2,w5]"], Episodes((1, 5), count=60)) == found
    assert json.loads(json.dumps(found.dump()))["ways"] == 2


def test_embeddings_are_what_the_head_reads(run):
    learner = run.learner().eval()
    batch = learner_batch(run)
    with torch.inference_mode():
        assert_close(learner.model.head(embed(learner, batch)), learner.logits(batch))


def learner_batch(run):
    split = run.config.data.build().validation
    return split.take(torch.arange(8))


@pytest.mark.parametrize(
    ("overrides", "episodes", "error", "message"),
    [
        (["model.hidden_size=4"], {}, ConfigError, "override 'model.hidden_size=4': few-shot takes overrides of data"),
        (["data.only_classes=[w2,w9]"], {}, DataError, "'w9' is no class of data 'arrays'; it has 'w0'"),
        (["data.only_classes=[w2]"], {}, ConfigError, "name two classes or more"),
        ([], {"ways": 7}, ConfigError, "--ways 7: data 'arrays' has 4 classes here"),
        ([], {"shots": (900,)}, DataError, "class 'w0' has .* but 900 are needed: lower --shots"),
        (["data={name: japanese_vowels}"], {}, DataError, "12 input channels, but the model was trained on 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(run, overrides, episodes, error, message):
    with pytest.raises(error, match=message) as fault:
        few_shot(run, overrides, Episodes(**{"count": 2, **episodes}))
    assert len(str(fault.value).splitlines()) == 1


@pytest.mark.parametrize(("field", "value"), [("shots", (0,)), ("ways", 1), ("queries", 0), ("count", 1)])
def test_impossible_episodes_are_refused(field, value):
    with pytest.raises(ConfigError, match="must be at least"):
        Episodes(**{field: value})
