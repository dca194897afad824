"""The folder of a sweep: its own record, from which everything else is derived."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lstm_lab import config
from lstm_lab.config import ConfigError, legacy
from lstm_lab.config.validation import validate
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.provenance import git_state, versions
from lstm_lab.records.requests import Request
from lstm_lab.records.run import Run, read_yaml
from lstm_lab.records.shapes import Shape, fits
from lstm_lab.sweeps.objectives import Outcome
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store.leaderboard import Configuration, Trial, leaderboard
from lstm_lab.sweeps.store.record import is_sweep, no_sweep, rank, read_about, read_rows, read_trial, trial_folder
from lstm_lab.sweeps.store.shapes import EventRow, TrialRow, WarmRow
from lstm_lab.system import disk


class Rows:
    """Rows of an append-only file; each call reads only what was added since the last.

    Args:
        shape: of a row; others are left out.
        upgrade: brings a row of an older format up to date.
    """

    def __init__(self, path: Path, shape: type[Shape], upgrade: Callable[[Row], Row] = dict) -> None:
        self.path, self.shape, self.upgrade = path, shape, upgrade
        self._rows: list[Row] = []
        self._offset = 0

    def __call__(self) -> list[Row]:
        """All rows until now; an incomplete line is left out."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        except OSError as error:
            raise disk.unreadable(self.path, error) from None
        if size < self._offset:
            self._rows, self._offset = [], 0
        if size == self._offset:
            return self._rows
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                complete, end, rest = file.read().rpartition(b"\n")
        except OSError as error:
            raise disk.unreadable(self.path, error) from None
        self._rows += self._parse(complete)
        self._offset += len(complete) + len(end)
        # A last line without its end may be complete: the next call reads it again.
        return self._rows + self._parse(rest) if rest else self._rows

    def _parse(self, content: bytes) -> list[Row]:
        rows = (self.upgrade(row) for row in files.parse_jsonl(content))
        return [row for row in rows if fits(row, self.shape)]


class SweepFolder:
    """The folder of a sweep."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.trial_rows = Rows(self.path / files.TRIALS, TrialRow, legacy.trial)
        """One per trial, in the order in which they were added."""
        self.events = Rows(self.path / files.EVENTS, EventRow)
        """Decisions of the driver, oldest first."""

    @classmethod
    def create(cls, path: Path, sweep: Sweep, **about: object) -> SweepFolder:
        """Make the folder of a sweep, and its parents.

        Args:
            about: further fields of about.json, as `command`.

        Raises:
            ConfigError: it is a sweep already, or `warm_start` does not fit.
        """
        folder = cls(path)
        if is_sweep(path):
            raise ConfigError(f"{path}: is a sweep already; choose another name, or lstm-lab resume {path}")
        warm, outside = earlier_results(sweep)
        files.make_folder(path / "trials")
        content: Row = {
            "format": legacy.FORMAT, "name": path.name, "created": files.now(), "git": git_state(),
            "versions": versions(), **about, "sweep": sweep.dump(),
        }  # fmt: skip
        if sweep.earlier_sweeps:
            content["warm_start"] = {"told": len(warm), "outside": outside}
            # Copied, because the earlier sweep may have been deleted when this one is resumed.
            files.write_jsonl(path / files.WARM, warm)
        files.write_json(path / files.ABOUT, content)
        # Last: a folder without it is no sweep yet.
        files.write_atomic(path / files.SWEEP, config.to_yaml(sweep.dump()))
        return folder

    @classmethod
    def open(cls, path: str | Path) -> SweepFolder:
        """The sweep in a folder.

        Raises:
            ConfigError: there is none.
        """
        folder = cls(path)
        if not is_sweep(folder.path):
            raise no_sweep(folder.path)
        return folder

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def about(self) -> Row:
        """about.json: command, code state, versions, and the sweep as it started; empty where there is none."""
        return read_about(self.path)

    @property
    def version(self) -> int:
        """How often the sweep was extended."""
        return len(self.about.get("extensions") or [])

    @property
    def search(self) -> Row | None:
        """The extension that began the newest search; None: it is the one that the sweep was started with."""
        rows = [row for row in self.about.get("extensions") or [] if row.get("search")]
        return rows[-1] if rows else None

    def describe(self, **fields: object) -> None:
        """Add fields to about.json."""
        files.write_json(self.path / files.ABOUT, {**self.about, **fields})

    def stopped_by(self, request: Request) -> None:
        """Record that a person has ended the sweep: no trial and no phase follows."""
        self.describe(stopped={"action": request.action, "by": request.by, "at": request.at})

    @property
    def sweep(self) -> Sweep:
        """The resolved sweep, read from sweep.yaml each time.

        Raises:
            ConfigError: the file was edited into something invalid.
            DataError: it is incomplete or not YAML.
        """
        where = self.path / files.SWEEP
        return validate(Sweep, legacy.sweep(read_yaml(where)), str(where))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Inside, no other process works on the sweep.

        Raises:
            ConfigError: one does already.
        """
        with files.folder_lock(self.path, "sweep"):
            yield

    # --- trials -------------------------------------------------------------------------------------------------------

    def run(self, trial: str) -> Run:
        """The run of a trial, whether its folder exists or not."""
        return Run(trial_folder(self.path, trial))

    def warm_start(self) -> list[Row]:
        """Results of earlier sweeps for the searcher: `overrides` and `value` each, `objectives` if several, and
        `violations` of constraints on metrics."""
        return [
            {**row, "overrides": legacy.overrides(row["overrides"])}
            for row in read_rows(self.path / files.WARM, WarmRow)
        ]

    def results_before(self) -> list[Row]:
        """What the searcher of the newest search is told first: `overrides` and `value` each, of `warm_start` and of
        the searches before it."""
        search = self.search
        if search is None:
            return self.warm_start()
        # Seeds that confirm an earlier configuration came later.
        before = [trial for trial in self.trials() if trial.version < search["version"]]
        return results_in_space([(self.name, before)], self.sweep, self.warm_start())[0]

    def add_trial(
        self,
        configuration: int,
        repeat: Repeat,
        overrides: Row,
        phase: str = "search",
        told: Sequence[int] | None = None,
        version: int = 0,
    ) -> str:
        """Record a trial before anything of it runs; returns its id.

        Args:
            told: configurations whose results the searcher had been told since it was asked before; None where it was
                not asked for this trial.
            version: which extension of the sweep it belongs to; 0: none.
        """
        rows = self.trial_rows()
        trial = f"t{int(rows[-1]['trial'].removeprefix('t')) + 1 if rows else 0:04d}"
        row = {
            "trial": trial, "configuration": configuration, "seed": repeat.seed, "overrides": overrides,
            "phase": phase, **({} if repeat.fold is None else {"fold": repeat.fold}),
            **({} if told is None else {"told": list(told)}), **({"version": version} if version else {}),
        }  # fmt: skip
        # In two files, because either may be incomplete after a crash.
        files.make_folder(self.run(trial).path)
        files.write_json(self.run(trial).path / files.TRIAL, row)
        files.append_jsonl(self.path / files.TRIALS, row)
        return trial

    def decide(self, trial: str, state: str, reason: str | None = None, epochs: int | None = None) -> None:
        """Record the driver's decision about a trial.

        Args:
            epochs: of a trial that somebody has ended, how many its decisions rest on; None: all that it has trained.
        """
        row = {"trial": trial, "state": state, "reason": reason, "at": files.now()}
        files.append_jsonl(self.path / files.EVENTS, row if epochs is None else {**row, "epochs": epochs})

    def trials(self, without: Container[str] = ()) -> list[Trial]:
        """Every trial but those named, as its own folder and the driver's decisions describe it."""
        events = {row["trial"]: row for row in self.events()}
        # Once each: a file that was copied together may hold a row twice.
        rows = {row["trial"]: row for row in reversed(self.trial_rows())}
        return [read_trial(self.path, row, events.get(id)) for id, row in reversed(rows.items()) if id not in without]

    def trial(self, id: str) -> Trial:
        """One trial, without reading the others."""
        row = next(row for row in reversed(self.trial_rows()) if row["trial"] == id)
        event = next((event for event in reversed(self.events()) if event["trial"] == id), None)
        return read_trial(self.path, row, event)

    def leaderboard(self) -> list[Configuration]:
        """Configurations, best first: confirmed ones by their confirmation, before all others."""
        sweep = self.sweep
        confirm = sweep.confirm.model_dump() if sweep.confirm else None
        return rank(self.trials(), sweep.base.mode, self.about, confirm, sweep.criteria)


def earlier_results(sweep: Sweep) -> tuple[list[Row], int]:
    """Configurations of the sweeps in `warm_start` that lie inside the space, as rows, and how many lie outside.

    Raises:
        ConfigError: no sweep, or one whose metric, data or task differs.
    """
    found: list[tuple[str, list[Trial]]] = []
    for path in sweep.earlier_sweeps:
        earlier = SweepFolder.open(path)
        base, theirs = sweep.base, earlier.sweep.base
        if (base.monitor, base.data, base.task) != (theirs.monitor, theirs.data, theirs.task):
            raise ConfigError(f"warm_start: {path}: its data, task or metric differ: its values do not apply here")
        found.append((earlier.name, earlier.trials()))
    return results_in_space(found, sweep)


def results_in_space(
    found: Sequence[tuple[str, Sequence[Trial]]], sweep: Sweep, warm: Sequence[Row] = ()
) -> tuple[list[Row], int]:
    """Configurations that lie inside the space of a sweep, as rows of warm.jsonl, and how many lie outside.

    Args:
        found: the name of each earlier search, and its trials.
        warm: rows that were kept of still earlier ones.
    """
    every = [*warm]
    for name, trials in found:
        ranked = leaderboard(trials, sweep.base.mode, sweep.criteria)
        known = [row for row in ranked if row.mean is not None]
        for row in known:
            outcome = row.outcome(sweep.criteria)
            more = {"objectives": outcome.objectives, "violations": outcome.violations}
            every.append({"from": name, "overrides": row.overrides, "value": row.mean,
                          **{key: [*values] for key, values in more.items() if values}})  # fmt: skip
    space = sweep.search_space
    # Without one of the objectives a searcher of several learns nothing from it, nor without what has a constraint.
    rows = [row for row in every if space.contains(row["overrides"]) and warm_outcome(row).is_complete]
    return rows, len(every) - len(rows)


def warm_outcome(row: Row) -> Outcome:
    """What a searcher is told of a row of warm.jsonl."""
    return Outcome(row["value"], tuple(row.get("objectives") or ()), tuple(row.get("violations") or ()))
