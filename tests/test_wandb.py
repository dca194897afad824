"""W&B is a view: the server's copy equals the record, whatever was killed; a failure of W&B costs no row."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from wandb_runs import MAX_SECONDS, record, row, same

from lstm_lab import tracking
from lstm_lab.examples.collect import examples_of
from lstm_lab.records.files import append_jsonl
from lstm_lab.records.lineage import hyperparameter_history
from lstm_lab.records.run import Run
from lstm_lab.tracking import tracker, upload
from lstm_lab.tracking.server import find_server
from lstm_lab.tracking.terminal import link_runs
from lstm_lab.tracking.tracker import wandb_id
from lstm_lab.training.train import train
from lstm_lab.workflow import create_run

pytestmark = pytest.mark.usefixtures("no_client_is_left")

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
    assert hyperparameter_history(Run(tmp_path / "t0")).changes == []
    # Its first two epochs are t0's, the next two t1's.
    assert hyperparameter_history(Run(tmp_path / "t2")).changes == [
        (0, {"lr": 1.0}),
        (2, {"lr": 2.0}),
        (4, {"lr": 3.0}),
    ]
    # What t1 became after it was copied does not matter to the copy.
    append_jsonl(tmp_path / "t1" / "lineage.jsonl", {
        "source": "t0", "from_epoch": 6, "at": "2026-01-01T00:00:06", "overrides": {"lr": 7.0},
        "changes": {"lr": {"old": 2.0, "source": 1.0, "new": 7.0}},
    })  # fmt: skip
    assert hyperparameter_history(Run(tmp_path / "t2")).changes == [
        (0, {"lr": 1.0}),
        (2, {"lr": 2.0}),
        (4, {"lr": 3.0}),
    ]


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


# --- the terminal -----------------------------------------------------------------------------------------------------


def test_the_terminal_view_finds_the_runs_of_all_folders(runs, tmp_path):
    for name in ("one", "cells/trials/t0"):
        tracking.rewrite(record(runs / name), mode="offline")
    (tmp_path / "seen").mkdir()
    assert link_runs((), tmp_path / "seen") == 2
    for link in (tmp_path / "seen").iterdir():
        assert list(link.glob("*.wandb"))
