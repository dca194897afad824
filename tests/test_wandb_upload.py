"""What reaches the server later: `sync`, killed runs, and a server or a disk that fails; no row is lost."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hung import HUNG
from wandb_runs import MAX_SECONDS, record, row, same, timed
from wandb_stub import KEY

from lstm_lab import tracking
from lstm_lab.config import ConfigError
from lstm_lab.tracking import client, upload

pytestmark = pytest.mark.usefixtures("no_client_is_left")


# --- sync -------------------------------------------------------------------------------------------------------------


def test_sync_uploads_each_run_once(stub, tmp_path, runs):
    one, two = record(runs / "one"), record(runs / "cells" / "trials" / "t0", state="failed", epochs=2)
    (runs / "cells" / "sweep.yaml").write_text("title: which?\n")
    assert [each.outcome for each in upload.sync()] == ["uploaded", "uploaded"]
    assert [each.outcome for each in upload.sync()] == ["unchanged", "unchanged"]
    for run, code in ((one, 0), (two, 1)):
        copy = stub.runs[run.about["wandb"]["id"]]
        assert same(copy, run)
        assert copy.exit_code == code
    one.append(row(5))
    assert [each.outcome for each in upload.sync([runs / "one", runs / "cells"])] == ["uploaded", "unchanged"]
    assert same(stub.runs[one.about["wandb"]["id"]], one)
    # Without the folder's note about the upload there is no second run either.
    one.describe(wandb={"id": one.about["wandb"]["id"]})
    assert [each.outcome for each in upload.sync()] == ["unchanged", "uploaded"]
    assert len(stub.runs) == 2


def test_sync_gives_the_reason_why_it_does_not_upload(stub, tmp_path, runs, monkeypatch):
    run = record(runs / "one")
    with pytest.raises(ConfigError, match=r"neither a run nor a sweep: .*; did you mean"):
        list(upload.sync([runs / "ona"]))
    stub.key = "8" * 40
    with pytest.raises(upload.Unreachable, match="refuses the key; nothing was uploaded, and nothing is lost"):
        list(upload.sync())
    assert "wandb" not in run.about
    stub.key = KEY
    run.mark("running")
    with run.lock():
        assert [each.outcome for each in upload.sync()] == ["training"]
    assert [each.outcome for each in upload.sync()] == ["uploaded"]
    assert stub.runs[run.about["wandb"]["id"]].summary["state"] == "interrupted"


@pytest.mark.slow
def test_a_server_that_stops_answering_ends_the_sync(stub, runs, monkeypatch):
    monkeypatch.setattr(client, "REPLY_TIMEOUT", 0.5)
    monkeypatch.setattr(upload, "NUM_PARALLEL", 1)
    found = [record(runs / f"r{number}") for number in range(3)]
    sending = upload.sync()
    assert next(sending).outcome == "uploaded"
    stub.hang.set()
    started_at = time.monotonic()
    assert {each.outcome for each in sending} <= {"uploaded", "failed", "skipped"}
    assert time.monotonic() - started_at < MAX_SECONDS
    stub.hang.clear()
    assert "failed" not in {each.outcome for each in upload.sync()}
    for run in found:
        assert same(stub.runs[run.about["wandb"]["id"]], run)


TRAINING = """
import sys, time
from pathlib import Path
from lstm_lab.records.run import Run
from lstm_lab.tracking import Tracker

run, epochs = Run(sys.argv[1]), int(sys.argv[2])
begin = len(run.rows())
run.truncate(max(begin - 1, 0))
run.mark("running")
with run.lock():
    tracker = Tracker(run, mode="offline", group="killed")
    for epoch in range(max(begin - 1, 0), epochs):
        row = {"epoch": epoch, "val/loss": 1.0 + epoch / 7, "seconds": epoch / 2}
        run.append(row)
        tracker.log(row)
        time.sleep(0.06)
    run.mark("finished")
    tracker.finish("finished")
"""


def killed_and_synced(stub, runs, many, seed):
    """Runs logged by processes that are killed at random, some of them restarted, then uploaded."""
    random_ = random.Random(seed)
    found = [record(runs / f"r{number:02}", 0, "running", group="killed") for number in range(many)]
    left = dict.fromkeys(range(many), 2)
    while left:
        now = random_.sample(sorted(left), min(3, len(left)))
        started = {
            number: subprocess.Popen([sys.executable, "-c", TRAINING, str(found[number].path), "25"]) for number in now
        }
        end = time.monotonic() + HUNG
        while not all(len(found[number].rows()) > 3 or started[number].poll() is not None for number in now):
            assert time.monotonic() < end
            time.sleep(0.02)
        for number, process in started.items():
            if random_.random() < 0.7:
                time.sleep(random_.uniform(0, 0.5))
                process.send_signal(signal.SIGKILL)
            process.wait(timeout=HUNG)
            left[number] -= 1
            if not left[number] or process.returncode == 0:
                del left[number]
    states = {run.status["state"] for run in found}
    assert states == {"finished", "interrupted"}
    assert {each.outcome for each in upload.sync()} == {"uploaded"}
    assert len(stub.runs) == many
    for run in found:
        assert [row["epoch"] for row in run.rows()] == list(range(len(run.rows())))
        assert same(stub.runs[run.about["wandb"]["id"]], run)


@pytest.mark.slow
def test_fifty_runs_with_random_kills_are_on_the_server_as_in_the_record(stub, runs):
    killed_and_synced(stub, runs, 50, seed=1)


@pytest.mark.slow
def test_runs_with_random_kills_are_on_the_server_as_in_the_record(stub, runs):
    killed_and_synced(stub, runs, 3, seed=0)


# --- when W&B fails ---------------------------------------------------------------------------------------------------


def fault_hangs(stub, monkeypatch):
    stub.hang.set()


def fault_down(stub, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")


def fault_key(stub, monkeypatch):
    stub.key = "7" * 40


@pytest.mark.parametrize("fault", [fault_hangs, fault_down, fault_key], ids=lambda fault: fault.__name__)
def test_a_server_that_fails_costs_no_row_and_is_not_waited_for(fault, stub, tmp_path, monkeypatch):
    run = record(tmp_path / "runs" / "run", 0, "running")
    with monkeypatch.context() as broken:
        fault(stub, broken)
        seconds, warned = timed(run, "online")
    assert seconds < MAX_SECONDS
    (line,) = warned
    assert "the record is kept all the same, and lstm-lab sync" in line
    assert [each["epoch"] for each in run.rows()] == list(range(40))
    assert not tracking.is_complete(run)
    stub.hang.clear()
    stub.key = KEY
    assert [each.outcome for each in upload.sync()] == ["uploaded"]
    assert same(stub.runs[run.about["wandb"]["id"]], run)


@pytest.mark.slow
def test_a_server_that_hangs_in_the_middle_loses_nothing(stub, tmp_path):
    run = record(tmp_path / "runs" / "run", 0, "running")
    tracker = tracking.Tracker(run, mode="online")
    run.append(row(0))
    tracker.log(row(0))
    end = time.monotonic() + HUNG
    while not stub.runs and time.monotonic() < end:
        time.sleep(0.02)
    stub.hang.set()
    run.append(row(1))
    tracker.log(row(1))
    started_at = time.monotonic()
    run.mark("finished")
    with pytest.warns(UserWarning, match="does not respond"):
        tracker.finish("finished")
    assert time.monotonic() - started_at < MAX_SECONDS
    # At the end of a sweep it is asked once, not once a trial.
    started_at = time.monotonic()
    tracking.complete_all([run], mode="online")
    assert time.monotonic() - started_at < 3 + MAX_SECONDS
    assert run.about["wandb"]["mode"] == "offline"
    assert tracking.is_complete(run)
    stub.hang.clear()
    assert [each.outcome for each in upload.sync()] == ["uploaded"]
    assert same(stub.runs[run.about["wandb"]["id"]], run)


FULL = """
import json, os, subprocess, sys, time, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[2])
base = Path(sys.argv[1])
run_folder = base / "runs" / "run"
from wandb_runs import record, timed
run = record(run_folder, 0, "running")
(run_folder / "wandb").mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(run_folder / "wandb")], check=True)
(run_folder / "wandb" / "full").write_bytes(b"0" * 65536)
import shutil
shutil.rmtree = lambda *a, **k: None  # It is a mount: what an earlier process left there cannot go.
seconds, warned = timed(run, "offline")
print(json.dumps({"seconds": seconds, "warned": warned, "rows": len(run.rows()), "about": run.about["wandb"]}))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs a mount namespace of its own, for a file system that is full",
)
def test_a_full_disk_below_wandb_costs_no_row_and_is_not_waited_for(tmp_path):
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", FULL, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=HUNG, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rows"] == 40
    assert result["seconds"] < MAX_SECONDS
    assert result["about"]["ended"] is False
    assert len(result["warned"]) == 1


def test_the_writer_ends_the_wandb_run_of_a_killed_training(stub, runs):
    run = record(runs / "run", 0, "running")
    script = TRAINING.replace('mode="offline"', 'mode="online"').replace("sleep(0.06)", "sleep(0.2)")
    process = subprocess.Popen([sys.executable, "-c", script, str(run.path), "200"])
    end = time.monotonic() + HUNG
    while len(run.rows()) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.wait()
    while not any(copy.ended for copy in stub.runs.values()) and time.monotonic() < end:
        time.sleep(0.05)
    (copy,) = stub.runs.values()
    assert copy.exit_code == 1
    assert copy.summary["state"] == "interrupted"
    assert copy.rows
    assert copy.rows == run.rows()[: len(copy.rows)]
