"""Long sequences in segments: truncated backpropagation through time, and gradient checkpointing over time."""

from __future__ import annotations

import pytest
import torch
from conftest import DEMAND, REBER, VOWELS
from interruption import StopAt
from test_recurrence import ALL, INPUTS, B, T, begin, encoder, noisy
from test_training import assert_same, start, uninterrupted
from torch.testing import assert_close

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.experiment import Experiment
from lstm_lab.models.segments import Segments
from lstm_lab.models.sites import dropouts
from lstm_lab.training.train import build, train

LENGTHS = torch.tensor([9, 4, 9, 7, 1, 9])
OPTIONS = {
    "plain": {},
    "both directions": {"num_layers": 2, "bidirectional": True},
    "dilated": {"num_layers": 2, "dilation": 2},
}


def computed(model, segments, x, *, read=lambda encoded: (encoded.outputs, encoded.final), **key):
    """What an encoder returns for a batch, and the gradients of it for x and every parameter."""
    model.cut(segments)
    begin(model, size=B, **key)
    x = x.detach().clone().requires_grad_()
    found = read(model(x, LENGTHS))
    weight = torch.linspace(1, 2, found[0].shape[-1], dtype=x.dtype)
    gradients = torch.autograd.grad(
        sum((each * weight).square().sum() for each in found), [x, *model.parameters()], allow_unused=True
    )
    return [each.detach() for each in found], gradients


@pytest.fixture
def x():
    return torch.randn(B, T, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("segments", [Segments(4), Segments(1), Segments(None, 3), Segments(4, 3), Segments(99, 99)])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_values_are_those_of_whole_sequences(options, segments, x):
    """With all the noise there is: each step has the mask that it has without segments."""
    model = noisy(encoder(**options), **ALL)
    whole, gradients = computed(model, Segments(), x)
    found, cut = computed(model, segments, x)
    assert_close(found, whole)
    if segments.truncate in (None, 99):
        assert_close(cut, gradients)
    elif segments.truncate * max(model.dilations) < T:
        assert not torch.allclose(cut[0], gradients[0])


@pytest.mark.parametrize("name", ["gru", "peephole", "norm_lstm", "mogrifier", "min_gru", "mlstm", "slstm"])
def test_every_kind_of_cell_is_cut(name, x):
    model = encoder(name)
    whole, gradients = computed(model, Segments(), x)
    for segments in (Segments(None, 2), Segments(4), Segments(T)):
        found, cut = computed(model, segments, x)
        assert_close(found, whole)
        if segments.truncate != 4:
            assert_close(cut, gradients)
        else:
            assert not torch.allclose(cut[0], gradients[0])


@pytest.mark.parametrize("backward", [False, True])
def test_no_gradient_passes_a_cut(x, backward):
    """Of the last outputs none reaches inputs of other segments than their own; a shorter sample ends in its own."""
    model = encoder(bidirectional=backward)
    H = model.hidden_size

    def read(encoded):
        return (encoded.final[:, -H:],)

    _, (gradient, *_) = computed(model, Segments(4), x, read=read)
    for sample, length in enumerate(LENGTHS.tolist()):
        first = (length - 1) // 4 * 4  # of the last segment that it reads
        reached = range(first, length) if not backward else range(length - first)
        for t in range(T):
            assert bool(gradient[sample, t].any()) == (t in reached), (sample, t)


def test_the_gradient_is_that_of_segments_with_their_states_detached(x):
    model = encoder()
    _, gradients = computed(model, Segments(5), x, read=lambda encoded: (encoded.outputs,))
    model.cut(Segments())
    weight, total, state = torch.linspace(1, 2, model.hidden_size, dtype=x.dtype), 0.0, None
    for first in (0, 5):
        part = model(x[:, first : first + 5], (LENGTHS - first).clamp(0, min(5, T - first)), state)
        state = tuple(tuple(type(cell)(*(each.detach() for each in cell)) for cell in layer) for layer in part.state)
        total = total + (part.outputs * weight).square().sum()
    assert_close(torch.autograd.grad(total, list(model.parameters())), gradients[1:])


def test_evaluation_reads_whole_sequences(x):
    model = encoder()
    model.cut(Segments(2, 2))
    x.requires_grad_()
    model.eval()(x, torch.full((B,), T)).final.sum().backward()
    assert x.grad[:, 0].abs().min() > 0
    assert not list(dropouts(model))


def test_checkpointing_keeps_less(x):
    """Bytes that the graph holds between forward and backward pass."""

    def kept(segments):
        model, total = encoder(), 0
        model.cut(segments)
        long = torch.randn(B, 40 * T, INPUTS, dtype=torch.float64)

        def pack(tensor):
            nonlocal total
            total += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(long, torch.full((B,), 40 * T))
        return total

    assert kept(Segments(None, 20)) < kept(Segments()) / 2


# --- in an experiment -------------------------------------------------------------------------------------------------


def test_they_reach_the_model_and_change_training_alone(vowels):
    experiment = vowels.with_overrides({"trainer.truncated_bptt_steps": 5, "trainer.checkpoint_steps": 4})
    dataset = experiment.data.build()
    learner, plain = build(experiment, dataset), build(vowels, dataset)
    batch = dataset.train.take(torch.arange(8))
    gradients = []
    for each in (learner, plain):
        for part in dropouts(each.model):
            part.eval()
        each.task.loss(each(batch).logits, batch).backward()
        gradients.append([p.grad for p in each.parameters()])
    assert_close(learner(batch).logits, plain(batch).logits)
    assert not all(map(torch.allclose, *gradients))


@pytest.mark.parametrize(
    "content", [pytest.param(VOWELS, marks=pytest.mark.slow), REBER], ids=["classify", "next_step"]
)
def test_resumed_equals_uninterrupted(tmp_path, content):
    experiment = Experiment.of(content).with_overrides(
        {"trainer.truncated_bptt_steps": 5, "trainer.checkpoint_steps": 3, "trainer.max_epochs": 2,
         "regularizers": [{"name": "zoneout", "h": 0.1}, "weight_drop"]}
    )  # fmt: skip
    whole, _ = uninterrupted(tmp_path, experiment)
    run = start(tmp_path / "cut", experiment)
    with pytest.raises(Interrupted):
        train(experiment, run, stop=StopAt(3))
    train(experiment, run)
    assert_same(run, whole)


def test_a_segment_as_long_as_the_window_is_refused(vowels):
    with pytest.raises(ConfigError, match=r"truncated_bptt_steps=48 would do nothing: the model reads 48 steps; make"):
        Experiment.of(DEMAND).with_overrides({"trainer.truncated_bptt_steps": 48})
    Experiment.of(DEMAND).with_overrides({"trainer.truncated_bptt_steps": 47})
    with pytest.raises(ConfigError, match=r"trainer\.truncated_bptt_steps"):
        vowels.with_overrides({"trainer.truncated_bptt_steps": 0})
