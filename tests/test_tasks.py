"""Tasks: metrics, baselines and skill equal their definitions, written again in numpy and plain loops."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lstm_lab.config.fields import fields
from lstm_lab.data import Dataset
from lstm_lab.data.kinds.labelled import LabelledInfo, LabelledSequences, LabelledSplit
from lstm_lab.data.kinds.series import Series
from lstm_lab.data.kinds.split_series import SeriesDataset
from lstm_lab.data.kinds.text import MultiLabelTextDataset, MultiLabelTextInfo
from lstm_lab.data.kinds.text_split import MultiLabelTextSplit
from lstm_lab.data.kinds.transcripts import TranscriptInfo, Transcripts, TranscriptSplit
from lstm_lab.records.scores import skill
from lstm_lab.tasks import Task
from lstm_lab.tasks.base import better, score
from lstm_lab.tasks.forecast import Forecast

CLASSES = ("a", "b", "c", "d")
HORIZON, WINDOW, SEASON = 5, 6, 3


class Waves(SeriesDataset):
    """Two targets on their own scales and one feature; not registered."""

    def __init__(self, seasons=(SEASON, 4), rows=120, horizon=HORIZON):
        super().__init__(window=WINDOW, horizon=horizon, seasons=seasons, validation=0.2, test=0.2, stride=1)
        self.rows = rows

    def read(self):
        rng, t = np.random.default_rng(0), np.arange(self.rows)
        noise = rng.normal(size=(self.rows, 3))
        values = np.stack([100 + 10 * np.sin(t / 3), -5 + 0.1 * np.cos(t), t / self.rows], 1) + noise * [1, 0.02, 1]
        return Series(values, ("hot", "cold", "clock"), 2, "waves")


@pytest.fixture
def waves():
    return Waves()


def forecast(info, **choices):
    return Forecast(info, **{"monitor": "mae", "loss": "mse", **choices})


def random_forecasts(waves, n=40):
    torch.manual_seed(0)
    batch = waves.validation.take(torch.randint(len(waves.validation), (n,)))
    return torch.randn(n, HORIZON * 2), batch


def labelled(labels, seed=0):
    rng = np.random.default_rng(seed)
    sequences = [rng.normal(size=(2 + i % 5, 3)) + 4 * label for i, label in enumerate(labels)]
    return LabelledSplit(sequences, np.array(labels))


def in_chunks(metrics, output, batch, size):
    for at in range(0, len(output), size):
        metrics.update(output[at : at + size], batch.select(slice(at, at + size)))
    return {name: float(value) for name, value in metrics.compute().items()}


def by_definition(waves, predicted, rows):
    """Errors of forecasts (n, horizon, 2) in the units of the data for the rows (n, horizon) of the series."""
    info, values = waves.info, waves.series.values[:, :2]
    train = values[: waves._split_ends(len(values))[0]]
    error = predicted - values[rows]
    mae = np.abs(error).mean((0, 1))
    season = info.seasons[0] if info.seasons else 1
    naive = np.abs(train[season:] - train[:-season]).mean(0)
    scaled = error / train.std(0)
    return {
        "mse": (error**2).mean(),
        "mae": mae.mean(),
        "mase": (mae / naive).mean(),
        "scaled_mse": (scaled**2).mean(),
        "scaled_mae": np.abs(scaled).mean(),
    }


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("seasons", [(), (1,), (3, 4)])
def test_forecast_metrics_equal_their_definition(seasons, size):
    waves = Waves(seasons)
    torch.manual_seed(0)
    index = torch.randint(len(waves.validation), (40,))
    output, batch = torch.randn(40, HORIZON * 2), waves.validation.take(index)
    task = forecast(waves.info)
    found = in_chunks(task.metrics(), output, batch, size)
    predictions = np.array(task.predictions(output))
    expected = by_definition(waves, predictions, waves.validation.target_rows()[index].numpy())
    assert found == pytest.approx(expected, rel=1e-4)
    assert score(task.metrics(), output, batch) == pytest.approx(found)


def test_forecasts_are_in_the_units_of_the_data(waves):
    batch = waves.validation.take(torch.arange(3))
    predictions = np.array(forecast(waves.info).predictions(batch.y.flatten(1)))
    np.testing.assert_allclose(predictions, waves.series.values[waves.validation.target_rows()[:3], :2], rtol=1e-5)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_forecast_loss_is_the_mean_over_standardised_values(waves, loss):
    output, batch = random_forecasts(waves)
    error = output.view(-1, HORIZON, 2) - batch.y
    size = error.abs()
    expected = {"mse": error**2, "mae": size, "huber": torch.where(size < 1, error**2 / 2, size - 0.5)}[loss].mean()
    assert_close(forecast(waves.info, loss=loss).loss(output, batch), expected)


@pytest.mark.parametrize("horizon", [1, 2, HORIZON, 11])
def test_naive_baselines_equal_a_loop(horizon):
    # Horizons within, equal to and beyond the seasons: nothing from after the origin may be used.
    waves = Waves((SEASON, 4), horizon=horizon)
    values = waves.series.values[:, :2]
    for part in (waves.validation, waves.test_split()):
        found = forecast(waves.info).baselines(waves.train, part)
        assert set(found) == {"last value", "seasonal naive (3)", "seasonal naive (4)", "training mean", "linear"}
        ahead = part.target_rows().numpy()
        for name, season in {"last value": None, "seasonal naive (3)": 3, "seasonal naive (4)": 4}.items():
            predicted = np.empty((*ahead.shape, 2))
            for i, rows in enumerate(ahead):
                known = values[: rows[0]]
                for step in range(horizon):
                    predicted[i, step] = known[-1] if season is None else known[-season + step % season]
            assert found[name] == pytest.approx(by_definition(waves, predicted, ahead), rel=1e-4), name


def test_a_season_longer_than_the_history_is_left_out():
    waves = Waves((SEASON, 1000))
    found = forecast(waves.info).baselines(waves.train, waves.validation)
    assert set(found) == {"last value", "seasonal naive (3)", "training mean", "linear"}


def test_skill_is_the_share_of_the_error_that_is_removed():
    assert skill(2.0, 2.0, "min") == 0
    assert skill(1.0, 2.0, "min") == 0.5
    assert skill(3.0, 2.0, "min") == -0.5
    assert skill(0.0, 2.0, "min") == 1
    assert skill(0.9, 0.9, "max") == 0
    assert skill(0.95, 0.9, "max") == pytest.approx(0.5)
    assert skill(0.8, 0.9, "max") == pytest.approx(-1)
    assert skill(1.0, 0.9, "max") == 1
    assert skill(1.0, 0.0, "min") is None is skill(0.9, 1.0, "max")


@pytest.mark.parametrize("mode", ["min", "max"])
def test_better_refuses_ties_and_nan(mode):
    up, down = (2.0, 1.0) if mode == "max" else (1.0, 2.0)
    assert better(up, down, mode)
    assert not better(down, up, mode)
    assert not better(up, up, mode)
    assert better(up, None, mode)
    for wrong in (math.nan, math.inf, -math.inf):
        assert not better(wrong, None, mode)
        assert not better(wrong, 1.0, mode)


def tiny(task):
    """Facts and a split of eight or more of a data set that the task accepts."""
    if issubclass(SeriesDataset, task.accepts):
        return Waves().info, Waves().validation
    if issubclass(MultiLabelTextDataset, task.accepts):
        return several_labels()
    if issubclass(LabelledSequences, task.accepts):
        return LabelledInfo(3, CLASSES), labelled([0, 1, 2, 3, 3, 2, 1, 0])
    if issubclass(Transcripts, task.accepts):
        sequences = [np.random.default_rng(n).normal(size=(5, 2)).astype(np.float32) for n in range(8)]
        targets = [np.array([1, 2, 1][: 1 + n % 3]) for n in range(8)]
        return TranscriptInfo(2, ("<blank>", "a", "b"), ""), TranscriptSplit(sequences, targets)
    generated = ("parity", "embedded_reber", "adding", "written_dates", "formal_language")
    name = next(name for name in generated if issubclass(Dataset.members[name], task.accepts))
    data = Dataset.members[name].Config(train_size=8, eval_size=8).build()
    # Tags of spans: with these a tag task has all of its metrics.
    return dataclasses.replace(data.info, classes=("O", "B-X")) if name == "parity" else data.info, data.train


def several_labels():
    tokens, lengths = torch.arange(1, 25, dtype=torch.int32) % 7, np.full(8, 3)
    targets = np.array([[n % 2, n % 3 == 0, n > 5] for n in range(8)])
    read = lambda: [f"w{n % 2} v{n % 3} u{n > 5}" for n in range(8)]  # noqa: E731
    split = MultiLabelTextSplit(tokens, np.arange(0, 24, 3), lengths, targets, max_length=3, keep="tail", read=read)
    return MultiLabelTextInfo(7, ("a", "b", "c"), "{}", (4, 3, 2), 8), split


def kinds_of(base):
    """The data sets below a class that a configuration can name, whether by its name alone or with other fields."""
    below = [kind for child in base.__subclasses__() for kind in kinds_of(child)]
    return below + ([base] if isinstance(vars(base).get("name"), str) else [])


@pytest.mark.parametrize("name", sorted(Task.members))
def test_every_task_fulfils_the_contract(name):
    member = Task.members[name]
    assert {kind.name for kind in kinds_of(member.accepts)} & Dataset.members.keys()
    info, split = tiny(member)
    task = member.Config().build(info)
    batch = split.take(torch.arange(8))
    torch.manual_seed(0)
    steps = [batch.y.shape[1]] if task.decodes else [batch.x.shape[1]] if task.per_step else []
    output = torch.randn(8, *steps, task.output_size, requires_grad=True)
    loss = task.loss(output, batch)
    assert loss.shape == ()
    slopes = torch.autograd.grad(loss, output)[0]
    # Every step takes part in the alignments of a text.
    aligned = issubclass(Transcripts, task.accepts)
    assert int((slopes != 0).any(-1).sum()) == int(batch.lengths.sum() if aligned else task.num_targets(batch))
    assert len(task.predictions(output.detach())) == 8
    metrics = task.metrics()
    first = score(metrics, output, batch)
    assert score(metrics, output, batch) == first  # a fresh start each time
    assert all(math.isfinite(value) for value in first.values())
    monitor = next(row.type for row in fields(member.Config) if row.path == "monitor").split(" | ")
    assert set(monitor) <= {*first, "loss"}
    assert task.monitor in {*first, "loss"}
    assert set(member.maximised) <= {*first, *member.written_metrics}
    assert task.monitor in monitor
    assert task.mode == member.mode_of(task.monitor)
    assert member.mode_of("loss") == "min"
    for scores in task.baselines(split, split).values():
        assert set(scores) == set(first) or (scores and set(scores) <= member.written_metrics)
