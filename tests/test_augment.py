"""Augmentation: only training batches are changed, reproducibly after resuming, and targets remain correct."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data import Batch, Dataset, SequenceDataModule
from lstm_lab.data.loader import Loader
from lstm_lab.data.preprocessing.augment import Augment, warp_time
from lstm_lab.data.sources.csv_series import CSV
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

ALL = {
    "jitter": ("japanese_vowels", Augment(jitter=0.1)),
    "scaling": ("japanese_vowels", Augment(scaling=0.1)),
    "time_warp": ("japanese_vowels", Augment(time_warp=0.5)),
    "word_dropout": ("csv_text", Augment(word_dropout=0.3)),
    "a series": ("taylor", Augment(jitter=0.1, scaling=0.2)),
    "labels of steps": ("parity", Augment(jitter=0.1)),
}


@pytest.fixture
def data(request, tmp_path):
    name, augment = ALL[request.param]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"a b c d e f {i},{i % 2}\n" for i in range(90)))
    more = {"csv_text": {"path": str(tmp_path / "a.csv")}, "parity": {"train_size": 40, "eval_size": 20}}
    config = Dataset.members[name].Config.model_validate({**more.get(name, {}), "augment": augment})
    return config.build(), augment


def differ(one, other):
    return any(not torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))


@pytest.mark.parametrize("data", [*ALL], indirect=True)
def test_validation_batches_and_the_data_are_not_augmented(data):
    dataset, augment = data
    split = dataset.train
    before = split.take(torch.arange(20))
    loud = SequenceDataModule(dataset, 8, 3, augment)
    plain = SequenceDataModule(dataset, 8, 3)
    changed = [differ(a, b) for a, b in zip(loud.train_dataloader(), plain.train_dataloader(), strict=True)]
    assert all(changed[:4])
    assert not any(differ(a, b) for a, b in zip(loud.val_dataloader(), plain.val_dataloader(), strict=True))
    assert not differ(before, split.take(torch.arange(20)))


@pytest.mark.parametrize("data", [*ALL], indirect=True)
def test_augmentation_is_a_function_of_seed_epoch_and_batch_number(data):
    dataset, augment = data

    def batches(seed, epoch, start=0):
        loader = Loader(dataset.train, 8, seed=seed, augment=augment)
        loader.sampler.set_epoch(epoch)
        loader.load_state_dict({"position": start})
        return [batch for batch, _ in zip(loader, range(4), strict=False)]

    first = batches(1, 0)
    assert not any(differ(a, b) for a, b in zip(first, batches(1, 0), strict=True))
    assert not any(differ(a, b) for a, b in zip(first[2:], batches(1, 0, start=2)[:2], strict=True))
    assert differ(first[0], batches(1, 1)[0])
    assert differ(first[0], batches(2, 0)[0])
    assert dataset.digest == type(dataset).digest.func(dataset)


@pytest.mark.parametrize("data", ["jitter", "scaling", "time_warp", "word_dropout", "labels of steps"], indirect=True)
def test_lengths_labels_and_padding_are_unchanged(data):
    dataset, augment = data
    batch = dataset.train.take(torch.arange(30))
    made = augment(batch, np.random.default_rng(0))
    assert torch.equal(made.lengths, batch.lengths)
    assert torch.equal(made.y, batch.y)
    behind = torch.arange(batch.x.shape[1]) >= batch.lengths.unsqueeze(1)
    assert torch.equal(made.x[behind], batch.x[behind])
    assert not torch.equal(made.x[~behind], batch.x[~behind])
    assert made.x.dtype == batch.x.dtype


def ones(B=200, T=30, C=4):
    return Batch(torch.ones(B, T, C), torch.full((B,), T), torch.ones(B, 5, 2))


def test_jitter_has_its_std_and_scaling_one_factor_for_each_channel_and_its_targets():
    noise = Augment(jitter=0.3)(ones(), np.random.default_rng(0)).x - 1
    assert float(noise.std()) == pytest.approx(0.3, rel=0.02)
    made = Augment(scaling=0.2)(ones(), np.random.default_rng(0))
    assert (made.x == made.x[:, :1]).all()
    assert_close(made.y, made.x[:, :5, :2])  # targets are the first channels
    assert float(made.x[:, 0].std()) == pytest.approx(0.2, rel=0.1)
    quiet = Augment(scaling=0.2, jitter=0.3)(ones(), np.random.default_rng(0), num_measured=3)
    assert (quiet.x[..., 3] == 1).all()
    assert (quiet.x[..., :3] != 1).any()


def test_columns_known_in_advance_and_masks_are_not_augmented(tmp_path):
    rows = "".join(f"{t},{t % 5},{t % 3},{'' if t % 11 == 10 else t % 7}\n" for t in range(100))
    (tmp_path / "a.csv").write_text("t,y,known,f\n" + rows)
    config = CSV.Config.model_validate({
        "path": str(tmp_path / "a.csv"), "time": "t", "targets": ["y"], "features": ["f"], "future": ["known"],
        "missing": "mask", "window": 6, "horizon": 2,
    })  # fmt: skip
    split = config.build().train
    batch = next(iter(Loader(split, 16, seed=0, augment=Augment(jitter=0.5))))
    plain = next(iter(Loader(split, 16, seed=0)))
    assert torch.equal(batch.x[..., 2:], plain.x[..., 2:])
    assert not torch.equal(batch.x[..., :2], plain.x[..., :2])
    assert torch.equal(batch.y, plain.y)


@pytest.mark.parametrize("lengths", [(9, 4, 2, 1), (5, 5, 5, 5)])
def test_time_warp_keeps_ends_order_and_values(lengths):
    T = max(lengths)
    x = torch.zeros(4, T, 2)
    for i, length in enumerate(lengths):
        x[i, :length] = torch.arange(1.0, length + 1).unsqueeze(1) * torch.tensor([1.0, -2.0])
    made = warp_time(x, torch.tensor(lengths), 0.7, torch.Generator().manual_seed(0))
    for i, length in enumerate(lengths):
        assert_close(made[i, [0, length - 1]], x[i, [0, length - 1]])
        assert (made[i, :length, 0].diff() > 0).all()
        assert_close(made[i, :, 1], -2 * made[i, :, 0])  # all channels at the same time
    assert_close(warp_time(x, torch.tensor(lengths), 0.0, torch.Generator()), x)


def test_word_dropout_replaces_its_fraction_of_the_tokens():
    x = torch.full((100, 50), 7).masked_fill_(torch.arange(50) > 30, 0)
    made = Augment(word_dropout=0.25)(Batch(x, torch.full((100,), 31), torch.zeros(100)), np.random.default_rng(0)).x
    assert float((made[:, :31] == 1).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert set(made[:, :31].unique().tolist()) == {1, 7}
    assert (made[:, 31:] == 0).all()


@pytest.mark.parametrize(
    ("data", "task", "wrong"),
    [("sms_spam", "classify", "jitter"), ("taylor", "forecast", "time_warp"), ("japanese_vowels", "classify",
     "word_dropout"), ("jsb_chorales", "next_step", "scaling")],
)  # fmt: skip
def test_augmentations_that_make_targets_wrong_are_refused(data, task, wrong):
    with pytest.raises(ConfigError, match=f"augment.{wrong} does not go with data '{data}'"):
        Experiment.of({"data": {"name": data, "augment": {wrong: 0.1}}, "task": task})


def test_training_is_augmented_and_scores_are_not(vowels, tmp_path):
    rows = []
    for k, jitter in enumerate((0.0, 2.0)):
        experiment = vowels.with_overrides({
            "data.augment.jitter": jitter, "optimizer.lr": 1e-12, "trainer.max_epochs": 1,
            "model.dropout": {"input": 0.0, "output": 0.0},
        })  # fmt: skip
        rows.append(train(experiment, Run.create(tmp_path / str(k), experiment.dump())).row)
    assert rows[0]["val/loss"] == pytest.approx(rows[1]["val/loss"], rel=1e-5)
    assert rows[0]["train/loss"] != pytest.approx(rows[1]["train/loss"], rel=1e-4)
