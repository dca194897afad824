"""Continual learning: what a matrix says, replay and EWC do what they promise, and forgetting is measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pages import ROOT
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.continual.base import Stage
from lstm_lab.continual.joined import Joined, JoinedSplit, Part
from lstm_lab.continual.methods.ewc import EWC, fisher_of
from lstm_lab.continual.methods.replay import Replay
from lstm_lab.continual.plan import load_plan
from lstm_lab.continual.scores import summarize
from lstm_lab.continual.sequence import check_alike, run_plan
from lstm_lab.training.train import build


def write(folder, name, sign, n=120):
    """Which of two channels is larger at the end; of sign -1, smaller. Lengths differ from stage to stage."""
    rng = np.random.default_rng(abs(sign) + n)
    X = rng.normal(size=(n, 5 if sign > 0 else 7, 2)).astype(np.float32)
    y = np.where(sign * (X[:, -1, 0] - X[:, -1, 1]) > 0, "up", "down")
    np.savez(folder / name, X=X, y=y)


@pytest.fixture
def plan_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    write(tmp_path, "a.npz", 1)
    write(tmp_path, "b.npz", -1)
    (tmp_path / "base.yaml").write_text(
        "data: {name: arrays, path: a.npz, batch_size: 16}\ntask: classify\nmodel: {hidden_size: 8, cell: gru}\n"
        "optimizer: {lr: 0.03}\ntrainer: {max_epochs: 8}\n"
    )
    file = tmp_path / "two.yaml"
    file.write_text(
        "# A rule, then its opposite.\nexperiment: base.yaml\nstages: [{}, {data.path: b.npz}]\n"
        "methods: [naive, {name: ewc, alpha: 1.0e+5}, {name: replay, memory: 80}]\nmetric: accuracy\n"
    )
    return file


def test_the_numbers_of_a_matrix_are_those_of_the_papers():
    R, b = np.array([[0.9, 0.3, 0.2], [0.6, 0.8, 0.4], [0.5, 0.7, 0.9]]), np.array([0.1, 0.1, 0.1])
    found = summarize(R, b, "max")
    assert found.final == pytest.approx(0.7)
    assert found.forgetting == pytest.approx(((0.9 - 0.5) + (0.8 - 0.7)) / 2)
    assert found.backward_transfer == pytest.approx(((0.5 - 0.9) + (0.7 - 0.8)) / 2)
    assert found.forward_transfer == pytest.approx(((0.3 - 0.1) + (0.4 - 0.1)) / 2)
    mirrored = summarize(-R, -b, "min")  # Of a loss, less is better: transfers are the same, and the score is its own.
    assert mirrored.final == pytest.approx(-0.7)
    assert mirrored.forgetting == pytest.approx(found.forgetting)
    assert mirrored.forward_transfer == pytest.approx(found.forward_transfer)


def stages_of(plan_file):
    plan = load_plan(plan_file)
    experiments = plan.experiments(plan_file)
    return plan, experiments, [each.data.build() for each in experiments]


def test_joined_samples_are_those_of_their_splits(plan_file):
    _, _, (a, b) = stages_of(plan_file)
    rows = np.array([3, 7, 11])
    joined = JoinedSplit([Part(b.train, np.arange(len(b.train))), Part(a.train, rows)])
    n = len(b.train)
    assert len(joined) == n + 3
    batch = joined.take(torch.tensor([n + 1, 0, n + 2]))
    own, other = b.train.take(torch.tensor([0])), a.train.take(torch.from_numpy(rows[1:]))
    assert batch.lengths.tolist() == [5, 7, 5]
    assert_close(batch.x[1:2], own.x)
    assert_close(batch.x[[0, 2], :5], other.x)
    assert not batch.x[[0, 2], 5:].any()
    assert batch.y.tolist() == [int(other.y[0]), int(own.y[0]), int(other.y[1])]
    replayed = Replay(10).data(b, [Stage(None, a)])
    assert isinstance(replayed, Joined)
    assert len(replayed.train) == n + 10
    assert replayed.digest != b.digest
    assert len(replayed.validation) == len(b.validation)


def test_the_penalty_is_the_sum_of_those_of_the_stages(plan_file):
    _, experiments, (a, b) = stages_of(plan_file)
    method, parts = EWC(alpha=3.0, samples=20), []
    for seed, dataset in ((0, a), (1, b)):
        learner = build(experiments[0].with_overrides({"seed": seed}), dataset).eval()
        method.remember(Stage(None, dataset), learner)
        parts.append((fisher_of(learner, Stage(None, dataset), 20), dict(learner.model.named_parameters())))
    weights = dict(build(experiments[0].with_overrides({"seed": 2}), a).model.named_parameters())
    penalty = 1.5 * sum((F[name] * (weights[name] - at[name].detach()).square()).sum() for F, at in parts for name in F)
    for (name, weight), expected in zip(weights.items(), torch.autograd.grad(penalty, weights.values()), strict=True):
        assert_close(method.gradient(name, weight.detach()), expected, rtol=1e-4, atol=1e-6)


def test_fisher_information_equals_a_loop(plan_file):
    _, experiments, (a, _) = stages_of(plan_file)
    learner = build(experiments[0], a).eval()
    found = fisher_of(learner, Stage(None, a), 3)
    expected = 0
    for i in np.linspace(0, len(a.train) - 1, 3).astype(int):
        batch = a.train.take(torch.tensor([i]))
        gradient = torch.autograd.grad(learner.task.loss(learner(batch).logits, batch), learner.model.head.weight)[0]
        expected = expected + gradient.square() / 3
    assert_close(found["head.weight"], expected)


def test_an_opposite_rule_is_forgotten_by_fine_tuning_and_held_by_replay_and_ewc(plan_file, tmp_path):
    plan, experiments, datasets = stages_of(plan_file)
    check_alike(plan, experiments, datasets)
    result = run_plan(plan, experiments, datasets, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "continual.json").read_text()) == result
    forgetting = {name: row["forgetting"]["mean"] for name, row in result["methods"].items()}
    assert forgetting["naive"] > 0.5
    assert forgetting["replay"] < forgetting["naive"] - 0.1
    assert forgetting["ewc"] < forgetting["naive"] - 0.1
    first = [np.array(row["sequences"][0]["scores"])[0] for row in result["methods"].values()]
    assert_close(first[0], first[1])  # Before there is anything to forget, all methods are the same.
    assert_close(first[0], first[2])
    assert (tmp_path / "out" / "ewc-0" / "stage-2" / "run.json").is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages=[{}]"], "stages"),
        (["stages=[{}, {model.hidden_size: 4}]"], "stage 2: model.hidden_size cannot change"),
        (["stages=[{}, {seed: 1}]"], "stage 2: seed cannot change: write seeds"),
        (["stages=[{}, {data.pth: b.npz}]"], "pth"),
        (["methods=[memory]"], "no continual method named 'memory'"),
        (["metric=mse"], "metric=mse: task 'classify' has loss, accuracy"),
        (["experiment=nowhere.yaml"], "nowhere.yaml"),
        (["stages=[{}, {data: {name: japanese_vowels}}]"], "stage 2: its model has other inputs, outputs or weights"),
    ],
)
def test_plans_that_do_not_fit_are_refused_in_one_line(plan_file, overrides, message):
    def start():
        plan = load_plan(plan_file, overrides)
        experiments = plan.experiments(plan_file)
        check_alike(plan, experiments, [each.data.build() for each in experiments])

    with pytest.raises(ConfigError, match=message) as fault:
        start()
    assert len(str(fault.value).splitlines()) == 1


def test_the_shipped_sequence_can_start(monkeypatch):
    monkeypatch.chdir(ROOT)
    file = ROOT / "conf" / "continual" / "permuted_digits.yaml"
    plan = load_plan(file)
    experiments = plan.experiments(file)
    check_alike(plan, experiments, [each.data.build() for each in experiments])
    assert [config.name for config in plan.methods] == ["naive", "replay", "ewc", "joint"]
