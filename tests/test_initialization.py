"""Initialisation: orthogonal matrices, chrono biases, a learned state; each acts in every layer and direction."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close as close

from lstm_lab.cells import Cell
from lstm_lab.cells.base import Hidden
from lstm_lab.cells.lstm import ForgetBiasConfig
from lstm_lab.config import ConfigError
from lstm_lab.config.registry import Named
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment
from lstm_lab.models import SequenceModel
from lstm_lab.models.initialization import WeightInit

B, T, IN, H, OUT = 3, 6, 3, 5, 2
INFO, TASK = SimpleNamespace(input_size=IN), SimpleNamespace(output_size=OUT, per_step=False)
LENGTHS = torch.tensor([4, T, 1])
FULL = torch.full((B,), T)


def assert_close(*arguments):
    close(*arguments, rtol=1e-9, atol=1e-12)  # in float64


def made(name, **fields):
    torch.manual_seed(0)
    return Cell.members[name].Config(**fields).build(IN, H).double()


def build(**fields):
    torch.manual_seed(0)
    config = validate(SequenceModel.Config, {"hidden_size": H, **fields}, "test")
    return config.build(INFO, TASK).double()


def cells_of(model):
    return [cell for layer in model.encoder.layers for cell in layer]


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


ODYSSEY = [("odyssey", {"variant": name}) for name in ("nig", "nfg", "nog", "np", "cifg", "fgr")]
EVERY = [(name, {}) for name in sorted(Cell.members)] + ODYSSEY
BLOCKS = [pair for pair in EVERY if made(pair[0], **pair[1]).recurrent_blocks()]
MEMORY = [pair for pair in EVERY if made(pair[0], **pair[1]).gate_biases()]
LEARNED = [pair for pair in EVERY if not any(part.any() for part in made(pair[0]).initial_state(torch.zeros(1, IN)))]
OURS = {"concatenated", "fused", "gru", "lstm", "norm_lstm", "odyssey", "peephole", "split"}

each_with_blocks = pytest.mark.parametrize(("name", "fields"), BLOCKS)
each_with_memory = pytest.mark.parametrize(("name", "fields"), MEMORY)
each_learned = pytest.mark.parametrize(("name", "fields"), LEARNED)


def test_the_cells_that_declare_their_matrices_and_biases():
    assert {name for name, _ in BLOCKS} >= OURS | {"rnn"}
    assert {name for name, _ in MEMORY} >= OURS
    assert ("odyssey", {"variant": "nfg"}) not in MEMORY
    assert "rnn" not in {name for name, _ in MEMORY}


# ---- what cells declare ----


@each_with_blocks
@torch.no_grad()
def test_recurrent_blocks_are_all_matrices_that_multiply_h(name, fields):
    cell = made(name, **fields)
    for block in cell.recurrent_blocks():
        assert block.shape == (H, H)
        block.zero_()
    state = cell.initial_state(draw(1, IN))
    state = type(state)(*(draw(1, H) for _ in state))
    x = draw(1, IN)
    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(lambda h: cell.step(x, state._replace(h=h))[0], state.h)
    mixing = jacobian[0, :, 0]  # (H, H): what is left may keep a unit, and never mixes two
    assert (mixing - torch.diag(mixing.diagonal()) == 0).all()


@each_with_memory
@torch.no_grad()
def test_gate_biases_set_whether_the_state_is_remembered(name, fields):
    cell = made(name, **fields)
    biases = cell.gate_biases()
    for summed, total in ((biases.forget, 60.0), (biases.input, -60.0)):
        for bias in summed:
            assert bias.shape == (H,)
            bias.fill_(total / len(summed))
    state = cell.initial_state(draw(B, IN))
    state = type(state)(*(torch.rand(B, H, dtype=torch.float64) for _ in state))
    part = "c" if "c" in state._fields else "h"
    x, before = draw(B, IN), getattr(state, part)

    def after(kept):
        return getattr(cell.step(x, state._replace(**{part: kept}))[1], part)

    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(lambda kept: after(kept).sum(0), before)  # (H, B, H)
    assert_close(jacobian, torch.eye(H, dtype=torch.float64).unsqueeze(1).expand(H, B, H))
    if biases.input:
        assert_close(after(before), before)


# ---- orthogonal ----


@each_with_blocks
@pytest.mark.parametrize("bidirectional", [False, True])
def test_orthogonal_blocks_are_orthogonal(name, fields, bidirectional):
    fields = {"cell": {"name": name, **fields}, "num_layers": 2, "bidirectional": bidirectional}
    model, plain = build(**fields, init={"recurrent": "orthogonal"}), build(**fields)
    seen = []
    for cell, other in zip(cells_of(model), cells_of(plain), strict=True):
        for W in cell.recurrent_blocks():
            close(W @ W.T, torch.eye(H, dtype=torch.float64), rtol=0, atol=1e-5)
            seen.append(W.detach())
        outside = {key: value.clone() for key, value in cell.state_dict().items()}
        changed = {key for key, value in other.state_dict().items() if not torch.equal(value, outside[key])}
        assert 0 < len(changed) < len(outside)
    assert all(not torch.equal(a, b) for n, a in enumerate(seen) for b in seen[:n])


# ---- chrono ----


@each_with_memory
def test_chrono_spreads_memory_spans_evenly_up_to_the_longest(name, fields):
    torch.manual_seed(0)
    cell = Cell.members[name].Config(**fields).build(1, 1000)
    WeightInit(chrono=101).apply([cell])
    biases = cell.gate_biases()
    b = sum(biases.forget) if biases.forget else -sum(biases.input)
    steps = b.detach().exp()
    assert steps.min() > 1 - 1e-3
    assert steps.max() < 100 + 1e-3
    for share in (0.1, 0.5, 0.9):  # U([1, 100]): four standard errors of a quantile
        assert abs(float(steps.quantile(share)) - (1 + 99 * share)) < 4 * 99 * (share * (1 - share) / 1000) ** 0.5
    if biases.forget and biases.input:
        assert torch.equal(sum(biases.input), -b)


def test_chrono_reaches_every_layer_and_direction():
    biases = [
        sum(cell.gate_biases().forget)
        for cell in cells_of(build(cell="gru", num_layers=2, bidirectional=True, init={"chrono": 20}))
    ]
    assert len(biases) == 4
    assert all((b >= 0).all() and (b <= 3).all() for b in biases)
    assert not torch.equal(biases[0], biases[1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"cell": "rnn", "init": {"chrono": 9}},
            "cell 'rnn' declares no bias of a forget gate",
        ),
        ({"cell": {"name": "odyssey", "variant": "nfg"}, "init": {"chrono": 9}}, "cell 'odyssey' declares no bias of"),
        (
            {"cell": {"name": "lstm", "forget_bias": 2.0}, "init": {"chrono": 9}},
            "cell.forget_bias=2.0 would do nothing: init.chrono=9 sets the bias",
        ),
        ({"init": {"chrono": 2}}, "init.chrono: must be greater than or equal to 3"),
        ({"init": {"recurrent": "orthogonl"}}, "'default' or 'orthogonal'"),
    ],
)
def test_initialisations_without_effect_are_refused(fields, message):
    with pytest.raises(ConfigError) as fault:
        build(**fields)
    assert message in str(fault.value)


# ---- a user's cell, which declares nothing ----


@pytest.fixture
def stranger():
    class Stranger(Cell, name="stranger_for_this_test"):
        class Config(ForgetBiasConfig):
            """How it starts."""

        def __init__(self, input_size, hidden_size, forget_bias=1.0):
            super().__init__(input_size, hidden_size)
            self.recurrent = nn.Linear(hidden_size, hidden_size)  # a name that one would choose
            self.input = nn.Linear(input_size, hidden_size)

        def step(self, x, state):
            h = torch.tanh(self.input(x) + self.recurrent(state.h))
            return h, Hidden(h)

    yield Stranger.name
    del Cell.members[Stranger.name]


def test_a_cell_that_declares_nothing_works_and_its_options_are_refused(stranger):
    model = build(cell=stranger, learn_initial_state=True, num_layers=2, dilation=2, skip="highway")
    assert model(draw(B, T, IN), LENGTHS).logits.shape == (B, OUT)
    for init, message in (({"recurrent": "orthogonal"}, "recurrent_blocks()"), ({"chrono": 9}, "gate_biases()")):
        with pytest.raises(ConfigError, match=f"cell '{stranger}'") as fault:
            build(cell=stranger, init=init)
        assert f"{message} in Stranger" in str(fault.value)
        assert "\n" not in str(fault.value)


# ---- a learned state ----


def drawn_starts(model):
    for parameter in model.encoder.starts.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return model


@each_learned
def test_a_learned_state_starts_at_the_cells_initial_state(name, fields):
    fields = {"cell": {"name": name, **fields}, "num_layers": 2, "bidirectional": True}
    x = draw(B, T, IN)
    plain, learned = build(**fields), build(**fields, learn_initial_state=True)
    learned.load_state_dict(plain.state_dict(), strict=False)
    assert_close(learned(x, LENGTHS), plain(x, LENGTHS))


@each_learned
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_learned_state_equals_passing_that_state(name, fields, dilation):
    """Equal to passing the same state; whole == chunked; and a state that is passed replaces it."""
    cell, x = {"name": name, **fields}, draw(B, T, IN)
    encoder = drawn_starts(build(cell=cell, num_layers=2, dilation=dilation, learn_initial_state=True)).encoder
    begin = tuple(
        tuple(start(cell, x) for cell, start in zip(cells, starts, strict=True))
        for cells, starts in zip(encoder.layers, encoder.starts, strict=True)
    )
    if dilation > 1:
        below, (top,) = begin
        begin = (below, (type(top)(*(part.unsqueeze(1).expand(-1, 2, -1) for part in top)),))
    whole = encoder(x, FULL)
    assert_close(encoder(x, FULL, begin).outputs, whole.outputs)
    first = encoder(x[:, :3], torch.full((B,), 3))
    second = encoder(x[:, 3:], torch.full((B,), T - 3), first.state)
    assert_close(torch.cat((first.outputs, second.outputs), 1), whole.outputs)
    before = encoder(x, FULL, whole.state).outputs
    drawn_starts(SimpleNamespace(encoder=encoder))
    assert_close(encoder(x, FULL, whole.state).outputs, before)
    assert not torch.equal(encoder(x, FULL).outputs, whole.outputs)


@each_learned
def test_gradients_reach_every_part_of_a_learned_state(name, fields):
    model = drawn_starts(
        build(cell={"name": name, **fields}, num_layers=2, bidirectional=True, learn_initial_state=True)
    )
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    assert len(list(model.encoder.starts.parameters())) >= 4
    model(draw(B, T, IN), LENGTHS).logits.square().sum().backward()
    for key, parameter in model.encoder.starts.named_parameters():
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("cell", ["slstm", "mlstm"])
def test_a_memory_of_weight_zero_cannot_be_learned(cell):
    with pytest.raises(ConfigError, match="learn_initial_state would do nothing"):
        build(cell=cell, learn_initial_state=True)


def test_a_state_without_floats_cannot_be_learned():
    class Counting(Cell, name="counting_for_this_test"):
        class Config(Named):
            """No choices."""

        def initial_state(self, x):
            return Hidden(torch.zeros(len(x), self.hidden_size, dtype=torch.int64, device=x.device))

        def step(self, x, state):
            return (state.h + 1).to(x.dtype), Hidden(state.h + 1)

    try:
        build(cell=Counting.name)
        with pytest.raises(ConfigError, match="learn_initial_state would do nothing"):
            build(cell=Counting.name, learn_initial_state=True)
    finally:
        del Cell.members[Counting.name]


def test_the_fields_are_restored_from_disk(vowels):
    for change in (
        {"model.init.recurrent": "orthogonal", "model.init.chrono": 30, "model.learn_initial_state": True},
        {"model.num_layers": 3, "model.dilation": 2, "model.skip": {"name": "highway", "gate_bias": -1.0}},
        {"model.pooling": "additive"},
    ):
        experiment = vowels.with_overrides(change)
        assert experiment != vowels
        assert Experiment.of(experiment.dump()) == experiment
