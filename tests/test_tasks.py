"""Tasks: metrics, baselines and skill equal their definitions, written again in numpy and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.config.fields import fields
from lstm_lab.data import Batch, Dataset
from lstm_lab.data.kinds.labelled import LabelledInfo, LabelledSequences, LabelledSplit, summary_features
from lstm_lab.data.kinds.series import Series
from lstm_lab.data.kinds.split_series import SeriesDataset
from lstm_lab.data.kinds.text import MultiLabelTextDataset, MultiLabelTextInfo
from lstm_lab.data.kinds.text_split import MultiLabelTextSplit
from lstm_lab.records.scores import skill
from lstm_lab.tasks import Task
from lstm_lab.tasks.base import better, score
from lstm_lab.tasks.classification import ClassificationMetrics
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.tag import Tag

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
        assert set(found) == {"last value", "seasonal naive (3)", "seasonal naive (4)", "linear"}
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
    assert set(found) == {"last value", "seasonal naive (3)", "linear"}


def labelled(labels, seed=0):
    rng = np.random.default_rng(seed)
    sequences = [rng.normal(size=(2 + i % 5, 3)) + 4 * label for i, label in enumerate(labels)]
    return LabelledSplit(sequences, np.array(labels))


def classify(**choices):
    return Classify(LabelledInfo(3, CLASSES), **{"monitor": "accuracy", **choices})


@pytest.mark.parametrize("size", [1, 7, 50])
def test_classification_metrics_equal_their_definition(size):
    torch.manual_seed(0)
    output, y = torch.randn(50, 4), torch.randint(3, (50,))  # class d is never true
    output[:, 3] -= 9  # and never random_logits: F1 is averaged over the classes that occur
    batch = Batch(torch.zeros(50, 1, 3), torch.ones(50, dtype=torch.int64), y)
    guess, true = output.argmax(1).numpy(), y.numpy()
    f1 = []
    for label in range(3):
        hits = ((guess == label) & (true == label)).sum()
        f1.append(2 * hits / ((guess == label).sum() + (true == label).sum()))
    p = output.softmax(1).numpy()
    auroc = np.mean([roc_auc_score(true == label, p[:, label]) for label in range(3)])
    confidence, bins = p.max(1), np.minimum((p.max(1) * 15).astype(int), 14)
    off = [
        abs((guess == true)[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins)
    ]
    expected = {"accuracy": (guess == true).mean(), "macro_f1": np.mean(f1), "auroc": auroc, "ece": sum(off)}
    assert in_chunks(classify().metrics(), output, batch, size) == pytest.approx(expected, rel=1e-5)
    assert_close(classify().loss(output, batch), -output.log_softmax(1)[torch.arange(50), y].mean())
    rows = [row for (row,) in classify().predictions(output)]
    assert [row[0] for row in rows] == [CLASSES[i] for i in guess]
    np.testing.assert_allclose([row[1:] for row in rows], p, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_confusion_matrix_counts_every_prediction_once(size):
    torch.manual_seed(0)
    output, y = torch.randn(50, 4), torch.randint(-1, 4, (50,))
    metrics = classify().metrics()
    for at in range(0, 50, size):
        metrics.update(output[at : at + size], Batch(torch.empty(0), torch.empty(0), y[at : at + size]))
    expected = np.zeros((4, 4), int)
    for true, guess in zip(y.tolist(), output.argmax(1).tolist(), strict=True):
        if true >= 0:
            expected[true, guess] += 1
    assert metrics.details() == {"confusion": {"classes": list(CLASSES), "counts": expected.tolist()}}


def test_logits_that_look_like_probabilities_are_still_logits():
    output, y = torch.tensor([[0.2, 0.9], [0.8, 0.1]]), torch.tensor([1, 0])
    found = score(ClassificationMetrics(["a", "b"]), output, Batch(torch.empty(0), torch.empty(0), y))
    confidence = output.softmax(1).max(1).values.mean()
    assert found["ece"] == pytest.approx(float(1 - confidence), rel=1e-5)


CHOICES = [("none", 0.0), ("balanced", 0.0), ((0.5, 2.0, 1.0, 3.0), 0.1), ("none", 0.2), ("balanced", 0.3)]


@pytest.mark.parametrize(("weights", "smoothing"), CHOICES)
@pytest.mark.parametrize("size", [1, 3, 10])
def test_the_weighted_loss_equals_its_definition_in_batches_of_any_size(weights, smoothing, size):
    torch.manual_seed(0)
    output, y, counts = torch.randn(10, 4, dtype=torch.float64), torch.arange(10) % 4, (10, 20, 5, 5)
    task = Classify(LabelledInfo(3, CLASSES, counts), "loss", weights, smoothing)
    w = {"none": [1.0] * 4, "balanced": [40 / (4 * n) for n in counts]}.get(weights, weights)
    nll = -output.log_softmax(1)
    expected = 0.0
    for i, true in enumerate(y.tolist()):
        spread = sum(smoothing / 4 * w[k] * nll[i, k] for k in range(4))
        expected += float((1 - smoothing) * w[true] * nll[i, true] + spread) / 10
    found = 0.0
    for at in range(0, 10, size):
        part = Batch(torch.empty(0), torch.empty(0), y[at : at + size])
        found += float(task.loss(output[at : at + size], part)) * int(task.num_targets(part)) / 10
    assert found == pytest.approx(expected, rel=1e-5)
    tag = Tag(LabelledInfo(3, CLASSES, counts), "loss", weights, smoothing)
    ragged = Batch(torch.empty(0), torch.empty(0), torch.stack([y, torch.full_like(y, -1)]))
    assert float(tag.loss(torch.stack([output, output]), ragged)) == pytest.approx(expected, rel=1e-5)


def test_balanced_weights_equalise_classes_and_a_list_must_fit():
    train = labelled([0] * 12 + [1] * 2 + [2] * 4 + [3] * 2)
    counts = tuple(train.labels.bincount().tolist())
    task = Classify(LabelledInfo(3, CLASSES, counts), "loss", "balanced")
    batch = train.take(torch.arange(20))
    total = torch.zeros(4).index_add(0, batch.y, task.cross_entropy(torch.zeros(20, 4), batch.y))
    assert_close(total, torch.full((4,), 5 * math.log(4)))
    with pytest.raises(ConfigError, match="2 numbers, but there are 4 classes: a, b, c, d"):
        Classify(LabelledInfo(3, CLASSES), "loss", (1.0, 2.0))


@pytest.mark.parametrize("name", ["japanese_vowels", "parity"])
def test_class_counts_are_of_the_training_split(name):
    data = Dataset.members[name].Config(**({"train_size": 9, "eval_size": 5} if name == "parity" else {})).build()
    labels = data.train.take(torch.arange(len(data.train))).y
    assert data.info.counts == tuple(labels[labels >= 0].bincount(minlength=len(data.info.classes)).tolist())


def test_majority_class_and_learned_baselines():
    train, part = labelled([0] * 9 + [1] * 7 + [2] * 5 + [3] * 5), labelled([0, 0, 1, 1, 1, 2, 2, 3, 3, 3], seed=1)
    found = classify().baselines(train, part)
    assert found["majority class"]["accuracy"] == pytest.approx(0.2)
    # Classes four deviations apart: whatever learns at all, learns them.
    assert len(found) > 1
    for name in set(found) - {"majority class"}:
        assert found[name]["accuracy"] > 0.8, name


def test_summary_features_read_valid_steps_only():
    split = labelled([0, 1, 2, 3, 0])
    batch = split.take(torch.arange(5))
    dirty = batch.x.masked_fill((torch.arange(batch.x.shape[1]) >= batch.lengths.unsqueeze(1)).unsqueeze(-1), torch.nan)
    expected = []
    for start, length in zip(split.inputs.starts.tolist(), split.inputs.lengths.tolist(), strict=True):
        rows = split.inputs.values[start : start + length].numpy()
        expected.append(np.concatenate([rows.mean(0), rows.std(0), rows[0], rows[-1]]))
    np.testing.assert_allclose(summary_features(batch._replace(x=dirty)), expected, atol=1e-5)


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
    name = next(
        name for name in ("parity", "embedded_reber", "adding") if issubclass(Dataset.members[name], task.accepts)
    )
    data = Dataset.members[name].Config(train_size=8, eval_size=8).build()
    return data.info, data.train


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
    steps = [batch.x.shape[1]] if task.per_step else []
    output = torch.randn(8, *steps, task.output_size, requires_grad=True)
    loss = task.loss(output, batch)
    assert loss.shape == ()
    slopes = torch.autograd.grad(loss, output)[0]
    assert int((slopes != 0).any(-1).sum()) == int(task.num_targets(batch))
    assert len(task.predictions(output.detach())) == 8
    metrics = task.metrics()
    first = score(metrics, output, batch)
    assert score(metrics, output, batch) == first  # a fresh start each time
    assert all(math.isfinite(value) for value in first.values())
    monitor = next(row.type for row in fields(member.Config) if row.path == "monitor").split(" | ")
    assert set(monitor) <= {*first, "loss"}
    assert task.monitor in {*first, "loss"}
    assert set(member.maximised) <= set(first)
    assert task.monitor in monitor
    assert task.mode == member.mode_of(task.monitor)
    assert member.mode_of("loss") == "min"
    for scores in task.baselines(split, split).values():
        assert set(scores) == set(first)
