"""The progress of a sweep by its folder, while another process writes it."""

from __future__ import annotations

import threading
import time

import pytest
from rich.console import Console

from lstm_lab import config
from lstm_lab.__main__ import app
from lstm_lab.records.run import Run
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.view.progress import NotebookBar, SweepProgress
from lstm_lab.sweeps.view.watch import watch


@pytest.fixture
def folder(tmp_path, demand):
    path = tmp_path / "rates.yaml"
    content = {"experiment": demand.dump(), "space": {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}}, "num_samples": 5}
    path.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    return SweepFolder.create(tmp_path / "rates", load_sweep(path))


def trial(folder, values, state=None):
    """A trial with these values of the monitored metric; running without a state."""
    overrides = {"optimizer.lr": 0.01}
    run = Run.create(
        folder.run(folder.add_trial(len(folder.trial_rows()), Repeat(0), overrides)).path,
        folder.sweep.experiment_for(overrides, 0).dump(),
    )
    run.describe(monitor=folder.sweep.base.monitor, mode=folder.sweep.base.mode)
    run.mark("running")
    for epoch, value in enumerate(values):
        run.append({"epoch": epoch, folder.sweep.base.monitor: value, "seconds": 30.0 * (epoch + 1)})
    if state is not None:
        run.mark(state, reason="for a test" if state == "failed" else None)
    return run


def watched(folder, **options):
    with (folder.path / "output.txt").open("w") as file:
        last = watch(folder, Console(file=file, width=200), **options)
    return (folder.path / "output.txt").read_text(), last


def test_once_shows_every_state_of_the_record(folder):
    trial(folder, [0.9, 0.5], "finished")
    trial(folder, [0.8], "stopped")
    trial(folder, [], "failed")
    running = trial(folder, [0.4])
    with folder.lock(), running.lock():
        output, last = watched(folder, once=True)
    # One epoch per trial that ended, 30 s per epoch, one trial pending.
    assert "3/5 trials: 1 running, 1 finished, 1 stopped, 1 failed, 0:30 left, best 0.4 (t0003)" in output
    assert [line.split()[0] for line in output.splitlines()[2:]] == ["t0003", "t0002", "t0001", "t0000"]
    assert last == f"{folder.path}: running"


def test_watching_a_killed_sweep_ends_and_no_trial_counts_as_running(folder):
    trial(folder, [0.9])
    before = sorted(folder.path.rglob("*"))
    output, last = watched(folder)
    assert "0/5 trials: 0 running" in output
    assert last.endswith(f"interrupted; resume with: lstm-lab resume {folder.path}")
    assert sorted(folder.path.rglob("*")) == sorted([*before, folder.path / "output.txt", *folder.path.rglob("lock")])


def test_each_trial_that_ends_is_one_line_until_the_sweep_ends(folder):
    trial(folder, [0.9], "finished")

    def work():
        with folder.lock():
            started.set()
            run = trial(folder, [0.7])
            with run.lock():
                time.sleep(0.3)
                run.mark("finished")
            time.sleep(0.3)
            trial(folder, [0.6], "failed")
            (folder.path / "summary.json").write_text("{}")

    started = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    output, last = watched(folder, interval=0.05)
    worker.join()
    lines = [line for line in output.splitlines() if " epochs " in line]
    assert [line.split()[:2] for line in lines] == [["t0001", "finished"], ["t0002", "failed"]]
    assert "best 0.7 (t0001)" in lines[0]
    assert "for a test" in lines[1]
    assert "3/5 trials: 0 running, 2 finished, 0 stopped, 1 failed" in lines[1]
    assert last.endswith(f"finished; report: {folder.path / 'report.html'}")


def test_the_command_watches_a_sweep_and_refuses_other_folders(folder, capsys):
    trial(folder, [0.5], "finished")
    app(["watch", str(folder.path), "--once"], standalone_mode=False)
    assert "1/5 trials" in capsys.readouterr().out
    with pytest.raises(config.ConfigError, match="not a sweep"):
        app(["watch", str(folder.path / "trials")], standalone_mode=False)


def test_a_notebook_shows_one_bar_that_is_replaced(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []

    class Handle:
        def update(self, content, raw):
            shown.append(content["text/plain"])

    def first(content, raw, display_id):
        shown.append(content["text/plain"])
        return Handle()

    monkeypatch.setattr(display, "display", first)
    monkeypatch.setattr(NotebookBar, "INTERVAL", 0.0)
    with SweepProgress("val/loss", "min", 2, 4, Console(force_jupyter=True)) as progress:
        progress.start_trial("t0000", {"optimizer.lr": 0.01}, Repeat(0))
        progress.report_epoch("t0000", {"epoch": 0, "seconds": 1.0, "val/loss": 0.5})
        progress.end_trial("t0000", "finished")
    assert [line[:30].count("█") for line in shown] == [0, 0, 15, 15]
    assert "1/2 trials: 0 running, 1 finished" in shown[-1]
    assert "best 0.5 (t0000)" in shown[-1]
