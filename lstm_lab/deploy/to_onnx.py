"""A trained run as an ONNX file, which is checked, and compared with torch on random inputs."""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import version

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
from lstm_lab.deploy.onnx_writer.models import write_model
from lstm_lab.deploy.onnx_writer.rows import Rows, write_rows
from lstm_lab.deploy.predictions import answer, forecast
from lstm_lab.kernels.tape import UnsupportedOp
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.training.learner import Learner

CHECKED = 5
"""Random batches that a graph is compared with torch on."""


def write_onnx(learner: Learner, info: DataInfo) -> onnx.ModelProto:
    """A trained learner as an ONNX model that passes `onnx.checker`.

    Inputs are `x` and `lengths`, of several series also `mean` and `std` of each; outputs are `logits`, as the model in
    torch computes them, and `predictions`: probabilities, or values in the units of the data.

    Args:
        learner: on the CPU, in evaluation mode.
        info: of the data that it was trained on.

    Raises:
        ConfigError: a part of it has no ONNX form here.
    """
    graph = Graph()
    try:
        inputs = write_inputs(graph, info)
        logits, predictions, dtype = _write_outputs(graph, learner, info, inputs)
    except UnsupportedOp as reason:
        raise ConfigError(f"export: the model is not written as ONNX: {reason}; use --to folder") from None
    for value, name in ((logits, "logits"), (predictions, "predictions")):
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    steps = ["batch", "length"] if learner.task.per_step else ["batch"]
    shape = ["batch", "horizon", "columns"] if isinstance(info, SeriesInfo) else [*steps, "columns"]
    proto = graph.proto(
        "model",
        [*inputs.given, tensor("lengths", INT64, ("batch",))],
        [tensor("logits", FLOAT, [*steps, learner.task.output_size]), tensor("predictions", dtype, shape)],
    )
    model = helper.make_model(
        proto, producer_name="lstm_lab", producer_version=version("lstm-lab"), ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )  # fmt: skip
    tokenizer = tokenizer_of(info)
    facts = json.dumps(model_facts(learner.task, info))
    helper.set_model_props(model, {"lstm_lab": facts, **({"tokenizer": tokenizer} if tokenizer else {})})
    checker.check_model(model, full_check=True)
    return model


def _write_outputs(graph: Graph, learner: Learner, info: DataInfo, inputs: Inputs) -> tuple[str, str, np.dtype]:
    """Names of logits and predictions, and the dtype of the latter."""
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
    model: onnx.ModelProto, learner: Learner, info: DataInfo, *, batches: int = CHECKED, max_length: int = 40
) -> Compared:
    """Run a graph by onnxruntime on random batches and lengths, beside torch.

    Raises:
        ConfigError: they differ by more than `TOLERANCE`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng, worst = np.random.default_rng(0), 0.0
    sizes = []
    for _ in range(batches):
        inputs, x = draw_inputs(info, int(rng.integers(1, 8)), int(rng.integers(1, max_length + 1)), rng)
        sizes.append(x.shape)
        found = run_session(session, inputs)
        outputs = expected(learner, info, x, inputs["lengths"])
        worst = max(worst, difference(found, outputs, inputs["lengths"], learner.task.per_step))
    if not worst <= TOLERANCE:
        raise ConfigError(f"export: the graph differs from torch by {worst:.1e}, more than {TOLERANCE:.0e}: nothing is "
                          "written; use --to folder, and report it with the experiment file")  # fmt: skip
    return Compared(worst, batches, max(size[0] for size in sizes), max(size[1] for size in sizes))


def run_session(session: object, inputs: Arrays) -> list[np.ndarray]:
    """Logits and predictions of an onnxruntime session."""
    from onnxruntime import InferenceSession

    assert isinstance(session, InferenceSession)
    wanted = {each.name for each in session.get_inputs()}
    found: list[np.ndarray] = session.run(None, {name: value for name, value in inputs.items() if name in wanted})
    return found


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """Recurrent operator -> how often the graph has it."""
    counts = Counter(node.op_type for node in model.graph.node)
    return {kind: counts[kind] for kind in ("LSTM", "GRU", "RNN", "Scan") if counts[kind]}
