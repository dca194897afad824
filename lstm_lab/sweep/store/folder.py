"""A sweep's folder: its own record, from which everything else is derived.

sweep.yaml       the resolved sweep; resume reads it
trials.jsonl     one row for each trial when it is asked for, append-only
events.jsonl     what the driver decided: stopped, failed, lost
population.jsonl what population based training has compared
removed.jsonl    trials whose checkpoints were removed to save space
warm.jsonl       points of earlier sweeps that the searcher is told first, where there are any
trials/<id>/     a run folder each
summary.json     the answer
best.yaml        the winner's experiment; `lstm-lab train` accepts it unchanged
report.html      the page
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.run import (
    Run,
    append_jsonl,
    folder_lock,
    git_state,
    make_folder,
    near_run,
    now,
    parse_jsonl,
    read_json,
    read_jsonl,
    versions,
    write_atomic,
)
from lstm_lab.sweep.space.domains import Overrides
from lstm_lab.sweep.spec import Sweep
from lstm_lab.sweep.store.leaderboard import Ranked, Trial, confirmation, leaderboard
from lstm_lab.tasks.base import better

ENDED = ("finished", "stopped", "failed")
ASKED = {"trial", "point", "seed", "overrides"}
"""What a row of trials.jsonl must hold to be one."""


class Rows:
    """Rows of an append-only file; each look reads only what was added since the last."""

    def __init__(self, path: Path, needs: set[str]) -> None:
        self.path, self.needs = path, needs
        self._read: list[dict[str, Any]] = []
        self._at = 0

    def __call__(self) -> list[dict[str, Any]]:
        """All rows until now; a line that a kill tore is none."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._at:
            self._read, self._at = [], 0
        if size == self._at:
            return self._read
        with self.path.open("rb") as file:
            file.seek(self._at)
            whole, end, rest = file.read().rpartition(b"\n")
        self._read += self._rows(whole)
        self._at += len(whole) + len(end)
        # A last line without its end: whole perhaps, but the next look reads it again.
        return self._read + self._rows(rest) if rest else self._read

    def _rows(self, content: bytes) -> list[dict[str, Any]]:
        return [row for row in parse_jsonl(content) if self.needs <= row.keys()]


class SweepFolder:
    """The folder of a sweep."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.asked = Rows(self.path / "trials.jsonl", ASKED)
        """The trials that were asked for."""
        self.decided = Rows(self.path / "events.jsonl", {"trial", "state", "reason"})
        """What the driver decided on them."""

    @classmethod
    def create(cls, path: Path, sweep: Sweep, **about: Any) -> SweepFolder:
        """A new folder for a sweep, its parents made as needed.

        Raises:
            ConfigError: it is a sweep already, or `warm_start` does not fit.
        """
        folder = cls(path)
        if is_sweep(path):
            raise ConfigError(f"{path}: is a sweep already; choose another name, or lstm-lab resume {path}")
        warm, outside = earlier_points(sweep)
        make_folder(path / "trials")
        content = {"name": path.name, "created": now(), "git": git_state(), "versions": versions(), **about}
        content["sweep"] = sweep.dump()
        if sweep.warm_start:
            content["warm_start"] = {"told": len(warm), "outside": outside}
            # Copied, for the earlier sweep may be gone when this one is resumed.
            write_atomic(path / "warm.jsonl", "".join(json.dumps(row) + "\n" for row in warm))
        write_atomic(path / "about.json", json.dumps(content, indent=1))
        # Last: a folder without it is no sweep yet.
        write_atomic(path / "sweep.yaml", config.to_yaml(sweep.dump()))
        return folder

    @classmethod
    def open(cls, path: str | Path) -> SweepFolder:
        """The sweep in a folder.

        Raises:
            ConfigError: there is none.
        """
        folder = cls(path)
        if not is_sweep(folder.path):
            raise ConfigError(f"{path}: not a sweep: there is no sweep.yaml in it{near_run(folder.path)}")
        return folder

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        """about.json: command, git state, versions, and the sweep as it began."""
        return read_json(self.path / "about.json")

    def describe(self, **fields: Any) -> None:
        """Add to about.json."""
        write_atomic(self.path / "about.json", json.dumps({**self.about, **fields}, indent=1))

    @property
    def sweep(self) -> Sweep:
        """The resolved sweep, read from sweep.yaml each time.

        Raises:
            ConfigError: the file was edited into something faulty.
        """
        where = self.path / "sweep.yaml"
        return config.validate(Sweep, config.load(where), str(where))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Inside, no other process works on the sweep.

        Raises:
            ConfigError: one does already.
        """
        with folder_lock(self.path, "sweep"):
            yield

    # --- trials -------------------------------------------------------------------------------------------------------

    def run(self, trial: str) -> Run:
        """The run folder of a trial, made or not."""
        return Run(self.path / "trials" / trial)

    def warm(self) -> list[dict[str, Any]]:
        """Points of earlier sweeps and what they came to."""
        return read_jsonl(self.path / "warm.jsonl")

    def ask(self, point: int, seed: int, overrides: Overrides, phase: str = "search") -> str:
        """Enter a trial before anything of it runs; returns its id."""
        rows = self.asked()
        trial = f"t{int(rows[-1]['trial'].removeprefix('t')) + 1 if rows else 0:04d}"
        row = {"trial": trial, "point": point, "seed": seed, "overrides": overrides, "phase": phase}
        # Twice, for one of the two may be torn one day.
        make_folder(self.run(trial).path)
        write_atomic(self.run(trial).path / "asked.json", json.dumps(row))
        append_jsonl(self.path / "trials.jsonl", row)
        return trial

    def decide(self, trial: str, state: str, reason: str | None = None) -> None:
        """What the driver decided on a trial."""
        append_jsonl(self.path / "events.jsonl", {"trial": trial, "state": state, "reason": reason, "at": now()})

    def trials(self, without: Container[str] = ()) -> list[Trial]:
        """Every trial but those named, as its own folder and the driver's decisions show it."""
        decided = {row["trial"]: row for row in self.decided()}
        # Once each: a file copied together may hold a row twice.
        rows = {row["trial"]: row for row in reversed(self.asked())}
        return [self._trial(row, decided.get(id)) for id, row in reversed(rows.items()) if id not in without]

    def trial(self, id: str) -> Trial:
        """One trial; of ten thousand, the others are not looked at."""
        row = next(row for row in reversed(self.asked()) if row["trial"] == id)
        return self._trial(row, next((each for each in reversed(self.decided()) if each["trial"] == id), None))

    def _trial(self, row: dict[str, Any], decided: dict[str, Any] | None) -> Trial:
        run = self.run(row["trial"])
        state, reason, epoch, value, rows, parameters = "asked", None, None, None, [], None
        if (run.path / "run.json").is_file():
            status, about = run.status, run.about
            state, reason = status["state"], status.get("reason")
            parameters, rows = about.get("parameters"), run.rows()
            for entry in rows:
                if better(entry[about["monitor"]], value, about["mode"]):
                    value, epoch = entry[about["monitor"]], entry["epoch"]
        if decided is not None and state != "finished":
            state, reason = decided["state"], decided["reason"] or reason
        return Trial(
            id=row["trial"],
            point=row["point"],
            seed=row["seed"],
            overrides=row["overrides"],
            state=state,
            reason=reason,
            value=None if state == "failed" else value,
            epoch=epoch,
            epochs=rows[-1]["epoch"] + 1 if rows else 0,
            seconds=rows[-1]["seconds"] if rows else 0.0,
            parameters=parameters,
            phase=row.get("phase", "search"),
            lineage=tuple(run.lineage()),
        )

    def ranked(self) -> list[Ranked]:
        """Points, best first: those that were confirmed by their confirmation, before all others."""
        sweep, trials = self.sweep, self.trials()
        confirmed = self.about.get("confirmed") or []
        seeds = sweep.confirm.seeds if sweep.confirm else ()
        again = [trial for point in confirmed for trial in confirmation(trials, point, seeds)]
        others = [trial for trial in trials if trial.point not in confirmed]
        first, rest = leaderboard(again, sweep.base.mode), leaderboard(others, sweep.base.mode)
        # Sorted by False before True: a point whose confirmation failed altogether wins nothing.
        return sorted([*first, *rest], key=lambda row: row.mean is None)


def earlier_points(sweep: Sweep) -> tuple[list[dict[str, Any]], int]:
    """Points of the sweeps in `warm_start` that lie inside the space, as rows, and how many lie outside.

    Raises:
        ConfigError: no sweep, or one whose metric, data or task is another.
    """
    rows, outside, search_space = [], 0, sweep.search_space
    for path in sweep.warm_start:
        earlier = SweepFolder.open(path)
        base, theirs = sweep.base, earlier.sweep.base
        if (base.monitor, base.data, base.task) != (theirs.monitor, theirs.data, theirs.task):
            raise ConfigError(f"warm_start: {path}: its data, task or metric is another: its values say nothing here")
        for ranked in leaderboard(earlier.trials(), base.mode):
            if ranked.mean is not None and search_space.contains(ranked.overrides):
                rows.append({"from": earlier.name, "overrides": ranked.overrides, "value": ranked.mean})
            else:
                outside += ranked.mean is not None
    return rows, outside


def is_sweep(path: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (path / "sweep.yaml").is_file()
