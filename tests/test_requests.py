"""Hands on while it runs: lstm-lab pause, stop and kill, for runs, sweeps and trials."""

from __future__ import annotations

import threading

import pytest
from hung import HUNG
from test_ordered_phase import EPOCHS, SPACE, SWEEPS, Workers, record
from test_sweep_budget import make, phase
from test_sweep_killed import lab, wait_for, write_sweep

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.records import files, requests
from lstm_lab.records.requests import Killed, Request, Requests
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution.callback import SweepStopper
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.record import NEVER_STARTED
from lstm_lab.sweeps.view.requests import ask
from lstm_lab.workflow import create_run, run_experiment

__all__ = ["lab"]
NOW = "2026-11-30T10:00:00+00:00"


def test_a_request_of_before_is_not_obeyed(tmp_path):
    with files.folder_lock(tmp_path, "run"):
        requests.request(tmp_path, "kill")
        seen = Requests(tmp_path)
        assert seen.new() == []
        made = requests.request(tmp_path, "stop", "t0001")
        with (tmp_path / files.REQUESTS).open("a") as file:
            file.write('{"action": "explode", "by": "x", "at": "now"}\n{"action": "st')
        assert seen.new() == [made]
        assert seen.new() == []
    assert made.reason.startswith("stopped by ")
    with pytest.raises(ConfigError, match="no process is working on it: there is nothing to pause"):
        requests.request(tmp_path, "pause")


def test_what_cannot_be_asked_is_refused_in_one_line(tmp_path, demand):
    folder = make(tmp_path, demand)
    search = phase(folder)
    with files.folder_lock(folder.path, "sweep"):
        for path, trial, message in (
            (folder.path, "t0007", "has no trial t0007: trials.jsonl names none yet"),
            (tmp_path / "nothing", None, "neither a run nor a sweep"),
        ):
            with pytest.raises(ConfigError, match=message):
                ask(path, "stop", trial)
        search.add_next()
        with pytest.raises(ConfigError, match="its trials are t0000 to t0000"):
            ask(folder.path, "kill", "t0001")
        with pytest.raises(ConfigError, match="a trial does not pause alone"):
            ask(folder.path, "pause", "t0000")
        # The folder of a trial means that trial of its sweep.
        assert "t0000 asked to stop" in ask(folder.path / "trials/t0000", "stop")
        folder.decide("t0000", "stopped", "for a test")
        with pytest.raises(ConfigError, match="t0000 has ended already: stopped"):
            ask(folder.path, "stop", "t0000")


@pytest.mark.parametrize(
    ("action", "state", "raises"),
    [("stop", "stopped", None), ("pause", "interrupted", Interrupted), ("kill", "failed", Killed)],
)
def test_a_training_obeys(tmp_path, monkeypatch, demand, action, state, raises):
    monkeypatch.setenv("LSTM_LAB_RUNS", str(tmp_path))
    monkeypatch.setattr("lstm_lab.report.write_report", lambda path: path / files.REPORT)
    run, dataset = create_run(demand.with_overrides({"trainer.max_epochs": 500}), stem="demand")
    asked = threading.Event()

    def on_epoch(row):
        if not asked.is_set():
            asked.set()
            requests.request(run.path, action)

    def train():
        return run_experiment(demand.with_overrides({"trainer.max_epochs": 500}), run, dataset=dataset,
                              on_epoch=on_epoch)  # fmt: skip

    if raises:
        with pytest.raises(raises, match=f"{requests.PAST[action]} by "):
            train()
    else:
        assert train().result.state == "stopped"
        assert run.about["validation"]["scores"]
    assert run.status["state"] == state
    if action != "pause":
        assert run.status["reason"].startswith(f"{requests.PAST[action]} by ")
    assert 0 < len(run.rows()) < 500


class ByHand(Workers):
    """Somebody stops t0000 after its second epoch."""

    def act(self, trial, epochs):
        if trial == "t0000" and epochs == 2 and not self.phase.ends:
            assert not self.phase.end_trial(trial, Request("stop", "ada@lab", NOW, trial))
            # Its thread has trained ahead of what it has reported.
            self.folder.run(trial).append({**self.rows(trial)[-1], "epoch": 2, self.metric: 0.0})
            self.folder.decide(trial, *self.phase.end_of(trial), self.phase.reported_epochs(trial))
            return self.ended(trial)
        return super().act(trial, epochs)


@pytest.mark.parametrize("name", ["asha", pytest.param("tpe", marks=pytest.mark.slow)])
def test_a_trial_that_was_stopped_by_hand_counts_as_far_as_it_was_known(tmp_path, demand, name):
    experiment = demand.with_overrides({"trainer.max_epochs": EPOCHS})
    more = {"space": SPACE, **SWEEPS[name]}
    whole = record(ByHand(make(tmp_path, experiment, "whole", **more), 1, 0, 0).run())
    assert ("t0000", "stopped", 3, f"stopped by ada@lab at {NOW}") in whole[1]
    assert record(ByHand(make(tmp_path, experiment, "on-3", **more), 3, 0, 3).run()) == whole


def test_a_trial_that_waits_is_ended_at_once_and_a_stopped_sweep_confirms_nothing(tmp_path, demand):
    folder = make(tmp_path, demand, confirm={"top": 1, "seeds": [7, 8]}, order="arrival")
    search = phase(folder)
    search.add_next()
    assert search.end_trial("t0000", Request("kill", "ada@lab", NOW, "t0000"))
    trial = folder.trial("t0000")
    assert (trial.state, trial.reason) == ("failed", f"killed by ada@lab at {NOW}; {NEVER_STARTED}")
    search.add_next()
    search.end_sweep(Request("stop", "ada@lab", NOW))
    assert search.is_exhausted()
    assert search.suggest("tune") == "FINISHED"
    assert search.conclude() == f"stopped by ada@lab at {NOW}"
    assert folder.about["stopped"] == {"action": "stop", "by": "ada@lab", "at": NOW}
    assert {trial.state for trial in folder.trials()} == {"failed", "stopped"}


def test_by_arrival_a_trial_is_stopped_at_its_next_report(tmp_path, demand):
    search = phase(make(tmp_path, demand, order="arrival"))
    for tune_id in ("a", "b"):
        assert search.suggest(tune_id)
    assert not search.end_trial("t0000", Request("stop", "ada@lab", NOW, "t0000"))
    stopper = SweepStopper(search)
    reports = [{"epoch": 0, "config": {"trial": trial}} for trial in ("t0000", "t0001")]  # Nested, as Tune has them.
    assert [stopper("tune", report) for report in reports] == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["virtual", "arrival"])
def test_hands_on_while_it_runs(lab, tmp_path, vowels, order):
    experiment = vowels.with_overrides({"trainer.max_epochs": 100_000, "trainer.patience": None})
    path = write_sweep(
        tmp_path / "s.yaml", experiment, space={"optimizer.lr": {"loguniform": [1e-3, 3e-2]}}, num_samples=3,
        order=order,
    )  # fmt: skip
    folder = SweepFolder(tmp_path / "runs/s")
    process = lab("sweep", path, "--name", "s", "resources.cpus=0.5")

    def trains(*trials):
        return lambda: process.poll() is not None or all(folder.run(trial).rows() for trial in trials)

    wait_for(trains("t0000", "t0001", "t0002"))
    out, err = lab("stop", folder.path, "t0001").communicate(timeout=HUNG)
    assert not err, err
    assert "t0001 asked to stop" in out
    assert "t0002 asked to kill" in ask(folder.path / "trials/t0002", "kill")
    wait_for(lambda: process.poll() is not None or len(folder.events()) == 2)
    assert "asked to pause" in ask(folder.path, "pause")
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 130
    assert "paused by " in err
    states = {trial.id: trial.state for trial in folder.trials()}
    assert states == {"t0000": "interrupted", "t0001": "stopped", "t0002": "failed"}
    process = lab("resume", folder.path)
    before = len(folder.run("t0000").rows())
    wait_for(lambda: process.poll() is not None or len(folder.run("t0000").rows()) > before)
    ask(folder.path, "stop")
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 4, err  # One trial was killed.
    assert "the search has ended: stopped by " in out
    assert {trial.state for trial in folder.trials()} == {"stopped", "failed"}
    assert Run(folder.path / "trials/t0001").status["reason"].startswith("stopped by ")
