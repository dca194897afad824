"""Planted errors are found: a worse class, wrong labels, too sure probabilities; sets of classes hold the target."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from report_folders import Parsed

import lstm_lab as lab
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.windows import RowRange, Windows
from lstm_lab.experiment import Experiment
from lstm_lab.explain.errors import confident_errors, observe_errors
from lstm_lab.records.explanation import Errors, Slice
from lstm_lab.report.parts.errors import is_worse, worst_groups
from lstm_lab.tasks.class_calibration import calibration_error, fit_temperature, fit_threshold, in_sets, set_texts
from lstm_lab.tasks.classification import ClassificationMetrics
from lstm_lab.training.train import build

K, N = 4, 4000


def drawn(temperature, seed=0, number=N):
    """Logits, and labels that have the probabilities of logits / temperature."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(number, K, generator=generator)
    return logits, torch.multinomial((logits / temperature).softmax(1), 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_of_the_labels(temperature):
    logits, y = drawn(temperature)
    found = fit_temperature(logits, y)
    assert found == pytest.approx(temperature, rel=0.1)
    assert calibration_error(logits / found, y) < 0.03
    assert fit_temperature(logits, torch.full_like(y, -1)) == 1.0


def test_few_correct_predictions_do_not_make_a_model_certain():
    y = torch.arange(30) % 2
    logits = 4.0 * torch.nn.functional.one_hot(y, 2) + 0.1 * torch.randn(
        30, 2, generator=torch.Generator().manual_seed(0)
    )
    p = (logits / fit_temperature(logits, y)).softmax(1).max(1).values
    assert 0.9 < p.mean() < 0.999


def test_sets_of_classes_hold_the_target_as_often_as_they_say():
    logits, y = drawn(2.0)
    threshold = fit_threshold(logits, y)
    new, target = drawn(2.0, seed=1)
    inside = in_sets(new, threshold)
    assert inside.gather(1, target.unsqueeze(1)).float().mean() == pytest.approx(0.9, abs=0.02)
    assert inside.gather(1, new.argmax(1, keepdim=True)).all()  # No set is empty.
    assert fit_threshold(logits[:3], y[:3]) == 0.0  # Too few to say: every class is in.


def test_a_set_names_the_most_likely_class_first():
    logits = torch.tensor([[0.0, 2.0, 1.5], [9.0, 0.0, 0.0]])
    assert set_texts(logits, 0.2, ("a", "b", "c")) == ["b | c", "a"]


def test_metrics_say_how_many_sets_hold_the_target():
    logits, y = drawn(1.0, number=50)
    metrics = ClassificationMetrics(tuple("abcd"), 0.0)
    metrics.update(logits, Batch(logits, y, y))
    assert metrics.notes()[-1].startswith("100.0 % of the sets of classes hold the target (nominal: 90 %), with 4.00")


def classifier(**task):
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1, (60, 5, 2)).astype(np.float32), rng.integers(3, size=60)
    data = lab.data.arrays(X, y.tolist(), validation=(X, y.tolist()), test=0)
    experiment = Experiment(data=data, task={"name": "classify", **task}, model={"hidden_size": 4})
    dataset = experiment.data.build()
    return build(experiment, dataset).eval(), dataset


def test_the_task_scales_its_logits_and_adds_sets_once_it_is_calibrated():
    learner, dataset = classifier(temperature_scaling=True, conformal=True)
    task, batch = learner.task, dataset.validation.take(torch.arange(60))
    with torch.no_grad():
        before = learner.logits(batch)
        calibration = task.calibrate([(10 * before, batch)])
        assert len(task.prediction_columns) == 4
        task.load_calibration(json.loads(json.dumps(calibration)))
        torch.testing.assert_close(learner.logits(batch), before / calibration["temperature"])
    assert task.prediction_columns[-1] == "set 90%"
    assert task.text_columns == ("label", "set 90%")
    assert len(task.predictions(before)[0][0]) == 5


def test_without_fields_nothing_is_calibrated():
    learner, _ = classifier()
    assert learner.task.calibrate([]) is None


def test_wrong_labels_are_found():
    """Ten of 300 labels are changed, and the probabilities are those of a good model."""
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(K, (300,), generator=generator)
    logits = torch.randn(300, K, generator=generator) + 7 * torch.nn.functional.one_hot(true, K)
    p = logits.softmax(1)
    assert len(confident_errors(p, true)) <= 2
    y = true.clone()
    y[:10] = (true[:10] + 1) % K
    found = confident_errors(p, y)
    assert sum(n < 10 for n, _ in found) >= 8
    assert all(k == true[n] for n, k in found if n < 10)
    assert len(found) <= 12
    differences = [float(p[n, y[n]] - p[n, k]) for n, k in found]
    assert differences == sorted(differences)  # The surest first.


def test_errors_are_grouped_by_class_and_length():
    learner, dataset = classifier()
    found = observe_errors(learner, dataset)
    classes = [each for each in found.slices if each.by == "class"]
    assert sum(each.n for each in classes) == found.samples == 60
    assert math.fsum(each.n * each.loss for each in classes) / 60 == pytest.approx(found.loss)
    assert {each.by for each in found.slices} == {"class"}  # All have the same length.
    assert found.calibration is None  # Of too few targets.


class Anything:
    """As much of a data set of windows as grouping needs."""


def test_windows_are_grouped_by_their_place_in_the_season(monkeypatch):
    from lstm_lab.explain import errors

    class Data(Anything):
        class info:
            seasons = (6,)

        class series:
            names = ("a", "b")

    monkeypatch.setattr(errors, "WindowedDataset", Data)
    split = Windows(torch.zeros(60, 1), 3, 1, 1, [RowRange(0, 0, 30), RowRange(30, 30, 60)])
    place, series = errors._by_place(Data(), split, torch.arange(len(split)))
    assert place[0] == "first step ahead, row of the season of 6"
    assert place[1][:4] == ["3", "4", "5", "0"]
    assert set(series[1]) == {"a", "b"}


def test_only_a_group_beyond_its_standard_error_is_said_to_be_worse():
    sure = Slice(by="class", name="a", n=50, loss=2.0, error=0.1)
    chance = Slice(by="class", name="b", n=5, loss=3.0, error=1.5)
    found = Errors(samples=100, loss=1.0, slices=[sure, chance], calibration=None, suspects=[])
    assert is_worse(sure, found)
    assert not is_worse(chance, found)
    assert "larger for class a (2.000)" in worst_groups(found)


@pytest.mark.slow
def test_the_page_and_the_terminal_show_errors(lab, own_texts, tmp_path):
    from lstm_lab.config import to_yaml

    content = own_texts().with_overrides({"task.temperature_scaling": True, "task.conformal": True}).dump()
    (tmp_path / "own.yaml").write_text(to_yaml(content))
    assert lab("train", "own.yaml", "--name", "t")[0] == 0
    code, out, _ = lab("explain", "runs/t")
    assert code == 0
    assert "Loss by group of samples" in out
    page = Parsed((tmp_path / "runs/t/report.html").read_text())
    assert any(dict(attributes).get("id") == "errors" for _, attributes in page.tags)
    (tmp_path / "new.txt").write_text("good film\n")
    code, out, err = lab("predict", "runs/t", "own.jsonl")
    assert code == 0, err
    assert out.splitlines()[0].endswith("set 90%")
    assert "nominal: 90 %" in lab("evaluate", "runs/t")[1]
