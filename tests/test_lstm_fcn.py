"""LSTM-FCN: equal to its equations sample by sample, blind to padding, in values, gradients and batch statistics."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.models.lstm_fcn import LSTMFCN

B, T, IN, H, OUT = 4, 9, 3, 4, 5
LENGTHS = torch.tensor([9, 4, 1, 6])
BEHIND = ~length_mask(LENGTHS, T).unsqueeze(-1)
SMALL = {"hidden_size": H, "filters": [6, 7, 5], "kernel_sizes": [4, 3, 2], "dropout": 0.0}


def build(**fields):
    torch.manual_seed(0)
    config = validate(LSTMFCN.Config, {**SMALL, **fields}, "test")
    model = config.build(SimpleNamespace(input_size=IN), SimpleNamespace(output_size=OUT, per_step=False)).double()
    for block in model.blocks:
        torch.nn.init.uniform_(block.norm.running_mean, -0.5, 0.5)
        torch.nn.init.uniform_(block.norm.running_var, 0.5, 1.5)
        torch.nn.init.uniform_(block.norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(block.norm.bias, -0.5, 0.5)
    return model.eval()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(B, T, IN, dtype=torch.float64)


def by_hand(model, x):
    """One sample without padding (T, I), one output of a convolution at a time."""
    outputs = model.encoder(x[None], torch.tensor([len(x)])).outputs[0]
    y = x
    for block in model.blocks:
        W, norm = block.convolution.weight, block.norm  # (F, I, k)
        k, steps = W.shape[2], []
        before = (k - 1) // 2
        for t in range(len(y)):
            seen = [(j, t - before + j) for j in range(k) if 0 <= t - before + j < len(y)]
            steps.append(sum(W[:, :, j] @ y[s] for j, s in seen))
        scaled = (torch.stack(steps) - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)
        y = torch.relu(scaled * norm.weight + norm.bias)
    return model.head(torch.cat((outputs[-1], y.mean(0))))


@pytest.mark.parametrize("cell", sorted(Cell.members))
def test_a_padded_batch_is_each_sample_by_hand(cell, x):
    model = build(cell=cell)
    found = model(x.masked_fill(BEHIND, torch.nan), LENGTHS).logits
    expected = torch.stack([by_hand(model, x[i, :length]) for i, length in enumerate(LENGTHS)])
    assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pooling", ["last", "additive"])
def test_padding_reaches_no_gradient_and_no_batch_statistics(pooling, x):
    results = []
    for filling in (0.0, torch.nan, 1e6):
        model = build(pooling=pooling, bidirectional=True).train()
        x_now = x.masked_fill(BEHIND, filling).requires_grad_()
        logits = model(x_now, LENGTHS).logits
        gradients = torch.autograd.grad(logits.square().sum(), [x_now, *model.parameters()])
        results.append([logits, *gradients, *model.buffers()])
    for other in results[1:]:
        assert_close(other, results[0], rtol=0, atol=0)
    assert (results[0][1][BEHIND.expand_as(x)] == 0).all()


def test_batch_statistics_are_those_of_the_valid_steps(x):
    model = build().train()
    norm = model.blocks[0].norm
    norm.momentum = 1.0
    model(x.masked_fill(BEHIND, torch.nan), LENGTHS)
    zeros = x.masked_fill(BEHIND, 0.0).transpose(1, 2)
    rows = model.blocks[0].convolution(torch.nn.functional.pad(zeros, (1, 2))).transpose(1, 2)[~BEHIND.squeeze(-1)]
    assert len(rows) == LENGTHS.sum()
    assert_close(norm.running_mean, rows.mean(0))
    assert_close(norm.running_var, rows.var(0))


def test_gradients_reach_every_weight(x):
    model = build(pooling="additive").train()
    model(x, LENGTHS).logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 1e-9, name


def test_alstm_fcn_weighs_the_steps_of_its_cells(x):
    model = build(pooling="additive")
    output = model(x, LENGTHS)
    assert_close(output.attention.sum(1), torch.ones(B, dtype=torch.float64))
    assert (output.attention[BEHIND.squeeze(-1)] == 0).all()
    mean = (output.attention.unsqueeze(-1) * output.encoded.outputs).sum(1)
    convolved = model(x, LENGTHS).logits - mean @ model.head.weight[:, :H].T - model.head.bias
    with torch.no_grad():
        model.head.weight[:, :H] = 0
    assert_close(model(x, LENGTHS).logits - model.head.bias, convolved)


def test_dropout_acts_on_the_cells_alone(x):
    model = build(dropout=0.9).train()
    seen = []
    model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    model(x, LENGTHS)
    features = seen[0][:, :H]
    assert (features == 0).double().mean() > 0.5
    assert (build().encoder(x, LENGTHS).final != 0).all()


def test_it_learns_a_short_pattern_anywhere():
    """Four steps or their reverse, at any place: the mean of the inputs is the same."""
    torch.manual_seed(0)
    x = 0.3 * torch.randn(64, 20, 1)
    y = torch.arange(64) % 2
    start = torch.randint(0, 16, (64,))
    pattern = torch.tensor([1.0, -2.0, 2.0, -1.0])
    for i in range(64):
        x[i, start[i] : start[i] + 4, 0] += pattern if y[i] else pattern.flip(0)
    config = validate(LSTMFCN.Config, {**SMALL, "filters": [8, 8, 8]}, "test")
    model = config.build(SimpleNamespace(input_size=1), SimpleNamespace(output_size=2, per_step=False))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    lengths = torch.full((64,), 20)
    for _ in range(25):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x, lengths).logits, y)
        loss.backward()
        optimizer.step()
    assert (model.eval()(x, lengths).logits.argmax(1) == y).double().mean() > 0.9


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"data": "japanese_vowels", "task": "classify", "model": {"name": "lstm_fcn", "filters": [8]}},
            "equal length",
        ),
        ({"data": "embedded_reber", "task": "next_step", "model": {"name": "lstm_fcn"}}, "model: sequence"),
        ({"data": "sst", "task": "classify", "model": {"name": "lstm_fcn"}}, "holds tokens"),
    ],
)
def test_what_it_cannot_do_is_refused(content, said):
    with pytest.raises(ConfigError, match=said) as refused:
        Experiment.of(content)
    assert "\n" not in str(refused.value)
