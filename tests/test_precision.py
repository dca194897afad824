"""Laws of mixed precision, and of training on a GPU: the same training up to rounding, on the record and resumed.

Lightning offers float16 on a GPU only. Its gradient scaler works on the CPU too, and there its laws are proven without
one; the tests of whole trainings run once more on a GPU (`pytest -m gpu`).
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from interruption import StopAt
from pytorch_lightning.plugins import MixedPrecision

from lstm_lab.config import Interrupted
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

NUMBERS = ("train/loss", "train/grad_norm", "val/loss")
ROUNDING = {"bf16-mixed": 0.1, "16-mixed": 0.02}
"""How far those may lie from float32's, relative to these."""

DEVICES = [
    "cpu",
    pytest.param("gpu", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture
def scale(device, monkeypatch):
    """`scale(2.0**16)`: on the CPU, 16-mixed is float16 with a scaler that begins there, and not what Lightning offers
    instead. oneDNN has no float16 LSTM."""
    trainer = pl.Trainer

    def begin(first):
        def made(**settings):
            if settings["precision"] == "16-mixed":
                del settings["precision"]
                scaler = torch.amp.GradScaler("cpu", init_scale=first)
                settings["plugins"] = [MixedPrecision("16-mixed", "cpu", scaler)]
            return trainer(**settings)

        if device == "cpu":
            monkeypatch.setattr(pl, "Trainer", made)

    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    return begin


@pytest.fixture
def experiments(tmp_path, monkeypatch, device, own_texts, scale):
    """Small ones of every kind of data, all made here: a name and overrides -> an experiment on that device."""
    t = np.arange(400)
    rows = np.stack([np.sin(t / 5) + 0.1 * np.cos(t * t), np.cos(t / 7)], 1)
    (tmp_path / "series.csv").write_text("t,a,b\n" + "".join(f"{i},{a:.4f},{b:.4f}\n" for i, (a, b) in enumerate(rows)))
    (tmp_path / "long.txt").write_text("the cat sat on the mat and the dog sat on the log. " * 30)
    made = {
        "classify": own_texts().dump(),
        "forecast": {
            "data": {
                "name": "csv",
                "path": str(tmp_path / "series.csv"),
                "time": "t",
                "targets": ["a", "b"],
                "window": 24,
                "horizon": 4,
            },
            "task": "forecast",
            "model": {"hidden_size": 8},
        },
        "next step": {
            "data": {"name": "embedded_reber", "batch_size": 50, "train_size": 200, "eval_size": 60},
            "task": "next_step",
            "model": {"hidden_size": 8, "embedding": {"dim": 4}},
        },
        "stream": {
            "data": {"name": "text_stream", "path": str(tmp_path / "long.txt"), "chunk_length": 16, "batch_size": 4},
            "task": "next_step",
            "model": {"hidden_size": 8, "embedding": {"dim": 4}},
        },
    }

    def experiment(name, **overrides):
        trainer = {"trainer.max_epochs": 2, "trainer.patience": None, "trainer.accelerator": device}
        return Experiment.of(made[name]).with_overrides({"optimizer.lr": 0.01, **trainer, **overrides})

    scale(2.0**16)
    return experiment


def trained(folder, experiment):
    run = Run.create(folder, experiment.dump(), command="", job_type="")
    train(experiment, run)
    return run


def alike(run, other, rounding):
    for mine, theirs in zip(run.rows(), other.rows(), strict=True):
        for name in NUMBERS:
            assert mine[name] == pytest.approx(theirs[name], rel=rounding), name
        assert mine["step"] == theirs["step"]


RMSPROP = {"optimizer": {"name": "rmsprop", "lr": 1e-3}, "trainer.gradient_clip_val": None}
CHANGED = [
    ("classify", {}),
    ("forecast", {"task.output": {"name": "normal"}}),
    *(
        pytest.param(*each, marks=pytest.mark.slow)
        for each in (
            ("classify", {"optimizer": {"name": "sgd", "lr": 0.1}}),
            ("next step", RMSPROP),
            ("next step", {}),
            ("stream", {}),
            *(("forecast", {"task.output": {"name": name}}) for name in ("point", "quantile", "student_t")),
            ("forecast", {"model": {"name": "seq2seq", "hidden_size": 8}}),
            ("forecast", {"model": {"name": "segrnn", "segment_length": 4, "hidden_size": 8}}),
            *(("classify", {"model.cell": cell}) for cell in ("gru", "peephole", "odyssey", "slstm")),
        )
    ),
]


@pytest.mark.parametrize("precision", ROUNDING)
@pytest.mark.parametrize(("name", "change"), CHANGED, ids=str)
def test_mixed_precision_is_the_same_training(tmp_path, experiments, name, change, precision):
    single = trained(tmp_path / "single", experiments(name, **change))
    mixed = trained(tmp_path / "mixed", experiments(name, **change, **{"trainer.precision": precision}))
    alike(mixed, single, ROUNDING[precision])


@pytest.mark.parametrize("device", ["cpu"], indirect=True)
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_step_that_overflows_is_left_out_and_the_record_stays_a_record(tmp_path, experiments, scale, optimizer):
    scale(2.0**30)
    run = trained(tmp_path / "run", experiments("classify", optimizer=optimizer, **{"trainer.precision": "16-mixed"}))
    first, last = run.rows()
    assert json.dumps([first, last], allow_nan=False)
    assert last["train/grad_norm"] > 0
    assert math.isfinite(last["val/loss"])


@pytest.mark.parametrize(
    "precision", ["16-mixed", *(pytest.param(p, marks=pytest.mark.slow) for p in ("32", "bf16-mixed"))]
)
@pytest.mark.parametrize(
    "name", ["stream", *(pytest.param(n, marks=pytest.mark.slow) for n in ("classify", "forecast"))]
)
@pytest.mark.parametrize("looks", [7, pytest.param(2, marks=pytest.mark.slow)])
def test_resumed_is_uninterrupted(tmp_path, experiments, name, precision, looks):
    experiment = experiments(name, **{"trainer.precision": precision})
    run = Run.create(tmp_path / "cut", experiment.dump(), command="", job_type="")
    with pytest.raises(Interrupted):
        train(experiment, run, stop=StopAt(looks))
    train(experiment, run)
    alike(run, trained(tmp_path / "whole", experiment), 1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("device", DEVICES[1:], indirect=True)
@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole", "odyssey", "norm_lstm", "slstm"])
@pytest.mark.parametrize("more", [{}, {"model.bidirectional": True, "model.depth": 2}], ids=["plain", "deep"])
def test_a_gpu_trains_as_the_cpu_does(tmp_path, experiments, cell, more):
    experiment = experiments("classify", **{"model.cell": cell}, **more)
    on_cpu = trained(tmp_path / "cpu", experiment.with_overrides({"trainer.accelerator": "cpu"}))
    run = trained(tmp_path / "gpu", experiment)
    assert (run.about["device"], on_cpu.about["device"]) == ("cuda", "cpu")
    alike(run, on_cpu, 0.02)


def test_evaluated_and_asked_afterwards(tmp_path, experiments):
    run = trained(tmp_path / "run", experiments("forecast", **{"trainer.precision": "bf16-mixed"}))
    scores = evaluate(run, "validation")
    assert scores.model["loss"] == pytest.approx(min(row["val/loss"] for row in run.rows()), rel=0.05)
    _, rows = predict(run, tmp_path / "series.csv")
    assert len(rows) == 4
    assert all(math.isfinite(value) for row in rows for value in row if isinstance(value, float))
