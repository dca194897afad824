"""One W&B run beside one run of ours: all of it is written from the run folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
import warnings
from datetime import datetime
from pathlib import Path

from lstm_lab.records.diagnosis import read_diagnosis
from lstm_lab.records.files import Row
from lstm_lab.records.lineage import hyperparameter_history
from lstm_lab.records.run import Run, State
from lstm_lab.tracking.client import Reply, WriterClient, acquire_client, has_space, release_client
from lstm_lab.tracking.server import Mode, find_server, project

WANDB_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Tracker:
    """A W&B run, written while a run trains or after the fact. No call waits, but `finish`, for a few seconds.

    Args:
        run: its rows so far are logged first, so that a resumed run is one history; its W&B id stays the same.
        mode: resolved; `disabled` writes nothing.
        group: the sweep it belongs to.
        folder: for W&B's files; None: the run's own, where the files of an earlier process are removed first.
    """

    def __init__(self, run: Run, *, mode: Mode, group: str | None = None, folder: Path | None = None) -> None:
        self.mode = mode
        self.error: str | None = None
        self._run: Run = run
        self._client: WriterClient | None = None
        if mode == "disabled":
            return
        past = run.rows()
        self.id = wandb_id(run, group)
        run.describe(wandb={**run.about.get("wandb", {}), "mode": mode, "id": self.id, "ended": False})
        own = files_folder(run)
        if folder is None:
            shutil.rmtree(own / "wandb", ignore_errors=True)
            own.mkdir(parents=True, exist_ok=True)
        self._files, self._afterwards = folder or own, folder is not None
        about = run.about
        self._started = datetime.fromisoformat(about["created"]).timestamp()
        self._hyperparameters = HyperparameterHistory(run)
        try:
            self._client = acquire_client()
        except OSError as error:
            self.error = f"{type(error).__name__}: {error}"
            return
        self._client.send(
            "start", folder=str(self._files.resolve()), monitor=about.get("monitor"),
            direction="last" if about.get("select") == "last" else about.get("mode"),
            started=self._started, afterwards=self._afterwards, project=project(), id=self.id, name=run.id, group=group,
            job_type=about.get("job_type") or ("trial" if group else "train"),
            tags=[*(about.get("tags") or ()), *environment_tags()], mode=mode, config=wandb_config(run),
        )  # fmt: skip
        self._client.send("use_data", data=data_reference(run))
        for row in past:
            self.log(row)

    def log(self, row: Row) -> None:
        """Log one row, at its own time."""
        if self._client is not None:
            values = {**row, **self._hyperparameters.at(row["epoch"])}
            self._client.send("log", row=values, at=self._started + row["seconds"])

    def finish(self, state: State, **summary: object) -> None:
        """End the W&B run, however the run ended: one that is left open shows as crashed for ever.

        Waits a few seconds; longer only while the server answers, or the disk has space.

        Args:
            summary: further fields of W&B's summary.
        """
        if self.mode == "disabled":
            return
        run, client, self._client = self._run, self._client, None
        reply: Reply = {"to": "finish", "error": self.error, "rows": 0}
        if client is not None:
            about, rows = run.about, run.rows()
            fields = {
                "state": state, "reason": run.status.get("reason"), "parameters": about.get("parameters"),
                "latency_ms": (about.get("latency") or {}).get("ms"),
                "seconds": rows[-1]["seconds"] if rows else 0.0, "exploits": len(self._hyperparameters.rows) or None,
                "rank": about.get("rank"), **diagnosis(run), **test_results(run), **summary,
            }  # fmt: skip
            client.send("log_charts", folder=str(run.path.resolve()))
            client.send("finish", summary=fields, exit_code=1 if state in ("failed", "interrupted") else 0)
            reply = client.wait_for_reply("finish", self._can_reply)
            if reply["error"] is None:
                release_client(client)
            else:
                client.kill()  # It may hold what the next run would need.
        self.error = reply["error"]
        entry = {**run.about["wandb"], "ended": self.error is None, "rows": reply["rows"]}
        entry.pop("error", None)
        if self.error is not None:
            entry["error"] = self.error
            if not self._afterwards:
                warnings.warn(
                    f"{run.path}: its W&B run is incomplete: {self.error}; the record is kept all the same, and "
                    f"lstm-lab sync {run.path} uploads it",
                    stacklevel=2,
                )
        run.describe(wandb=entry)

    def _can_reply(self) -> bool:
        return not find_server().unavailable(1.0) if self.mode == "online" else has_space(self._files)


def rewrite(run: Run, *, mode: Mode, group: str | None = None, folder: Path | None = None) -> str | None:
    """Write the W&B run of a run again from its record, and end it; the error, if there was one.

    Args:
        folder: as of `Tracker`.
    """
    status = run.status
    best = status.get("best") or {}
    tracker = Tracker(run, mode=mode, group=group, folder=folder)
    tracker.finish(status["state"], best=best.get("value"), best_epoch=best.get("epoch"))
    return tracker.error


def complete_all(runs: list[Run], *, mode: Mode, group: str | None = None) -> None:
    """Write again the W&B runs that their own processes could not end; offline if the server no longer answers."""
    incomplete = [run for run in runs if not is_complete(run)]
    if mode == "disabled" or not incomplete:
        return
    if mode == "online" and find_server().unavailable():
        mode = "offline"
    for run in incomplete:
        rewrite(run, mode=mode, group=group)


def start_writer(mode: Mode) -> None:
    """Start the process of a writer in advance: W&B takes a second to start."""
    if mode != "disabled":
        with contextlib.suppress(OSError):
            release_client(acquire_client())


def is_complete(run: Run) -> bool:
    """Whether the W&B run of a run has ended, with as many rows as the record has."""
    entry = run.about.get("wandb", {})
    return bool(entry.get("ended")) and entry.get("rows") == len(run.rows())


def files_folder(run: Run) -> Path:
    """Where the W&B files of a run are, in a folder `wandb`: the run's own, or one below WANDB_DIR."""
    folder, id = os.environ.get("WANDB_DIR"), run.about.get("wandb", {}).get("id")
    return Path(folder).resolve() / f"run-{id}" if folder and WANDB_ID.fullmatch(str(id)) else run.path


def has_files(run: Run) -> bool:
    """Whether W&B wrote files for a run."""
    return any((files_folder(run) / "wandb").glob("*run-*"))


def environment_tags() -> list[str]:
    """Tags of every W&B run: those of WANDB_TAGS, separated by commas. Its group, WANDB_RUN_GROUP, W&B reads itself."""
    return [tag for tag in map(str.strip, os.environ.get("WANDB_TAGS", "").split(",")) if tag]


def wandb_id(run: Run, group: str | None) -> str:
    """The id of its W&B run: always the same, readable, and unique: a project holds the runs of many machines."""
    known = run.about.get("wandb", {}).get("id")
    if known is not None and not WANDB_ID.fullmatch(str(known)):
        known = None  # Not one that we wrote: W&B makes the name of a folder of it.
    if known is None and os.environ.get("WANDB_SWEEP_ID"):
        known = os.environ.get("WANDB_RUN_ID")  # W&B's own agent started it, and looks for it under that id.
    if known is not None:
        return str(known)
    name = f"{group}-{run.id}" if group else run.id
    return f"{uuid.uuid4().hex[:8]}-{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}"[:110]


def publish_best(best: list[Run], *, mode: Mode, group: str | None = None) -> None:
    """Write the best runs again, now with their rank, what their models do with samples, and the models themselves.

    Args:
        best: the best first.
    """
    if mode == "disabled":
        return
    for rank, run in enumerate(best, 1):
        if run.about.get("rank") != rank:
            run.describe(rank=rank)
        run.describe(wandb={**run.about.get("wandb", {}), "ended": False})
    complete_all(best, mode=mode, group=group)


def test_results(run: Run) -> Row:
    """The scores of the last evaluation on the test split."""
    evaluations = [row for row in run.test_evaluations() if row["scores"]]
    return {f"test/{name}": value for name, value in evaluations[-1]["scores"].items()} if evaluations else {}


def diagnosis(run: Run) -> Row:
    """What rules found in a run: their names, and the overrides to train with next."""
    found = read_diagnosis(run.path)
    if found is None or not found.findings:
        return {}
    actions = [" ".join(finding.action) for finding in found.findings if finding.action]
    return {
        "diagnosis": ", ".join(finding.rule for finding in found.findings),
        "diagnosis_action": actions[0] if actions else None,
    }


def wandb_config(run: Run) -> Row:
    """W&B's config: nested, because a report reads `config:optimizer.value.lr`, and shows nothing of flattened keys."""
    about = run.about
    data = about.get("data") or {}
    return {
        **run.experiment,
        "data_digest": data.get("digest"),
        "parameters": about.get("parameters"),
        "device": about.get("device"),
        "code": about.get("git"),
        "versions": about.get("versions"),
    }


def data_reference(run: Run) -> Row:
    """Name and digest of the data that a run was trained on."""
    return {"name": run.experiment["data"]["name"], "digest": (run.about.get("data") or {}).get("digest")}


class HyperparameterHistory:
    """The hyperparameters of a trial of population-based training at each epoch, those of its sources included.

    They are logged as metrics: a config that changes stops W&B's logger, and would show only the last value.
    """

    def __init__(self, run: Run) -> None:
        self.rows = run.lineage()
        self._changes = hyperparameter_history(run).changes

    def at(self, epoch: int) -> Row:
        """`hp/KEY` -> value at an epoch; empty where nothing has changed in the run."""
        found: Row = {}
        for first, values in self._changes:
            if first <= epoch:
                found = values
        return {f"hp/{key}": value for key, value in found.items() if isinstance(value, int | float | str)}
