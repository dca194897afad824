"""Damage done to a sweep's folder: what is said, what becomes of it, and that nothing finished is lost.

docs/damage.md is this table; `python tests/test_damage.py` writes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from damages import DAMAGE, EPOCHS, REFUSED
from hung import HUNG
from sweeping import run_trials, write

from lstm_lab.config import ConfigError
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.report import write_report
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.store import retention, summary
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.repair import repair
from lstm_lab.training.train import train

DOCS = Path(__file__).parent.parent / "docs" / "damage.md"


class Killed(Exception):
    pass


def kill(row):
    if row["epoch"] == 1:
        raise Killed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep of four trials; three are finished, the last was killed after two of its three epochs."""
    base = tmp_path_factory.mktemp("damage")
    experiment = Experiment.of(
        {
            "data": {"name": "japanese_vowels", "batch_size": 64},
            "task": {"name": "classify", "monitor": "loss"},
            "model": {"hidden_size": 4, "pooling": "mean"},
            "trainer": {"max_epochs": EPOCHS, "patience": None},
        }
    )
    folder = write(base / "rates.yaml", experiment)
    run_trials(folder, limit=3)
    asked = SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0)
    spec = asked.suggest("last")
    run = Run.create(folder.run(spec["trial"]).path, json.loads(spec["experiment_json"]), command="", job_type="trial")
    with pytest.raises(Killed):
        train(Experiment.of(run.experiment), run, on_epoch=kill)
    run.mark("running")  # killed: nobody wrote how it ended
    (folder.path / "lock").touch()
    return folder


@pytest.fixture(scope="module")
def undisturbed(whole, tmp_path_factory):
    folder = copy(whole, tmp_path_factory.mktemp("undisturbed"))
    run_trials(folder)
    return {trial.id: [row["val/loss"] for row in folder.run(trial.id).rows()] for trial in folder.trials()}


def copy(folder, to):
    shutil.copytree(folder.path, to / folder.name)
    return SweepFolder(to / folder.name)


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_sweep_goes_on_and_loses_nothing_that_was_finished(what, whole, undisturbed, tmp_path):
    do, says, again = DAMAGE[what]
    folder = copy(whole, tmp_path)
    do(folder)
    said = repair(folder.path)
    assert [line for line in said if line.startswith(says)] if says else not said, said
    assert repair(folder.path) == [], "mended is mended"
    folder = SweepFolder.open(folder.path)
    trained = dict(run_trials(folder))
    assert trained == {"t0003": 2, **again}, "trained from the beginning, or on"
    trials = folder.trials()
    assert {trial.id: trial.state for trial in trials} == dict.fromkeys(undisturbed, "finished")
    for trial in trials:
        rows = folder.run(trial.id).rows()
        assert [row["epoch"] for row in rows] == list(range(EPOCHS))
        assert [row["val/loss"] for row in rows] == undisturbed[trial.id]
    content = summary.write(folder, "disabled")
    best = min(undisturbed, key=lambda trial: min(undisturbed[trial]))
    assert content["winner"]["trial"] == best
    assert content["trials"] == {"total": 4, "finished": 4, "stopped": 0, "failed": 0}


IMPOSSIBLE = {"about.json is torn", "sweep.yaml is gone", "sweep.yaml is empty"}
"""Of these, no two at once: nothing would say any more what was asked."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_two_damages_at_once_lose_nothing_either(seed, whole, undisturbed, tmp_path):
    rng = random.Random(seed)
    folder = copy(whole, tmp_path)
    done: list[str] = []
    while len(done) < 2:
        what = rng.choice(sorted(DAMAGE))
        if what not in done and not (IMPOSSIBLE.issuperset(done) and done and what in IMPOSSIBLE):
            # What the first has taken away, the second cannot damage.
            with contextlib.suppress(OSError, IndexError):
                DAMAGE[what][0](folder)
                done.append(what)
    repair(folder.path)
    assert repair(folder.path) == [], f"mended is mended: {done}"
    folder = SweepFolder.open(folder.path)
    run_trials(folder)
    trials = sorted(folder.trials(), key=lambda trial: trial.configuration)
    assert [trial.state for trial in trials] == ["finished"] * 4, done
    found = [[row["val/loss"] for row in folder.run(trial.id).rows()] for trial in trials]
    assert found == list(undisturbed.values()), done


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_mended_is_refused_and_left_as_it_is(what, whole, tmp_path):
    do, says = REFUSED[what]
    folder = copy(whole, tmp_path)
    do(folder)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        repair(folder.path) or SweepFolder.open(folder.path)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_a_report_names_the_trials_whose_records_are_damaged(whole, tmp_path):
    folder = copy(whole, tmp_path)
    assert "Damaged" not in write_report(folder.path, "markdown").read_text()
    (folder.run("t0001").path / "metrics.jsonl").unlink()
    text = write_report(folder.path, "markdown").read_text()
    assert "Damaged records of 1 trial: t0001 (metrics.jsonl: 3 of 3 epochs are missing); to train what is" in text


def test_a_stopped_trial_whose_record_is_lost_is_trained_again_once(whole, tmp_path):
    folder = copy(whole, tmp_path)
    folder.decide("t0001", "stopped", "asha: worse than the others")
    folder.run("t0001").mark("stopped", reason="asha: worse than the others", epochs=3, best=None)
    shutil.rmtree(folder.run("t0001").path)
    assert repair(folder.path) == ["trials/t0001: its record is gone; it is trained again"]
    assert repair(folder.path) == []
    assert folder.trial("t0001").state == "pending"
    run_trials(SweepFolder(folder.path))
    assert {trial.state for trial in folder.trials()} == {"finished"}


def test_how_long_a_sweep_goes_on_may_be_edited(whole, tmp_path):
    folder = copy(whole, tmp_path)
    path = folder.path / "sweep.yaml"
    path.write_text(path.read_text().replace("num_samples: 4", "num_samples: 5"))
    assert repair(folder.path) == ["sweep.yaml: num_samples was changed"]
    assert repair(folder.path) == []
    assert [trial for trial, _ in run_trials(SweepFolder.open(folder.path))] == ["t0003", "t0004"]


def test_two_drivers_on_one_folder_are_refused(whole, tmp_path):
    folder = copy(whole, tmp_path)
    with folder.lock(), pytest.raises(ConfigError, match="another process is working on this sweep"):
        repair(folder.path)


@pytest.mark.slow
def test_a_read_only_folder_is_refused_in_a_line(whole, tmp_path):
    folder = copy(whole, tmp_path)
    script = f"from lstm_lab.__main__ import main; import sys; sys.argv = ['lstm-lab', 'resume', {str(folder.path)!r}]"
    words = [sys.executable, "-c", f"{script}; main()"]
    if os.geteuid() == 0:
        # Root may write anywhere, unless it gives that up.
        if shutil.which("setpriv") is None:
            pytest.skip("runs as root, and there is no setpriv to give up its rights")
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    for path in (folder.path, folder.path / "lock"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=HUNG)
    finally:
        folder.path.chmod(0o755)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "cannot be written: Permission denied" in done.stderr


def test_a_disk_without_room_fails_a_trial_for_a_reason_that_resume_knows(whole, undisturbed, tmp_path):
    """No file may grow beyond 4 kB: the record can be written, a checkpoint cannot."""
    folder = copy(whole, tmp_path)
    run = folder.run("t0003")
    data = Experiment.of(run.experiment).data.build()
    _ = data.info  # read while there is room to keep them
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            train(Experiment.of(run.experiment), run, dataset=data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert retention.is_full(run.status["reason"]), run.status
    assert repair(folder.path) == ["trials/t0003/status.json: failed because the disk was full; its training continues"]
    run_trials(SweepFolder(folder.path))
    assert [row["val/loss"] for row in run.rows()] == undisturbed["t0003"]


def test_the_table_in_the_docs_is_this_one():
    assert DOCS.read_text() == page(), "write it again: python tests/test_damage.py"


def page():
    rows = [
        "# A damaged sweep",
        "",
        "What `lstm-lab resume` says of a sweep folder to which something was done, and what becomes of it. Each row",
        "is a case of `tests/test_damage.py`: in all that go on, every trial ends with the rows and values that it",
        "would have had without the damage, each row once, and the winner is the same.",
        "",
        "| what was done | what is said | what is trained again |",
        "|---|---|---|",
    ]
    for what, (_, says, again) in DAMAGE.items():
        redone = ", ".join(
            f"{trial} from the beginning" if epochs == 0
            else f"{trial}: nothing, it is only written down again" if epochs == EPOCHS
            else "only what was not finished"
            for trial, epochs in again.items()
        ) or "nothing"  # fmt: skip
        rows.append(f"| {what} | {f'`{says}`' if says else 'nothing; it is taken as it is'} | {redone} |")
    for what, (_, says) in REFUSED.items():
        rows.append(f"| {what} | refused: `{says}` | nothing; the folder is left as it is |")
    rows += [
        "| another process works on the folder | refused: `another process is working on this sweep` | nothing |",
        "| the folder is read-only | refused: `cannot be written: Permission denied` | nothing |",
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    DOCS.write_text(page())
