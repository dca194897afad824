"""ONNX files that go on from a state, and those with weights of 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from test_export import CLASSES, FRAMES, TOKENS, classifier, learner

from lstm_lab.config import ConfigError
from lstm_lab.deploy.comparison import TOLERANCE
from lstm_lab.deploy.export import export
from lstm_lab.deploy.graph_scores import graph_scores
from lstm_lab.deploy.onnx_writer.states import state_parts
from lstm_lab.deploy.quantized import WITHOUT_INTEGERS, integer_operators, quantized
from lstm_lab.deploy.to_onnx import compare, run_session, session_of, write_onnx
from lstm_lab.evaluation.evaluate import scores_of
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.tasks.tag import Tag
from lstm_lab.training.train import build

CARRYING = [
    {"cell": "lstm", "num_layers": 2},
    {"cell": "gru", "learn_initial_state": True},
    {"cell": {"name": "slstm", "num_heads": 2}, "num_layers": 2},
    {"cell": "qrnn", "num_layers": 2, "skip": "residual"},
]


@pytest.mark.parametrize("model", CARRYING, ids=lambda model: str(model["cell"]))
def test_two_calls_that_carry_the_state_are_one(model):
    built = classifier(**model)
    assert compare(write_onnx(built, CLASSES, True), built, CLASSES, state=True, batches=3).difference <= TOLERANCE


@pytest.mark.parametrize(
    ("info", "task"),
    [(CLASSES, Tag(CLASSES, "accuracy")), (TOKENS, NextStep(TOKENS, "nll", False)),
     (FRAMES, NextStep(FRAMES, "nll", False))],
    ids=["tag", "tokens", "frames"],
)  # fmt: skip
def test_a_state_of_tasks_with_a_target_per_step(info, task):
    built = learner(info, task, num_layers=2)
    assert compare(write_onnx(built, info, True), built, info, state=True, batches=3).difference <= TOLERANCE


def test_the_state_is_named_and_stepwise_calls_equal_the_whole():
    built = classifier(cell="lstm", num_layers=2)
    session, parts = session_of(write_onnx(built, CLASSES, True)), state_parts(built.model)
    assert [each.name for each in session.get_inputs()] == ["x", "lengths", "initial_h", "initial_c"]
    assert [each.name for each in session.get_outputs()] == ["logits", "predictions", "last_h", "last_c"]
    x = np.random.default_rng(0).normal(size=(1, 7, 3)) * (1.0, 0.5, 20.0) + (1e6, 2.0, 3.0)
    start = {part.given: part.start(1) for part in parts}
    state = start
    for t in range(7):
        logits, _, h, c = run_session(session, {"x": x[:, t : t + 1], "lengths": np.array([1]), **state})
        state = {"initial_h": h, "initial_c": c}
    whole, _, h_whole, _ = run_session(session, {"x": x, "lengths": np.array([7]), **start})
    np.testing.assert_allclose(logits, whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(h, h_whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"bidirectional": True}, "reads backward too"),
        ({"pooling": "mean"}, "pooling 'mean' reads"),
        ({"num_layers": 2, "dilation": 2}, "several steps back"),
    ],
)
def test_a_model_without_a_state_to_carry_is_refused(model, reason):
    with pytest.raises(ConfigError, match=f"--state: .*{reason}.*leave it out"):
        write_onnx(classifier(**model), CLASSES, True)


@pytest.mark.parametrize(
    ("cell", "operators"),
    [
        ("lstm", {"DynamicQuantizeLSTM": 2, "MatMulInteger": 1}),
        ({"name": "peephole"}, {"DynamicQuantizeLSTM": 2, "MatMulInteger": 1}),
        ("gru", {"MatMulInteger": 5}),
        ("mgu", {"MatMulInteger": 7}),
    ],
    ids=str,
)
def test_weights_of_eight_bits(cell, operators):
    """Products are those of integers, predictions near, and the file smaller."""
    built = classifier(cell=cell, num_layers=2, hidden_size=48)
    whole = write_onnx(built, CLASSES)
    small = quantized(write_onnx(built, CLASSES, as_loops=WITHOUT_INTEGERS))
    assert integer_operators(small) == operators
    assert len(small.SerializeToString()) < 0.45 * len(whole.SerializeToString())
    assert {each.key for each in small.metadata_props} == {"lstm_lab"}
    assert compare(small, built, CLASSES, tolerance=0.1).difference > TOLERANCE


@pytest.mark.parametrize("name", ["vowels", "reber", "demand"])
def test_a_graph_scores_as_the_run(name, request):
    experiment = request.getfixturevalue(name)
    dataset = experiment.data.build()
    built = build(experiment, dataset).eval()
    with torch.inference_mode():
        wanted, _ = scores_of(built, dataset.validation, 64)
    found = graph_scores(write_onnx(built, dataset.info), built.task, dataset.info, dataset.validation, 64)
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("option", ["state", "int8"])
def test_options_of_onnx_are_refused_elsewhere(option, tmp_path):
    with pytest.raises(ConfigError, match=f"--{option} would do nothing: --to folder"):
        export(None, "folder", tmp_path / "out", **{option: True})  # type: ignore[arg-type]
