"""What a machine refuses: no room, no permission, no GPU, no memory, names that are too long, a second Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading

import pytest
from conftest import VOWELS

from lstm_lab import __main__ as program
from lstm_lab import config, workflow
from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment
from lstm_lab.records import files
from lstm_lab.records.examples import parse_examples
from lstm_lab.records.run import Run
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.system import disk
from lstm_lab.system.disk import DiskFull
from lstm_lab.training import checkpointing
from lstm_lab.training import train as training
from lstm_lab.workflow import create_run, create_sweep, run_experiment

SMALL = {
    "data": {"name": "adding", "length": 4, "train_size": 20, "eval_size": 8, "batch_size": 10}, "task": "regress",
    "model": {"hidden_size": 2}, "trainer": {"max_epochs": 2, "patience": None},
}  # fmt: skip


@pytest.fixture
def small():
    return Experiment.of(SMALL)


def refusing(code, at=1):
    """A function that raises an error of the disk from its `at`-th call on."""
    calls = []

    def refuse(original):
        def call(*arguments, **named):
            calls.append(1)
            if len(calls) >= at:
                raise OSError(code, os.strerror(code))
            return original(*arguments, **named)

        return call

    return refuse


def run_command(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["lstm-lab", *words])
    with pytest.raises(SystemExit) as end:
        program.main()
    return end.value.code, capsys.readouterr().err


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_in_training_is_a_line_and_a_state_and_leaves_no_half_checkpoint(small, monkeypatch):
    run, dataset = create_run(small, stem="full")
    monkeypatch.setattr(
        checkpointing.torch, "save", refusing(errno.ENOSPC, at=2)(checkpointing.torch.save)
    )  # The checkpoint of the second epoch.
    with pytest.raises(DiskFull) as caught:
        run_experiment(small, run, dataset=dataset)
    assert str(caught.value) == (
        f"{run.path}: cannot be written: No space left on device: make room, then: lstm-lab train --resume {run.path}"
    )
    assert caught.value.exit_code == 3
    assert run.status["state"] == "failed"
    assert not list(run.path.rglob(".*"))
    monkeypatch.undo()
    assert run_experiment(small, run).result.state == "finished"


def test_the_state_is_written_into_its_own_file_where_no_other_fits(small, monkeypatch):
    run, _ = create_run(small, stem="full")
    run.mark("running")
    monkeypatch.setattr(files, "write_atomic", refusing(errno.ENOSPC)(files.write_atomic))
    run.mark_failed(OSError(errno.ENOSPC, "No space left on device"))
    assert run.status["state"] == "failed"
    assert run.status["reason"].startswith("OSError: [Errno 28]")


def test_a_file_that_could_not_be_written_leaves_no_temporary_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC)(os.fsync))
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_atomic(tmp_path / "a.json", "{}")
    assert caught.value.filename == str(tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_filled_is_removed_again(small, monkeypatch, runs):
    monkeypatch.setattr(files, "write_atomic", refusing(errno.ENOSPC)(files.write_atomic))
    with pytest.raises(DiskFull, match="make room, then: run the command again"):
        create_run(small, stem="full")
    assert not list(runs.iterdir())


def test_evaluate_of_a_run_that_may_not_be_written_is_a_line(small, monkeypatch, capsys):
    run, dataset = create_run(small, stem="read_only")
    run_experiment(small, run, dataset=dataset)
    monkeypatch.setattr(files, "append_jsonl", refusing(errno.EROFS)(files.append_jsonl))
    code, said = run_command(monkeypatch, capsys, "evaluate", str(run.path))
    assert (code, said.count("\n")) == (2, 1)
    assert "cannot be written: Read-only file system" in said


def test_any_other_error_of_the_disk_is_a_line(monkeypatch, capsys):
    monkeypatch.setattr("lstm_lab.report.write_report", refusing(errno.EIO)(None))
    code, said = run_command(monkeypatch, capsys, "report", "x")
    assert (code, said) == (
        2,
        "lstm-lab: a file: Input/output error: check its name, what it is, and its permissions\n",
    )


def test_a_full_disk_at_the_end_of_a_sweep_shows_the_leaderboard_first(small, monkeypatch, capsys, tmp_path):
    from sweeping import run_trials, write

    folder = write(tmp_path / "rates.yaml", small)

    def execute(folder, **_):
        run_trials(folder)
        raise OSError(errno.ENOSPC, "No space left on device", str(folder.path / "summary.json"))

    monkeypatch.setattr("lstm_lab.sweeps.execution.execute_sweep", execute)
    monkeypatch.setattr(sys, "argv", ["lstm-lab", "resume", str(folder.path), "--wandb", "disabled"])
    with pytest.raises(SystemExit) as end:
        program.main()
    printed = capsys.readouterr()
    assert end.value.code == 3
    assert "val/mse mean" in printed.out or "rank" in printed.out
    assert printed.err == (
        f"lstm-lab: {folder.path}/summary.json: cannot be written: No space left on device: make room, then: "
        f"lstm-lab resume {folder.path}\n"
    )


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_of_being_full_is_told_apart_from_being_forbidden(code, tmp_path):
    with pytest.raises(DiskFull), disk.explained(tmp_path, "again"):
        raise OSError(code, "x")
    with pytest.raises(ConfigError, match="copy the folder"), disk.explained(tmp_path, "again"):
        raise PermissionError(errno.EACCES, "x")
    with pytest.raises(FileNotFoundError), disk.explained(tmp_path, "again"):
        raise FileNotFoundError(errno.ENOENT, "x")


def test_without_permission_nothing_is_said_of_writing_where_it_may_have_been_reading():
    error = PermissionError(errno.EACCES, "Permission denied", "closed/t.csv")
    assert (
        str(disk.explain(error)) == "closed/t.csv: Permission denied: check its name, what it is, and its permissions"
    )


# --- the machine ------------------------------------------------------------------------------------------------------


def test_a_gpu_that_is_not_there_is_refused_before_a_folder_is_made(small, monkeypatch, runs):
    monkeypatch.setattr(training.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training.torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"trainer.accelerator: gpu: torch finds no GPU"):
        create_run(small.with_overrides({"trainer.accelerator": "gpu"}), stem="gpu")
    assert not runs.exists()


@pytest.mark.parametrize("size", [300_000, 100_000_000, 2**31 - 1])
def test_weights_that_no_memory_holds_are_refused_before_a_folder_is_made(size, small, runs):
    with pytest.raises(ConfigError, match=r"model: [\d,]+ parameters need [\d,]+ GiB .*: make it smaller"):
        create_run(small.with_overrides({"model.hidden_size": size}), stem="large")
    assert not runs.exists()


def test_data_that_no_memory_holds_are_refused_before_a_folder_is_made(small, monkeypatch, runs):
    def read(self):
        raise MemoryError("Unable to allocate 1. TiB")

    monkeypatch.setattr("lstm_lab.data.kinds.synthetic.SyntheticDataset.read", read)
    with pytest.raises(DataError, match="data adding: does not fit into memory"):
        create_run(small, stem="large")
    assert not runs.exists()


@pytest.mark.parametrize("name", ["n" * 300, "é" * 120, "a\0b", "a/b", "..", ""])
def test_a_name_that_no_file_system_takes_is_refused(name, small):
    with pytest.raises(ConfigError, match="must be a plain folder name"):
        create_run(small, name=name, stem="x")


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_a_second_interrupt_of_a_training_says_how_to_resume(small, monkeypatch):
    run, dataset = create_run(small, stem="twice")

    def interrupted(row):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        run_experiment(small, run, dataset=dataset, on_epoch=interrupted)
    assert str(caught.value) == f"interrupted; resume with: lstm-lab train --resume {run.path}"
    assert caught.value.exit_code == 130
    assert run.status["state"] == "interrupted"


def test_a_second_interrupt_of_a_sweep_says_how_to_resume(monkeypatch, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        f"# Which?\n{config.to_yaml({'experiment': SMALL, 'space': {'optimizer.lr': {'grid': [0.1, 0.2]}}})}"
    )
    folder = create_sweep(load_sweep(path), stem="twice")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lstm_lab.sweeps.execution.execute_sweep", interrupted)
    with pytest.raises(Interrupted, match=f"interrupted; resume with: lstm-lab resume {folder.path}"):
        workflow.run_sweep(folder)


def test_output_that_nobody_reads_any_more_is_no_error(monkeypatch):
    def closed(*_, **__):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("lstm_lab.report.write_report", closed)
    monkeypatch.setattr(sys, "argv", ["lstm-lab", "report", "x"])
    with open(os.devnull, "w") as out, contextlib.redirect_stdout(out), pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 0


# --- plain values that are none ---------------------------------------------------------------------------------------


def test_half_a_surrogate_pair_is_a_line_or_a_question_mark(tmp_path):
    with pytest.raises(ConfigError, match="no text that UTF-8 has"):
        validate(Experiment, {**SMALL, "\ud800": 1}, "x.yaml")
    assert files.from_json(b'{"a": "\\ud800", "b": "\\ud83d\\ude00"}') == {"a": "?", "b": "\U0001f600"}


def test_a_page_about_a_path_that_is_not_utf8_is_written(tmp_path):
    files.write_atomic(tmp_path / "page.html", "a \udcff folder")
    assert (tmp_path / "page.html").read_text() == "a \\udcff folder"


def test_examples_whose_lists_do_not_fit_are_none():
    good = {"kind": "values", "split": "validation", "epoch": 1, "samples": 2, "total": 2, "target_name": "y",
            "target": [1.0, 2.0], "prediction": [1.0, 2.0]}  # fmt: skip
    parse_examples(good)
    with pytest.raises(ValueError, match="target and prediction must have the same length"):
        parse_examples({**good, "prediction": [1.0]})


def test_what_a_run_knows_of_its_data_is_checked_before_it_is_used():
    dataset = Experiment.of(VOWELS).data.build()
    info = {"input_size": 1, "classes": ["a", "b"], "counts": [1, 1], "mean": [0.0], "std": [1.0]}
    assert dataset.restore_info(info).classes == ("a", "b")
    for key, value in {"mean": [None], "input_size": "many", "classes": 3}.items():
        with pytest.raises(DataError, match=f"run.json: data.info.{key}"):
            dataset.restore_info({**info, key: value})


def test_a_run_of_json_without_its_data_names_the_command_that_trains_it(small):
    run = Run.create(files.runs_folder() / "new", small.dump())
    with pytest.raises(DataError, match="train --resume"):
        _ = run.data
    assert json.loads((run.path / "run.json").read_text())["id"] == "new"


# --- checkpoints of something else ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["state_dict", "optimizer_states", "loops"])
def test_a_checkpoint_of_something_else_is_a_line(key, small):
    import torch

    run, dataset = create_run(small, stem="other")
    stop = threading.Event()
    with pytest.raises(Interrupted):
        run_experiment(small, run, dataset=dataset, stop=stop, on_epoch=lambda row: stop.set())
    path = run.checkpoints / "last.ckpt"
    content = torch.load(path, weights_only=True)
    if key == "state_dict":
        name = next(iter(content[key]))
        content[key][name] = torch.zeros(7)
    else:
        content[key] = {"a": 1}
    torch.save(content, path)
    with pytest.raises(DataError, match=r"last.ckpt: is not a checkpoint of this run \(\w+: "):
        run_experiment(small, run, dataset=dataset)


def test_an_interrupt_anywhere_is_one_line(lab, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lstm_lab.data.inspection.inspect", interrupted)
    assert lab("data", "inspect", "x.csv")[::2] == (130, "lstm-lab: interrupted\n")
