"""A trained run is evaluated on the device of its experiment, or on the one that is asked for."""

import pytest
import torch

from lstm_lab.__main__ import main
from lstm_lab.config import ConfigError
from lstm_lab.evaluation import evaluate as evaluation
from lstm_lab.examples.collect import compute_examples
from lstm_lab.records.run import Run
from lstm_lab.training import train as training
from lstm_lab.training.train import train


@pytest.mark.parametrize(
    ("recorded", "asked", "has_gpu", "device"),
    [
        ("auto", None, True, "cuda"),
        ("auto", None, False, "cpu"),
        ("cpu", None, True, "cpu"),
        ("gpu", None, True, "cuda"),
        ("gpu", None, False, "cpu"),  # trained elsewhere
        ("cpu", "gpu", True, "cuda"),
        ("gpu", "cpu", True, "cpu"),
        ("cpu", "auto", True, "cuda"),
    ],
)
def test_the_device_is_that_of_the_experiment_unless_another_is_asked_for(
    demand, monkeypatch, recorded, asked, has_gpu, device
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert demand.with_overrides({"trainer.accelerator": recorded}).trainer.device(asked).type == device


def test_a_gpu_that_is_not_there_is_refused_in_one_line(tmp_path, vowels, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = Run.create(tmp_path / "run", vowels.dump())
    train(vowels.with_overrides({"trainer.max_epochs": 1}), run)
    with pytest.raises(ConfigError, match="this machine has no GPU"):
        evaluation.evaluate(run, accelerator="gpu")
    assert run.test_evaluations() == []
    monkeypatch.setattr("sys.argv", ["lstm-lab", "evaluate", str(run.path), "--accelerator", "gpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "this machine has no GPU" in capsys.readouterr().err


def test_evaluation_and_examples_run_where_the_device_says(tmp_path, vowels, monkeypatch):
    run = Run.create(tmp_path / "run", vowels.dump())
    train(vowels.with_overrides({"trainer.max_epochs": 1}), run)
    expected = evaluation.evaluate(run, "validation").model
    used = []

    def moved(learner, device):
        used.append(str(device))
        return learner

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(training.BlockLearner, "to", moved)
    assert evaluation.evaluate(run, "validation").model == expected
    assert compute_examples(run) is not None
    evaluation.evaluate(run, "validation", accelerator="cpu")
    assert used == ["cuda", "cuda", "cpu"]


@pytest.mark.gpu
def test_scores_on_a_gpu_equal_those_on_the_cpu(tmp_path, vowels):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    run = Run.create(tmp_path / "run", vowels.dump())
    train(vowels.with_overrides({"trainer.max_epochs": 1}), run)
    on = {name: evaluation.evaluate(run, "validation", accelerator=name).model for name in ("cpu", "gpu")}
    assert on["gpu"] == pytest.approx(on["cpu"], rel=1e-4)
