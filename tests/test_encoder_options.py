"""Dilated and skipping stacks, and pooling by attention: each equals a loop, and padding never changes an output."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close as close

from lstm_lab import kernels
from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.kernels.lengths import reverse_padded
from lstm_lab.models import Encoder, Pooling, SequenceModel
from lstm_lab.models.attention import Attention
from lstm_lab.models.encoder import Encoded
from lstm_lab.models.initialization import LearnedInitialState
from lstm_lab.models.skip import Highway, Skip
from lstm_lab.models.state import restore_state, state_tensors

B, T, IN, H, OUT = 4, 11, 3, 4, 2
INFO, TASK = SimpleNamespace(input_size=IN), SimpleNamespace(output_size=OUT, per_step=False)
LENGTHS = torch.tensor([7, T, 1, 2])
FULL = torch.full((B,), T)
PADDING = torch.arange(T) >= LENGTHS.unsqueeze(1)

each_cell = pytest.mark.parametrize("cell", sorted(Cell.members))
each_skip = pytest.mark.parametrize("skip", sorted(Skip.members))
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
ATTENTIONS = sorted(name for name, member in Pooling.members.items() if issubclass(member, Attention))


def learnable(cell):
    try:
        LearnedInitialState.check(Cell.members[cell].Config(), H)
    except ValueError:
        return False
    return True


UNLEARNABLE = {cell for cell in Cell.members if not learnable(cell)}


def assert_close(*arguments):
    close(*arguments, rtol=1e-9, atol=1e-12)  # in float64


def build(**fields):
    torch.manual_seed(0)
    config = validate(SequenceModel.Config, {"hidden_size": H, **fields}, "test")
    model = config.build(INFO, TASK).double()
    for name, parameter in model.named_parameters():  # Away from zeros, so that no term is hidden.
        if "layers" not in name:
            nn.init.uniform_(parameter, -0.7, 0.7)
    return model


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture
def x():
    torch.manual_seed(1)
    return draw(B, T, IN)


def one_layer_by_hand(cell, x, d):
    """One sample (T, I): h_t = cell(x_t, h_{t-d})."""
    zero = cell.initial_state(x[:1])
    states, shown = [], []
    for t, x_t in enumerate(x):
        h, state = cell.step(x_t.unsqueeze(0), states[t - d] if t >= d else zero)
        states.append(state)
        shown.append(h)
    return torch.cat(shown)


# ---- dilation ----


@each_cell
@each_direction
@pytest.mark.parametrize("dilation", [2, 3])
def test_a_dilated_stack_equals_a_loop_over_samples_and_steps(cell, bidirectional, dilation, x):
    encoder = build(cell=cell, num_layers=3, dilation=dilation, bidirectional=bidirectional).encoder
    encoded = encoder(x, LENGTHS)
    for i, length in enumerate(LENGTHS.tolist()):
        seen = x[i, :length]
        for layer, cells in enumerate(encoder.layers):
            outputs = [
                one_layer_by_hand(cell, seen.flip(0) if backward else seen, dilation**layer)
                for backward, cell in enumerate(cells)
            ]
            seen = torch.cat([part.flip(0) if backward else part for backward, part in enumerate(outputs)], 1)
        assert_close(encoded.outputs[i, :length], seen)
        assert_close(encoded.final[i, :H], seen[-1, :H])
        assert_close(encoded.final[i, H:], seen[0, H:])
    assert (encoded.outputs[PADDING] == 0).all()


@each_cell
@each_skip
def test_a_dilated_state_is_carried_over_chunks_of_any_length(cell, skip, x):
    """Chunks that end at any offset, different in each sample."""
    encoder = build(cell=cell, num_layers=3, dilation=2, skip=skip).encoder
    whole, state, done = encoder(x, FULL), None, torch.zeros(B, dtype=torch.int64)
    for steps in ([1, 3, 5, 4], [4, 4, 1, 6], [6, 4, 5, 1]):
        lengths = torch.tensor(steps)
        chunk = torch.stack([nn.functional.pad(x[i], (0, 0, 0, 9))[start : start + 6] for i, start in enumerate(done)])
        encoded = encoder(chunk, lengths, state)
        for i, length in enumerate(steps):
            assert_close(encoded.outputs[i, :length], whole.outputs[i, done[i] : done[i] + length])
        state, done = encoded.state, done + lengths
    assert (done == FULL).all()
    assert_close(encoded.final, whole.final)
    close(state, whole.state, rtol=1e-9, atol=1e-12)


@each_cell
@pytest.mark.parametrize("learned", [False, True], ids=["fixed", "learned"])
def test_no_state_equals_the_initial_state(cell, learned, x):
    """Known without a forward pass, in the form that the state after a chunk has."""
    if learned and cell in UNLEARNABLE:
        pytest.skip("no part of its initial state can be learned")
    model = build(cell=cell, num_layers=3, dilation=2, learn_initial_state=learned)
    start = model.initial_state(B)
    output, end = model.forward_stateful(x, LENGTHS, start)
    assert_close(output.logits, model(x, LENGTHS).logits)
    stored = state_tensors(end)
    assert [tensor.shape for tensor in state_tensors(start)] == [tensor.shape for tensor in stored]
    restored = restore_state(stored, model.initial_state(0))
    assert [type(cell) for layer in restored for cell in layer] == [type(cell) for layer in end for cell in layer]
    later, _ = model.forward_stateful(x, LENGTHS, restored)
    assert_close(later.logits, model.forward_stateful(x, LENGTHS, end)[0].logits)


def test_a_dilated_layer_reads_every_d_th_step_alone(x):
    encoder = build(num_layers=2, dilation=3).encoder
    x = draw(B, T, H).requires_grad_()
    outputs, _ = encoder._layer(1, x, FULL, None)
    (gradient,) = torch.autograd.grad(outputs[:, 7].sum(), x)
    assert (gradient.abs().sum((0, 2)) > 0).nonzero().flatten().tolist() == [1, 4, 7]


# ---- skips ----


@each_skip
@each_direction
def test_skips_equal_their_equations(skip, bidirectional, x):
    encoder = build(num_layers=3, skip=skip, bidirectional=bidirectional).encoder
    expected, _ = encoder._layer(0, x, LENGTHS, None)
    for layer in (1, 2):
        y, _ = encoder._layer(layer, expected, LENGTHS, None)
        if skip == "residual":
            y = y + expected
        if skip == "highway":
            gate = encoder.skips[layer - 1].gate
            t = 1 / (1 + torch.exp(-(expected @ gate.weight.T + gate.bias)))
            y = t * y + (1 - t) * expected
        expected = y
    assert_close(encoder(x, LENGTHS).outputs, expected)


def test_a_highway_starts_by_passing_its_input_on():
    torch.manual_seed(0)
    x, y = draw(B, T, H), draw(B, T, H)
    carrying, plain = (Highway.Config(gate_bias=b).build(H).double() for b in (-30.0, 30.0))
    assert_close(carrying(x, y), x)
    assert_close(plain(x, y), y)
    start = Highway.Config().build(H)
    assert (start.gate.bias == Highway.Config().gate_bias).all()
    assert Highway.Config().gate_bias < 0


def test_a_skip_bypasses_dropout(x):
    """The skip is not dropped: at a dropout of almost 1, a residual layer's input still passes."""
    encoder = build(num_layers=2, skip="residual", dropout={"between": 0.5}).encoder.train()
    below, _ = encoder._layer(0, x, FULL, None)
    torch.manual_seed(3)
    dropped = encoder.sites[1](below)
    y, _ = encoder._layer(1, dropped, FULL, None)
    torch.manual_seed(3)
    assert_close(encoder(x, FULL).outputs, y + below)


# ---- both, and attention ----


@each_skip
@each_direction
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("learn_initial_state", [False, True])
@pytest.mark.parametrize("pooling", ["last", *ATTENTIONS])
def test_padding_and_other_samples_never_change_an_output(
    skip, bidirectional, dilation, learn_initial_state, pooling, x
):
    model = build(
        num_layers=2,
        skip=skip,
        bidirectional=bidirectional,
        dilation=dilation,
        learn_initial_state=learn_initial_state,
        pooling=pooling,
    )
    results = []
    for garbage in (0.0, 1e6, torch.nan):
        padded = x.masked_fill(PADDING.unsqueeze(-1), garbage).requires_grad_()
        output = model(padded, LENGTHS).logits
        gradients = torch.autograd.grad(output.square().sum(), [padded, *model.parameters()])
        assert (gradients[0][PADDING] == 0).all()
        results.append((output, *gradients))
    assert_close(results[1], results[0])
    assert_close(results[2], results[0])
    for gradient in results[0][1:]:
        assert gradient.abs().max() > 0
    for i, length in enumerate(LENGTHS.tolist()):
        assert_close(model(x[i : i + 1, :length], LENGTHS[i : i + 1]).logits, results[0][0][i : i + 1])


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_equals_a_loop_over_samples(name, x):
    pool = Pooling.members[name].Config().build(IN).double()
    for parameter in pool.parameters():
        nn.init.uniform_(parameter, -2.0, 2.0)
    encoded = Encoded(x, draw(B, IN), (), LENGTHS)
    pooled, weights = pool(encoded, LENGTHS)
    assert_close(weights.sum(1), torch.ones(B, dtype=torch.float64))
    assert (weights[PADDING] == 0).all()
    assert (weights[~PADDING] > 0).all()
    for i, length in enumerate(LENGTHS.tolist()):
        h = x[i, :length]
        if name == "additive":
            score = torch.stack([pool.v.weight[0] @ torch.tanh(pool.W.weight @ h_t + pool.W.bias) for h_t in h])
        else:
            score = torch.stack([pool.q @ h_t / IN**0.5 for h_t in h])
        a = score.exp() / score.exp().sum()
        assert_close(weights[i, :length], a)
        assert_close(pooled[i], sum(a_t * h_t for a_t, h_t in zip(a, h, strict=True)))


def test_dot_attention_starts_as_the_mean_and_learns(x):
    encoded, lengths = Encoded(x, draw(B, IN), (), LENGTHS), LENGTHS
    dot, mean = (Pooling.members[name].Config().build(IN).double() for name in ("dot", "mean"))
    assert_close(dot(encoded, lengths)[0], mean(encoded, lengths)[0])
    dot(encoded, lengths)[0].square().sum().backward()
    assert dot.q.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dilation": 2}, "dilation=2 would do nothing: num_layers is 1"),
        ({"skip": "residual"}, "skip=residual would do nothing: num_layers is 1"),
        ({"num_layers": 2, "skip": "resdual"}, "no skip named 'resdual'; did you mean 'residual'?"),
        ({"num_layers": 2, "dilation": 0}, "dilation: must be greater than or equal to 1"),
        ({"pooling": "aditive"}, "did you mean 'additive'?"),
    ],
)
def test_unknown_fields_and_those_without_effect_are_refused(fields, message):
    with pytest.raises(ConfigError) as fault:
        build(**fields)
    assert message in str(fault.value)


# ---- the backward direction ----


@each_cell
@pytest.mark.parametrize("engine", [True, False], ids=["engine", "torch"])
def test_reverse_equals_reading_reversed_samples(cell, engine, x):
    torch.manual_seed(0)
    built = Cell.members[cell].Config().build(IN, H).double()
    if not built.supports_reverse:
        pytest.skip("it is handed turned samples")

    def by_turning(x, lengths):
        outputs, end = built(reverse_padded(x, lengths), lengths)
        return reverse_padded(outputs, lengths), end

    found = []
    with nullcontext() if engine else kernels.disabled():
        for run in (partial(built, reverse=True), by_turning):
            padded = x.masked_fill(PADDING.unsqueeze(-1), torch.nan).requires_grad_()
            outputs, end = run(padded, LENGTHS)
            loss = outputs.square().sum() + sum(part.sum() for part in end)
            found.append((outputs, *end, *torch.autograd.grad(loss, [padded, *built.parameters()])))
    assert_close(*found)


def test_a_forward_without_reverse_is_never_bypassed(x):
    """A class that overrides `forward` alone is never read by the forward of its base class."""

    class Halved(Cell.members["lstm"], name="halved_for_this_test"):
        def forward(self, x, lengths, state=None):
            outputs, end = super().forward(x, lengths, state)
            return outputs / 2, end

    try:
        torch.manual_seed(0)
        plain = Encoder(Cell.members["lstm"].Config(), input_size=IN, hidden_size=H, bidirectional=True).double()
        encoder = Encoder(Halved.Config(), input_size=IN, hidden_size=H, bidirectional=True).double()
        encoder.load_state_dict(plain.state_dict())
        assert Cell.members["lstm"].supports_reverse
        assert not Halved.supports_reverse
        assert_close(encoder(x, LENGTHS).outputs, plain(x, LENGTHS).outputs / 2)
    finally:
        del Cell.members["halved_for_this_test"]
