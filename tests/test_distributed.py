"""Several processes train one run: the same numbers as one process, and a lost one interrupts it."""

from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest
import torch
from hung import HUNG
from shops import SHOPS

from lstm_lab.config import Interrupted
from lstm_lab.data.loader import Loader
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.checkpointing import read_checkpoint
from lstm_lab.training.distributed import DistributedRank, is_lost_rank
from lstm_lab.training.train import build, train, train_rank

REGULARIZERS = [
    {"name": "locked_dropout", "input": 0.2}, {"name": "gaussian_noise", "output": 0.1}, "ar", "tar", "l1", "l2",
    {"name": "weight_noise", "std": 0.01}, "gradient_noise", "max_norm",
]  # fmt: skip
METRICS = ("train/loss", "train/grad_norm", "val/loss")


def followed(content, number, count, port):
    torch.set_num_threads(1)
    try:
        train_rank(Experiment.of(content), DistributedRank.connect(number, count, "127.0.0.1", port))
    except RuntimeError as error:
        if not is_lost_rank(error):
            raise


def trained(folder, experiment, count=1, **more):
    """The run, trained by `count` processes."""
    run = Run(folder)
    if not (folder / "run.json").is_file():
        run = Run.create(folder, experiment.dump(), command="", job_type="")
    if count == 1:
        train(experiment, run, **more)
        return run
    rank = DistributedRank.create(count, "127.0.0.1")
    start = multiprocessing.get_context("spawn").Process
    others = [start(target=followed, args=(experiment.dump(), each, count, rank.port)) for each in range(1, count)]
    for other in others:
        other.start()
    try:
        train(experiment, run, rank=rank, **more)
    finally:
        for other in others:
            other.join(HUNG)
            assert other.exitcode == 0
    return run


@pytest.fixture
def steady(vowels):
    # 7 batches of 32 and one of 4: three workers cannot share the last of them evenly.
    return vowels.with_overrides({"trainer.max_epochs": 2, "regularizers": REGULARIZERS})


def same(ours, theirs):
    for mine, other in zip(ours.rows(), theirs.rows(), strict=True):
        for name in METRICS:
            assert mine[name] == pytest.approx(other[name], rel=1e-4), name
        assert mine["step"] == other["step"]
    weights = [read_checkpoint(run.best_checkpoint)["state_dict"] for run in (ours, theirs)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_workers_equal_one(tmp_path, steady):
    same(trained(tmp_path / "two", steady, 2), trained(tmp_path / "one", steady))


@pytest.mark.slow
def test_shards_may_be_uneven_and_have_unequal_numbers_of_targets(tmp_path, demand):
    experiment = demand.with_overrides({"data.batch_size": 250})
    same(trained(tmp_path / "three", experiment, 3), trained(tmp_path / "one", experiment))


def stream(tmp_path, stateful):
    """Chunks of one text, an odd number of lanes: two workers have unequal shares."""
    place = tmp_path / "a.txt"
    place.write_text("".join(np.random.default_rng(0).choice(["the cat ", "sat on ", "a mat. ", "slept. "], 200)))
    return Experiment.of({
        "data": {"name": "text_stream", "path": str(place), "chunk_length": 16, "batch_size": 5, "stateful": stateful},
        "task": "next_step", "model": {"hidden_size": 8}, "trainer": {"max_epochs": 2},
    })  # fmt: skip


def many_series(tmp_path):
    place = tmp_path / "shops.csv"
    SHOPS.to_csv(place, index=False)
    return Experiment.of({
        "data": {"name": "csv", "path": str(place), "time": "day", "id": "store", "targets": "sales", "window": 6,
                 "horizon": 3, "seasons": [7], "batch_size": 9},
        "task": "forecast", "model": {"hidden_size": 4}, "trainer": {"max_epochs": 2},
    })  # fmt: skip


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("kind", ["stateful stream", "stream", "many series"])
def test_the_shards_of_a_batch_have_every_field_and_every_sample_once(tmp_path, kind, count):
    """A batch with more fields than x, lengths and y crashed more than one worker."""
    experiment = many_series(tmp_path) if kind == "many series" else stream(tmp_path, kind == "stateful stream")
    dataset = experiment.data.build()
    batch = next(iter(Loader(dataset.train, experiment.data.batch_size)))
    shards = [batch.shard(rank, count) for rank in range(count)]
    for whole, *fields in zip(batch, *shards, strict=True):
        if whole is None:
            assert fields == [None] * count
            continue
        joined = torch.empty_like(whole)
        for rank, field in enumerate(fields):
            joined[rank::count] = field
        assert torch.equal(joined, whole)
    learner = build(experiment, dataset)
    targets = sum(int(learner.task.num_targets(shard)) for shard in shards if len(shard.x))
    assert targets == int(learner.task.num_targets(batch))
    for shard in shards:
        if len(shard.x):
            assert torch.isfinite(learner.task.loss(learner(shard).logits, shard))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stateful stream", "many series"])
def test_two_workers_equal_one_on_streams_and_on_many_series(tmp_path, kind):
    experiment = many_series(tmp_path) if kind == "many series" else stream(tmp_path, True)
    same(trained(tmp_path / "two", experiment, 2), trained(tmp_path / "one", experiment))


@pytest.mark.slow
def test_workers_resume(tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer.max_epochs": 4})
    undisturbed = trained(tmp_path / "through", experiment, 2)

    class Enough(Exception):
        pass

    def interrupt(row):
        if row["epoch"] == 1:
            raise Interrupted("enough")

    with pytest.raises(Interrupted, match="enough"):
        trained(tmp_path / "twice", experiment, 2, on_epoch=interrupt)
    resumed = trained(tmp_path / "twice", experiment, 2)
    assert [row["epoch"] for row in resumed.rows()] == [0, 1, 2, 3]
    # Dropout is drawn for each epoch anew: the same masks, however often it was resumed.
    assert [row["val/loss"] for row in resumed.rows()] == [row["val/loss"] for row in undisturbed.rows()]


@pytest.mark.slow
def test_a_lost_worker_interrupts_the_run_and_does_not_fail_it(tmp_path, steady):
    experiment = steady.with_overrides({"trainer.max_epochs": 50})
    run = Run.create(tmp_path / "run", experiment.dump(), command="", job_type="")
    rank = DistributedRank.create(2, "127.0.0.1")
    other = multiprocessing.get_context("spawn").Process(target=followed, args=(experiment.dump(), 1, 2, rank.port))
    other.start()
    with pytest.raises(Interrupted, match="one of its 2 workers was lost"):
        train(experiment, run, rank=rank, on_epoch=lambda row: row["epoch"] == 2 and other.kill())
    other.join(10)
    assert run.status["state"] == "interrupted"
    assert len(run.rows()) >= 3
    assert threading.active_count() < 50
