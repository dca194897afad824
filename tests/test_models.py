"""Encoder, pooling and model: padding and other samples never change an output; every dropout acts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.kernels.lengths import reverse_padded
from lstm_lab.models import Encoder, Pooling, SequenceModel
from lstm_lab.models.encoder import Encoded
from lstm_lab.models.pooling import Last
from lstm_lab.models.sequence import Dropout
from lstm_lab.models.sites import Noise


def assert_close(*arguments, rtol=1e-9, atol=1e-12):
    close(*arguments, rtol=rtol, atol=atol)  # in float64


B, T, IN, H, OUT = 4, 6, 3, 5, 2
INFO, TASK = SimpleNamespace(input_size=IN), SimpleNamespace(output_size=OUT, per_step=False)
LENGTHS = torch.tensor([3, T, 1, 5])
PADDING = torch.arange(T) >= LENGTHS.unsqueeze(1)
DEFAULT = SequenceModel.Config()
SITES = sorted(Dropout.model_fields)

each_cell = pytest.mark.parametrize("cell", sorted(Cell.members))
each_pooling = pytest.mark.parametrize("pooling", sorted(Pooling.members))
each_num_layers = pytest.mark.parametrize("num_layers", [1, 2])
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
# A cell knows nothing of the pooling: each with one of the other, and all pairs in the slow tests.
each_cell_and_pooling = pytest.mark.parametrize(
    ("cell", "pooling"),
    [
        pytest.param(cell, pooling, marks=() if cell == "lstm" or pooling == "mean" else pytest.mark.slow)
        for cell in sorted(Cell.members)
        for pooling in sorted(Pooling.members)
    ],
)


def build(**fields):
    torch.manual_seed(0)
    config = validate(SequenceModel.Config, {"hidden_size": H, **fields}, "test")
    return config.build(INFO, TASK).double().eval()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture
def x():
    torch.manual_seed(1)
    return draw(B, T, IN)


def assert_padding_never_changes_an_answer(model, x):
    """Neither values nor gradients, whatever the padding holds."""
    results = []
    for garbage in (0.0, 1e6, torch.nan):
        padded = x.masked_fill(PADDING.unsqueeze(-1), garbage).requires_grad_()
        torch.manual_seed(2)  # the same dropout masks
        output = model(padded, LENGTHS).logits
        gradients = torch.autograd.grad(output.square().sum(), [padded, *model.parameters()])
        assert (gradients[0][PADDING] == 0).all()
        results.append((output, *gradients))
    for answer in results[1:]:
        assert_close(answer, results[0])


@each_cell_and_pooling
@each_num_layers
@each_direction
def test_padding_and_other_samples_never_change_an_output(cell, pooling, num_layers, bidirectional, x):
    model = build(cell=cell, pooling=pooling, num_layers=num_layers, bidirectional=bidirectional)
    assert_padding_never_changes_an_answer(model, x)
    together = model(x, LENGTHS).logits
    for i, length in enumerate(LENGTHS.tolist()):
        assert_close(model(x[i : i + 1, :length], LENGTHS[i : i + 1]).logits, together[i : i + 1])
    order = torch.tensor([2, 0, 3, 1])
    assert_close(model(x[order], LENGTHS[order]).logits, together[order])


@each_pooling
def test_padding_never_changes_an_output_in_training(pooling, x):
    dropout = dict.fromkeys(SITES, 0.3)
    model = build(pooling=pooling, num_layers=2, bidirectional=True, dropout=dropout).train()
    assert_padding_never_changes_an_answer(model, x)


def test_the_padding_test_can_fail(monkeypatch, x):
    # The classic mistake: reading the last column of a padded batch.
    monkeypatch.setattr(Last, "forward", lambda self, encoded, lengths: (encoded.outputs[:, -1], None))
    with pytest.raises(AssertionError):
        test_padding_and_other_samples_never_change_an_output("lstm", "last", 1, False, x)


POOLED = {
    "last": lambda outputs: outputs[-1],
    "mean": lambda outputs: outputs.mean(0),
    "max": lambda outputs: outputs.max(0).values,
}


@pytest.mark.parametrize("name", sorted(POOLED))
def test_pooling_equals_a_loop_over_samples(name, x):
    encoder = Encoder(DEFAULT.cell, input_size=IN, hidden_size=H).double()
    encoded = encoder(x - 3.0, LENGTHS)  # shifted, so that the largest value of a unit may be below zero
    pooled, _ = Pooling.members[name].Config().build(H)(encoded, LENGTHS)
    loop = [POOLED[name](outputs[:length]) for outputs, length in zip(encoded.outputs, LENGTHS.tolist(), strict=True)]
    assert_close(pooled, torch.stack(loop))


@each_pooling
def test_pooling_never_reads_the_padding(pooling, x):
    pool = Pooling.members[pooling].Config().build(IN).double()
    clean = x.masked_fill(PADDING.unsqueeze(-1), 0.0)
    dirty = x.masked_fill(PADDING.unsqueeze(-1), torch.nan)
    final = draw(B, IN)
    assert_close(
        pool(Encoded(dirty, final, (), LENGTHS), LENGTHS)[0], pool(Encoded(clean, final, (), LENGTHS), LENGTHS)[0]
    )


def test_each_sample_is_reversed_within_its_length(x):
    there = reverse_padded(x, LENGTHS)
    for i, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(there[i, :length], x[i, :length].flip(0))
        assert torch.equal(there[i, length:], x[i, length:])
    assert torch.equal(reverse_padded(there, LENGTHS), x)


@each_cell
@each_num_layers
@each_direction
def test_final_is_the_last_output_of_each_direction(cell, num_layers, bidirectional, x):
    config = Cell.members[cell].Config()
    encoder = Encoder(config, input_size=IN, hidden_size=H, num_layers=num_layers, bidirectional=bidirectional).double()
    encoded = encoder(x, LENGTHS)
    ends = encoded.outputs[torch.arange(B), LENGTHS - 1, :H]
    expected = torch.cat([ends, encoded.outputs[:, 0, H:]], 1) if bidirectional else ends
    assert_close(encoded.final, expected)
    assert (encoded.outputs[PADDING] == 0).all()


@each_num_layers
@each_direction
@pytest.mark.parametrize(("name", "Torch"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_stack_equals_torch(name, Torch, num_layers, bidirectional, x):
    config = Cell.members[name].Config()
    encoder = Encoder(config, input_size=IN, hidden_size=H, num_layers=num_layers, bidirectional=bidirectional).double()
    twin = Torch(IN, H, num_layers=num_layers, bidirectional=bidirectional, batch_first=True).double()
    for layer, cells in enumerate(encoder.layers):
        for cell, suffix in zip(cells, ("", "_reverse"), strict=False):
            for key, value in cell.state_dict().items():
                place = key.removeprefix("layer.").replace("_l0", f"_l{layer}{suffix}")
                twin.get_parameter(place).data.copy_(value)
    _, end = twin(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    h = end[0] if isinstance(end, tuple) else end  # (num_layers * directions, B, H)
    encoded = encoder(x, LENGTHS)
    directions = 2 if bidirectional else 1
    assert_close(encoded.final, torch.cat(list(h[-directions:]), 1))
    assert_close(torch.stack([state.h for layer in encoded.state for state in layer]), h)


@each_cell
def test_a_stack_carries_its_state_over_chunks(cell, x):
    encoder = Encoder(Cell.members[cell].Config(), input_size=3, hidden_size=4, num_layers=2).double()
    full = torch.full((B,), T)
    whole = encoder(x, full)
    first = encoder(x[:, :4], torch.full((B,), 4))
    second = encoder(x[:, 4:], torch.full((B,), T - 4), first.state)
    assert_close(torch.cat([first.outputs, second.outputs], 1), whole.outputs)
    assert_close(second.final, whole.final)


def test_a_state_is_refused_in_both_directions(x):
    encoder = Encoder(DEFAULT.cell, input_size=IN, hidden_size=H, bidirectional=True).double()
    encoded = encoder(x, LENGTHS)
    with pytest.raises(ValueError, match="both directions"):
        encoder(x, LENGTHS, encoded.state)


@each_direction
def test_one_direction_reads_forward_only(bidirectional, x):
    encoder = Encoder(DEFAULT.cell, input_size=3, hidden_size=4, num_layers=2, bidirectional=bidirectional).double()
    x.requires_grad_()
    full = torch.full((B,), T)
    (gradient,) = torch.autograd.grad(encoder(x, full).outputs[:, 2].sum(), x)
    reached = gradient.abs().sum((0, 2)) > 0
    assert reached.tolist() == [True, True, True, *[bidirectional] * 3]


@pytest.mark.parametrize("site", SITES)
@each_direction
def test_every_dropout_acts_in_training_alone(site, bidirectional, x):
    model = build(num_layers=2, bidirectional=bidirectional, dropout={site: 0.5})
    plain = build(num_layers=2, bidirectional=bidirectional)
    assert_close(model(x, LENGTHS).logits, plain(x, LENGTHS).logits)
    model.train()
    torch.manual_seed(3)
    full = torch.full((B,), T)
    drawn = torch.stack([model(x, full).logits for _ in range(8)])
    assert (drawn != drawn[0]).any(0).any(1).all(), f"dropout.{site} does nothing"


@pytest.mark.parametrize("site", SITES)
def test_dropout_keeps_the_scale(site):
    # Kept values are divided by their share: a linear read-out of ones stays the same on average.
    model = build(num_layers=2, dropout={site: 0.25}).train()
    sites = [module for module in model.modules() if isinstance(module, Noise)]
    assert len(sites) == 1
    ones = sites[0](torch.ones(2000, 10, dtype=torch.float64))
    assert abs(float(ones.mean()) - 1) < 0.03
    assert abs(float((ones == 0).double().mean()) - 0.25) < 0.02


def test_dropout_between_needs_two_layers():
    with pytest.raises(ConfigError, match=r"dropout.between=0.3 would do nothing: num_layers is 1"):
        build(num_layers=1, dropout={"between": 0.3})


@each_num_layers
@each_direction
def test_every_weight_is_used(num_layers, bidirectional, x):
    model = build(num_layers=num_layers, bidirectional=bidirectional)
    model(x, LENGTHS).logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("change", [{"cell": "gru"}, {"hidden_size": 7}, {"num_layers": 2}, {"bidirectional": True}])
def test_every_choice_changes_the_network(change, x):
    ours, theirs = (model(x, LENGTHS).logits for model in (build(**change), build()))
    assert not torch.equal(ours, theirs)


# ---- an output at every step, and tokens ----

VOCABULARY = ("<pad>", *"abcdef")
WORDS = SimpleNamespace(input_size=len(VOCABULARY), tokens=VOCABULARY)
EVERY = SimpleNamespace(output_size=OUT, per_step=True)


@each_cell
@each_direction
def test_an_output_at_every_step_reads_no_padding(cell, bidirectional, x):
    torch.manual_seed(0)
    config = validate(SequenceModel.Config, {"hidden_size": H, "cell": cell, "bidirectional": bidirectional}, "test")
    model = config.build(INFO, EVERY).double()
    together = model(x, LENGTHS).logits
    assert together.shape == (B, T, OUT)
    for i, length in enumerate(LENGTHS.tolist()):
        assert_close(model(x[i : i + 1, :length], LENGTHS[i : i + 1]).logits[0], together[i, :length])
        if not bidirectional:
            halves, state = model.forward_stateful(x[i : i + 1, :1], torch.tensor([1]), None)
            assert_close(halves.logits[0], together[i, :1])
            if length > 1:
                rest, _ = model.forward_stateful(x[i : i + 1, 1:length], torch.tensor([length - 1]), state)
                assert_close(rest.logits[0], together[i, 1:length])


def test_tokens_are_embedded():
    torch.manual_seed(0)
    config = validate(SequenceModel.Config, {"hidden_size": H, "embedding": {"dim": 7, "dropout": 0.5}}, "test")
    model = config.build(WORDS, TASK).eval()
    words = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 1]])
    lengths = torch.tensor([3, 4])
    output = model(words, lengths).logits
    assert_close(model(words[:1, :3], lengths[:1]).logits, output[:1], rtol=1e-5, atol=1e-6)
    assert (model.embedding(words)[0, 3] == 0).all()
    output.sum().backward()
    used = model.embedding.weight.grad.abs().sum(1) > 0
    assert used.tolist() == [False, True, True, True, True, True, True]
    model.train()
    # A word that is dropped is dropped wherever it stands.
    vectors = model.embedding(torch.arange(1, 7).repeat(3, 1))
    gone = (vectors == 0).all(-1)
    assert (gone == gone[0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.embedding.dim": 7}, "model.embedding would do nothing: data 'japanese_vowels' holds numbers"),
        ({"model": {"name": "seqence"}}, "did you mean 'sequence'?"),
    ],
)
def test_fields_without_effect_are_refused(change, message, vowels):
    with pytest.raises(ConfigError) as fault:
        vowels.with_overrides(change)
    assert message in str(fault.value)


def test_the_defaults_draw_the_same_weights_as_before():
    """The same parameter names and the same random draws."""
    torch.manual_seed(0)
    encoder = Encoder(SequenceModel.Config().cell, input_size=3, hidden_size=4, num_layers=2)
    torch.manual_seed(0)
    cells = [SequenceModel.Config().cell.build(size, 4) for size in (3, 4)]
    expected = {
        f"layers.{layer}.0.{key}": value for layer, cell in enumerate(cells) for key, value in cell.state_dict().items()
    }
    assert encoder.state_dict().keys() == expected.keys()
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, expected[key])
