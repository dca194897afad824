"""Training steps without autograd's graph: its logits and gradients, to the last bit, or autograd itself."""

from __future__ import annotations

import pytest
import torch
from conftest import DEMAND, REBER, VOWELS
from torch import nn
from torch.nn.functional import cross_entropy

from lstm_lab import kernels
from lstm_lab.cells.lstm import LSTM
from lstm_lab.experiment import Experiment
from lstm_lab.kernels.layer_pass import LayerPass
from lstm_lab.models.direct import DirectModel, obstacle
from lstm_lab.models.sites import StepKey
from lstm_lab.records.run import Run
from lstm_lab.training.train import build, train
from lstm_lab.training_step import TrainingStep

needs_engine = pytest.mark.skipif(not kernels.status().active, reason="no native engine")
MODELS = {
    "last": {"cell": "gru"},
    "mean, dropout": {"pooling": "mean", "dropout": {"input": 0.2, "output": 0.5}},
    "max of both directions, two layers": {
        "pooling": "max", "bidirectional": True, "num_layers": 2, "dropout": {"between": 0.3},
    },
    "last of both directions": {"cell": "rnn", "bidirectional": True},
    "peepholes, two layers": {"cell": "peephole", "num_layers": 2, "bidirectional": True},
    "no peepholes": {"cell": {"name": "odyssey", "variant": "np"}},
    "no tanh": {"cell": {"name": "odyssey", "variant": "niaf"}, "pooling": "mean"},
    "one bias": {"cell": "lstm_1997"},
}  # fmt: skip


def learner_of(content, **model):
    experiment = Experiment.of({**content, "model": {"hidden_size": 5, **model}})
    dataset = experiment.data.build()
    return build(experiment, dataset), dataset.train.take(torch.arange(4, 12))


def gradients(learner, batch, direct):
    """Logits, loss and gradients of one step."""
    learner.step.begin(StepKey(3, 7, size=len(batch.x)))
    learner.zero_grad()
    if direct:
        model = DirectModel(learner.model)
        model.begin_block()
        with torch.no_grad():
            logits = model.forward(*learner.task.model_inputs(batch))
            loss, gradient = learner.task.loss_gradient(logits, batch)
            model.backward(gradient)
    else:
        output = learner.model(*learner.task.model_inputs(batch))
        logits = output.logits
        loss = learner.task.loss(learner.task.postprocess(logits, batch), batch)
        loss.backward()
    return [logits.detach(), loss.detach(), *(p.grad for p in learner.model.parameters())]


@needs_engine
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_are_autograds(name):
    learner, batch = learner_of(VOWELS, **MODELS[name])
    assert obstacle(learner.model) is None
    expected = gradients(learner, batch, False)
    for found, value in zip(gradients(learner, batch, True), expected, strict=True):
        assert torch.equal(found, value)


@needs_engine
@pytest.mark.parametrize("task", [{}, {"anchor": "last"}, {"loss": "mae"}, {"output": "quantile"}])
def test_of_forecasts(task):
    learner, batch = learner_of({**DEMAND, "task": {"name": "forecast", **task}})
    for found, value in zip(gradients(learner, batch, True), gradients(learner, batch, False), strict=True):
        assert torch.equal(found, value)


@needs_engine
def test_of_tokens_with_a_target_per_step():
    learner, batch = learner_of(REBER, embedding={"dim": 3, "dropout": 0.3}, dropout={"input": 0.2, "output": 0.2})
    for found, value in zip(gradients(learner, batch, True), gradients(learner, batch, False), strict=True):
        assert torch.equal(found, value)


@needs_engine
def test_in_double_precision_gradients_are_those_of_torchs_layers():
    learner, batch = learner_of(VOWELS, **MODELS["max of both directions, two layers"])
    model = learner.model.double()
    x, y = batch.x.double(), batch.y
    learner.step.begin(StepKey(3, 7))
    with kernels.disabled():
        loss = cross_entropy(model(x, batch.lengths).logits, y)
    expected = torch.autograd.grad(loss, list(model.parameters()))
    learner.step.begin(StepKey(3, 7))
    direct = DirectModel(model)
    direct.begin_block()
    with torch.no_grad():
        logits = direct.forward(x, batch.lengths)
    logits.requires_grad_()
    direct.backward(torch.autograd.grad(cross_entropy(logits, y), logits)[0])
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@needs_engine
@pytest.mark.parametrize("x", [torch.ones(2, 3, 4), torch.ones(2, 3, 5, dtype=torch.float64), torch.ones(2, 5)])
def test_inputs_that_the_engine_would_misread_are_refused(x):
    layer = LayerPass(LSTM(5, 3).engine_layer())
    with pytest.raises(ValueError, match=r"expected \(B, T, 5\) torch.float32"):
        layer.forward(x, torch.tensor([3, 3]))
    outputs, h = layer.forward(torch.ones(2, 3, 5), torch.tensor([3, 1], dtype=torch.int32))
    assert torch.equal(outputs[0, 2], h[0])
    assert torch.equal(outputs[1, 0], h[1])


class OwnForward(LSTM):
    """Its forward pass is not the engine's layer."""

    def forward(self, *arguments, **options):
        outputs, state = super().forward(*arguments, **options)
        return 2 * outputs, state


def test_a_cell_with_a_forward_pass_of_its_own_needs_autograd():
    assert LSTM(2, 3).engine_layer() is not None
    assert OwnForward(2, 3).engine_layer() is None


@needs_engine
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"cell": "mgu"}, "cell 'mgu' is not computed by one layer"),
        ({"cell": "norm_lstm"}, "cell 'norm_lstm' computes the weights of its layer from its parameters"),
        ({"dilation": 2, "num_layers": 2}, "dilation"),
        ({"pooling": "additive"}, "pooling 'additive'"),
    ],
)
def test_what_needs_autograd_is_said(model, expected):
    assert expected in obstacle(learner_of(VOWELS, **model)[0].model)


@needs_engine
def test_changes_of_a_built_model_are_noticed():
    model = learner_of(VOWELS)[0].model
    hook = model.head.register_forward_hook(lambda *_: None)
    assert "hooks" in obstacle(model)
    hook.remove()
    assert obstacle(model) is None
    model.head.bias.requires_grad_(False)
    assert "not trained" in obstacle(model)
    model.head = nn.Sequential(nn.Linear(5, 9))
    assert "head" in obstacle(model)
    with kernels.disabled():
        assert "engine" in obstacle(learner_of(VOWELS)[0].model)


@needs_engine
def test_the_record_says_how_steps_were_taken(tmp_path):
    def steps(name, **more):
        content = {**VOWELS, "trainer": {"max_epochs": 1}, **more}
        experiment = Experiment.of(content)
        run = Run.create(tmp_path / name, experiment.dump(), command="", job_type="train")
        train(experiment, run)
        return run.about["steps"]

    assert steps("plain") == {"path": "direct", "loss": "closed form"}
    assert steps("penalty", regularizers=["l2"]) == {
        "path": "blocks",
        "reason": "a regularizer or a teacher adds a term to the loss",
    }
    mixed = steps("mixed", trainer={"max_epochs": 1, "precision": "bf16-mixed"})
    assert mixed == {"path": "single", "reason": "Lightning takes the steps"}


def test_hooks_that_add_to_the_loss_are_known():
    learner, _ = learner_of({**VOWELS, "regularizers": ["gradient_noise", "max_norm"]})
    assert not learner.step.adds_to_loss
    learner, _ = learner_of({**VOWELS, "regularizers": ["ar"]})
    assert learner.step.adds_to_loss
    assert not TrainingStep(learner.model, learner.task).adds_to_loss
