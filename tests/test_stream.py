"""Streams: a model asked step by step answers as for the whole sequence so far."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from test_runtime import QUIET, SMALL, sequences, series

import lstm_lab
from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.next_step import FrameInfo, TokenInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.deploy.step_scale import StepScale, scaled_step
from lstm_lab.deploy.stream import Stream, load_state, save_state
from lstm_lab.evaluation.predict import LoadedRun
from lstm_lab.models import SequenceModel
from lstm_lab.optimizers.adam import Adam
from lstm_lab.optimizers.schedules.constant import Constant
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.tasks.tag import Tag
from lstm_lab.training.learner import Learner

CLASSES = LabelledInfo(3, ("a", "b", "c"), (1, 1, 1), (1e6, 2.0, 3.0), (1.0, 0.5, 20.0))
MASKED = LabelledInfo(6, ("a", "b", "c"), (1, 1, 1), (1e6, 2.0, 3.0), (1.0, 0.5, 20.0))
TOKENS = TokenInfo(6, ("<pad>", *"abcde"))
FRAMES = FrameInfo(4, tuple("abcd"))
MOST = ("lstm", "mlstm", "qrnn")
"""Cells of the default tests: an engine layer, a matrix as state, inputs of the step before as state."""


def stream_of(experiment, info, task, **model) -> tuple[Stream, Learner]:
    torch.manual_seed(0)
    config = SequenceModel.Config.model_validate({"hidden_size": 8, **model})
    learner = Learner(config.build(info, task), task, Adam.Config().build(), Constant.Config().build()).eval()
    return Stream(LoadedRun(experiment, experiment.data.build(), info, learner)), learner


def raw(steps: int = 9) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(steps, 3)) * CLASSES.std + np.array(CLASSES.mean)


def whole(learner, x: torch.Tensor) -> list[list]:
    batch = Batch(x.unsqueeze(0), torch.tensor([len(x)]), torch.empty(0))
    with torch.inference_mode():
        return learner.task.predictions(learner.logits(batch), batch)[0]


def scaled(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(((x - np.array(CLASSES.mean)) / np.array(CLASSES.std)).astype(np.float32))


def same(answer: dict, row: list) -> None:
    assert [each for each in answer.values() if isinstance(each, str)] == [
        each for each in row if isinstance(each, str)
    ]
    numbers = [[each for each in values if isinstance(each, float)] for values in ([*answer.values()], row)]
    np.testing.assert_allclose(*numbers, atol=1e-6)


@pytest.mark.parametrize(
    "cell", [pytest.param(name, marks=[] if name in MOST else pytest.mark.slow) for name in sorted(Cell.members)]
)
def test_answers_are_those_for_the_whole_sequence(cell, vowels):
    stream, learner = stream_of(vowels, CLASSES, Tag(CLASSES, "accuracy"), cell={"name": cell}, num_layers=2)
    answers = [stream.step(row.tolist()) for row in raw()]
    assert [answer["step"] for answer in answers] == [*range(1, 10)]
    for answer, row in zip(answers, whole(learner, scaled(raw())), strict=True):
        same(answer, row)
    stream.reset()
    for row in raw(4):
        stream.step(row.tolist())
    kept = stream.state()
    other, _ = stream_of(vowels, CLASSES, Tag(CLASSES, "accuracy"), cell={"name": cell}, num_layers=2)
    other.restore(kept)
    assert [other.step(row.tolist()) for row in raw()[4:]] == answers[4:]


SCALES = [
    CLASSES,
    MASKED,
    LabelledInfo(3, ("a", "b"), (1, 1)),
    SeriesInfo(3, 4, 2, ("load",), ("load", "hour"), (), (100.0, 11.5), (0.3, 7.0), (1.0,), num_mask_channels=1),
    FRAMES,
]


def outcome(scale, values):
    """The bits of what is read, or what is said."""
    try:
        return scale(values).view(torch.int32).tolist()
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("info", SCALES, ids=lambda info: f"{type(info).__name__}{info.input_size}")
def test_one_step_is_scaled_as_a_sequence_to_the_last_bit(info):
    """What is missing, or far away, is masked or refused as there."""
    scale, rng = StepScale(info), np.random.default_rng(0)
    steps = [rng.normal(size=scale.size) * 10.0**power for power in (-30, 0, 3, 14, 16, 30)]
    for value in (np.nan, np.inf, -np.inf, 0.0, 1e15, -0.0):
        steps += [np.where(np.arange(scale.size) == place, value, steps[1]) for place in range(scale.size)]
    for values in steps:
        found, wanted = outcome(scale, values), outcome(lambda x: torch.from_numpy(scaled_step(info, x[None])), values)
        assert found == wanted


def test_a_classifier_answers_with_the_last_step_so_far(vowels):
    more = {"num_layers": 3, "dilation": 2, "skip": {"name": "residual"}, "learn_initial_state": True}
    stream, learner = stream_of(vowels, CLASSES, Classify(CLASSES, "accuracy"), **more)
    for n, row in enumerate(raw(), 1):
        same(stream.step(row.tolist()), whole(learner, scaled(raw()[:n]))[0])


def test_missing_values_are_masked_where_they_were_in_training(vowels):
    stream, _ = stream_of(vowels, MASKED, Tag(MASKED, "accuracy"))
    assert stream.step([1e6, None, 3.0]) != stream.step([1e6, 2.0, 3.0])
    stream, _ = stream_of(vowels, CLASSES, Tag(CLASSES, "accuracy"))
    with pytest.raises(DataError, match="a value is missing"):
        stream.step([1e6, None, 3.0])


def test_the_next_step_is_predicted_from_those_before(reber):
    task = NextStep(TOKENS, "nll", False)
    stream, learner = stream_of(reber, TOKENS, task, embedding={"dim": 4})
    answers = [stream.step(step) for step in ("a", 3, "e")]
    batch = Batch(torch.tensor([[1, 3, 5, 1]]), torch.tensor([4]), torch.empty(0))
    with torch.inference_mode():
        rows = task.predictions(learner.logits(batch), batch)[0][1:]
    for answer, row in zip(answers, rows, strict=True):
        same(answer, row)
    for wrong in ("ab", "z", 0, 6, 1.5, True, [1.0]):
        with pytest.raises(DataError):
            stream.step(wrong)


def test_models_without_an_answer_before_the_end_are_refused(vowels):
    for model, said in {
        ("bidirectional", True): "model reads backward too.*: train it with model.bidirectional=false",
        ("pooling", "mean"): "pooling 'mean' reads the steps of the whole sequence again",
    }.items():
        with pytest.raises(ConfigError, match=said):
            stream_of(vowels, CLASSES, Classify(CLASSES, "accuracy"), **{model[0]: _choice(*model)})


def _choice(name, value):
    return {"name": value} if name == "pooling" else value


def test_a_forecast_answers_from_the_window_that_it_keeps(tmp_path):
    run = lstm_lab.train({**series(tmp_path / "s.csv"), **SMALL}, name="s", **QUIET)
    stream = run.stream()
    rows = [float(line.split(",")[1]) for line in (tmp_path / "s.csv").read_text().splitlines()[1:]]
    answers = [stream.step({"load": value}) for value in rows[:30]]
    assert answers[22]["load"] is None
    (tmp_path / "part.csv").write_text("\n".join((tmp_path / "s.csv").read_text().splitlines()[:31]) + "\n")
    np.testing.assert_allclose(answers[29]["load"], run.predict(str(tmp_path / "part.csv"))["load"], rtol=1e-6)
    other = run.stream()
    other.restore(stream.state())
    assert other.step([50.0]) == stream.step([50.0])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tmp_path_factory.mktemp("stream")
    content = {"task": "classify", **sequences(base / "seq.csv")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSTM_LAB_RUNS", str(base))
        return lstm_lab.train({**content, **SMALL}, name="run", **QUIET)


@pytest.fixture
def ask(run, lab, monkeypatch):
    def call(text: str | bytes, *options):
        content = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return lab("stream", run.path, *options)

    return call


def test_lines_in_and_lines_out(run, ask, tmp_path):
    code, out, err = ask('[0.5, 1]\n{"b": 2, "a": 1}\n\n0.5,1\n')
    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, err, [each["step"] for each in answers]) == (0, "", [1, 2, 1])
    assert answers[0] == answers[2]
    assert list(answers[0]) == ["step", "label", "probability u", "probability v"]
    assert ask("b,a\n1,0.5\n2,1\n")[1] == "".join(f"{line}\n" for line in out.splitlines()[:2])
    # The state goes from one call to the next.
    (first, second) = (ask(line, "--state", tmp_path / "s.npz")[1] for line in ("[0.5, 1]\n", "[1, 2]\n"))
    assert (first + second).splitlines() == out.splitlines()[:2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1, 2, 3]", "line 2: [1, 2, 3] has 3 values, but the model reads 2 in each step"),
        ("[1, 2", "line 2: '[1, 2' is not JSON"),
        ('{"a": 1}', "line 2: has no 'b': the channels are a, b"),
        ('{"a": 1, "b": 2, "c": 3}', "line 2: 'c' is no channel: the channels are a, b"),
        ("one,two", "line 2: 'one,two' is no row of numbers"),
        ("1,", "line 2: a value is missing, and the model was trained without missing values"),
        ("1e400,0", "standard deviations from the mean"),
        ('["x", null]', "is no row of numbers"),
        ("[" * 2000, "is not JSON"),
        (b"\xff\xfe", "is no row of numbers"),
    ],
)
def test_a_line_that_is_no_step_ends_the_stream(ask, line, said):
    content = line if isinstance(line, bytes) else line.encode()
    code, out, err = ask(b"[0, 1]\n" + content + b"\n[0, 1]\n")
    assert (code, out.count("\n"), err.count("\n")) == (3, 1, 1)
    assert said in err


def test_a_state_of_another_model_is_refused(run, ask, tmp_path, vowels):
    stream, _ = stream_of(vowels, CLASSES, Tag(CLASSES, "accuracy"))
    stream.step([1.0, 2.0, 3.0])
    save_state(tmp_path / "other.npz", stream.state())
    code, _, err = ask("[1, 2]\n", "--state", tmp_path / "other.npz")
    assert (code, "state: is not one of this model" in err) == (3, True)
    for content in ("x", ""):
        (tmp_path / "text.npz").write_text(content)
        with pytest.raises(DataError, match="is no state of a stream"):
            load_state(tmp_path / "text.npz")
