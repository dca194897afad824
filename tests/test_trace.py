"""Every activation of a step can be traced, and the trace equals the forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.cells.base import TraceableCell
from lstm_lab.cells.odyssey import VARIANTS
from lstm_lab.kernels.lengths import length_mask

B, T, IN, H = 3, 6, 3, 4
LENGTHS = torch.tensor([4, T, 1])
PADDING = ~length_mask(LENGTHS, T)
TRACEABLE = sorted(name for name, member in Cell.members.items() if issubclass(member, TraceableCell))
EVERY = [
    *((name, {}) for name in TRACEABLE),
    *(("odyssey", {"variant": variant}) for variant in VARIANTS),
    ("peephole", {"full": True}),
]
FAMILY = {"lstm", "gru", "rnn", "peephole", "odyssey", "norm_lstm"}
CANDIDATES = {"lstm": "g", "gru": "n", "mgu": "n", "norm_lstm": "g", "odyssey": "g", "peephole": "g", "mogrifier": "g"}
NOT_TRACEABLE = {name for name, member in Cell.members.items() if not issubclass(member, TraceableCell)}

each_cell = pytest.mark.parametrize(("name", "fields"), EVERY)


def build(name, **fields):
    torch.manual_seed(0)
    cell = Cell.members[name].Config(**fields).build(IN, H).double()
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    return cell


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_every_cell_is_traceable():
    assert not NOT_TRACEABLE


@each_cell
def test_the_trace_equals_the_forward_pass(name, fields):
    cell = build(name, **fields)
    x = draw(B, T, IN).masked_fill(PADDING.unsqueeze(-1), torch.nan)
    start = cell(draw(B, 2, IN), torch.full((B,), 2))[1]
    outputs, end = cell(x, LENGTHS, start)
    traced = cell.trace(x, LENGTHS, start)
    close(traced["h"], outputs, rtol=1e-9, atol=1e-12)
    last = LENGTHS - 1
    for part in end._fields:
        close(traced[part][torch.arange(B), last], getattr(end, part), rtol=1e-9, atol=1e-12)
    for symbol, values in traced.items():
        assert values.shape[:2] == (B, T), symbol
        assert name == "mlstm" or values.shape == (B, T, H), symbol
        assert (values[PADDING] == 0).all(), symbol
    close(cell.trace(x, LENGTHS)["h"], cell(x, LENGTHS)[0], rtol=1e-9, atol=1e-12)


@each_cell
def test_activations_stay_in_their_ranges(name, fields):
    cell = build(name, **fields)
    traced = cell.trace(3 * draw(B, T, IN), LENGTHS)
    for symbol in cell.gates:
        assert ((traced[symbol] >= 0) & (traced[symbol] <= 1)).all(), symbol
    if name in CANDIDATES and fields.get("variant") != "niaf":
        assert (traced[CANDIDATES[name]].abs() <= 1).all()


@pytest.mark.parametrize("name", ["lstm", "gru", "mgu", "norm_lstm", "min_gru", "min_lstm", "indrnn", "fused", "split"])
def test_retention_is_the_derivative_of_a_memory_by_itself(name):
    """Without recurrent weights it is the whole Jacobian, which is then diagonal."""
    cell = build(name)
    with torch.no_grad():
        for block in cell.recurrent_blocks():
            block.zero_()
    x, state = draw(B, IN), cell.State(*(draw(B, H).requires_grad_() for _ in cell.State._fields))
    memory = cell.State._fields[-1]  # c of an LSTM, else h
    activations = cell.activations(x, state)
    (derivative,) = torch.autograd.grad(activations[memory].sum(), getattr(state, memory))
    close(cell.retention(activations), derivative.abs(), rtol=1e-9, atol=1e-12)


def test_a_cell_without_gates_has_no_retention():
    cell = build("rnn")
    assert cell.gates == ()
    assert cell.retention(cell.trace(draw(B, T, IN), LENGTHS)) is None


@pytest.mark.parametrize(("name", "fields"), [pair for pair in EVERY if pair[0] in FAMILY])
def test_the_activations_satisfy_the_equations(name, fields):
    """Cell state and output computed from the other activations, for the whole family."""
    traced = {key: value[1] for key, value in build(name, **fields).trace(draw(B, T, IN), LENGTHS).items()}  # (T, H)
    before = {key: torch.cat((torch.zeros(1, H, dtype=torch.float64), value[:-1])) for key, value in traced.items()}
    if "c" in traced:
        close(traced["c"], traced["f"] * before["c"] + traced["i"] * traced["g"], rtol=1e-9, atol=1e-12)
        if name != "norm_lstm":
            activated = traced["c"] if fields.get("variant") == "noaf" else torch.tanh(traced["c"])
            close(traced["h"], traced["o"] * activated, rtol=1e-9, atol=1e-12)
    if "z" in traced:
        close(traced["h"], (1 - traced["z"]) * traced["n"] + traced["z"] * before["h"], rtol=1e-9, atol=1e-12)


def test_variants_have_the_gates_of_their_name():
    def gate(variant, symbol):
        return build("odyssey", variant=variant).trace(draw(B, T, IN), LENGTHS)[symbol][~PADDING]

    coupled = build("odyssey", variant="cifg").trace(draw(B, T, IN), LENGTHS)
    close(coupled["f"][~PADDING], 1 - coupled["i"][~PADDING], rtol=0, atol=1e-15)
    for variant, symbol in (("nig", "i"), ("nfg", "f"), ("nog", "o")):
        assert (gate(variant, symbol) == 1).all()
        assert (gate("none", symbol) < 1).all()


def test_a_sequence_without_steps_raises_an_error():
    with pytest.raises(ValueError, match="T is 0"):
        build("lstm").trace(draw(B, 0, IN), torch.zeros(B, dtype=torch.int64))
