"""A trained run as an ONNX file, which is checked, and compared with torch on random inputs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import checker, helper
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, DataInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.deploy.comparison import TOLERANCE, Compared, difference, expected
from lstm_lab.deploy.drawn_inputs import Arrays, draw_inputs
from lstm_lab.deploy.facts import model_facts, tokenizer_of
from lstm_lab.deploy.onnx_writer.cells import FLOAT
from lstm_lab.deploy.onnx_writer.graph import INT64, IR_VERSION, OPSET, Graph, tensor
from lstm_lab.deploy.onnx_writer.inputs import DOUBLE, Inputs, write_inputs
from lstm_lab.deploy.onnx_writer.models import write_model, write_sequence_model
from lstm_lab.deploy.onnx_writer.rows import Rows, write_rows
from lstm_lab.deploy.onnx_writer.states import StatePart, join_states, split_states, state_parts
from lstm_lab.deploy.predictions import answer, forecast
from lstm_lab.kernels.tape import UnsupportedOp
from lstm_lab.models import SequenceModel
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.training.learner import Learner

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CHECKED = 5
"""Random batches that a graph is compared with torch on."""


def write_onnx(
    learner: Learner, info: DataInfo, state: bool = False, as_loops: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """A trained learner as an ONNX model that passes `onnx.checker`.

    Inputs are `x` and `lengths`, of several series also `mean` and `std` of each; outputs are `logits`, as the model in
    torch computes them, and `predictions`: probabilities, or values in the units of the data.

    Args:
        learner: on the CPU, in evaluation mode.
        info: of the data that it was trained on.
        state: whether the state is an input and an output too, `initial_h` and `last_h` and so on, (layers, batch,
            width) each; the metadata hold what it is before the first step.
        as_loops: operators that are written as Scan instead.

    Raises:
        ConfigError: a part of it has no ONNX form here, or it carries no state.
    """
    if state and isinstance(learner.task, Forecast):
        raise ConfigError("export: --state: a forecast reads its window again at each step: leave it out")
    graph, parts = Graph(as_loops=as_loops), state_parts(learner.model) if state else []
    try:
        inputs = write_inputs(graph, info)
        logits, predictions, dtype = _write_outputs(graph, learner, info, inputs, parts)
    except UnsupportedOp as reason:
        raise ConfigError(f"export: the model is not written as ONNX: {reason}; use --to folder") from None
    for value, name in ((logits, "logits"), (predictions, "predictions")):
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    steps = ["batch", "length"] if learner.task.per_step else ["batch"]
    shape = ["batch", "horizon", "columns"] if isinstance(info, SeriesInfo) else [*steps, "columns"]
    proto = graph.proto(
        "model",
        [*inputs.given, tensor("lengths", INT64, ("batch",)), *(part.input() for part in parts)],
        [tensor("logits", FLOAT, [*steps, learner.task.output_size]), tensor("predictions", dtype, shape),
         *(part.output() for part in parts)],
    )  # fmt: skip
    model = helper.make_model(
        proto, producer_name="lstm_lab", producer_version=version("lstm-lab"), ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )  # fmt: skip
    tokenizer = tokenizer_of(info)
    first = {"state": {part.given: part.first.tolist() for part in parts}} if parts else {}
    facts = json.dumps({**model_facts(learner.task, info), **first})
    helper.set_model_props(model, {"lstm_lab": facts, **({"tokenizer": tokenizer} if tokenizer else {})})
    checker.check_model(model, full_check=True)
    return model


def _write_outputs(
    graph: Graph, learner: Learner, info: DataInfo, inputs: Inputs, parts: list[StatePart]
) -> tuple[str, str, np.dtype]:
    """Names of logits and predictions, and the dtype of the latter.

    Args:
        parts: of the state, where it is an input and an output.
    """
    task, x, lengths = learner.task, inputs.x, "lengths"
    if isinstance(task, Forecast):
        assert isinstance(info, SeriesInfo)
        row = Rows(x, (inputs.steps or 0, info.input_size))

        def differences(x: Tensor, lengths: Tensor) -> list[Tensor]:
            return list(task.model_inputs(Batch(x, lengths, torch.empty(0))))

        read, shorter = write_rows(graph, differences, [row, Rows(lengths, (), torch.int64)])
        steps = differences(torch.zeros(2, *row.shape), torch.zeros(2))[0].shape[1]
        logits = write_model(learner.model, graph, read, shorter, steps)
        columns, K = len(info.columns), len(info.targets)
        scale = (
            [torch.tensor([part], dtype=torch.float64) for part in (info.mean, info.std)]
            if info.num_series == 1
            else []
        )
        given = [] if scale else [Rows(name, (columns,), torch.float64) for name in ("mean", "std")]

        def values(z: Tensor, x: Tensor, *own: Tensor) -> list[Tensor]:
            mean, std = (part[:, :K].unsqueeze(1) for part in own or scale)
            return [forecast(task, z, x, Scale(mean, std))]

        try:
            found = write_rows(graph, values, [Rows(logits, (task.output_size,)), row, *given])
        except UnsupportedOp as reason:
            raise UnsupportedOp(f"task.output={task.output.name} has intervals without ONNX form ({reason})") from None
        return logits, found[0], DOUBLE
    if parts:
        assert isinstance(learner.model, SequenceModel)
        first = split_states(graph, parts)
        logits, states = write_sequence_model(learner.model, graph, x, lengths, first)
        for part, name in zip(parts, join_states(graph, parts, states), strict=True):
            graph.nodes.append(helper.make_node("Identity", [name], [part.left]))
    else:
        logits = write_model(learner.model, graph, x, lengths, inputs.steps)
    flat = graph.op("Reshape", logits, graph.ints(-1, task.output_size)) if task.per_step else logits
    found = write_rows(graph, lambda z: [answer(task, z)], [Rows(flat, (task.output_size,))])
    example = answer(task, torch.zeros(1, task.output_size))
    predictions = found[0]
    if task.per_step:
        shape = graph.op("Concat", graph.op("Shape", logits, start=0, end=2), graph.ints(example.shape[1]), axis=0)
        predictions = graph.op("Reshape", predictions, shape)
    return logits, predictions, example.numpy().dtype


def compare(
    model: onnx.ModelProto, learner: Learner, info: DataInfo, *, batches: int = CHECKED, max_length: int = 40,
    state: bool = False, tolerance: float = TOLERANCE,
) -> Compared:  # fmt: skip
    """Run a graph by onnxruntime on random batches and lengths, beside torch.

    Args:
        state: whether it was written with its state: sequences are then cut in two, and the state is carried over.
        tolerance: largest difference.

    Raises:
        ConfigError: they differ by more.
    """
    session = session_of(model)
    rng, worst = np.random.default_rng(0), 0.0
    sizes = []
    for _ in range(batches):
        inputs, x = draw_inputs(info, int(rng.integers(1, 8)), int(rng.integers(1, max_length + 1)), rng)
        sizes.append(x.shape)
        cut = int(rng.integers(0, inputs["lengths"].min())) if state else 0
        parts = state_parts(learner.model) if state else []
        found = (
            run_in_parts(session, inputs, parts, cut, learner.task.per_step) if state else run_session(session, inputs)
        )
        outputs = expected(learner, info, x, inputs["lengths"])
        worst = max(worst, difference(found, outputs, inputs["lengths"], learner.task.per_step))
    if not worst <= tolerance:
        raise ConfigError(f"export: the graph differs from torch by {worst:.1e}, more than {tolerance:.0e}: nothing is "
                          "written; use --to folder, and report it with the experiment file")  # fmt: skip
    return Compared(worst, batches, max(size[0] for size in sizes), max(size[1] for size in sizes))


def session_of(model: onnx.ModelProto) -> InferenceSession:
    """A session of onnxruntime, on one core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_session(session: InferenceSession, inputs: Arrays) -> list[np.ndarray]:
    """Logits and predictions of an onnxruntime session, and the state behind them where it is an output."""
    wanted = {each.name for each in session.get_inputs()}
    found: list[np.ndarray] = session.run(None, {name: value for name, value in inputs.items() if name in wanted})
    return found


def run_in_parts(
    session: InferenceSession, inputs: Arrays, parts: Sequence[StatePart], cut: int, per_step: bool
) -> list[np.ndarray]:
    """Logits and predictions of sequences that are read up to a step, and then on from the state there.

    Args:
        cut: steps before, fewer than any sequence has; 0: all at once.
    """
    state = {part.given: part.start(len(inputs["x"])) for part in parts}
    lengths, first = inputs["lengths"], list[np.ndarray]()
    if cut:
        begun = {"x": inputs["x"][:, :cut], "lengths": np.full_like(lengths, cut)}
        outputs = run_session(session, {**begun, **state})
        first, state = outputs[:2], dict(zip(state, outputs[2:], strict=True))
    found = run_session(session, {"x": inputs["x"][:, cut:], "lengths": lengths - cut, **state})[:2]
    return [np.concatenate(pair, 1) for pair in zip(first, found, strict=True)] if first and per_step else found


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """Recurrent operator -> how often the graph has it."""
    counts = Counter(node.op_type for node in model.graph.node)
    return {kind: counts[kind] for kind in ("LSTM", "GRU", "RNN", "Scan") if counts[kind]}
