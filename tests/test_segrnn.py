"""SegRNN: one network for every channel, equal to its cell stepped by hand; and the checks of its config."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.experiment import Experiment
from lstm_lab.models.segrnn import SegRNN
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.training.train import build_from

B, K, T, HORIZON, W, D = 3, 4, 12, 8, 4, 6
NAMES = tuple("abcd")
INFO = SeriesInfo(K, T, HORIZON, NAMES, NAMES, (), (0.0,) * K, (1.0,) * K, (1.0,) * K)


def build(cell="gru", output="point", anchor="none", dropout=0.0):
    torch.manual_seed(0)
    task = Forecast.Config.model_validate({"output": output, "anchor": anchor}).build(INFO)
    config = SegRNN.Config.model_validate({"cell": cell, "hidden_size": D, "segment_length": W, "dropout": dropout})
    return config.build(INFO, task).double(), task


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(B, T, K, dtype=torch.float64)


def forecast(model, x):
    return model(x, torch.full((len(x),), x.shape[1])).logits.view(len(x), HORIZON, K, -1)


def by_hand(model, x):
    """The equations of the class, one sample, one channel, one segment at a time."""
    cell, out = model.encoder.layers[0][0], torch.empty(len(x), HORIZON, K, model.numbers, dtype=torch.float64)
    for b in range(len(x)):
        for k in range(K):
            state = cell.initial_state(x.new_zeros(1, D))
            for segment in x[b, :, k].split(W):
                _, state = cell.step(torch.relu(model.read(segment[None])), state)
            for j in range(HORIZON // W):
                h, _ = cell.step(torch.cat([model.position[j], model.channel[k]])[None], state)
                out[b, j * W : (j + 1) * W, k] = model.head(h).view(W, -1)
    return out


@pytest.mark.parametrize("cell", sorted(Cell.members))
@pytest.mark.parametrize("output", ["point", "normal"])
def test_parallel_decoding_equals_the_cell_stepped_by_hand(x, cell, output):
    model, _ = build(cell, output)
    model.eval()
    assert_close(forecast(model, x), by_hand(model, x), rtol=1e-9, atol=1e-12)


def test_gradients_reach_every_weight(x):
    model, _ = build()
    forecast(model, x).square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in model.parameters())


def test_a_permutation_of_channels_permutes_the_forecasts(x):
    model, _ = build()
    order = torch.tensor([2, 0, 3, 1])
    before = forecast(model, x)
    assert not torch.allclose(forecast(model, x[:, :, order]), before[:, :, order])  # c says which channel it is
    with torch.no_grad():
        model.channel.copy_(model.channel[order])
    assert_close(forecast(model, x[:, :, order]), before[:, :, order])


def test_channels_are_independent(x):
    model, _ = build()
    other = x.clone()
    other[:, :, 1] += 1.0
    changed = (forecast(model, x) != forecast(model, other)).any(0).any(0).any(-1)
    assert changed.tolist() == [False, True, False, False]


@pytest.mark.parametrize("output", ["point", "quantile", "normal", "student_t"])
def test_with_the_last_value_as_anchor_a_constant_shifts_the_forecast(x, output):
    model, task = build(output=output, anchor="last")

    def quantiles(x):
        batch = Batch(x, torch.full((B,), T), torch.zeros(B, HORIZON, K))
        z = task.postprocess(model(*task.model_inputs(batch)).logits, batch)
        return task.output.quantiles(task._shaped(z), (0.1, 0.5, 0.9), None)

    shift = torch.tensor([3.0, -2.0, 0.5, 100.0], dtype=torch.float64)
    assert_close(quantiles(x + shift), quantiles(x) + shift.view(K, 1), rtol=1e-6, atol=1e-6)


def test_dropout_acts_in_training_alone(x):
    model, _ = build(dropout=0.5)
    assert (forecast(model, x) != forecast(model, x)).any()
    model.eval()
    assert torch.equal(forecast(model, x), forecast(model, x))


TAYLOR = {"data": {"name": "taylor", "window": 96, "horizon": 48}, "task": "forecast"}


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ({"segment_length": 36}, {}, "does not divide data.window=96: choose one of .*12, 16, 24, 48"),
        ({"segment_length": 32}, {}, "does not divide data.horizon=48"),
        ({"segment_length": 32}, {"task": {"name": "forecast", "anchor": "season"}}, "does not divide data.window=48"),
        ({"hidden_size": 7}, {}, "hidden_size"),
        ({}, {"data": {"name": "csv", "path": "x", "time": "t", "targets": "y", "features": "z", "window": 24}},
         "data.features would do nothing"),
        ({}, {"data": {"name": "csv", "path": "x", "time": "t", "targets": "y", "missing": "mask", "window": 24}},
         "reads no mask"),
        ({}, {"data": "japanese_vowels", "task": "classify"}, "forecasts a series"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(model, more, message):
    with pytest.raises(ConfigError, match=message) as fault:
        Experiment.of({**TAYLOR, "model": {"name": "segrnn", **model}, **more})
    assert len(str(fault.value).splitlines()) == 1


def test_it_learns_a_season():
    experiment = Experiment.of({**TAYLOR, "task": {"name": "forecast", "anchor": "last"}, "optimizer": {"lr": 0.01},
                                "model": {"name": "segrnn", "hidden_size": 8, "segment_length": 4}})  # fmt: skip
    info = SeriesInfo(1, 24, 8, ("y",), ("y",), (8,), (0.0,), (1.0,), (1.0,))
    learner = build_from(experiment, info)
    wave = torch.sin(torch.arange(400) * 2 * np.pi / 8).float().unfold(0, 32, 1).unsqueeze(-1)
    batch = Batch(wave[:, :24], torch.full((len(wave),), 24), wave[:, 24:])
    optimizer = learner.configure_optimizers()
    losses = []
    for _ in range(250):
        loss = learner.task.loss(learner(batch).logits, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
