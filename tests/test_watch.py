"""A sweep seen from another shell: from its folder alone, while another process writes it."""

from __future__ import annotations

import threading
import time

import pytest
from rich.console import Console

from lstm_lab import config
from lstm_lab.__main__ import app
from lstm_lab.run import Run
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.view.watch import watch


@pytest.fixture
def folder(tmp_path, demand):
    path = tmp_path / "rates.yaml"
    content = {"experiment": demand.dump(), "space": {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}}, "num_samples": 5}
    path.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    return SweepFolder.create(tmp_path / "rates", load_sweep(path))


def trial(folder, values, state=None):
    """A trial with these values of its deciding metric; still running without a state."""
    point = {"optimizer.lr": 0.01}
    run = Run.create(
        folder.run(folder.add_trial(len(folder.trial_rows()), 0, point)).path,
        folder.sweep.experiment_for(point, 0).dump(),
    )
    run.describe(monitor=folder.sweep.base.monitor, mode=folder.sweep.base.mode)
    run.mark("running")
    for epoch, value in enumerate(values):
        run.append({"epoch": epoch, folder.sweep.base.monitor: value, "seconds": 30.0 * (epoch + 1)})
    if state is not None:
        run.mark(state, reason="for a test" if state == "failed" else None)
    return run


def look(folder, **how):
    with (folder.path / "said.txt").open("w") as file:
        last = watch(folder, Console(file=file, width=200), **how)
    return (folder.path / "said.txt").read_text(), last


def test_one_look_counts_what_the_record_holds(folder):
    trial(folder, [0.9, 0.5], "finished")
    trial(folder, [0.8], "stopped")
    trial(folder, [], "failed")
    running = trial(folder, [0.4])
    with folder.lock(), running.lock():
        said, last = look(folder, once=True)
    # Usual: one epoch of the three that ended; 30 s an epoch; one trial is yet to come.
    assert "3/5 trials: 1 running, 1 finished, 1 stopped, 1 failed, 0:30 left, best 0.4 (t0003)" in said
    assert [line.split()[0] for line in said.splitlines()[2:]] == ["t0003", "t0002", "t0001", "t0000"]
    assert last == f"{folder.path}: runs"


def test_a_killed_sweep_is_not_waited_for_and_its_trials_do_not_run(folder):
    trial(folder, [0.9])
    before = sorted(folder.path.rglob("*"))
    said, last = look(folder)
    assert "0/5 trials: 0 running" in said
    assert last.endswith(f"nobody works on it; resume with: lstm-lab resume {folder.path}")
    assert sorted(folder.path.rglob("*")) == sorted([*before, folder.path / "said.txt", *folder.path.rglob("lock")])


def test_what_ends_is_said_once_and_the_end_of_the_sweep_ends_it(folder):
    trial(folder, [0.9], "finished")

    def work():
        with folder.lock():
            begun.set()
            run = trial(folder, [0.7])
            with run.lock():
                time.sleep(0.3)
                run.mark("finished")
            time.sleep(0.3)
            trial(folder, [0.6], "failed")
            (folder.path / "summary.json").write_text("{}")

    begun = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    begun.wait()
    said, last = look(folder, every=0.05)
    worker.join()
    told = [line for line in said.splitlines() if " epochs " in line]
    assert [line.split()[:2] for line in told] == [["t0001", "finished"], ["t0002", "failed"]]
    assert "best 0.7 (t0001)" in told[0]
    assert "for a test" in told[1]
    assert "3/5 trials: 0 running, 2 finished, 0 stopped, 1 failed" in told[1]
    assert last.endswith(f"has ended; its page: {folder.path / 'report.html'}")


def test_the_verb_shows_it_and_refuses_what_is_no_sweep(folder, capsys):
    trial(folder, [0.5], "finished")
    app(["watch", str(folder.path), "--once"], standalone_mode=False)
    assert "1/5 trials" in capsys.readouterr().out
    with pytest.raises(config.ConfigError, match="not a sweep"):
        app(["watch", str(folder.path / "trials")], standalone_mode=False)
