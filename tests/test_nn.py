"""lab.nn: what goes in and comes out is what torch's layers take and return, in values, gradients, shapes and forms."""

from __future__ import annotations

import copy
import doctest
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close as close

import lstm_lab.nn.recurrent
from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.models.encoder import Encoder
from lstm_lab.nn import GRU, LSTM, RNN

assert_close = partial(close, rtol=1e-10, atol=1e-10)  # in float64
B, T, I, H = 5, 7, 3, 4  # noqa: E741
LENGTHS = torch.tensor([3, T, 1, 5, 5])
PAIRS = {"lstm": (LSTM, nn.LSTM), "gru": (GRU, nn.GRU), "rnn": (RNN, nn.RNN)}
FORMS = ["unbatched", "batched", "batch_first", "packed", "packed_sorted"]


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(params=PAIRS)
def pair(request):
    """A layer of torch's and ours with its weights: two layers, both directions."""
    torch.manual_seed(0)

    def build(**more):
        ours, torchs = PAIRS[request.param]
        options = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64, **more}
        layer = torchs(I, H, **options)
        return ours.from_torch(layer), layer

    return build


def as_input(x, form):
    """x (B, T, I) in one of the forms that a layer takes."""
    if form == "unbatched":
        return x[0]
    if form == "batched":
        return x.transpose(0, 1)
    if form == "batch_first":
        return x
    if form == "packed":
        return pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    return pack_padded_sequence(x, LENGTHS.sort(descending=True).values, batch_first=True)


def tensors(output, state):
    output = output.data if isinstance(output, PackedSequence) else output
    return [output, *([state] if isinstance(state, torch.Tensor) else state)]


def passed(layer, x, hx, form):
    """All values that come out, and the gradients of a fixed weighting of them: of x, of hx, of every weight."""
    x = x.clone().requires_grad_()
    hx = None if hx is None else [part.clone().requires_grad_() for part in hx]
    given = hx if hx is None or len(hx) > 1 else hx[0]
    output, state = layer(as_input(x, form), given if not isinstance(given, list) else tuple(given))
    values = tensors(output, state)
    generator = torch.Generator().manual_seed(1)
    sum((v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum() for v in values).backward()
    return values, [x.grad, *(part.grad for part in hx or [])]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given_state", [False, True])
def test_values_and_gradients_are_torchs(pair, form, given_state):
    ours, torchs = pair(batch_first=form == "batch_first")
    samples = () if form == "unbatched" else (B,)
    parts = 2 if isinstance(torchs, nn.LSTM) else 1
    hx = [draw(4, *samples, H) for _ in range(parts)] if given_state else None
    x = draw(B, T, I)
    (values, gradients), (expected, expected_gradients) = passed(ours, x, hx, form), passed(torchs, x, hx, form)
    assert_close(values, expected)
    assert_close(gradients, expected_gradients)
    for (name, theirs), weight in zip(torchs.named_parameters(), ours.parameters(), strict=True):
        assert_close(weight.grad, theirs.grad, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_a_packed_output_is_packed_as_the_input(pair, enforce_sorted):
    ours, torchs = pair()
    x = as_input(draw(B, T, I), "packed_sorted" if enforce_sorted else "packed")
    output, expected = ours(x)[0], torchs(x)[0]
    for ours_, theirs in zip(output, expected, strict=True):
        assert (ours_ is None) == (theirs is None)
        if theirs is not None:
            assert_close(ours_, theirs)
    assert_close(pad_packed_sequence(output)[0], pad_packed_sequence(expected)[0])


def test_a_larger_models_weights_of_torch_load(pair):
    ours, torchs = pair()
    theirs, mine = nn.Sequential(torchs, nn.Identity()), nn.Sequential(copy.deepcopy(ours), nn.Identity())
    for parameter in mine.parameters():
        nn.init.zeros_(parameter)
    mine.load_state_dict(theirs.state_dict())
    x = draw(T, B, I)
    assert_close(mine[0](x)[0], torchs(x)[0])
    with pytest.raises(RuntimeError, match=r"0\.layers\.1\.1\.layer\.bias_hh_l0"):
        mine.load_state_dict({k: v for k, v in theirs.state_dict().items() if k != "0.bias_hh_l1_reverse"})


def test_weights_of_a_trained_encoder_load():
    config = Cell.members["peephole"].Config()
    encoder = Encoder(config, input_size=I, hidden_size=H, num_layers=2).double()
    layer = LSTM(I, H, 2, batch_first=True, cell=config, dtype=torch.float64)
    layer.load_state_dict(encoder.state_dict())
    x = draw(B, T, I)
    assert_close(layer(x, lengths=LENGTHS)[0], encoder(x, LENGTHS).outputs)


@pytest.fixture(params=sorted(Cell.members))
def layer(request):
    torch.manual_seed(0)
    return LSTM(I, 8, 2, batch_first=True, bidirectional=True, cell=request.param, dtype=torch.float64)


def test_every_cell_has_the_shapes_of_torch(layer):
    """And padding, whatever it holds, changes nothing: padded, packed and alone are the same."""
    x = draw(B, T, I)
    padded = x.clone()
    for sample, length in enumerate(LENGTHS):
        padded[sample, length:] = torch.nan
    output, state = layer(padded, lengths=LENGTHS)
    assert output.shape == (B, T, 16)
    initial = layer.initial_state(B)
    assert type(state) is type(initial)
    for part, start in zip(tensors(output, state)[1:], tensors(output, initial)[1:], strict=True):
        assert part.shape == start.shape
        assert part.shape[:2] == (4, B)
    packed, packed_state = layer(as_input(x, "packed"))
    assert_close(pad_packed_sequence(packed, batch_first=True)[0], output)
    assert_close(tensors(packed, packed_state)[1:], tensors(output, state)[1:])
    for sample, length in enumerate(LENGTHS):
        alone, alone_state = layer(x[sample, :length])
        assert_close(alone, output[sample, :length])
        assert_close(tensors(alone, alone_state)[1:], [part[:, sample] for part in tensors(output, state)[1:]])


def test_every_cell_continues_from_the_state_it_returned(layer):
    forward = LSTM(I, 8, 2, cell=layer.cell, dtype=torch.float64)
    x = draw(T, B, I)
    whole, end = forward(x)
    first, state = forward(x[:3], forward.initial_state(B))
    second, resumed = forward(x[3:], state)
    assert_close(torch.cat((first, second)), whole)
    assert_close(tensors(second, resumed)[1:], tensors(whole, end)[1:])
    packed, packed_state = layer(as_input(draw(B, T, I), "packed"), layer(draw(B, 2, I))[1])
    assert type(packed_state) is type(layer.initial_state(B))
    assert packed.data.shape == (int(LENGTHS.sum()), 16)


def test_second_value_is_the_state_of_the_cell():
    assert isinstance(GRU(I, H)(torch.randn(T, B, I))[1], torch.Tensor)
    h_n, c_n = LSTM(I, H, cell={"name": "odyssey", "variant": "cifg"})(torch.randn(T, B, I))[1]
    assert h_n.shape == c_n.shape == (1, B, H)
    state = LSTM(I, H, cell={"name": "odyssey", "variant": "fgr"})(torch.randn(T, B, I))[1]
    assert state._fields == ("h", "c", "i", "f", "o")


def test_dropout_acts_between_layers_in_training_alone():
    torch.manual_seed(0)
    layer = LSTM(I, H, 2, dropout=1.0, batch_first=True)
    x = torch.randn(B, T, I)
    with torch.no_grad():
        zeroed = layer(x)[0]  # The second layer reads zeros alone, so that all samples are equal.
        assert_close(zeroed[0], zeroed[1], rtol=1e-6, atol=1e-6)
        assert not torch.equal(layer.eval()(x)[0][0], layer(x)[0][1])
    half = LSTM(I, H, 2, dropout=0.5)
    assert not torch.equal(half(x)[0], half(x)[0])
    assert torch.equal(half.eval()(x)[0], half(x)[0])
    with pytest.warns(UserWarning, match="dropout=0.5 does nothing"):
        LSTM(I, H, dropout=0.5)


def test_copies_pickles_and_state_dicts_are_the_same_layer(layer):
    x = draw(B, T, I)
    output = layer(x)[0]
    other = LSTM(I, 8, 2, batch_first=True, bidirectional=True, cell=layer.cell, dtype=torch.float64)
    other.load_state_dict(layer.state_dict())
    for same in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other):
        assert torch.equal(same(x)[0], output)
    half = layer.float()
    assert half(x.float())[0].dtype == torch.float32


@pytest.mark.parametrize("cell", ["lstm", "slstm"])
def test_torch_export_records_a_layer(cell):
    layer = LSTM(I, H, batch_first=True, bidirectional=True, cell=cell, dtype=torch.float64)
    x = draw(B, T, I)
    expected = layer(x)[0]
    exported = torch.export.export(layer, (x,), dynamic_shapes={"input": {0: torch.export.Dim("B")}}).module()
    assert_close(exported(x)[0], expected)
    assert_close(exported(x[:2])[0], expected[:2])
    with pytest.raises(ValueError, match="no lengths"):
        torch.export.export(layer, (x,), {"lengths": LENGTHS})


def test_device_and_dtype_are_those_asked_for():
    layer = LSTM(I, H, device="meta", dtype=torch.float64, cell="peephole")
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.float64)}


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: LSTM(I, H, proj_size=2), ValueError, "proj_size=2 is not supported"),
        (lambda: LSTM(I, H, bias=False), ValueError, "bias=False is not supported"),
        (lambda: RNN(I, H, nonlinearity="relu"), ValueError, "'relu' is not supported"),
        (lambda: LSTM(I, 0), ValueError, "hidden_size must be an integer of at least 1, got 0"),
        (lambda: LSTM(I, H, dropout=1.5), ValueError, "dropout must be between 0 and 1"),
        (lambda: LSTM(I, H, cell="peephol"), ConfigError, "lab.nn.LSTM: cell: .*did you mean 'peephole'"),
        (lambda: LSTM(I, H, cell={"name": "lstm", "bias": 1}), ConfigError, "cell.bias: no such field in LSTM"),
        (lambda: LSTM(I, 6, cell={"name": "slstm", "num_heads": 4}), ValueError, "num_heads"),
        (lambda: LSTM.from_torch(nn.Linear(1, 1)), ValueError, "got Linear"),
        (lambda: RNN.from_torch(nn.RNN(I, H, nonlinearity="relu")), ValueError, "'relu' is not supported"),
        (lambda: LSTM(I, H)(torch.zeros(T, B, 2)), ValueError, "expected 3 features"),
        (lambda: LSTM(I, H)(torch.zeros(T)), ValueError, "three dimensions"),
        (lambda: LSTM(I, H)(torch.zeros(T, B, I), torch.zeros(1, B, H)), ValueError, r"2 parts \(h, c\), got 1"),
        (lambda: GRU(I, H)(torch.zeros(T, B, I), torch.zeros(2, B, H)), ValueError, r"expected \(1, 5, 4\)"),
    ],
)
def test_a_wrong_argument_is_named(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_the_examples_run():
    failed, attempted = doctest.testmod(lstm_lab.nn.recurrent)
    assert (failed, attempted > 3) == (0, True)
