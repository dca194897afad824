"""A step in one call of the engine: bit for bit what the whole sequence gives, with the state carried."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.cells.odyssey import VARIANTS
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.kernels import EngineLayer, StackStep
from lstm_lab.kernels.native_layers import Family
from lstm_lab.models import SequenceModel, stepping
from lstm_lab.models.recurrence import recurrences
from lstm_lab.models.state import state_tensors
from lstm_lab.models.stepping import EngineSteps, ModuleSteps
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.tag import Tag

pytestmark = pytest.mark.usefixtures("needs_engine")
INFO = LabelledInfo(3, ("a", "b"), (1, 1), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
T = 7
IN_ENGINE = [
    *({"name": name} for name in ("lstm", "gru", "rnn", "peephole", "norm_lstm", "lstm_1997", "concatenated", "fused")),
    *({"name": "odyssey", "variant": variant} for variant in VARIANTS if variant != "fgr"),
]
IN_MODULES = [{"name": "mgu"}, {"name": "odyssey", "variant": "fgr"}, {"name": "peephole", "full": True}]


def model_of(task=Tag, **options) -> SequenceModel:
    torch.manual_seed(0)
    config = SequenceModel.Config.model_validate({"hidden_size": 20, "num_layers": 2, **options})
    return config.build(INFO, task(INFO, "accuracy")).eval()


def same_state(ours, theirs) -> bool:
    return all(map(torch.equal, state_tensors(ours), state_tensors(theirs)))


@pytest.mark.parametrize("cell", IN_ENGINE, ids=lambda cell: "-".join(cell.values()))
def test_steps_are_the_whole_sequence(cell):
    for dtype in (torch.float32, torch.float64):
        model = model_of(cell=cell, learn_initial_state=cell["name"] == "gru").to(dtype)
        assert stepping.obstacle(model) is None
        x, steps = torch.randn(1, T, 3, dtype=dtype), EngineSteps(model)
        with torch.inference_mode():
            whole = model.encoder(x, torch.tensor([T]))
            for t in range(T):
                logits = steps.read(x[:, t])
                assert torch.equal(steps.stack.outputs, whole.outputs[0, t])
                assert_close(logits, model.head(whole.outputs[:, t : t + 1]))
        assert same_state(steps.state(), whole.state)


@pytest.mark.parametrize("cell", IN_MODULES, ids=lambda cell: cell["name"])
def test_other_cells_say_so_and_go_through_modules(cell):
    model = model_of(cell=cell)
    assert "is not computed by one layer of the engine" in str(stepping.obstacle(model))
    x, steps = torch.randn(1, T, 3), ModuleSteps(model)
    with torch.inference_mode():
        logits = [steps.read(x[:, t]) for t in range(T)]
        assert_close(torch.cat(logits, 1), model(x, torch.tensor([T])).logits)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(Cell.members))
def test_every_cell_takes_one_of_the_two_ways(name):
    model = model_of(Classify, cell={"name": name})
    ways = [ModuleSteps(model)] + ([] if stepping.obstacle(model) else [EngineSteps(model)])
    x = torch.randn(1, T, 3)
    with torch.inference_mode():
        truth = model(x, torch.tensor([T])).logits
        for steps in ways:
            for t in range(T):
                logits = steps.read(x[:, t])
            assert_close(logits, truth)


def test_a_state_is_carried_to_another_stream_and_back():
    model, x = model_of(Classify), torch.randn(1, T, 3)
    first, other = EngineSteps(model), EngineSteps(model)
    with torch.inference_mode():
        for t in range(3):
            first.read(x[:, t])
        kept = first.state()
        answers = [first.read(x[:, t]) for t in range(3, T)]
        other.load(kept)
        assert same_state(other.state(), kept)
        assert all(map(torch.equal, answers, [other.read(x[:, t]) for t in range(3, T)]))
        other.reset()
        assert same_state(other.state(), model.initial_state(1))


def test_weights_that_change_are_packed_again():
    model, x = model_of(cell={"name": "concatenated"}), torch.randn(1, 3)
    steps = EngineSteps(model)

    def answers_as_a_new_stream() -> bool:
        steps.reset()
        with torch.inference_mode():
            return torch.equal(steps.read(x), EngineSteps(model).read(x))

    with torch.inference_mode():
        before = steps.read(x).clone()
    weights = {name: torch.randn_like(value) for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    with torch.inference_mode():
        state = steps.stack.state()
        steps.read(x)
        assert not torch.equal(state[0].h, steps.stack.state()[0].h)
    assert answers_as_a_new_stream()
    with torch.inference_mode():
        steps.reset()
        assert not torch.equal(steps.read(x), before)
    for parameter in model.parameters():
        parameter.data.mul_(0.5)  # Which torch does not count.
    assert answers_as_a_new_stream()
    for cell in (cell for layer in range(2) for cell in model.encoder.cells(layer)):
        cell.load_weights(*(torch.zeros(80, *n) for n in ((3 if cell.input_size == 3 else 20,), (20,), (), ())))
    assert answers_as_a_new_stream()


def test_weights_of_another_shape_are_refused():
    model = model_of(num_layers=1)
    steps = EngineSteps(model)
    model.encoder.cells(0)[0].layer = nn.LSTM(3, 21, batch_first=True)
    with pytest.raises(ValueError, match="other shapes than when the stream was made"):
        steps.reset()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dilation": 2}, "dilation and skips"),
        ({"skip": {"name": "residual"}}, "dilation and skips"),
        ({"bidirectional": True}, "reads backward too"),
    ],
)
def test_what_one_call_does_not_compute(options, said):
    assert said in str(stepping.obstacle(model_of(**options)))


def test_models_that_do_more_than_their_cells_go_through_modules():
    model = model_of()
    next(recurrences(model)).add(zoneout_h=0.1)
    assert "zoneout acts in evaluation" in str(stepping.obstacle(model))
    model = model_of()
    model.head.register_forward_hook(lambda *_: None)
    assert "has hooks" in str(stepping.obstacle(model))
    assert "in training" in str(stepping.obstacle(model_of().train()))
    model = model_of(dropout={"input": 0.5})
    model.encoder.sites[0].train()  # Monte-Carlo dropout.
    assert "its dropout, is in training" in str(stepping.obstacle(model))

    class Own(SequenceModel):
        pass

    model = model_of()
    model.__class__ = Own
    assert "a forward pass of its own" in str(stepping.obstacle(model))
    assert "of this type" in str(stepping.obstacle(model_of().to(torch.bfloat16)))


def test_a_step_of_another_shape_is_refused():
    steps = EngineSteps(model_of())
    for x in (torch.zeros(1, 4), torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, 6)[:, ::2]):
        with pytest.raises(ValueError, match=r"expected \(3,\) torch.float32"):
            steps.read(x)


@pytest.mark.parametrize("cell", [*IN_ENGINE[:6], IN_ENGINE[-2]], ids=lambda cell: "-".join(cell.values()))
def test_eight_bits_answer_nearly_the_same(cell):
    model, x = model_of(cell=cell, hidden_size=37), torch.randn(1, T, 3)
    exact, rounded, again = EngineSteps(model), EngineSteps(model, int8=True), EngineSteps(model, int8=True)
    with torch.inference_mode():
        for t in range(T):
            exact.read(x[:, t])
            rounded.read(x[:, t])
            again.read(x[:, t])
        kept = rounded.state()
        for h, h_8 in zip(state_tensors(exact.state()), state_tensors(kept), strict=True):
            assert not torch.equal(h, h_8)
            assert_close(h_8, h, rtol=0.05, atol=0.03)
        assert same_state(again.state(), kept)
        again.load(kept)
        assert torch.equal(again.read(x[:, 0]), rounded.read(x[:, 0]))
    assert rounded.stack.packed_bytes < exact.stack.packed_bytes / 2


def rounded_rows(W: torch.Tensor) -> torch.Tensor:
    scale = W.abs().amax(1, keepdim=True) / 127
    return torch.round(W / scale) * scale


def test_eight_bits_are_those_of_the_formula():
    """Each row of W and U rounded to 255 values, and so x and h in each step; then the LSTM's own equations."""
    torch.manual_seed(0)
    layer = nn.LSTM(5, 19)
    weights = [parameter.detach() for parameter in layer.parameters()]
    stack = StackStep(lambda: [EngineLayer(Family.LSTM, 4, *weights)], weights, int8=True)
    W, U, b, b_h = weights
    h, c = torch.zeros(1, 19), torch.zeros(1, 19)
    for x in torch.randn(6, 1, 5):
        z = rounded_rows(x) @ rounded_rows(W).T + b + (rounded_rows(h) if h.any() else h) @ rounded_rows(U).T + b_h
        i, f, g, o = z.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        assert_close(stack.step(x[0])[None], h, rtol=1e-4, atol=1e-5)
        h, c = stack.state()[0]  # A rounding at a tie must not grow.


def test_eight_bits_of_what_is_not_finite_or_zero():
    stack = EngineSteps(model_of(num_layers=1), int8=True).stack
    assert stack.step(torch.zeros(3)).isfinite().all()
    assert stack.step(torch.tensor([1.0, float("nan"), 0.0])).isnan().all()
    with pytest.raises(ValueError, match="int8 is for weights in float32"):
        EngineSteps(model_of().double(), int8=True)
