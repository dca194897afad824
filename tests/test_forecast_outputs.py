"""Quantiles and distributions: their scores equal their definitions, their intervals have their nominal coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.tasks.base import score
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting.outputs import LEVELS, ForecastOutput
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.training.train import train

N, K = 4000, 1
UNIT = Scale(torch.zeros(1), torch.ones(1))
COUNTS = Scale(torch.tensor([6.0]), torch.tensor([3.0]))
INFO = SeriesInfo(1, 2, 1, ("y",), ("y",), (), (50.0,), (10.0,), (5.0,))


def output(name, **choices):
    return ForecastOutput.members[name].Config(**choices).build()


def inverse_softplus(value):
    return math.log(math.expm1(value - 1e-4))


def task(name, info=INFO):
    return Forecast.Config.model_validate({"output": name}).build(info)


def same(z, n):
    """One forecast for n samples: (n, 1, 1, P)."""
    return torch.tensor(z).expand(n, 1, 1, -1)


def sampled_crps(draws, y):
    """E|X - y| - E|X - X'| / 2 of draws, by definition."""
    a, b = draws[: len(draws) // 2], draws[len(draws) // 2 :]
    return np.abs(draws - y).mean() - 0.5 * np.abs(a - b).mean()


DISTRIBUTIONS = {
    "normal": ([0.3, inverse_softplus(1.7)], stats.norm(0.3, 1.7)),
    "student_t": ([0.3, inverse_softplus(1.7), inverse_softplus(2.0)], stats.t(4.0001, 0.3, 1.7)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_loss_quantiles_and_crps_of_a_distribution_equal_their_definition(name):
    z, truth = DISTRIBUTIONS[name]
    y = torch.linspace(-6, 7, 27)
    z = same(z, len(y))
    made, shaped = output(name), y.view(-1, 1, 1)
    assert_close(made.loss(z, shaped, UNIT).flatten(), torch.tensor(-truth.logpdf(y)).float(), rtol=1e-4, atol=1e-5)
    found = made.quantiles(z, LEVELS, UNIT)[0, 0, 0]
    assert_close(found, torch.tensor(truth.ppf(LEVELS)).float(), rtol=1e-4, atol=1e-4)
    draws = truth.rvs(400_000, random_state=0)
    expected = [sampled_crps(draws, float(value)) for value in y]
    np.testing.assert_allclose(made.crps(z, shaped, UNIT).flatten(), expected, atol=0.01)


def test_counts_follow_the_negative_binomial():
    mu, alpha = 7.0, 0.4
    z = [inverse_softplus(mu / 3.0) - 2.0, inverse_softplus(alpha)]  # s softplus(z_0 + m / s) = mu
    truth = stats.nbinom(1 / alpha, 1 / (1 + alpha * mu))
    counts = torch.arange(25.0)
    z, y = same(z, 25), ((counts - 6) / 3).view(-1, 1, 1)
    made = output("negative_binomial")
    assert_close(made.loss(z, y, COUNTS).flatten(), torch.tensor(-truth.logpmf(counts)).float(), rtol=1e-3, atol=1e-3)
    draws = truth.rvs(200_000, random_state=0)
    expected = [sampled_crps(draws, float(value)) / 3 for value in counts]
    np.testing.assert_allclose(made.crps(z, y, COUNTS).flatten(), expected, atol=0.25)
    assert float(made.crps(z, y, COUNTS).mean()) == pytest.approx(np.mean(expected), rel=0.05)
    again = made.quantiles(z, LEVELS, COUNTS)
    assert torch.equal(again, made.quantiles(z, LEVELS, COUNTS))  # a fixed seed
    np.testing.assert_allclose(again.mean((0, 1, 2)) * 3 + 6, truth.ppf(LEVELS), atol=1.1)
    assert_close((again * 3 + 6).round(), again * 3 + 6, rtol=0, atol=1e-4)


def test_the_pinball_loss_is_the_sum_over_levels_and_least_at_the_quantiles():
    made = output("quantile")
    torch.manual_seed(0)
    z, y = torch.randn(9, 2, 3, made.num_parameters), torch.randn(9, 2, 3)
    expected = torch.zeros(9, 2, 3)
    for q, message in zip(made.levels, z.unbind(-1), strict=True):
        expected += torch.where(y >= message, q * (y - message), (1 - q) * (message - y))
    assert_close(made.loss(z, y, UNIT), expected)
    draws = torch.randn(20_001, 1, 1)
    best = torch.quantile(draws.flatten(), torch.tensor(made.levels))
    least = made.loss(best.expand(20_001, 1, 1, -1), draws, UNIT).mean()
    for i in range(made.num_parameters):
        for by in (-0.1, 0.1):
            moved = best.clone()
            moved[i] += by
            assert made.loss(moved.expand(20_001, 1, 1, -1), draws, UNIT).mean() > least


def test_crossing_quantiles_are_sorted():
    made = output("quantile")
    z = torch.linspace(1, 0, made.num_parameters).view(1, 1, 1, -1)
    read = made.quantiles(z, LEVELS, UNIT).flatten()
    assert (read.diff() > 0).all()


@pytest.mark.parametrize("name", ["point", "quantile", "normal", "student_t"])
def test_the_crps_of_one_certain_value_is_the_absolute_error(name):
    made = output(name)
    y = torch.linspace(-3, 3, 13).view(-1, 1, 1)
    z = torch.full((13, 1, 1, made.num_parameters), 0.7)
    if name in ("normal", "student_t"):
        z[..., 1] = -30.0  # as narrow as it gets
    if name == "student_t":
        z[..., 2] = 1e4
    assert_close(made.crps(z, y, UNIT), (0.7 - y).abs(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", sorted(set(ForecastOutput.members) - {"point"}))
def test_intervals_have_their_nominal_coverage_and_scores_are_in_the_units_of_the_data(name):
    rng, made = np.random.default_rng(0), task(name)
    if name == "negative_binomial":
        y = stats.nbinom(5, 1 / (1 + 50 / 5)).rvs(N, random_state=1)  # mean 50
        z = [inverse_softplus(5.0) - 5.0, inverse_softplus(0.2)]
    elif name == "quantile":
        y, z = rng.normal(50, 10, N), stats.norm().ppf(made.output.levels).tolist()
    else:
        y = stats.t(5, 50, 10).rvs(N, random_state=1) if name == "student_t" else rng.normal(50, 10, N)
        z = [0.0, inverse_softplus(1.0), inverse_softplus(3.0)][: made.output.num_parameters]
    batch = Batch(torch.zeros(N, 2, 1), torch.full((N,), 2), torch.tensor((y - 50) / 10).float().view(N, 1, 1))
    found = score(made.metrics(), same(z, N).flatten(1), batch)
    assert found["coverage_80"] == pytest.approx(0.8, abs=0.03)
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.03)
    width = {"normal": 25.63, "quantile": 25.63, "student_t": 29.52}
    if name in width:
        assert found["width_80"] == pytest.approx(width[name], rel=0.01)
        draws = rng.normal(50, 10, 4000)
        if name == "normal":
            assert found["crps"] == pytest.approx(10 / math.sqrt(math.pi), rel=0.03)
        assert 0 < found["crps"] < np.abs(draws - 50).mean() * 1.3
    assert found["mae"] == pytest.approx(np.abs(y - (np.median(y))).mean(), rel=0.06)
    low = made.predictions(same(z, 1).flatten(1))[0][0]
    assert made.prediction_columns == ("y", "y 5%", "y 10%", "y 90%", "y 95%")
    assert low[1] < low[2] < low[0] < low[3] < low[4]
    assert low[4] == pytest.approx(np.quantile(y, 0.95), rel=0.12)


@pytest.mark.parametrize("name", sorted(ForecastOutput.members))
def test_missing_values_are_neither_trained_on_nor_scored(name):
    info = SeriesInfo(2, 3, 4, ("a", "b"), ("a", "b"), (), (5.0, 5.0), (2.0, 1.0), (1.0, 1.0), num_mask_channels=2)
    made = task(name, info)
    torch.manual_seed(0)
    z = torch.randn(6, made.output_size, requires_grad=True)
    batch = Batch(torch.randn(6, 3, 2), torch.full((6,), 3), torch.rand(6, 4, 2))
    gaps = batch.y.clone()
    gaps[0, 1], gaps[2] = torch.nan, torch.nan
    holed = batch._replace(y=gaps)
    slope = torch.autograd.grad(made.loss(z, holed), z)[0].view(6, 4, 2, -1)
    there = ~gaps.isnan()
    assert (slope[~there] == 0).all()
    assert (slope[there] != 0).any(-1).all()
    assert float(made.num_targets(holed)) == pytest.approx(6 - 0.25 - 1)
    whole = made.output.loss(made._shaped(z), batch.y, Scale(torch.full((2,), 5.0), torch.tensor([2.0, 1.0])))
    assert_close(made.loss(z, holed), whole[there].mean())
    found = score(made.metrics(), z.detach(), holed)
    assert all(math.isfinite(value) for value in found.values())
    point = made.output.point(made._shaped(z.detach()), Scale(torch.full((2,), 5.0), torch.tensor([2.0, 1.0])))
    errors = torch.where(there, (point - batch.y).abs(), torch.nan)
    assert found["scaled_mae"] == pytest.approx(float(errors.nanmean((0, 1)).mean()), rel=1e-4)


def test_scores_by_step_ahead_average_to_the_total():
    info = SeriesInfo(1, 3, 4, ("a",), ("a",), (), (5.0,), (2.0,), (1.0,))
    made = task("normal", info)
    torch.manual_seed(0)
    batch = Batch(torch.randn(50, 3, 1), torch.full((50,), 3), torch.randn(50, 4, 1))
    metrics = made.metrics()
    whole = score(metrics, torch.randn(50, made.output_size), batch)
    steps = metrics.by_step()
    assert len(steps) == 4
    for name in steps[0]:
        assert np.mean([step[name] for step in steps]) == pytest.approx(whole[name])


def test_a_field_without_effect_is_refused():
    base = {"data": "taylor", "task": {"name": "forecast", "loss": "mae", "output": "normal"}}
    with pytest.raises(ConfigError, match="loss=mae would do nothing: output normal has its own loss"):
        Experiment.of(base)
    for levels in ([0.1, 0.5, 0.9], [0.05, 0.1, 0.5, 0.9, 0.95, 0.99], [0.0, 0.05, 0.1, 0.5, 0.9, 0.95, 1.0]):
        with pytest.raises(ConfigError, match=r"task\.output\.levels"):
            Experiment.of(
                {"data": "taylor", "task": {"name": "forecast", "output": {"name": "quantile", "levels": levels}}}
            )


def test_the_record_of_an_evaluation_has_every_step_ahead(demand, tmp_path):
    experiment = demand.with_overrides({"task.output": "quantile", "task.monitor": "loss"})
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    scores = evaluate(run)
    assert len(scores.details["steps"]) == demand.data.horizon
    assert run.test_evaluations()[-1]["steps"] == scores.details["steps"]
    assert np.mean([step["crps"] for step in scores.details["steps"]]) == pytest.approx(scores.model["crps"])
    assert 0 < scores.model["coverage_80"] <= scores.model["coverage_90"] <= 1
    assert scores.skill["linear"] is not None
