"""Every letter of a step can be looked at, and looking never computes something else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.cells.base import TraceableCell
from lstm_lab.cells.odyssey import VARIANTS

B, T, IN, H = 3, 6, 3, 4
LENGTHS = torch.tensor([4, T, 1])
BEHIND = torch.arange(T) >= LENGTHS.unsqueeze(1)
TRACEABLE = sorted(name for name, member in Cell.members.items() if issubclass(member, TraceableCell))
EVERY = [
    *((name, {}) for name in TRACEABLE),
    *(("odyssey", {"variant": variant}) for variant in VARIANTS),
    ("peephole", {"full": True}),
]
FAMILY = {"lstm", "gru", "rnn", "peephole", "odyssey", "norm_lstm"}
GATES, BOUNDED = {"i", "f", "o", "r", "z"}, {"g", "n"}

each_cell = pytest.mark.parametrize(("name", "fields"), EVERY)


def build(name, **fields):
    torch.manual_seed(0)
    cell = Cell.members[name].Config(**fields).build(IN, H).double()
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    return cell


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_the_family_is_spelled_out():
    assert set(TRACEABLE) >= FAMILY


@each_cell
def test_what_is_looked_at_is_what_is_computed(name, fields):
    cell = build(name, **fields)
    x = draw(B, T, IN).masked_fill(BEHIND.unsqueeze(-1), torch.nan)
    start = cell(draw(B, 2, IN), torch.full((B,), 2))[1]
    outputs, end = cell(x, LENGTHS, start)
    seen = cell.trace(x, LENGTHS, start)
    close(seen["h"], outputs, rtol=1e-9, atol=1e-12)
    last = LENGTHS - 1
    for part in end._fields:
        close(seen[part][torch.arange(B), last], getattr(end, part), rtol=1e-9, atol=1e-12)
    for letter, values in seen.items():
        assert values.shape == (B, T, H), letter
        assert (values[BEHIND] == 0).all(), letter
    without = cell.trace(x, LENGTHS)
    close(without["h"], cell(x, LENGTHS)[0], rtol=1e-9, atol=1e-12)


@each_cell
def test_letters_keep_to_their_ranges(name, fields):
    seen = build(name, **fields).trace(3 * draw(B, T, IN), LENGTHS)
    for letter in GATES & seen.keys():
        assert ((seen[letter] >= 0) & (seen[letter] <= 1)).all(), letter
    for letter in BOUNDED & seen.keys():
        if fields.get("variant") != "niaf":
            assert (seen[letter].abs() <= 1).all(), letter


@pytest.mark.parametrize(("name", "fields"), [pair for pair in EVERY if pair[0] in FAMILY])
def test_the_letters_satisfy_the_equations(name, fields):
    """The memory and the output from the other letters, written out once more and for all of a family."""
    seen = {key: value[1] for key, value in build(name, **fields).trace(draw(B, T, IN), LENGTHS).items()}  # (T, H)
    before = {key: torch.cat((torch.zeros(1, H, dtype=torch.float64), value[:-1])) for key, value in seen.items()}
    if "c" in seen:
        close(seen["c"], seen["f"] * before["c"] + seen["i"] * seen["g"], rtol=1e-9, atol=1e-12)
        if name != "norm_lstm":
            shown = seen["c"] if fields.get("variant") == "noaf" else torch.tanh(seen["c"])
            close(seen["h"], seen["o"] * shown, rtol=1e-9, atol=1e-12)
    if "z" in seen:
        close(seen["h"], (1 - seen["z"]) * seen["n"] + seen["z"] * before["h"], rtol=1e-9, atol=1e-12)


def test_variants_show_what_they_are():
    def gate(variant, letter):
        return build("odyssey", variant=variant).trace(draw(B, T, IN), LENGTHS)[letter][~BEHIND]

    coupled = build("odyssey", variant="cifg").trace(draw(B, T, IN), LENGTHS)
    close(coupled["f"][~BEHIND], 1 - coupled["i"][~BEHIND], rtol=0, atol=1e-15)
    for variant, letter in (("nig", "i"), ("nfg", "f"), ("nog", "o")):
        assert (gate(variant, letter) == 1).all()
        assert (gate("none", letter) < 1).all()


def test_a_sequence_without_steps_is_refused():
    with pytest.raises(ValueError, match="T is 0"):
        build("lstm").trace(draw(B, 0, IN), torch.zeros(B, dtype=torch.int64))
