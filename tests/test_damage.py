"""Damage done to a sweep's folder: what is said, what becomes of it, and that nothing finished is lost.

docs/damage.md is this table; `python tests/test_damage.py` writes it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
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
EPOCHS = 3


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


# --- the table --------------------------------------------------------------------------------------------------------


def cut(path, keep=0.6):
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


def lines(path, change):
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def doubled(folder):
    lines(folder.path / "trials.jsonl", lambda rows: [*rows, rows[0], rows[2]])


def tune_state(folder):
    """What a killed driver of Ray Tune leaves: a scratch folder with its state cut short."""
    scratch = folder.path / "scratch-of-ray" / "tune" / "search"
    scratch.mkdir(parents=True)
    (scratch / "experiment_state-2026.json").write_text('{"trials": [{"conf')
    folder.describe(scratch=str(folder.path / "scratch-of-ray"))


def foreign(folder):
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / "trials" / "old").mkdir()
    (folder.path / "trials" / ".DS_Store").write_bytes(b"\0\1")
    lines(folder.path / "trials.jsonl", lambda rows: [b'{"by": "hand"}\n', b"\xff\xfe\n", *rows])


def no_file(name):
    return lambda folder: (folder.path / name).unlink()


def torn(name, keep=0.6):
    return lambda folder: cut(folder.path / name, keep)


def empty(name):
    return lambda folder: (folder.path / name).write_bytes(b"")


def no_checkpoints(folder):
    for name in ("last", "previous"):
        cut(folder.path / f"trials/t0003/checkpoints/{name}.ckpt", 0.5)


def full(folder):
    folder.run("t0003").mark("failed", reason="OSError: [Errno 28] No space left on device")


def zeroed(name, size=512):
    """A block in the middle of a file that the disk has lost."""

    def do(folder):
        path = folder.path / name
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + size] = bytes(size)
        path.unlink()  # best.ckpt may be last.ckpt under another name.
        path.write_bytes(content)

    return do


def in_place_of(name, make):
    def do(folder):
        path = folder.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return do


def nan(folder):
    path = folder.path / T / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "val/loss": float("nan")}) + "\n" for row in rows))


T = "trials/t0001"
# Damage: what is done, how, what `lstm-lab resume` says, and the trials that are trained again, from which epoch.
DAMAGE = {
    "the row of the last trial is torn (killed while it was written)":
        (lambda f: lines(f.path / "trials.jsonl", lambda rows: [*rows[:-1], rows[-1][:20]]),
         "trials.jsonl: incomplete, doubled or missing rows; 4 trials are known", {}),
    "a row in the middle of trials.jsonl is torn":
        (lambda f: lines(f.path / "trials.jsonl", lambda rows: [rows[0], rows[1][:9] + b"\n", *rows[2:]]),
         "trials.jsonl: incomplete, doubled or missing rows; 4 trials are known", {}),
    "trials.jsonl is gone":
        (no_file("trials.jsonl"), "trials.jsonl: incomplete, doubled or missing rows; 4 trials", {}),
    "rows of trials.jsonl are doubled": (doubled, "trials.jsonl: incomplete, doubled or missing rows; 4 trials", {}),
    "foreign files, and foreign rows in the record":
        (foreign, "trials.jsonl: incomplete, doubled or missing rows; 4 trials", {}),
    "about.json is torn": (torn("about.json"), "about.json: incomplete or missing; written again", {}),
    "sweep.yaml is gone":
        (no_file("sweep.yaml"), "sweep.yaml: incomplete or missing; written again from about.json", {}),
    "sweep.yaml is empty":
        (empty("sweep.yaml"), "sweep.yaml: incomplete or missing; written again from about.json", {}),
    "the state of Ray Tune is torn": (tune_state, "", {}),
    "the resolved experiment of a trial is gone":
        (no_file(f"{T}/experiment.yaml"), f"{T}/experiment.yaml: incomplete or missing; written again", {}),
    "run.json of a finished trial is torn":
        (torn(f"{T}/run.json"), f"{T}/run.json: incomplete or missing; written again, and its training continues",
         {"t0001": EPOCHS}),
    "status.json of a finished trial is empty":
        (empty(f"{T}/status.json"), f"{T}/status.json: incomplete; its training continues", {"t0001": EPOCHS}),
    "rows of a trial's metrics are doubled and foreign":
        (lambda f: lines(f.path / T / "metrics.jsonl", lambda rows: [*rows, rows[1], b'{"epoch": 7}\n', b"{"]),
         f"{T}/metrics.jsonl: incomplete, doubled or foreign rows; 3 epochs are complete", {}),
    "the newest checkpoint of a killed trial is torn":
        (torn("trials/t0003/checkpoints/last.ckpt"), "trials/t0003/checkpoints/last.ckpt: incomplete or not ours",
         {"t0003": 2}),
    "both checkpoints of a killed trial are torn": (no_checkpoints,
         "trials/t0003/checkpoints/previous.ckpt: incomplete or not ours (Bad",
         {"t0003": 0}),
    "the best checkpoint of a finished trial is torn":
        (torn(f"{T}/checkpoints/best.ckpt"), f"{T}/checkpoints/best.ckpt: incomplete or not ours (BadZipFile); it is",
         {"t0001": 0}),
    "a block of the best checkpoint of a finished trial is zero":
        (zeroed(f"{T}/checkpoints/best.ckpt"), f"{T}/checkpoints/best.ckpt: damaged: the checksum of its record",
         {"t0001": 0}),
    "the metrics of a finished trial are gone":
        (no_file(f"{T}/metrics.jsonl"), f"{T}/metrics.jsonl: 3 of 3 epochs are missing; it is trained again",
         {"t0001": 0}),
    "the metrics of a finished trial are empty":
        (empty(f"{T}/metrics.jsonl"), f"{T}/metrics.jsonl: 3 of 3 epochs are missing; it is trained again",
         {"t0001": 0}),
    "the metrics of a finished trial are a folder":
        (in_place_of(f"{T}/metrics.jsonl", Path.mkdir), f"{T}/metrics.jsonl: is no file; renamed to metrics.jsonl.dam",
         {"t0001": 0}),
    "the metrics of a finished trial are NaN": (nan, f"{T}/metrics.jsonl: the best epoch, 2, does not have the value",
         {"t0001": 0}),
    "the metrics of a killed trial are gone": (no_file("trials/t0003/metrics.jsonl"),
         "trials/t0003/metrics.jsonl: lacks 2 of the 2 epochs in",
         {"t0003": 0}),
    "a block of the newest checkpoint of a killed trial is zero":
        (zeroed("trials/t0003/checkpoints/last.ckpt"), "trials/t0003/checkpoints/last.ckpt: damaged: the checksum of",
         {"t0003": 2}),
    "the folder of a finished trial is a file":
        (in_place_of(T, Path.touch), f"{T}: is no folder; renamed to t0001.damaged-1", {"t0001": 0}),
    "the folder of a finished trial is a link to itself":
        (in_place_of(T, lambda path: path.symlink_to(path)), f"{T}: is no folder; renamed to t0001.damaged-1",
         {"t0001": 0}),
    "trials/ is gone":
        (lambda f: shutil.rmtree(f.path / "trials"), "", dict.fromkeys(["t0000", "t0001", "t0002", "t0003"], 0)),
    "trials/ is a file":
        (in_place_of("trials", Path.touch), "trials: is no folder; renamed to trials.damaged-1",
         dict.fromkeys(["t0000", "t0001", "t0002", "t0003"], 0)),
    "the disk was full":
        (full, "trials/t0003/status.json: failed because the disk was full; its training continues", {"t0003": 2}),
}  # fmt: skip

REFUSED = {
    "sweep.yaml asks another question now":
        (lambda f: (f.path / "sweep.yaml").write_text((f.path / "sweep.yaml").read_text().replace("0.03", "0.3")),
         "space was changed since the sweep started, and its trials would not be comparable"),
    "sweep.yaml and about.json are both gone":
        (lambda f: [(f.path / name).unlink() for name in ("sweep.yaml", "about.json")],
         "not a sweep: there is no sweep.yaml in it"),
}  # fmt: skip


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
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
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
