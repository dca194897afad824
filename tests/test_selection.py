"""trainer.select: whose weights are evaluated, and which value compares runs."""

from __future__ import annotations

import json
import warnings
from io import StringIO

import pytest
import torch
from interruption import StopAt
from rich.console import Console
from test_training import assert_same, start, uninterrupted

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.records.run_record import RunRecord, read_run, selected
from lstm_lab.report.parts.curves import run_curves
from lstm_lab.report.sections.test_results import evaluation_subsection
from lstm_lab.report.summary import run_summary
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.view.events import EventProgress
from lstm_lab.sweeps.view.progress import SweepProgress
from lstm_lab.training.checkpointing import newest_checkpoint, read_checkpoint
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import train

LAST = {"trainer.select": "last", "trainer.max_epochs": 3}


@pytest.fixture
def worse_by_epoch(monkeypatch):
    """As if the loss of each epoch were 10 above that of the epoch before."""
    validated = Learner._validation_metrics

    def worse(self):
        found = validated(self)
        return {**found, "val/loss": found["val/loss"] + 10.0 * self.current_epoch}

    monkeypatch.setattr(Learner, "_validation_metrics", worse)


def test_the_row_that_counts():
    rows = [{"epoch": i, "m": value} for i, value in enumerate([2.0, 1.0, 1.0, 3.0, float("nan")])]
    assert selected(rows, "m", "min")["epoch"] == 1
    assert selected(rows, "m", "max")["epoch"] == 3
    assert selected(rows, "m", "min", "last")["epoch"] == 3
    assert selected(rows[:1], "m", "min", "last")["epoch"] == 0
    assert selected(rows, "other", "min", "last") is selected([], "m", "min") is selected(rows, None, "min") is None


@pytest.mark.usefixtures("worse_by_epoch")
def test_the_last_epoch_is_recorded_evaluated_and_resumed(tmp_path, vowels):
    experiment = vowels.with_overrides(LAST)
    whole, result = uninterrupted(tmp_path, experiment)
    rows = whole.rows()
    assert selected(rows, "val/loss", "min")["epoch"] == 0
    assert (result.epoch, result.value) == (2, rows[-1]["val/loss"])
    assert whole.status["best"] == {"epoch": 2, "value": result.value}
    record = read_run(whole.path)
    assert (record.value, record.best["epoch"], record.select) == (result.value, 2, "last")
    assert record.best_within(2) == rows[1]["val/loss"]
    last, best = (read_checkpoint(whole.checkpoints / name)["state_dict"] for name in ("last.ckpt", "best.ckpt"))
    assert all(torch.equal(value, best[key]) for key, value in last.items())
    assert evaluate(whole, "validation").model["loss"] == pytest.approx(result.value - 20.0, rel=1e-4)
    run = start(tmp_path / "cut", experiment)
    for looks in (8, 9):
        with pytest.raises(Interrupted):
            train(experiment, run, stop=StopAt(looks))
    # last.ckpt is of the middle of an epoch: the one before it holds the weights of the last whole epoch.
    for names in (["best.ckpt"], ["last.ckpt", "best.ckpt"]):
        for name in names:
            (run.checkpoints / name).unlink()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path, epochs = newest_checkpoint(run)
        assert (path.name, epochs, run.best_checkpoint.samefile(path)) == ("previous.ckpt", 2, True)
    resumed = train(experiment, run)
    assert (resumed.epoch, resumed.value) == (result.epoch, result.value)
    assert_same(run, whole)


def test_best_is_the_default_and_backtracking_needs_it(vowels):
    assert vowels.trainer.select == "best"
    with pytest.raises(ConfigError, match=r"trainer.select=last: schedule 'backtracking' returns to the best epoch"):
        vowels.with_overrides({"trainer.select": "last", "schedule": "backtracking"})
    with pytest.raises(ConfigError, match=r"trainer\.select"):
        vowels.with_overrides({"trainer.select": "first"})


def test_progress_shows_the_value_that_counts():
    view = SweepProgress("m", "min", 2, 9, Console(file=StringIO()), "last")
    best = SweepProgress("m", "min", 2, 9, Console(file=StringIO()))
    for each in (view, best):
        each.start_trial("t0", {}, Repeat(0))
        each.start_trial("t1", {"trainer.select": "best"}, Repeat(0))
        for trial, values in (("t0", (1.0, 3.0)), ("t1", (2.0, 4.0))):
            for epoch, value in enumerate(values):
                each.report_epoch(trial, {"epoch": epoch, "seconds": 1.0, "m": value})
    assert [row.value for row in view.rows.values()] == [3.0, 2.0]
    assert view.best == (2.0, "t1")
    assert best.best == (1.0, "t0")


def test_after_a_kill_a_trial_may_continue_from_another_before_it_is_started_again():
    out = StringIO()
    view = SweepProgress("m", "min", 2, 9, Console(file=out, width=200))
    view.report_exploit({"trial": "t0", "source": "t1", "from_epoch": 3, "overrides": {"optimizer.lr": 0.1},
                         "changes": {"optimizer.lr": {"old": 0.2, "new": 0.1}}})  # fmt: skip
    assert "t0 continues from t1 after epoch 3: lr 0.2 -> 0.1" in out.getvalue()
    view.start_trial("t0", {"optimizer.lr": 0.1}, Repeat(0))
    assert view.rows["t0"].state == "running"


def test_events_name_the_trial_that_is_best_now():
    events = []
    view = EventProgress("m", "max", 2, 9, events.append, "last")
    for trial, values in (("t0", (1.0,)), ("t1", (2.0, 0.5))):
        view.start_trial(trial, {}, Repeat(0))
        for epoch, value in enumerate(values):
            view.report_epoch(trial, {"epoch": epoch, "seconds": 1.0, "m": value})
    assert [(e["trial"], e["value"]) for e in events if e["event"] == "best"] == [("t0", 1.0), ("t1", 2.0), ("t0", 1.0)]


def test_words_of_the_page(tmp_path):
    rows = [{"epoch": i, "val/loss": value, "seconds": 1.0, "lr": 0.1} for i, value in enumerate([1.0, 2.0])]
    record = RunRecord(tmp_path, {"monitor": "val/loss", "mode": "min", "select": "last"}, "finished", None, rows)
    assert "at epoch 1, the last of 2 epochs" in run_summary(record).headline
    marks = [trace for figure in run_curves(record) for trace in json.loads(figure.content)["data"]]
    assert [(mark["x"], mark["y"]) for mark in marks if mark["name"] == "last epoch"] == [([1], [2.0])]
    assert "with the weights of the last epoch (1)" in evaluation_subsection({"epoch": 1}, record.select).text[0]
