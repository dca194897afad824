"""One W&B run beside one run of ours: all that stands in it is told from the run folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

from lstm_lab.run import Run, State
from lstm_lab.tracking.client import acquire_client, release_client, room_in
from lstm_lab.tracking.server import Mode, server

PROJECT = "lstm-lab"


class Tracker:
    """A W&B run, followed live or told after the fact; no call of it waits, but `finish`, for a few seconds.

    Args:
        run: its record is told first, so a resumed run is one history; its id there stays the same.
        mode: resolved; `disabled` writes nothing.
        group: the sweep it belongs to.
        folder: where W&B keeps its files; the run's own without it, in place of what an earlier process left there.
    """

    def __init__(
        self,
        run: Run,
        *,
        mode: Mode,
        group: str | None = None,
        job_type: str = "train",
        tags: tuple[str, ...] = (),
        folder: Path | None = None,
    ) -> None:
        self.mode, self.error = mode, None
        self._folder, self._pen = run, None
        if mode == "disabled":
            return
        past = run.rows()
        if folder is None:
            shutil.rmtree(run.path / "wandb", ignore_errors=True)
        self._files, self._afterwards = folder or run.path, folder is not None
        self.id = wandb_id(run, group)
        run.describe(wandb={**run.about.get("wandb", {}), "mode": mode, "id": self.id, "ended": False})
        about = run.about
        self._started = datetime.fromisoformat(about["created"]).timestamp()
        self._hyper = HyperparameterHistory(run)
        try:
            self._pen = acquire_client()
        except OSError as error:
            self.error = f"{type(error).__name__}: {error}"
            return
        self._pen.tell(
            "open", folder=str(self._files.resolve()), monitor=about.get("monitor"), direction=about.get("mode"),
            started=self._started, quick=self._afterwards, project=PROJECT, id=self.id, name=run.id, group=group,
            job_type=job_type, tags=list(tags), mode=mode, config=wandb_config(run),
        )  # fmt: skip
        self._pen.tell("lineage", data=data_of(run))
        for row in past:
            self.log(row)

    def log(self, row: dict[str, Any]) -> None:
        """Send one row, dated by its seconds since the run began."""
        if self._pen is not None:
            self._pen.tell("log", row={**row, **self._hyper.at(row["epoch"])}, at=self._started + row["seconds"])

    def finish(self, state: State, **summary: Any) -> None:
        """End the W&B run, however the run ended: one left open shows as crashed for ever.

        Waits a few seconds; longer only for a server that lives or a disk that has room.
        """
        if self.mode == "disabled":
            return
        run, pen, self._pen = self._folder, self._pen, None
        answer: dict[str, Any] = {"error": self.error, "rows": 0}
        if pen is not None:
            about, rows = run.about, run.rows()
            told = {
                "state": state, "reason": run.status.get("reason"), "parameters": about.get("parameters"),
                "seconds": rows[-1]["seconds"] if rows else 0.0, "clones": len(self._hyper.rows) or None,
                "rank": about.get("rank"), **test_results(run), **summary,
            }  # fmt: skip
            pen.tell("show", folder=str(run.path.resolve()))
            pen.tell("finish", summary=told, exit_code=1 if state in ("failed", "interrupted") else 0)
            answer = pen.answer("finish", self._can_answer)
            if answer["error"] is None:
                release_client(pen)
            else:
                pen.kill()  # It may hold what the next run would need.
        self.error = answer["error"]
        told = {**run.about["wandb"], "ended": self.error is None, "rows": answer.get("rows", 0)}
        told.pop("error", None)
        if self.error is not None:
            told["error"] = self.error
        if self.error is not None and not self._afterwards:
            warnings.warn(
                f"{run.path}: no whole W&B run: {self.error}; the record is kept all the same, and "
                f"lstm-lab sync {run.path} uploads it",
                stacklevel=2,
            )
        run.describe(wandb=told)

    def _can_answer(self) -> bool:
        return not server().refusal(1.0) if self.mode == "online" else room_in(self._files)


def rewrite(run: Run, *, mode: Mode, group: str | None = None, folder: Path | None = None) -> str | None:
    """Write a run's W&B run again from the record, and end it; what went wrong, if anything did."""
    status = run.status
    best = status.get("best") or {}
    tags = tuple(run.experiment.get("tags") or ())
    job_type = run.about.get("job_type") or ("trial" if group else "train")
    tracker = Tracker(run, mode=mode, group=group, job_type=job_type, tags=tags, folder=folder)
    tracker.finish(status["state"], best=best.get("value"), best_epoch=best.get("epoch"))
    return tracker.error


def complete_all(runs: list[Run], *, mode: Mode, group: str | None = None) -> None:
    """End the W&B runs that their own processes could not; offline where the server has gone away meanwhile."""
    left = [run for run in runs if not is_complete(run)]
    if mode == "disabled" or not left:
        return
    if mode == "online" and server().refusal():
        mode = "offline"
    for run in left:
        rewrite(run, mode=mode, group=group)


def start_writer(mode: Mode) -> None:
    """There is to be a run soon: W&B takes a second to begin."""
    if mode != "disabled":
        with contextlib.suppress(OSError):
            release_client(acquire_client())


def is_complete(run: Run) -> bool:
    """Whether the W&B run of this run is whole: ended, with as many rows as the record has."""
    told = run.about.get("wandb", {})
    return bool(told.get("ended")) and told.get("rows") == len(run.rows())


def wandb_id(run: Run, group: str | None) -> str:
    """The id it has there for ever: readable, and nobody else's, for a project holds the runs of many machines."""
    known = run.about.get("wandb", {}).get("id")
    if known is None and os.environ.get("WANDB_SWEEP_ID"):
        known = os.environ.get("WANDB_RUN_ID")  # W&B's own agent asked for it, and looks for it under that id.
    name = f"{group}-{run.id}" if group else run.id
    return known or f"{uuid.uuid4().hex[:8]}-{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}"[:110]


def publish_best(best: list[Run], *, mode: Mode, group: str | None = None) -> None:
    """Tell the best runs again, the best first: now with what their models do, and the models themselves."""
    if mode == "disabled":
        return
    for rank, run in enumerate(best, 1):
        if run.about.get("rank") != rank:
            run.describe(rank=rank)
        run.describe(wandb={**run.about.get("wandb", {}), "ended": False})
    complete_all(best, mode=mode, group=group)


def test_results(run: Run) -> dict[str, Any]:
    """What the test part showed when it was last opened."""
    openings = run.test_evaluations()
    return {f"test/{name}": value for name, value in openings[-1]["scores"].items()} if openings else {}


def wandb_config(run: Run) -> dict[str, Any]:
    """Nested: a report reads `config:optimizer.value.lr`, and flattened keys leave its panels empty."""
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


def data_of(run: Run) -> dict[str, Any]:
    """Name and digest of the data that a run was trained on."""
    return {"name": run.experiment["data"]["name"], "digest": (run.about.get("data") or {}).get("digest")}


class HyperparameterHistory:
    """The hyperparameters that a trial of population-based training had at each epoch, its sources' epochs included.

    They are metrics there: a configuration that changes kills W&B's logger, and would say only the last value.
    """

    def __init__(self, run: Run) -> None:
        self.rows = run.lineage()
        self._steps = hyperparameter_history(run)

    def at(self, epoch: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for begin, values in self._steps:
            if begin <= epoch:
                found = values
        return {f"hp/{key}": value for key, value in found.items() if isinstance(value, int | float | str)}


def hyperparameter_history(run: Run, before: str | None = None) -> list[tuple[int, dict[str, Any]]]:
    """(first epoch, settings from there on) of the weights that a trial had at a moment, or has now."""
    rows = [row for row in run.lineage() if before is None or row["at"] < before]
    if not rows:
        return []
    last = rows[-1]
    source = hyperparameter_history(Run(run.path.parent / last["source"]), last["at"])
    if not source:
        source = [(0, {key: change["source"] for key, change in last["changes"].items()})]
    return [step for step in source if step[0] < last["from_epoch"]] + [(last["from_epoch"], last["overrides"])]
