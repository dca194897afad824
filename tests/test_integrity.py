"""Checkpoints are verified by checksum wherever they are read; a record that has lost something is trained again."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lstm_lab as lab
from lstm_lab.__main__ import app
from lstm_lab.config import DataError, Fault
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.records.integrity import lost_best, lost_rows, verify_checkpoint
from lstm_lab.records.run import Run
from lstm_lab.report import write_report
from lstm_lab.training.checkpointing import find_checkpoint, newest_checkpoint, read_checkpoint
from lstm_lab.training.train import train

X = np.random.default_rng(0).normal(size=(60, 6, 2)).astype(np.float32)
Y = (X.mean((1, 2)) > 0).astype(int)
EPOCHS = 4


class Killed(Exception):
    """Stands for a kill: nobody writes how the run ended."""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "samples.npz"
    np.savez(path, X=X, y=np.array(["no", "yes"])[Y])
    return Experiment.of(
        {
            "data": {"name": "arrays", "path": str(path), "batch_size": 16},
            "task": {"name": "classify", "monitor": "loss"},
            "model": {"hidden_size": 4, "pooling": "last"},
            "optimizer": {"lr": 0.01},
            "trainer": {"max_epochs": EPOCHS, "patience": None},
        }
    )


@pytest.fixture(scope="module")
def whole(experiment, tmp_path_factory):
    """A finished run."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "whole", experiment.dump())
    train(experiment, run)
    return run


@pytest.fixture(scope="module")
def killed(experiment, tmp_path_factory):
    """The same, killed after three epochs."""

    def kill(row):
        if row["epoch"] == 2:
            raise Killed

    run = Run.create(tmp_path_factory.mktemp("runs") / "killed", experiment.dump())
    with pytest.raises(Killed):
        train(experiment, run, on_epoch=kill)
    run.mark("running")
    return run


def copy(run, folder):
    shutil.copytree(run.path, folder / "run")
    return lab.load_run(folder / "run")


def zero(path, size=64):
    """Zero a block of a record in the middle of a checkpoint."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        record = max(archive.infolist(), key=lambda info: info.file_size)
    start = content.index(record.filename.encode(), record.header_offset) + len(record.filename)
    content[start + 70 : start + 70 + size] = bytes(size)
    path.unlink()  # best.ckpt may be last.ckpt under another name.
    path.write_bytes(content)


def test_torch_itself_does_not_notice_a_lost_block(whole, tmp_path):
    """The reason for verifying: without it, the weights of another model are scored."""
    path = copy(whole, tmp_path).best_checkpoint
    zero(path)
    try:
        torch.load(path, weights_only=True)
    except Exception as error:  # noqa: BLE001
        pytest.skip(f"this torch notices: {error}")
    with pytest.raises(DataError, match=r"damaged: the checksum of its record .* does not match"):
        verify_checkpoint(path)


def test_every_reader_of_a_damaged_best_checkpoint_refuses_it(whole, tmp_path):
    run = copy(whole, tmp_path)
    zero(run.best_checkpoint)
    damaged = r"best.ckpt: damaged: the checksum"
    for read in (
        lambda: evaluate(run),
        lambda: evaluate(run, "validation"),
        lambda: run.predict(X[:2]),
        lambda: run.learner(),
        lambda: read_checkpoint(run.best_checkpoint),
    ):
        with pytest.raises(DataError, match=damaged):
            read()
    assert run.test_evaluations() == []
    text = write_report(run.path, "markdown").read_text()
    assert "The record of this run is damaged: checkpoints/best.ckpt: damaged" in text.replace("\\", "")


@pytest.mark.parametrize("what", ["best", "rows"])
def test_resume_trains_a_finished_run_again_that_has_lost_its_best_epoch(what, whole, tmp_path):
    run = copy(whole, tmp_path)
    if what == "best":
        zero(run.best_checkpoint)
    else:
        (run.path / "metrics.jsonl").write_text("")
    done = CliRunner().invoke(app, ["resume", str(run.path), "--wandb", "disabled"])
    assert done.exit_code == 0, done.output
    assert "it is trained again" in done.output.replace("\n", " ")
    assert [row["val/loss"] for row in run.rows()] == [row["val/loss"] for row in whole.rows()]
    assert (lost_rows(run), lost_best(run)) == (None, None)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(experiment, killed, whole, tmp_path):
    run = copy(killed, tmp_path)
    zero(run.checkpoints / "last.ckpt")
    zero(run.best_checkpoint)
    (run.best_checkpoint).unlink()
    shutil.copy(run.checkpoints / "previous.ckpt", run.best_checkpoint)
    with pytest.warns(UserWarning, match="damaged.*resuming from the checkpoint before it"):
        assert newest_checkpoint(run) == (run.checkpoints / "previous.ckpt", 2)
    with pytest.warns(UserWarning, match="damaged"):
        train(experiment, run)
    assert [row["val/loss"] for row in run.rows()] == [row["val/loss"] for row in whole.rows()]


def test_weights_of_the_best_epoch_are_taken_from_the_newest_checkpoint_or_trained_again(killed, tmp_path):
    run = copy(killed, tmp_path)
    rows = [row["val/loss"] for row in run.rows()]
    assert rows == sorted(rows, reverse=True), "the newest epoch is the best"
    run.best_checkpoint.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert newest_checkpoint(run) == (run.checkpoints / "last.ckpt", 3)
    verify_checkpoint(run.best_checkpoint)
    # Of an older best epoch nothing is left to take.
    worse = [{**row, "val/loss": row["val/loss"] if row["epoch"] == 0 else 9.0} for row in run.rows()]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in worse))
    assert find_checkpoint(run).path is None


def test_rows_that_are_missing_or_changed_are_noticed(whole, killed, tmp_path):
    for number, change in enumerate(
        (
            lambda rows: rows[1:],
            lambda rows: rows[:-1],
            lambda rows: [{**row, "val/loss": float("nan")} for row in rows],
            lambda rows: [{**row, "val/loss": row["val/loss"] / 2} for row in rows],
            lambda rows: [],
        )
    ):
        run = copy(whole, tmp_path / str(number))
        lines = [json.dumps(row) + "\n" for row in change(run.rows())]
        (run.path / "metrics.jsonl").write_text("".join(lines))
        assert lost_rows(run) is not None, number
        assert "The record of this run is damaged" in write_report(run.path, "markdown").read_text()
    assert lost_rows(whole) is None
    assert lost_rows(killed) is None


def test_a_checkpoint_that_is_no_zip_archive_is_refused_in_one_line(tmp_path):
    for name, content in (("empty", b""), ("text", b"text" * 99), ("zip", None)):
        path = tmp_path / f"{name}.ckpt"
        if content is None:
            zipfile.ZipFile(path, "w").close()
        else:
            path.write_bytes(content)
        with pytest.raises(Fault) as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="missing"):
        read_checkpoint(tmp_path / "none.ckpt")


# --- evaluations on the test split are counted before the look --------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["lstm_lab.evaluation.evaluate.scores_of", "lstm_lab.data.kinds.labelled.LabelledSequences.test_split"]
)
def test_an_evaluation_that_crashes_is_counted_and_named(where, whole, tmp_path, monkeypatch):
    run = copy(whole, tmp_path)

    def crash(*_):
        raise MemoryError

    evaluate(run, "validation")
    assert run.test_evaluations() == []
    with monkeypatch.context() as patch:
        patch.setattr(where, crash)
        with pytest.raises(MemoryError):
            evaluate(run)
    (row,) = run.test_evaluations()
    assert (row["state"], row["scores"], row["test_evaluations"]) == ("started", {}, 1)
    text = write_report(run.path, "markdown").read_text()
    assert "evaluation started once, not completed" in text
    assert "evaluated once" in text
    assert "(not completed)" in text
    assert evaluate(run).test_evaluations == 2
    first, second = run.test_evaluations()
    assert (first["state"], second["scores"]["loss"] > 0, "state" in second) == ("started", True, False)
    assert "evaluated 2 times" in write_report(run.path, "markdown").read_text()


def test_no_test_split_is_refused_before_anything_is_counted(whole, tmp_path, monkeypatch):
    run = copy(whole, tmp_path)
    monkeypatch.setattr(type(run.datamodule().dataset), "has_test_split", False)
    with pytest.raises(DataError, match="has no test split"):
        evaluate(run)
    assert run.test_evaluations() == []


def test_what_cannot_be_counted_is_not_evaluated(whole, tmp_path, monkeypatch):
    run = copy(whole, tmp_path)

    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("lstm_lab.records.files.append_jsonl", read_only)
    monkeypatch.setattr("lstm_lab.evaluation.evaluate.scores_of", read_only)
    with pytest.raises(Fault, match="cannot be written: Read-only file system"):
        evaluate(run)
