"""W&B is a view: the server's copy equals the record, whatever was killed; a failure of W&B costs no row."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from wandb_stub import KEY, Stub

from lstm_lab import tracking
from lstm_lab.config import ConfigError
from lstm_lab.examples.collect import examples_of
from lstm_lab.records.files import append_jsonl
from lstm_lab.records.run import Run
from lstm_lab.tracking import client, tracker, upload
from lstm_lab.tracking.server import find_server
from lstm_lab.tracking.terminal import link_runs
from lstm_lab.tracking.tracker import hyperparameter_history, wandb_id
from lstm_lab.training.train import train
from lstm_lab.workflow import create_run

MAX_SECONDS = 60.0
"""That W&B may cost a training that ends: more than a busy machine needs, less than W&B by itself would wait."""


@pytest.fixture
def stub(monkeypatch):
    with Stub() as found:
        monkeypatch.setenv("WANDB_BASE_URL", found.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield found
        assert found.unknown == []


@pytest.fixture(autouse=True)
def no_client_is_left():
    yield
    client.close_idle_clients()


def record(path, epochs=5, state="finished", **about):
    """A run folder as training leaves it, without training."""
    experiment = {"data": {"name": "vowels"}, "optimizer": {"name": "adam", "lr": 0.01}}
    run = Run.create(path, experiment, command="", job_type="train", **about)
    info = {"digest": "abc123", "info": {}, "notes": []}
    run.describe(monitor="val/loss", mode="min", parameters=12, data=info, group=about.get("group"))
    for epoch in range(epochs):
        run.append(row(epoch))
    run.mark(state, best={"epoch": 0, "value": 1.0})
    return run


def row(epoch):
    return {"epoch": epoch, "step": 4 * epoch, "val/loss": 1.0 + epoch / 7, "lr": 0.01, "seconds": epoch / 2}


def same(copy, run):
    """Whether the server's copy equals the record, row by row."""
    assert copy.rows == run.rows()
    assert copy.ended
    return True


# --- which mode -------------------------------------------------------------------------------------------------------


def test_auto_is_online_only_if_the_server_accepts_the_key(stub, monkeypatch):
    assert tracking.resolve_mode("auto") == ("online", "logged in at 127.0.0.1")
    monkeypatch.setenv("WANDB_API_KEY", "9" * 40)
    assert tracking.resolve_mode("auto") == ("offline", "127.0.0.1 refuses the key")
    assert tracking.resolve_mode("online") == ("offline", "127.0.0.1 refuses the key; upload later with lstm-lab sync")


def test_without_an_account_nothing_is_sent(monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", os.devnull)
    assert tracking.resolve_mode("auto") == ("offline", "no W&B account is logged in")


def test_a_server_that_is_down_or_hangs_is_not_waited_for(stub, monkeypatch):
    stub.hang.set()
    started_at = time.monotonic()
    assert tracking.resolve_mode("auto") == ("offline", "127.0.0.1 does not answer")
    assert time.monotonic() - started_at < MAX_SECONDS
    stub.hang.clear()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    assert tracking.resolve_mode("auto") == ("offline", "127.0.0.1 does not answer")


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_a_requested_mode_is_used_without_a_request_to_the_server(mode, monkeypatch):
    monkeypatch.setattr(find_server.__module__ + ".find_server", lambda: pytest.fail("asked"), raising=False)
    assert tracking.resolve_mode(mode) == (mode, "as requested")
    monkeypatch.setenv("WANDB_MODE", "dryrun" if mode == "offline" else mode)
    assert tracking.resolve_mode("auto") == (mode, "set by the environment")


# --- what W&B gets ----------------------------------------------------------------------------------------------------


def test_a_run_online_equals_the_record(stub, tmp_path, vowels):
    run = Run.create(tmp_path / "run", vowels.dump(), command="", job_type="trial", tags=["a", "b"])
    train(vowels, run, wandb="online", group="cells")
    (copy,) = stub.runs.values()
    assert same(copy, run)
    assert copy.id == run.about["wandb"]["id"]
    assert (copy.group, copy.job_type, copy.tags, copy.exit_code) == ("cells", "trial", ["a", "b"], 0)
    # Nested: a flattened key leaves a report's panel empty.
    assert copy.config["optimizer"]["value"]["lr"] == vowels.dump()["optimizer"]["lr"]
    assert copy.config["data_digest"]["value"] == run.about["data"]["digest"]
    values = [row["val/loss"] for row in run.rows()]
    assert copy.summary["val/loss"] == {"min": min(values)}
    assert copy.summary["state"] == "finished"
    assert copy.summary["best"] == min(values)
    assert copy.used == ["data-japanese_vowels"]
    assert stub.artifacts.popitem()[1]["metadata"]["digest"] == run.about["data"]["digest"]
    assert tracking.is_complete(run)


def test_tags_are_those_of_the_experiment_whoever_writes_the_run(stub, runs, vowels):
    """Commands and notebooks make a run by `create_run`; afterwards only its folder knows the tags."""
    experiment = vowels.with_overrides({"trainer.max_epochs": 1})
    run, dataset = create_run(experiment, stem="run")
    train(experiment, run, dataset=dataset, wandb="online")
    (copy,) = stub.runs.values()
    assert copy.tags == ["classify", "japanese_vowels", "sequence", "lstm"] == list(experiment.tags)
    assert copy.job_type == "train"
    stub.runs.clear()
    run.append({**run.rows()[-1], "epoch": 1})
    assert [each.outcome for each in upload.sync()] == ["uploaded"]
    (copy,) = stub.runs.values()
    assert copy.tags == list(experiment.tags)
    tracking.publish_best([run], mode="online")
    assert copy.tags == list(experiment.tags)


def test_a_run_without_tags_has_none(stub, runs):
    run = record(runs / "old")
    assert "tags" not in run.about
    assert [each.outcome for each in upload.sync()] == ["uploaded"]
    (copy,) = stub.runs.values()
    assert not copy.tags


@pytest.mark.slow
def test_ids_are_stable_and_unique(tmp_path):
    one, two = record(tmp_path / "a" / "run"), record(tmp_path / "b" / "run")
    for run in (one, two):
        tracking.rewrite(run, mode="offline")
    assert one.about["wandb"]["id"] != two.about["wandb"]["id"]
    before = one.about["wandb"]["id"]
    tracking.rewrite(one, mode="offline")
    assert one.about["wandb"]["id"] == before


def test_a_run_that_wandbs_own_agent_starts_has_its_id(tmp_path, monkeypatch):
    run = record(tmp_path / "run")
    monkeypatch.setenv("WANDB_RUN_ID", "asked")
    assert wandb_id(run, None).endswith("-run")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    assert wandb_id(run, None) == "asked"


def test_folder_and_tags_of_the_environment_are_heeded(tmp_path, monkeypatch):
    sent = {}

    class Client:
        def send(self, command, **arguments):
            sent.setdefault(command, arguments)

    monkeypatch.setattr(tracker, "acquire_client", Client)
    monkeypatch.setenv("WANDB_TAGS", "night, gpu")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "scratch"))
    monkeypatch.setenv("WANDB_PROJECT", "load")
    run = record(tmp_path / "run", tags=["ours"])
    found = tracking.Tracker(run, mode="offline")
    assert sent["start"]["tags"] == ["ours", "night", "gpu"]
    assert sent["start"]["project"] == "load"
    assert sent["start"]["group"] is None, "W&B reads WANDB_RUN_GROUP itself"
    folder = Path(sent["start"]["folder"])
    assert folder == tmp_path / "scratch" / f"run-{found.id}"
    assert not tracking.has_files(run)
    (folder / "wandb" / "offline-run-1").mkdir(parents=True)
    assert tracking.has_files(run)
    monkeypatch.delenv("WANDB_DIR")
    assert not tracking.has_files(run)


def test_a_resumed_run_is_one_history(stub, tmp_path):
    run = record(tmp_path / "run", 0, "running")
    first = tracking.Tracker(run, mode="online")
    for epoch in range(3):
        run.append(row(epoch))
        first.log(row(epoch))
    first.finish("interrupted")
    assert stub.runs[first.id].exit_code == 1
    run.truncate(2)  # The checkpoint was one epoch behind.
    second = tracking.Tracker(run, mode="online")
    for epoch in range(2, 5):
        run.append(row(epoch))
        second.log(row(epoch))
    second.finish("finished")
    assert second.id == first.id
    assert [row["epoch"] for row in stub.runs[first.id].rows] == [0, 1, 2, 3, 4]
    assert same(stub.runs[first.id], run)


def test_the_hyperparameters_of_an_exploit_are_those_of_its_weights(tmp_path):
    for trial, rows in {
        "t0": [],
        "t1": [{"source": "t0", "from_epoch": 2, "at": "2026-01-01T00:00:02", "overrides": {"lr": 2.0},
                "changes": {"lr": {"old": 9.0, "source": 1.0, "new": 2.0}}}],
        "t2": [{"source": "t1", "from_epoch": 4, "at": "2026-01-01T00:00:04", "overrides": {"lr": 3.0},
                "changes": {"lr": {"old": 8.0, "source": 2.0, "new": 3.0}}}],
    }.items():  # fmt: skip
        (tmp_path / trial).mkdir()
        for each in rows:
            append_jsonl(tmp_path / trial / "lineage.jsonl", each)
    assert hyperparameter_history(Run(tmp_path / "t0")) == []
    # Its first two epochs are t0's, the next two t1's.
    assert hyperparameter_history(Run(tmp_path / "t2")) == [(0, {"lr": 1.0}), (2, {"lr": 2.0}), (4, {"lr": 3.0})]
    # What t1 became after it was copied does not matter to the copy.
    append_jsonl(tmp_path / "t1" / "lineage.jsonl", {
        "source": "t0", "from_epoch": 6, "at": "2026-01-01T00:00:06", "overrides": {"lr": 7.0},
        "changes": {"lr": {"old": 2.0, "source": 1.0, "new": 7.0}},
    })  # fmt: skip
    assert hyperparameter_history(Run(tmp_path / "t2")) == [(0, {"lr": 1.0}), (2, {"lr": 2.0}), (4, {"lr": 3.0})]


@pytest.mark.parametrize(
    ("kind", "charts"),
    [
        ("vowels", {"confusion_table", "precision_recall_table", "calibration_table", "worst"}),
        ("demand", {"error_by_step_table", "forecast_worst_table", "forecasts"}),
        ("reber", {"largest_losses", "loss_by_position_table", "continuations"}),
    ],
)
def test_the_best_run_has_charts_and_its_model(kind, charts, stub, runs, readable, request):
    experiment = request.getfixturevalue(kind).with_overrides({"trainer.max_epochs": 1})
    readable(experiment.data.build())
    run = Run.create(runs / "run", experiment.dump(), command="", job_type="train")
    train(experiment, run)
    assert examples_of(run)
    tracking.publish_best([run], mode="offline")
    assert tracking.is_complete(run)
    assert [each.outcome for each in upload.sync()] == ["uploaded"]
    (copy,) = stub.runs.values()
    assert [{key: row[key] for key in row if not key.startswith("examples/")} for row in copy.rows] == run.rows()
    shown = {key.removeprefix("examples/") for key in copy.rows[-1] if key.startswith("examples/")}
    assert charts <= shown
    assert {
        name.split("/")[-1].split(".")[0].rsplit("_", 2)[0] for name in copy.files if "media/table" in name
    } >= charts
    assert copy.logged[-1] == f"model-{copy.id}"
    assert copy.used == [f"data-{experiment.data.name}"]
    model = next(kept for kept in stub.artifacts.values() if kept["type"] == "model")
    assert set(model["files"]) == {"best.ckpt", "experiment.yaml"}
    assert model["metadata"]["data_digest"] == run.about["data"]["digest"]
    assert model["metadata"]["value"] == min(row[experiment.monitor] for row in run.rows())
    assert copy.summary["rank"] == 1


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
        end = time.monotonic() + 60
        while not all(len(found[number].rows()) > 3 or started[number].poll() is not None for number in now):
            assert time.monotonic() < end
            time.sleep(0.02)
        for number, process in started.items():
            if random_.random() < 0.7:
                time.sleep(random_.uniform(0, 0.5))
                process.send_signal(signal.SIGKILL)
            process.wait(timeout=60)
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


def timed(run, mode):
    """Seconds that W&B adds to a training that takes none, and its warnings."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        started_at = time.monotonic()
        tracker = tracking.Tracker(run, mode=mode)
        for epoch in range(len(run.rows()), 40):
            run.append(row(epoch))
            tracker.log(row(epoch))
        run.mark("finished", best={"epoch": 0, "value": 1.0})
        tracker.finish("finished")
        return time.monotonic() - started_at, [str(each.message) for each in warned if each.category is UserWarning]


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
    end = time.monotonic() + 20
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
from test_wandb import record, timed
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
        capture_output=True, text=True, timeout=60, check=False,
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
    end = time.monotonic() + 30
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


# --- the terminal -----------------------------------------------------------------------------------------------------


def test_the_terminal_view_finds_the_runs_of_all_folders(runs, tmp_path):
    for name in ("one", "cells/trials/t0"):
        tracking.rewrite(record(runs / name), mode="offline")
    (tmp_path / "seen").mkdir()
    assert link_runs((), tmp_path / "seen") == 2
    for link in (tmp_path / "seen").iterdir():
        assert list(link.glob("*.wandb"))
