"""Monte-Carlo dropout: predictions and scores of a trained run with its dropout on."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch
from lstm_lab.evaluation.evaluate import scores_of
from lstm_lab.evaluation.monte_carlo import Coverage, DropoutSampler, sampled_columns, sampled_predictions
from lstm_lab.models.sites import keyed_parts
from lstm_lab.tasks.forecasting.outputs import Normal
from lstm_lab.tasks.next_step import Frames
from lstm_lab.training.train import build


def sampler_of(experiment, samples=8, seed=0):
    learner = build(experiment, experiment.data.build()).eval()
    return learner, DropoutSampler(learner, samples, seed), experiment.data.build().validation


def test_samples_differ_and_are_functions_of_sample_and_seed(vowels):
    learner, sampler, split = sampler_of(vowels.with_overrides({"model.dropout": {"output": 0.5}}))
    with torch.inference_mode():
        whole = sampler.sample(split.take(torch.arange(12)))  # (S, B, K)
        assert (whole[0] != whole[1]).any(-1).all()
        halves = DropoutSampler(learner, 8, 0)
        parts = [halves.sample(split.take(torch.arange(start, start + 6))) for start in (0, 6)]
        assert_close(torch.cat(parts, 1), whole)
        assert not torch.equal(DropoutSampler(learner, 8, 1).sample(split.take(torch.arange(12))), whole)


def test_noise_that_is_no_dropout_stays_off(vowels):
    learner, _, _ = sampler_of(vowels.with_overrides({"regularizers": [{"name": "gaussian_noise", "input": 0.5}]}))
    training = {type(part).__name__: part.training for _, part in keyed_parts(learner.model)}
    assert training == {"Dropout": True, "Recurrence": False, "Gaussian": False}


@pytest.mark.parametrize("fixture", ["vowels", "reber", "demand"])
def test_the_mean_of_equal_samples_is_their_prediction(fixture, request):
    experiment = request.getfixturevalue(fixture)
    dataset = experiment.data.build()
    learner = build(experiment, dataset).eval()
    batch = dataset.validation.take(torch.arange(6))
    with torch.inference_mode():
        logits = learner.logits(batch)
        mean = learner.task.mean_logits(torch.stack([logits] * 5))
        rows, found = learner.task.predictions(logits, batch), sampled_predictions(
            learner.task, torch.stack([logits] * 5), batch
        )  # fmt: skip
    assert_close(float(learner.task.loss(mean, batch)), float(learner.task.loss(logits, batch)), atol=1e-5, rtol=1e-5)
    columns = [*learner.task.prediction_columns, *sampled_columns(learner.task)]
    for row, sampled in zip(rows[0], found[0], strict=True):
        named = dict(zip(columns, sampled, strict=True))
        for name, value in zip(learner.task.prediction_columns, row, strict=True):
            if isinstance(value, str):
                assert named[name] == value
            else:
                for key in (name, f"{name} dropout 5%", f"{name} dropout 95%"):
                    assert named[key] == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_the_mean_of_classes_and_its_entropy(vowels):
    learner = build(vowels, vowels.data.build()).eval()
    z = torch.randn(20, 3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = learner.task.mean_logits(z).softmax(-1)
    assert_close(mean, z.softmax(-1).mean(0))
    rows = sampled_predictions(learner.task, z, Batch(torch.zeros(3, 1, 1), torch.ones(3), torch.zeros(3)))
    assert [row[0][-1] for row in rows] == pytest.approx((-(mean * mean.log()).sum(-1)).tolist())
    low, high = rows[0][0][-19:-1][0::2], rows[0][0][-19:-1][1::2]
    assert low == pytest.approx(np.quantile(z[:, 0].softmax(-1), 0.05, axis=0).tolist())
    assert high == pytest.approx(np.quantile(z[:, 0].softmax(-1), 0.95, axis=0).tolist())


def test_means_of_distributions():
    z = torch.randn(30, 2, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mean, output = Normal().mean(z), Normal()
    sigma = torch.nn.functional.softplus(z[..., 1]) + 1e-4
    expected = (sigma.square().mean(0) + z[..., 0].var(0, correction=0)).sqrt()
    assert_close(torch.nn.functional.softplus(mean[..., 1]) + 1e-4, expected)
    assert_close(output.point(mean, None), z[..., 0].mean(0))
    frames = z[..., 0]
    assert_close(Frames.mean(frames).sigmoid(), frames.sigmoid().mean(0))
    assert Frames.mean(frames + 200).isfinite().all()


def test_coverage_is_the_share_of_targets_inside(demand):
    task = build(demand, demand.data.build()).task
    batch = demand.data.build().validation.take(torch.arange(4))
    y = batch.y.flatten(1)
    coverage = Coverage()
    coverage.update(task, torch.stack([y - 1, y, y + 1]), batch)
    assert coverage.share == 1.0
    coverage.update(task, torch.stack([y + 1, y + 2, y + 3]), batch)
    assert coverage.share == 0.5


def test_scores_of_samples(vowels, demand):
    for experiment in (vowels, demand.with_overrides({"model.dropout": {"output": 0.5}})):
        learner, sampler, split = sampler_of(experiment, 4)
        scores, details = scores_of(learner, split, 512, sampler)
        assert math.isfinite(scores["loss"])
        assert details["dropout_samples"] == 4
        assert ("dropout_coverage_90" in details) == (experiment.task.name == "forecast")


def test_samples_without_dropout_are_refused(vowels):
    plain = vowels.with_overrides({"model.dropout": {"input": 0.0, "output": 0.0}})
    with pytest.raises(ConfigError, match="samples: the model was trained without dropout"):
        sampler_of(plain)
    with pytest.raises(ConfigError, match="samples=1: at least 2"):
        sampler_of(vowels, samples=1)


def test_predict_and_evaluate_take_samples(lab, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["id,step,a,label"]
    for i in range(60):
        lines += [f"{i},{t},{rng.normal() + i % 2:.3f},{'ab'[i % 2]}" for t in range(4)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "own.yaml").write_text(
        "data: {name: csv_sequences, path: own.csv, id: id, label: label, channels: [a]}\n"
        "task: classify\nmodel: {hidden_size: 4, dropout: {output: 0.5}}\ntrainer: {max_epochs: 1}\n"
    )
    code, _, err = lab("train", "own.yaml", "--name", "own", "--wandb", "disabled")
    assert code == 0, err
    code, out, err = lab("predict", "runs/own", "own.csv", "--samples", 6)
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 60
    for row in rows:
        p = [float(row[f"probability {name}"]) for name in "ab"]
        assert float(row["probability a dropout 5%"]) < p[0] < float(row["probability a dropout 95%"])
        assert float(row["entropy"]) == pytest.approx(-sum(each * math.log(each) for each in p))
    assert lab("predict", "runs/own", "own.csv", "--samples", 6)[1] == out
    assert "entropy" not in lab("predict", "runs/own", "own.csv")[1]
    code, out, err = lab("evaluate", "runs/own", "--samples", 6, "--json")
    assert code == 0, err
    assert '"dropout_samples": 6' in out


@pytest.mark.parametrize(
    "chosen",
    [{"name": "recurrent_dropout", "state": 0.5}, {"name": "zoneout", "h": 0.3}, {"name": "weight_drop", "p": 0.5}],
    ids=lambda chosen: chosen["name"],
)
def test_dropout_in_the_recurrence_is_sampled(vowels, chosen):
    _, sampler, split = sampler_of(
        vowels.with_overrides({"model.dropout": {"input": 0.0, "output": 0.0}, "regularizers": [chosen]}), 2
    )
    with torch.inference_mode():
        samples = sampler.sample(split.take(torch.arange(4)))
    assert (samples[0] != samples[1]).any(-1).all()
