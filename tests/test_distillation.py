"""Distillation: a model that learns from the predictions of trained ones, which stay as they are."""

from __future__ import annotations

import hashlib

import pytest
import torch
from interruption import StopAt
from test_training import assert_same, start, uninterrupted, weights
from torch.testing import assert_close

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.tasks.soft_targets import binary_distance, class_distance
from lstm_lab.training.before_start import check_start
from lstm_lab.training.distillation import Distillation, read_teachers
from lstm_lab.training.train import build, train


def student_of(experiment, *runs, **overrides):
    teachers = [str(run.path) for run in runs]
    return experiment.with_overrides({"distillation.teachers": teachers, "trainer.max_epochs": 2, **overrides})


@pytest.fixture(scope="module")
def logits():
    torch.manual_seed(0)
    return torch.randn(5, 4, dtype=torch.float64, requires_grad=True), 3 * torch.randn(5, 4, dtype=torch.float64)


def test_at_temperature_one_a_certain_teacher_is_a_label(logits):
    z, _ = logits
    y = torch.tensor([0, 3, 1, 2, 2])
    certain = torch.nn.functional.one_hot(y, 4).double() * 1e3
    assert_close(class_distance(z, certain, 1.0), torch.nn.functional.cross_entropy(z, y, reduction="none"))
    on = torch.tensor([[0.0, 1.0, 1.0, 0.0]], dtype=torch.float64).expand(5, 4)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(z, on, reduction="none")
    assert_close(binary_distance(z, (2 * on - 1) * 1e3, 1.0), wanted)


def test_at_high_temperatures_logits_are_matched(logits):
    """Hinton et al. (2015), equation 4: the gradient tends to (z - v) / K, both with a mean of zero."""
    z, v = logits
    (gradient,) = torch.autograd.grad(class_distance(z, v / 1e4, 1e4).sum(), z)
    centred = (z - z.mean(1, keepdim=True)) - (v - v.mean(1, keepdim=True))
    assert_close(gradient, centred / 4, rtol=1e-3, atol=1e-3)
    (gradient,) = torch.autograd.grad(binary_distance(z, v / 1e4, 1e4).sum(), z)
    assert_close(gradient, (z - v) / 4, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_equal_predictions_have_no_distance(logits, temperature):
    z, _ = logits
    for distance in (class_distance, binary_distance):
        found = distance(z, z.detach() / temperature, temperature)
        assert_close(found, torch.zeros_like(found))
        (gradient,) = torch.autograd.grad(found.sum(), z)
        assert_close(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("name", ["vowels", "reber", "demand"])
def test_the_term_is_zero_for_the_teacher_itself_and_moves_others_alone(name, request, tmp_path):
    experiment = request.getfixturevalue(name)
    teacher, _ = uninterrupted(tmp_path, experiment.with_overrides({"trainer.max_epochs": 1}))
    dataset = experiment.data.build()
    student = student_of(experiment, teacher, **{"model.cell": "gru", "model.hidden_size": 5})
    (learner,), record = read_teachers(student, dataset)
    content = teacher.best_checkpoint.read_bytes()
    assert record["distillation"]["teachers"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    hook, batch = Distillation([learner], learner.task, 0.5, 2.0), dataset.train.take(torch.arange(7))
    itself = hook.loss(learner.model, learner(batch), batch)
    assert_close(itself, torch.zeros_like(itself), atol=1e-6, rtol=0.0)
    other = build(student, dataset)
    before = [parameter.clone() for parameter in learner.parameters()]
    loss = hook.loss(other.model, other(batch), batch)
    assert loss > 0
    loss.backward()
    assert all(parameter.grad is not None for parameter in other.model.parameters())
    assert all(parameter.grad is None for parameter in learner.parameters())
    assert all(map(torch.equal, before, learner.parameters()))
    assert not learner.training


def test_several_teachers_are_averaged(vowels, tmp_path):
    runs = [uninterrupted(tmp_path / str(seed), vowels.with_overrides({"trainer.max_epochs": 1, "seed": seed}))[0]
            for seed in (0, 1)]  # fmt: skip
    dataset = vowels.data.build()
    learners, _ = read_teachers(student_of(vowels, *runs), dataset)
    batch = dataset.train.take(torch.arange(7))
    hook = Distillation(learners, learners[0].task, 1.0, 3.0)
    with torch.no_grad():
        wanted = torch.stack([(learner(batch).logits / 3.0).softmax(-1) for learner in learners]).mean(0)
        assert_close(hook.predictions(batch, torch.device("cpu")).softmax(-1), wanted)


def test_weight_zero_is_plain_training_and_a_resumed_one_is_the_same(reber, tmp_path):
    teacher, _ = uninterrupted(tmp_path / "teacher", reber)
    plain, _ = uninterrupted(tmp_path / "plain", reber)
    without, _ = uninterrupted(tmp_path / "without", student_of(reber, teacher, **{"distillation.weight": 0.0}))
    assert_same(plain, without)
    distilled = student_of(reber, teacher, **{"seed": 3})
    whole, _ = uninterrupted(tmp_path / "whole", distilled)
    assert "teacher adds a term to the loss" in whole.about["steps"]["reason"]
    assert any(not torch.equal(value, weights(plain)[name]) for name, value in weights(whole).items())
    run = start(tmp_path / "cut", distilled)
    with pytest.raises(Interrupted):
        train(distilled, run, stop=StopAt(5))
    train(distilled, Run.open(run.path))
    assert_same(whole, run)
    assert run.about["distillation"]["teachers"][0]["run"] == str(teacher.path)


def test_teachers_that_are_missing_or_foreign_are_refused_in_one_line(vowels, reber, tmp_path):
    dataset = vowels.data.build()
    nothing = vowels.with_overrides({"distillation.teachers": [str(tmp_path / "none")]})
    with pytest.raises(ConfigError, match=r"distillation.teachers: .*none: not a run"):
        check_start(nothing, dataset)
    empty = start(tmp_path / "empty", vowels)
    with pytest.raises(ConfigError, match=r"distillation.teachers: .*has no best.ckpt"):
        check_start(student_of(vowels, empty), dataset)
    other, _ = uninterrupted(tmp_path / "other", reber.with_overrides({"trainer.max_epochs": 1}))
    with pytest.raises(ConfigError, match="its task is next_step, not classify"):
        check_start(student_of(vowels, other), dataset)
    longer = reber.with_overrides({"data.train_size": 210})
    with pytest.raises(ConfigError, match="was trained on other data"):
        check_start(student_of(longer, other), longer.data.build())
    own = student_of(reber, other)
    run = start(tmp_path / "run", own)
    run.describe(distillation={"teachers": [{"run": str(other.path), "id": "x", "epoch": 0, "sha256": "0"}]})
    with pytest.raises(ConfigError, match="has other weights than when this training began"):
        train(own, run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation.weight": 0.5}, "weight=0.5 would do nothing: teachers names no run"),
        ({"distillation.teachers": ["a"], "distillation.temperature": 3.0}, "temperature=3 would do nothing"),
        ({"distillation.teachers": ["a", "./a"]}, "names a run twice"),
        ({"distillation.teachers": ["a"], "distillation.temperature": 0.0}, "greater than 0"),
    ],
)
def test_choices_without_effect_are_refused(changes, message, demand):
    with pytest.raises(ConfigError, match=message):
        demand.with_overrides(changes)


def test_a_task_without_soft_targets_says_so():
    content = {"data": "written_dates", "task": "translate", "model": "encoder_decoder"}
    with pytest.raises(ConfigError, match="task 'translate' has no predictions to learn from"):
        Experiment.of({**content, "distillation": {"teachers": ["a"]}})
