"""What the page of `lstm-lab serve-page` shows now: progress, what runs, what failed, the leaderboard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from lstm_lab.records import files
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord, read_run
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Summary
from lstm_lab.report.parts.tables import Table
from lstm_lab.report.sections.leaderboard import leaderboard_table
from lstm_lab.report.summary import run_summary, sweep_summary
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.record import SweepRecord, is_sweep, read_sweep
from lstm_lab.sweeps.view.progress import TrialProgress
from lstm_lab.sweeps.view.watch import FolderProgress

MAX_ROWS = 100
"""Configurations of the leaderboard that are shown; the report has all."""


@dataclass(frozen=True)
class Running:
    """A trial that is trained now."""

    id: str
    config: str
    epochs: int
    max_epochs: int
    value: str
    """The monitored metric at the epoch that counts until now."""

    @property
    def share(self) -> int:
        """Percent of the epochs that it is trained for at most."""
        return min(100, round(100 * self.epochs / self.max_epochs))


@dataclass(frozen=True)
class Live:
    """The state of a run or sweep, as the page shows it."""

    subtitle: str
    title: str
    is_running: bool
    state: str
    """In one line, with the command that goes on."""
    share: int
    """Percent that is done."""
    progress: str
    """The same in words."""
    summary: Summary
    metric: str
    running: list[Running]
    failures: list[tuple[str, str]]
    """Trial and reason."""
    leaderboard: Table | None
    is_sweep: bool


class LiveState:
    """Reads the state of a run or sweep, again and again; of a sweep only what has not ended is read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._progress: FolderProgress | None = None

    def read(self) -> Live:
        """The state now.

        Raises:
            Fault: the record cannot be read at the moment, or is damaged.
        """
        return self._sweep() if is_sweep(self.path) else _run(read_run(self.path))

    def _sweep(self) -> Live:
        if self._progress is None:
            self._progress = FolderProgress(SweepFolder.open(self.path), Console(quiet=True))
        progress, record = self._progress, read_sweep(self.path)
        progress.poll(print_ended=False)
        view, is_running = progress.view, files.is_locked(self.path)
        known = replace(record, configurations=[row for row in record.configurations if row.n])
        table = replace(leaderboard_table(known), sortable=False) if known.configurations else None
        if table is not None and len(table.rows) > MAX_ROWS:
            table = replace(table, rows=table.rows[:MAX_ROWS], caption=f"{table.caption}; the first {MAX_ROWS}")
        done = sum(row.epochs / view.max_epochs for row in view.running.values()) + view.ended
        return Live(
            subtitle=f"Sweep · {record.name}", title=record.title, is_running=is_running,
            state=_state(self.path, is_running=is_running, has_ended=record.summary is not None, verb="resume"),
            share=100 if record.summary else min(100, round(100 * done / max(1, view.total))), progress=view.summary(),
            summary=_summary(record, is_running=is_running), metric=fmt.metric(record.metric),
            running=[_running(id, row, view.max_epochs) for id, row in view.running.items()] if is_running else [],
            failures=[(t.id, t.reason or fmt.MISSING) for t in record.trials if t.state == "failed"],
            leaderboard=table, is_sweep=True,
        )  # fmt: skip


def _summary(record: SweepRecord, *, is_running: bool) -> Summary:
    found = sweep_summary(record)
    return replace(found, headline="No trial has a value yet.") if is_running and not record.winner else found


def _running(id: str, row: TrialProgress, max_epochs: int) -> Running:
    return Running(id, f"{row.config} seed={row.repeat}", row.epochs, max_epochs, fmt.number(row.value))


def _run(record: RunRecord) -> Live:
    is_running = files.is_locked(record.path)
    epochs, limit = len(record.rows), int(Run(record.path).experiment["trainer"]["max_epochs"])
    has_ended = record.state in ("finished", "stopped")
    again = _state(record.path, is_running=is_running, has_ended=has_ended, verb="train --resume")
    return Live(
        subtitle=f"Run · {record.name}", title=str(record.about.get("name") or record.name), is_running=is_running,
        state=again, share=100 if has_ended else min(100, round(100 * epochs / max(1, limit))),
        progress=f"{epochs} of at most {fmt.plural(limit, 'epoch')}", summary=run_summary(record),
        metric=fmt.metric(record.monitor or "loss"), running=[],
        failures=[(record.name, record.reason or fmt.MISSING)] if record.state == "failed" else [],
        leaderboard=None, is_sweep=False,
    )  # fmt: skip


def _state(path: Path, *, is_running: bool, has_ended: bool, verb: str) -> str:
    if is_running:
        return "It is running."
    return "It has ended." if has_ended else f"It is not running. Resume it with: lstm-lab {verb} {path}"
