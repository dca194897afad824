"""What an explanation says of a network holds for networks whose memory, gates and inputs are known."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import DEMAND, REBER, VOWELS
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.config import to_yaml
from lstm_lab.data.base import Batch
from lstm_lab.experiment import Experiment
from lstm_lab.explain.attribution import integrated_gradients, occlusion, permutation_importance
from lstm_lab.explain.collect import attention_by_lag
from lstm_lab.explain.gates import dead_units, gate_statistics
from lstm_lab.explain.memory import by_lag, exponential_fit, half_lives, lag_profile, observe_layers
from lstm_lab.explain.observe import observed
from lstm_lab.models.base import Model, Output
from lstm_lab.models.encoder import Encoder
from lstm_lab.records.explanation import TokenAttribution, read_explanation
from lstm_lab.report.parts.content import Page, Section, Subsection, Summary
from lstm_lab.report.parts.network import marked_tokens
from lstm_lab.report.parts.render import to_html, to_markdown

B, T, IN, H = 5, 40, 3, 4
LENGTHS = torch.tensor([T, 31, T, 17, T])


class Reader(Model):
    """An encoder alone, with a linear head."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.head = encoder, torch.nn.Linear(encoder.output_size, 2)

    def forward(self, x, lengths):
        encoded = self.encoder(x, lengths)
        return Output(self.head(encoded.final), encoded)


def reader(cell, **more):
    torch.manual_seed(0)
    return Reader(Encoder(Cell.members[cell].Config(), input_size=IN, hidden_size=H, **more)).eval()


def draw():
    return torch.randn(B, T, IN, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cell", sorted(Cell.members))
def test_an_observed_model_computes_the_same(cell):
    model, x = reader(cell, num_layers=2, bidirectional=True), draw()
    expected = model(x, LENGTHS)
    with observed(model) as cells:
        found = model(x, LENGTHS)
    close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    assert [each.name for each in cells] == ["layer 1", "layer 1, backward", "layer 2", "layer 2, backward"]
    assert all(len(each.states) == T for each in cells)
    close(model(x, LENGTHS).logits, expected.logits, rtol=0, atol=0)  # The hooks are gone.


def decaying(u):
    """h' = relu(0 x + u h + 1): every unit is positive, and forgets by the factor u."""
    model = reader("indrnn")
    (cell,) = model.encoder.cells(0)
    with torch.no_grad():
        cell.W.zero_()
        cell.b.fill_(1.0)
        cell.u.fill_(u)
    return model


def test_gradients_and_half_lives_are_those_of_a_geometric_decay():
    (layer,) = observe_layers(decaying(0.8), draw(), LENGTHS)
    profile = lag_profile(layer.h, layer.cell)
    close(torch.tensor(profile.median), 0.8 ** torch.tensor(profile.lags).float(), rtol=1e-4, atol=1e-7)
    assert profile.look_back == math.ceil(math.log(0.01) / math.log(0.8))
    assert profile.low == pytest.approx(profile.high, rel=1e-4)  # Lengths do not matter: lags count from the end.
    found = half_lives(layer)
    assert found.note is None
    assert found.steps == pytest.approx([math.log(2) / -math.log(0.8)] * H, rel=1e-4)


def test_a_memory_that_never_decays_looks_back_over_all_steps():
    (layer,) = observe_layers(decaying(1.0), draw(), LENGTHS)
    assert lag_profile(layer.h, layer.cell).look_back is None
    found = half_lives(layer)
    assert found.steps == [None] * H
    assert "may not be read" in found.note


def test_a_dilated_layer_counts_steps_of_the_sequence():
    model = reader("indrnn", num_layers=2, dilation=2)
    for layer in (0, 1):
        (cell,) = model.encoder.cells(layer)
        with torch.no_grad():
            cell.u.fill_(0.5)
    _, upper = observe_layers(model, draw(), torch.full((B,), T))
    assert all(lag % 2 == 0 for lag in lag_profile(upper.h, upper.cell).lags)


def test_lags_count_from_the_end_of_each_sequence():
    table = by_lag(torch.arange(8.0).view(2, 4), torch.tensor([4, 2]))
    assert table[0].tolist() == [3, 2, 1, 0]
    assert table[1, :2].tolist() == [5, 4]
    assert np.isnan(table[1, 2:]).all()


def test_only_an_exponential_decay_counts_as_one():
    lags = np.arange(30)
    assert exponential_fit(0.7**lags) == pytest.approx(1.0)
    assert exponential_fit(1.1**lags) == 0.0
    assert exponential_fit(np.where(lags % 2, 1.0, 0.01)) < 0.5
    assert exponential_fit(0.7 ** lags[:4]) is None


def test_gates_that_never_move_and_dead_units_are_found():
    model = reader("lstm")
    (cell,) = model.encoder.cells(0)
    bias = cell.layer.bias_ih_l0
    with torch.no_grad():
        bias[0 * H + 2] = -30.0  # The input gate of unit 2 stays closed: its cell stays 0, and so does its output.
        bias[1 * H + 1] = 30.0  # The forget gate of unit 1 stays open.
    (layer,) = observe_layers(model, draw(), LENGTHS)
    gates = {gate.symbol: gate for gate in gate_statistics(layer.cell)}
    assert gates.keys() == {"i", "f", "o"}
    assert gates["i"].always_closed == [2]
    assert gates["f"].always_open == [1]
    assert gates["i"].closed >= 1 / H
    assert dead_units(layer.cell) == [2]


def test_padding_changes_no_statistic():
    model, x = reader("gru"), draw()
    longer = torch.cat((x, torch.full((B, 7, IN), torch.nan)), 1)
    (one,), (other,) = observe_layers(model, x, LENGTHS), observe_layers(model, longer, LENGTHS)
    for first, second in zip(gate_statistics(one.cell), gate_statistics(other.cell), strict=True):
        assert first.mean == pytest.approx(second.mean, rel=1e-5)
    assert lag_profile(one.h, one.cell).median == pytest.approx(lag_profile(other.h, other.cell).median, rel=1e-4)


class Linear(Model):
    """f(x) = w x_T, the sum over channels of the last step."""

    def __init__(self, w):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(w))

    def forward(self, x, lengths):
        last = x[torch.arange(len(x)), lengths - 1]
        return Output((last * self.w).sum(1, keepdim=True))


def test_integrated_gradients_of_a_linear_model_are_its_terms():
    x, w = draw(), [1.0, -2.0, 0.0]
    found = integrated_gradients(Linear(w), x, LENGTHS)
    rows, last = torch.arange(B), LENGTHS - 1
    terms = x[rows, last] * torch.tensor(w)
    close(found.values[rows, last], terms * terms.sum(1, keepdim=True).sign())
    found.values[rows, last] = 0.0
    assert not found.values.any()


def test_occlusion_of_a_linear_model_is_the_size_of_its_terms():
    """f reads the last step alone, channel 1 twice as strongly as channel 0, and channel 2 not at all."""
    x = torch.ones(B, T, IN)
    found = occlusion(Linear([1.0, -2.0, 0.0]), x, LENGTHS, max_channels=8)
    assert found.windows == [1.0] + [0.0] * 9  # The last tenth of each sequence, whatever its length.
    assert found.channels == pytest.approx([1 / 3, 2 / 3, 0.0])
    assert occlusion(Linear([1.0, -2.0, 0.0]), x, LENGTHS, max_channels=2).channels == []


class Attends(Model):
    """Attention on three observed steps; a step known in advance follows."""

    def forward(self, x, lengths):
        weights = torch.tensor([0.5, 0.3, 0.2]).expand(len(x), 3)
        return Output(x.sum((1, 2)), None, weights.unsqueeze(1).expand(-1, 4, -1))


def test_attention_counts_lags_from_the_last_step_that_it_weights():
    x, lengths = torch.ones(2, 4, 1), torch.tensor([4, 4])
    assert attention_by_lag(Attends(), x, lengths) == pytest.approx([0.2, 0.3, 0.5])
    assert attention_by_lag(Linear([1.0]), x, lengths) == []


def test_words_are_marked_relative_to_the_strongest():
    tokens = [TokenAttribution(token="good", value=0.4), TokenAttribution(token="<film>", value=-0.1)]
    marked = marked_tokens(SimpleNamespace(tokens=tokens))
    assert marked == [("good", 1.0), ("<film>", -0.25)]
    page = Page("t", "", "", Summary("h"), (), [Section("n", "N", [Subsection(marked=marked)])]).without_empty()
    html = to_html(page)
    assert 'class="for" style="--share:70%"' in html
    assert "&lt;film&gt;" in html
    assert "**good**" in to_markdown(page)


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
def test_integrated_gradients_add_up_to_the_change_of_the_prediction(cell):
    found = integrated_gradients(reader(cell), draw(), LENGTHS)
    close(found.values.flatten(1).sum(1), found.total, rtol=0.011, atol=1e-5)
    assert found.error < 0.011


class Scored:
    """As much of a Learner as permutations need: predictions by the last step's channel 0."""

    class task:
        @staticmethod
        def loss(logits, batch):
            return (logits - batch.y).abs().mean()

    @staticmethod
    def logits(batch):
        return batch.x[torch.arange(len(batch.x)), batch.lengths - 1, 0]


def test_permuting_a_channel_that_is_not_read_costs_nothing():
    x = draw()
    batch = Batch(x, LENGTHS, Scored.logits(Batch(x, LENGTHS, x)))
    assert permutation_importance(Scored, batch, 1, repeats=2) == [0.0, 0.0]
    assert min(permutation_importance(Scored, batch, 0, repeats=2)) > 0.1


def test_a_run_is_explained(lab, tmp_path):
    """Channels of a forecaster; the page shows it."""
    (tmp_path / "demand.yaml").write_text(to_yaml(DEMAND))
    assert lab("train", "demand.yaml", "--name", "d", "trainer.max_epochs=1", "data.stride=64")[0] == 0
    code, out, _ = lab("explain", "runs/d", "--sample", "3")
    assert code == 0
    assert "looks back" in out
    found = read_explanation(tmp_path / "runs/d")
    assert found.sample == 3
    assert found.channels[0].name == "demand"
    assert found.channels[0].attribution == pytest.approx(1.0)
    assert sum(found.lags) == pytest.approx(1.0, abs=1e-4)
    assert found.layers[0].gradient_at_start is not None
    assert 'id="network"' in (tmp_path / "runs/d/report.html").read_text()
    code, out, _ = lab("explain", "runs/d", "--json")
    assert json.loads(out)["layers"][0]["cell"] == "lstm"
    code, _, err = lab("explain", "runs/d", "--sample", "100000")
    assert code == 2
    assert "--sample 100000: the validation split has samples 0 to" in err


def test_tokens_are_attributed(lab, tmp_path):
    (tmp_path / "reber.yaml").write_text(to_yaml(REBER))
    assert lab("train", "reber.yaml", "--name", "r", "trainer.max_epochs=1")[0] == 0
    assert lab("explain", "runs/r")[0] == 0
    found = read_explanation(tmp_path / "runs/r")
    assert found.channels == []
    assert len(found.tokens) == found.steps
    assert {token.token for token in found.tokens} <= {*"BTPSXVE", "(start)"}


def test_a_run_without_a_checkpoint_is_refused(lab):
    code, _, err = lab("explain", "nowhere")
    assert code == 2
    assert "nowhere" in err


@pytest.mark.slow
def test_every_kind_of_model_is_explained(lab, tmp_path):
    for name, content, more in (
        ("vowels", VOWELS, ["model.bidirectional=true", "model.cell=mlstm"]),
        ("segrnn", DEMAND, ["model=segrnn", "model.segment_length=8", "model.hidden_size=8", "data.stride=64"]),
        ("seq2seq", DEMAND, ["model=seq2seq", "data.stride=64"]),
        ("lstm_fcn", VOWELS, ["model=lstm_fcn", "model.pooling=additive"]),
    ):
        (tmp_path / f"{name}.yaml").write_text(to_yaml(Experiment.of(content).dump()))
        assert lab("train", f"{name}.yaml", "--name", name, "trainer.max_epochs=1", *more)[0] == 0, name
        assert lab("explain", f"runs/{name}")[0] == 0, name
