"""Encoder and decoder: equal to their equations, forward in time, and each step ahead from the forecast before it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.experiment import Experiment
from lstm_lab.models.seq2seq import Seq2Seq
from lstm_lab.tasks.forecast import Forecast

B, K, T, HORIZON, H = 3, 2, 7, 4, 5
COLUMNS = ("a", "b", "holiday")
INFO = SeriesInfo(4, T, HORIZON, COLUMNS[:K], COLUMNS, (), (0.0,) * 3, (1.0,) * 3, (1.0,) * K, known=("holiday",),
                    num_mask_channels=1)  # fmt: skip
PLAIN = dataclasses.replace(INFO, input_size=3, known=(), num_mask_channels=0)


def build(info=INFO, output="point", **fields):
    torch.manual_seed(0)
    task = Forecast.Config.model_validate({"output": output}).build(info)
    return Seq2Seq.Config.model_validate({"hidden_size": H, **fields}).build(info, task).double()


def draw(info=INFO):
    torch.manual_seed(1)
    x = torch.randn(B, T + (info.horizon if info.known else 0), info.input_size, dtype=torch.float64)
    if info.known:
        x[:, T:, :K] = 0.0
        x[..., -1] = (torch.arange(x.shape[1]) >= T).double()
    return x


def forecast(model, x):
    return model(x, torch.full((len(x),), x.shape[1])).logits.view(len(x), model.horizon, -1)


def by_hand(model, x):
    """The equations of the class, one sample at a time."""
    forecasts, cell = [], model.encoder.layers[0][0]
    for row in x:
        state, e = cell.initial_state(row[:1]), []
        for t in range(T):
            h, state = cell.step(row[t][None], state)
            e.append(h[0])
        y = row[T - 1, :K].repeat_interleave(model.numbers // K)
        steps = []
        for t in range(model.horizon):
            known = row[T + t, 2:3] if model.known else row[:0, 0]
            h, state = model.decoder.step(torch.cat([y, known])[None], state)
            if model.attention is not None:
                a = torch.stack([h[0] @ model.attention.weight.T @ e_s for e_s in e]).softmax(0)
                h = torch.cat([h, sum(a_s * e_s for a_s, e_s in zip(a, e, strict=True))[None]], 1)
            y = model.head(h)[0]
            steps.append(y)
        forecasts.append(torch.stack(steps))
    return torch.stack(forecasts)


@pytest.mark.parametrize("cell", sorted(Cell.members))
@pytest.mark.parametrize(("attention", "info"), [(True, INFO), (False, INFO), (True, PLAIN)])
def test_it_equals_its_equations(cell, attention, info):
    model = build(info, "normal", cell=cell, attention=attention).eval()
    assert_close(forecast(model, draw(info)), by_hand(model, draw(info)), rtol=1e-9, atol=1e-12)


def test_a_known_column_reaches_its_step_and_later_ones_alone():
    model, x = build(), draw()
    other = x.clone()
    other[:, T + 2, 2] += 1.0
    changed = (forecast(model, x) != forecast(model, other)).any(0).any(-1)
    assert changed.tolist() == [False, False, True, True]


def test_a_longer_horizon_continues_the_shorter_one():
    short, long = build(PLAIN), build(dataclasses.replace(PLAIN, horizon=9))
    long.load_state_dict(short.state_dict())  # no weight belongs to a step
    assert_close(forecast(long, draw(PLAIN))[:, :HORIZON], forecast(short, draw(PLAIN)))


def test_gradients_reach_every_weight_and_every_step_of_the_window():
    model, x = build(), draw().requires_grad_()
    forecast(model, x)[:, -1].square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in model.parameters())
    assert (x.grad[:, :T] != 0).any(-1).all()


def test_it_is_refused_for_other_tasks():
    with pytest.raises(ConfigError, match="model 'seq2seq' forecasts a series; task 'classify'"):
        Experiment.of({"data": "japanese_vowels", "task": "classify", "model": {"name": "seq2seq"}})
