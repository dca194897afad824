"""Calibrated intervals: margins by hand, coverage of exchangeable values, and test scores."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lstm_lab.data import Batch
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.records.run import Run
from lstm_lab.tasks.forecasting import conformal
from lstm_lab.tasks.forecasting.outputs import LEVELS, Normal, Point, Quantile
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.training.train import train

ONE = Scale(torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
INFO = SimpleNamespace(targets=("a", "b"), mean=(0.0, 0.0), std=(1.0, 1.0), naive_mae=(1.0, 1.0))
OUTPUTS = {"point": Point(), "normal": Normal(), "quantile": Quantile(LEVELS)}


def drawn(n, output, seed):
    """Uninformative forecasts (n, 3, 2, P), and exchangeable values."""
    torch.manual_seed(seed)
    z = torch.randn(n, 3, 2, output.num_parameters)
    y = 3 * torch.randn(n, 3, 2) + z[..., 0]
    return z, Batch(torch.empty(0), torch.empty(0), y)


@pytest.mark.parametrize("name", OUTPUTS)
def test_margins_equal_their_definition_over_known_values(name):
    output = OUTPUTS[name]
    z, batch = drawn(57, output, 0)
    batch.y[torch.rand(batch.y.shape) < 0.2] = math.nan
    found = conformal.margins(conformal.scores(output, [(z[:20], batch._replace(y=batch.y[:20])),
                                                        (z[20:], batch._replace(y=batch.y[20:]))], INFO))  # fmt: skip
    predicted = output.quantiles(z, LEVELS, ONE)
    for k, share in enumerate((0.9, 0.8)):
        for t in range(3):
            for target in range(2):
                outside = sorted(
                    max(float(predicted[i, t, target, k]) - y, y - float(predicted[i, t, target, 4 - k]))
                    for i in range(57)
                    if not math.isnan(y := float(batch.y[i, t, target]))
                )
                place = min(math.ceil((len(outside) + 1) * share - 1e-9), len(outside))
                assert float(found[k, t, target]) == pytest.approx(outside[place - 1], abs=1e-5)


@pytest.mark.parametrize("name", OUTPUTS)
def test_exchangeable_values_are_covered_whatever_the_model(name):
    output = OUTPUTS[name]
    margins = conformal.margins(conformal.scores(output, [drawn(4000, output, 1)], INFO))
    z, batch = drawn(4000, output, 2)
    predicted = conformal.quantiles(output, z, margins, ONE)
    assert (predicted.diff(dim=-1) >= 0).all()
    for k, share in enumerate((0.9, 0.8)):
        inside = (predicted[..., k] <= batch.y) & (batch.y <= predicted[..., 4 - k])
        assert inside.float().mean((0, 1, 2)) == pytest.approx(share, abs=0.012)
    assert_close(predicted[..., 2], output.point(z, ONE))


def test_an_interval_that_is_too_wide_becomes_narrower():
    z = torch.tensor([0.0, 9.0]).expand(500, 3, 2, 2)  # deviation 9 about 0
    batch = Batch(torch.empty(0), torch.empty(0), torch.randn(500, 3, 2))
    margins = conformal.margins(conformal.scores(Normal(), [(z, batch)], INFO))
    assert (margins < 0).all()
    predicted = conformal.quantiles(Normal(), z[:1], margins, ONE)
    assert (predicted[..., -1] - predicted[..., 0]).mean() == pytest.approx(2 * 1.645, abs=0.4)


def test_test_scores_and_predictions_use_the_calibrated_intervals(demand, tmp_path):
    values = np.sin(np.arange(400) / 5) + 0.1 * np.random.default_rng(0).normal(size=400)
    (tmp_path / "a.csv").write_text("t,y\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)))
    data = {"name": "csv", "path": str(tmp_path / "a.csv"), "time": "t", "targets": ["y"], "window": 20, "horizon": 4}
    experiment = demand.with_overrides({"data": data, "task.conformal": True, "trainer.max_epochs": 4})
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    seen = evaluate(run, "validation")
    assert not [name for name in seen.model if name.startswith("calibrated")]
    scores = evaluate(run)
    assert 0.5 < scores.model["calibrated_coverage_80"] <= scores.model["calibrated_coverage_90"] <= 1
    assert 0 < scores.model["calibrated_width_80"] < scores.model["calibrated_width_90"]
    steps = scores.details["steps"]
    assert np.mean([step["calibrated_coverage_90"] for step in steps]) == pytest.approx(
        scores.model["calibrated_coverage_90"]
    )
    header, rows = predict(run, tmp_path / "a.csv")
    assert header[1:] == ["ahead", "y", "y 5%", "y 10%", "y 90%", "y 95%"]
    assert all(row[3] < row[4] < row[2] < row[5] < row[6] for row in rows)
    margin = torch.tensor(run.about["calibration"])[0, :, 0] * values[:280].std()
    assert [row[6] - row[2] for row in rows] == pytest.approx(margin.tolist(), rel=1e-3)
