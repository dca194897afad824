"""Recurrent dropout, zoneout and weight drop in a model: where they act, and what their numbers depend on."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.recurrence import recurrences
from lstm_lab.models.sites import StepKey, dropouts, keyed_parts
from lstm_lab.training.train import build

B, T, INPUTS, H = 6, 9, 3, 8


def encoder(cell: str = "lstm", **options) -> Encoder:
    torch.manual_seed(0)
    return Encoder(Cell.members[cell].Config(), input_size=INPUTS, hidden_size=H, **options).double()


def begin(model, step: int = 0, **key) -> None:
    for name, part in keyed_parts(model):
        part.begin_batch(StepKey(7, step, **key), name)


def noisy(model: Encoder, **rates) -> Encoder:
    for recurrence in recurrences(model):
        recurrence.weight_drop = rates.get("weight_drop", 0.0)
        recurrence.add(**{name: rate for name, rate in rates.items() if name != "weight_drop"})
    return model


ALL = {"state_dropout": 0.3, "update_dropout": 0.3, "zoneout_h": 0.2, "zoneout_c": 0.3, "weight_drop": 0.4}


@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True}, {"num_layers": 2, "dilation": 2}],
    ids=["plain", "both directions", "dilated"],
)
def test_workers_draw_what_one_process_draws(options):
    model = noisy(encoder(**options), **ALL)
    x, lengths = torch.randn(B, T, INPUTS, dtype=torch.float64), torch.tensor([9, 4, 9, 7, 1, 9])
    begin(model, size=B)
    whole = model(x, lengths).outputs
    for rank in (0, 1):
        begin(model, first=rank, stride=2, size=B // 2)
        assert_close(model(x[rank::2], lengths[rank::2]).outputs, whole[rank::2])
    begin(model, step=1, size=B)
    assert not torch.allclose(model(x, lengths).outputs, whole)


def test_layers_and_directions_have_masks_of_their_own():
    model = noisy(encoder(num_layers=2, bidirectional=True), zoneout_h=0.5)
    begin(model, size=B)
    words = {recurrence.noise_key(B, torch.device("cpu")).words for recurrence in recurrences(model)}
    assert len(words) == 4


@pytest.mark.parametrize("name", ["state_dropout", "update_dropout", "weight_drop"])
def test_dropout_changes_training_alone(name):
    model, plain = noisy(encoder(), **{name: 0.5}), encoder()
    x, lengths = torch.randn(B, T, INPUTS, dtype=torch.float64), torch.full((B,), T)
    assert not torch.allclose(model(x, lengths).outputs, plain(x, lengths).outputs)
    assert torch.equal(model.eval()(x, lengths).outputs, plain(x, lengths).outputs)
    assert list(dropouts(model)) == list(recurrences(model))
    assert not list(dropouts(plain))


def test_evaluation_has_the_expectation_of_zoneout():
    model = noisy(encoder("rnn"), zoneout_h=0.25).eval()
    x = torch.randn(B, 2, INPUTS, dtype=torch.float64)
    cell = next(iter(model.cells(0)))
    h = torch.zeros(B, H, dtype=torch.float64)
    for x_t in x.unbind(1):
        h = 0.25 * h + 0.75 * cell.step(x_t, cell.State(h))[0]
    assert_close(model(x, torch.full((B,), 2)).final, h)


@pytest.mark.parametrize("cell", ["lstm", "gru", "concatenated", "mogrifier"])
def test_weight_drop_masks_the_recurrent_matrices_and_trains_the_whole_ones(cell):
    model = noisy(encoder(cell), weight_drop=0.5)
    x, lengths = torch.randn(B, T, INPUTS, dtype=torch.float64), torch.full((B,), T)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    begin(model)
    total = model(x, lengths).outputs.square().sum()
    total.backward()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        zeros = parameter.grad.eq(0).double().mean().item()
        n = parameter.numel()
        own = name.rsplit("layers.0.0.", 1)[-1]
        module = next(iter(model.cells(0)))
        if module.parameter_role(own) == "recurrent":
            share = 0.5 if cell != "concatenated" else 0.5 * H / (H + INPUTS)  # W multiplies [h, x]
            assert abs(zeros - share) < 5 * math.sqrt(0.25 / n)
        else:
            assert zeros == 0
    for block in next(iter(model.cells(0))).recurrent_blocks() if cell == "concatenated" else ():
        gradient = block._base.grad
        assert gradient[:, H:].ne(0).all()


def test_regularizers_reach_every_layer(vowels):
    chosen = ["weight_drop", {"name": "zoneout", "h": 0.1}, {"name": "recurrent_dropout", "state": 0.2}]
    experiment = vowels.with_overrides({"regularizers": chosen})
    learner = build(experiment, experiment.data.build())
    (recurrence,) = recurrences(learner.model)
    assert recurrence.weight_drop == 0.5
    assert recurrence.noise.kinds == {"zoneout_h", "state_dropout"}


REFUSED = [
    ("rnn", {"name": "recurrent_dropout", "update": 0.2}, r"recurrent_dropout\.update would do nothing: cell 'rnn' has "
     r"no candidate .*; set recurrent_dropout\.state"),
    ("gru", {"name": "zoneout", "c": 0.2}, r"zoneout\.c would do nothing: cell 'gru' has no part c .*; set zoneout\.h"),
    ("min_gru", {"name": "recurrent_dropout", "state": 0.2}, r"cell 'min_gru' has no weights that multiply its state"),
    ("mlstm", {"name": "zoneout", "h": 0.2}, r"cell 'mlstm' has no state h .*; leave it out, or choose another cell"),
    ("lstm", {"name": "zoneout"}, r"sets no probability: give at least one of h, c"),
    ("lstm", {"name": "recurrent_dropout", "update_locked": True, "state": 0.1}, r"update_locked would do nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "chosen", "message"), REFUSED)
def test_what_would_do_nothing_is_refused(vowels, cell, chosen, message):
    with pytest.raises(ConfigError, match=message):
        vowels.with_overrides({"model.cell": cell, "regularizers": [chosen]})


def test_weight_drop_of_a_cell_without_recurrent_matrices_is_refused(vowels):
    experiment = vowels.with_overrides({"model.cell": "min_gru", "regularizers": ["weight_drop"]})
    with pytest.raises(ConfigError, match="no matrix of this cell multiplies its state"):
        build(experiment, experiment.data.build())
