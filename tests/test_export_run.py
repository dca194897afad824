"""A run is exported, by the command and in Python: which files there are, and what is refused."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest
import torch

import lstm_lab
from lstm_lab.config import ConfigError
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lstm_lab.deploy import to_onnx  # noqa: E402


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """A run on strings of a grammar."""
    monkeypatch.chdir(tmp_path)
    experiment = lstm_lab.Experiment(
        data={"name": "embedded_reber", "train_size": 40, "eval_size": 10}, task="next_step", model={"hidden_size": 8},
        trainer={"max_epochs": 1},
    )  # fmt: skip
    run = Run.create(Path("run"), experiment.dump())
    train(experiment, run)
    return lstm_lab.TrainedRun(run.path)


def test_a_run_is_exported_by_command_and_in_python(lab, letters):
    code, out, err = lab("export", "run", "--to", "onnx")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "run/model.onnx"
    assert "onnxruntime differs from the run by at most" in out
    facts = json.loads({each.key: each.value for each in onnx.load("run/model.onnx").metadata_props}["lstm_lab"])
    assert facts["task"] == "next_step"
    assert facts["columns"] == facts["info"]["tokens"]
    assert facts["info"]["tokens"] == ["<pad>", *"BTPSXVE"]
    folder = letters.export("folder", "out")
    assert folder.difference is not None
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "README.md", "experiment.yaml", "facts.json", "model.onnx", "model.safetensors", "predict.py",
    ]  # fmt: skip
    from safetensors.torch import load_file

    weights = load_file("out/model.safetensors")
    state = letters.learner().model.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[name], state[name]) for name in state)
    card = Path("out/README.md").read_text()
    assert "## Intended use" in card
    assert "Not evaluated on the validation split." in card


def test_a_folder_holds_no_onnx_file_of_an_earlier_export(letters, monkeypatch):
    letters.export("folder", "out")

    def impossible(*arguments):
        raise ConfigError("no ONNX form")

    monkeypatch.setattr(to_onnx, "write_onnx", impossible)
    assert letters.export("folder", "out").notes[1] == "without model.onnx: no ONNX form"
    assert not {"model.onnx", "predict.py"} & {path.name for path in Path("out").iterdir()}


def test_impossible_exports_are_refused(lab, letters, monkeypatch):
    Path("taken").write_text("")
    for words, message in {
        ("--to", "onnx", "--length", 3): "--length 3 would do nothing",
        ("--to", "onnx", "--out", "run"): "run: is a folder: name the file",
        ("--to", "onnx", "--out", "none/m.onnx"): "there is no folder none: make it first",
        ("--to", "folder", "--out", "taken"): "taken: is a file: choose another --out",
        ("--to", "torch"): "give --length",
    }.items():
        code, _, err = lab("export", "run", *words)
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1
    imported = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "onnxruntime":
            raise ImportError(name, name=name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    code, _, err = lab("export", "run", "--to", "onnx")
    assert (code, "needs the package onnxruntime: pip install 'lstm-lab[export]'" in err) == (2, True)
