"""Exported models: ONNX, torch.export and folders give the numbers of the run, for any batch and length."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.next_step import FrameInfo, TokenInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.experiment import Experiment
from lstm_lab.models import SequenceModel
from lstm_lab.models.recurrence import recurrences
from lstm_lab.optimizers.adam import Adam
from lstm_lab.optimizers.schedules.constant import Constant
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.tasks.regress import Regress
from lstm_lab.tasks.tag import Tag
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build_from

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lstm_lab.deploy.comparison import TOLERANCE, difference  # noqa: E402
from lstm_lab.deploy.predictions import answer, names  # noqa: E402
from lstm_lab.deploy.to_onnx import compare, operators, write_onnx  # noqa: E402
from lstm_lab.deploy.to_torch import write_torch  # noqa: E402

CLASSES = LabelledInfo(3, ("a", "b", "c"), (1, 1, 1), (1e6, 2.0, 3.0), (1.0, 0.5, 20.0))
MASKED = LabelledInfo(6, ("a", "b", "c"), (1, 1, 1), (1e6, 2.0, 3.0), (1.0, 0.5, 20.0))
TWO = LabelledInfo(3, ("a", "b"), (1, 1))
VALUES = RegressionInfo(2, ("y", "z"), (0.0, 1.0), (1.0, 2.0), (1e9, 1.0), (3.0, 1.0))
TOKENS = TokenInfo(6, ("<pad>", *"abcde"))
FRAMES = FrameInfo(4, tuple("abcd"))
OPTIONS = {
    "peephole": [{}, {"full": True}],
    "odyssey": [{"variant": name} for name in ("none", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg", "fgr")],
    "mogrifier": [{}, {"rank": 2}, {"rounds": 0}],
    "slstm": [{"num_heads": 2}, {"forget_gate": "exp"}],
    "mlstm": [{"num_heads": 2}],
}
CELLS = [{"name": name, **more} for name in sorted(Cell.members) for more in OPTIONS.get(name, [{}])]
AS_OPERATORS = {"lstm": "LSTM", "concatenated": "LSTM", "split": "LSTM", "fused": "LSTM", "gru": "GRU", "rnn": "RNN"}


def learner(info, task, **model) -> Learner:
    """With large weights, so that a wrong gate is a large difference."""
    torch.manual_seed(0)
    config = SequenceModel.Config.model_validate({"hidden_size": 8, **model})
    built = Learner(config.build(info, task), task, Adam.Config().build(), Constant.Config().build()).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(1.5)
    return built


def classifier(info=CLASSES, **model) -> Learner:
    return learner(info, Classify(info, "accuracy"), **model)


def check_onnx(built, info, batches=2):
    written = write_onnx(built, info)
    assert compare(written, built, info, batches=batches, max_length=20).difference <= TOLERANCE
    return operators(written)


SAMPLE = [
    {"name": "gru"},
    {"name": "odyssey", "variant": "cifg"},
    {"name": "peephole"},
    {"name": "slstm", "num_heads": 2},
]


def operator(cell) -> str:
    """The operator of ONNX that a cell is written as."""
    if cell == {"name": "peephole"} or cell.get("variant") in ("none", "niaf", "noaf", "np", "cifg"):
        return "LSTM"
    return AS_OPERATORS.get(cell["name"], "Scan")


@pytest.mark.parametrize("cell", SAMPLE, ids=lambda cell: "-".join(map(str, cell.values())))
def test_cells_in_onnx_equal_torch(cell):
    found = check_onnx(classifier(cell=cell, bidirectional=True, pooling="mean"), CLASSES)
    assert found == {operator(cell): 2}


each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: "-".join(map(str, cell.values())))


@pytest.mark.slow
@each_cell
def test_every_cell_in_onnx_in_several_layers_and_both_directions(cell):
    built = classifier(MASKED, cell=cell, num_layers=2, bidirectional=True)
    assert check_onnx(built, MASKED) == {operator(cell): 4}


@pytest.mark.slow
@each_cell
def test_every_cell_in_torch_export(cell):
    """A step of it: layers and directions are the encoder's, which are below."""
    assert write_torch(classifier(cell=cell), CLASSES, 3).compared.difference <= TOLERANCE


@pytest.mark.parametrize(
    "model",
    [
        {"num_layers": 2, "skip": "residual"},
        {"num_layers": 2, "skip": "highway", "bidirectional": True},
        {"num_layers": 3, "dilation": 2},
        {"num_layers": 2, "dilation": 3, "bidirectional": True, "cell": "mgu"},
        {"learn_initial_state": True, "cell": "gru", "bidirectional": True},
        {"learn_initial_state": True, "cell": "mogrifier"},
        {"pooling": "max"},
        {"pooling": "additive", "bidirectional": True},
        {"pooling": "dot"},
    ],
    ids=str,
)
def test_every_part_of_a_model_in_onnx_equals_torch(model):
    built = classifier(MASKED, **model)
    for name, parameter in built.named_parameters():
        if ".starts." in name:
            torch.nn.init.normal_(parameter)
    check_onnx(built, MASKED, batches=3)


def test_predictions_are_those_of_the_task_with_its_temperature():
    built = classifier(TWO)
    built.task.temperature = 2.0
    logits = torch.tensor([[0.3], [-2.0]])
    rows = [row[0][1:] for row in built.task.predictions(built.task.postprocess(logits, None))]
    np.testing.assert_allclose(answer(built.task, logits), rows, rtol=1e-6)
    assert names(built.task) == ["probability a", "probability b"]


def test_zoneout_in_evaluation_is_its_expectation():
    built = classifier()
    for recurrence in recurrences(built.model):
        recurrence.add(zoneout_h=0.1, zoneout_c=0.4)
    assert check_onnx(built, CLASSES) == {"Scan": 1}


@pytest.mark.parametrize(
    ("info", "task", "model"),
    [
        (TWO, lambda info: Classify(info, "accuracy"), {}),
        (CLASSES, lambda info: Tag(info, "accuracy"), {"bidirectional": True}),
        (VALUES, lambda info: Regress(info, "mse"), {}),
        (TOKENS, lambda info: NextStep(info, "nll", False), {"embedding": {"dim": 8, "tie_weights": True}}),
        (FRAMES, lambda info: NextStep(info, "nll", False), {}),
    ],
    ids=["two classes", "tag", "values", "tokens", "frames"],
)
def test_every_task_in_onnx_equals_torch(info, task, model):
    check_onnx(learner(info, task(info), **model), info)


SERIES = {
    "input_size": 2, "window": 24, "horizon": 6, "targets": ("a", "b"), "columns": ("a", "b"), "seasons": (12,),
    "mean": (1e6, 2.0), "std": (3.0, 0.5), "naive_mae": (1.0, 1.0),
}  # fmt: skip
KNOWN = {
    "input_size": 5, "columns": ("a", "b", "k"), "mean": (1e6, 2.0, 3.0), "std": (3.0, 0.5, 1.0), "known": ("k",),
    "num_mask_channels": 2,
}  # fmt: skip
SEGRNN = {"name": "segrnn", "hidden_size": 8, "segment_length": 6}


@pytest.mark.parametrize(
    ("more", "model", "task"),
    [
        ({}, {}, {"anchor": "season"}),
        (KNOWN, {}, {"anchor": "last"}),
        ({"num_series": 3}, {}, {}),
        ({"input_size": 4, "num_mask_channels": 2}, {}, {"output": "quantile"}),
        ({}, SEGRNN, {"anchor": "last", "output": "normal", "conformal": True}),
        (KNOWN, {"name": "seq2seq", "hidden_size": 8}, {}),
    ],
    ids=str,
)
def test_every_forecast_in_onnx_equals_torch(more, model, task):
    info = SeriesInfo(**{**SERIES, **more})
    experiment = Experiment.of({
        "data": {"name": "taylor", "window": 24, "horizon": 6, "seasons": [12]}, "task": {"name": "forecast", **task},
        "model": {"hidden_size": 8, **model},
    })  # fmt: skip
    built = build_from(experiment, info).eval()
    if "conformal" in task:
        built.task.load_calibration(torch.rand(2, 6, 2).tolist())
    check_onnx(built, info)


def test_what_has_no_onnx_form_is_refused_in_one_line():
    experiment = Experiment.of({
        "data": {"name": "taylor", "window": 24, "horizon": 6, "seasons": [12]},
        "task": {"name": "forecast", "output": "student_t"}, "model": {"hidden_size": 8},
    })  # fmt: skip
    info = SeriesInfo(**SERIES)
    with pytest.raises(ConfigError, match=r"task.output=student_t has intervals without ONNX form .*; use --to folder"):
        write_onnx(build_from(experiment, info).eval(), info)


def test_a_graph_that_differs_is_not_written():
    built = classifier()
    written = write_onnx(built, CLASSES)
    with torch.no_grad():
        built.model.head.bias += 1e-3
    with pytest.raises(ConfigError, match=r"the graph differs from torch by \d.*e-0\d, more than 1e-05: nothing is"):
        compare(written, built, CLASSES, batches=1)


def test_the_difference_counts_what_is_no_padding():
    right = np.zeros((2, 3, 1))
    found = right.copy()
    found[1, 2] = 1
    assert difference([found], [right], np.array([3, 2]), per_step=True) == 0
    assert difference([found], [right], np.array([3, 3]), per_step=True) == 1
    assert difference([found * np.nan], [right], np.array([3, 3]), per_step=True) == np.inf
    assert difference([found[:1]], [right], np.array([3, 3]), per_step=True) == np.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        {"cell": "gru", "bidirectional": True, "pooling": "additive"},
        {"num_layers": 2, "dilation": 2, "skip": "residual"},
    ],
    ids=str,
)
def test_torch_export_equals_the_run_for_any_batch(model):
    assert write_torch(classifier(MASKED, **model), MASKED, 4).compared.difference <= TOLERANCE


# ---- runs ------------------------------------------------------------------------------------------------------------
