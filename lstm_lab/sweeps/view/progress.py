"""The progress of a sweep while it runs: a table on a terminal, a bar in a notebook, one line per trial elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lstm_lab.records.files import Row
from lstm_lab.records.run_record import Select
from lstm_lab.sweeps.objectives import SINGLE, Criteria
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.space.search_space import format_value
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.tasks.base import better

COLOURS = {"running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red", "interrupted": "magenta"}


@dataclass
class TrialProgress:
    """What is shown of one trial."""

    config: str
    """Its hyperparameters in a few characters."""
    repeat: Repeat
    """Its seed, and its fold where there is one."""
    state: str = "running"
    epochs: int = 0
    seconds: float = 0.0
    value: float | None = None
    """The monitored metric at the epoch that counts: the best one so far, or the last."""
    select: object = "best"


class SweepProgress:
    """Shows the trials of a sweep as they start, report and end.

    Args:
        metric, mode: the monitored metric, and "min" or "max".
        total: trials of the sweep.
        max_epochs: of one trial, for the estimate of the time left.
        console: where to show it.
        select: which epoch of a trial counts, where its hyperparameters do not say so.
        criteria: constraints on metrics, which the best trial keeps as far as is known.
    """

    def __init__(
        self, metric: str, mode: str, total: int, max_epochs: int, console: Console, select: Select = "best",
        criteria: Criteria = SINGLE,
    ) -> None:  # fmt: skip
        self.select: Select = select
        self.criteria = criteria
        self.metric, self.mode, self.total, self.max_epochs, self.console = metric, mode, total, max_epochs, console
        self.rows: dict[str, TrialProgress] = {}
        self.running: dict[str, TrialProgress] = {}
        # Sums over the trials that have ended, kept up to date because a sweep may have ten thousand of them.
        self.counts: Counter[str] = Counter()
        self.epochs = 0
        self.seconds = 0.0
        self.best: tuple[float, str] | None = None
        self.excluded: set[str] = set()
        """Trials that break a constraint on a metric, and are not the best."""
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._bar = NotebookBar() if console.is_jupyter and not console.quiet else None

    def __enter__(self) -> SweepProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        if self._bar is not None:
            self._bar.show(self.bar(), now=True)

    # --- events -------------------------------------------------------------------------------------------------------

    def start_trial(self, trial: str, overrides: Mapping[str, object], repeat: Repeat) -> None:
        """A trial runs, for the first time or again."""
        row = self.rows.setdefault(trial, TrialProgress(format_config(overrides), repeat))
        row.select = overrides.get("trainer.select", self.select)
        row.state = "running"
        self.running[trial] = row
        self._refresh()

    def add_ended(self, trial: Trial) -> None:
        """A trial that had ended before, without a line for it."""
        self.start_trial(trial.id, trial.config, trial.repeat)
        row = self.rows[trial.id]
        row.epochs, row.seconds = trial.epochs, trial.seconds
        self.judge(trial)
        self._update_best(trial.id, trial.value)
        self._count(trial.id, trial.state)

    def report_epoch(self, trial: str, result: Row) -> None:
        """A trial has completed an epoch; `result` is its row of the record."""
        row = self.rows[trial]
        row.epochs, row.seconds = result["epoch"] + 1, result["seconds"]
        self._update_best(trial, result[self.metric])
        self._refresh()

    def report_exploit(self, row: Row) -> None:
        """A trial continues from another one; `row` is the row of its lineage.

        After a kill the decision may be taken before the trial is started again.
        """
        if row["trial"] in self.rows:
            self.rows[row["trial"]].config = format_config(row["overrides"])
        changes = " ".join(
            f"{_last_name(key)} {format_value(change['old'])} -> {format_value(change['new'])}"
            for key, change in row["changes"].items()
        )
        self._print(f"{row['trial']} continues from {row['source']} after epoch {row['from_epoch']}: {changes}")
        self._refresh()

    def end_trial(self, trial: str, state: str, reason: str | None = None) -> None:
        """A trial has ended, or was interrupted."""
        row = self.rows[trial]
        self._count(trial, state)
        value = "-" if row.value is None else f"{row.value:.4g}"
        self._print(
            f"{trial} {state:<8} epochs {row.epochs:>3}  {self.metric} {value:<9} best {self._best_text():<18} "
            f"{row.config}{f'  {reason}' if reason else ''}  [{self.summary()}]"
        )
        self._refresh()

    def judge(self, trial: Trial) -> None:
        """A trial that has ended is not the best, if it breaks a constraint on a metric."""
        if trial.keeps(self.criteria):
            return
        self.excluded.add(trial.id)
        if self.best is not None and self.best[1] == trial.id:
            self._find_best()

    def suspend_trial(self, trial: str, state: str) -> None:
        """A trial that ran does not run any more and has not ended."""
        if self.running.pop(trial, None):
            self.rows[trial].state = state

    def _count(self, trial: str, state: str) -> None:
        self.running.pop(trial, None)
        row = self.rows[trial]
        row.state = state
        self.counts[state] += 1
        self.epochs += row.epochs
        self.seconds += row.seconds

    def _update_best(self, trial: str, value: float | None) -> None:
        row = self.rows[trial]
        if value is None or not math.isfinite(value):
            return
        if row.select == "last" or better(value, row.value, self.mode):
            row.value = value
            if trial in self.excluded:
                return
            if better(value, self.best[0] if self.best else None, self.mode):
                self.best = (value, trial)
            elif self.best is not None and self.best[1] == trial and value != self.best[0]:
                self._find_best()  # Its last epoch was not its best.

    def _find_best(self) -> None:
        self.best = None
        for trial, row in self.rows.items():
            if trial in self.excluded or row.value is None:
                continue
            if better(row.value, self.best[0] if self.best else None, self.mode):
                self.best = (row.value, trial)

    # --- output -------------------------------------------------------------------------------------------------------

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(self.counts[state] for state in ENDED)

    def summary(self) -> str:
        """One line: `7/24 trials: 2 running, 3 finished, 2 stopped, 0 failed, 1:42 left`."""
        counts = ", ".join(f"{self.counts[state]} {state}" for state in ENDED)
        return f"{self.ended}/{self.total} trials: {len(self.running)} running, {counts}, {self._time_left()} left"

    def bar(self, width: int = 30) -> str:
        """The summary behind a bar of so many characters."""
        done = round(width * min(self.ended / max(1, self.total), 1.0))
        return f"{'█' * done}{'░' * (width - done)} {self.summary()}, best {self._best_text()}"

    def table(self) -> Group:
        """The summary above a row for each trial, as many as fit on the terminal."""
        table = Table(box=None, pad_edge=False)
        for column in ("trial", "config", "seed", "epoch", self.metric, "state"):
            table.add_column(column, justify="right" if column in ("seed", "epoch", self.metric) else "left")
        # Running trials first, then those that ended last.
        height = max(4, self.console.height - len(self.running) - 6)
        newest = (item for item in reversed(self.rows.items()) if item[1].state != "running")
        for trial, row in [*self.running.items(), *islice(newest, height)]:
            value = "" if row.value is None else f"{row.value:.4g}"
            star = " *" if self.best and self.best[1] == trial else ""
            state = Text(row.state, style=COLOURS.get(row.state, "white"))
            table.add_row(trial, row.config, str(row.repeat), f"{row.epochs}/{self.max_epochs}", value + star, state)
        summary = f"{self.summary()}, best {self._best_text()}"
        return Group(Text(summary, no_wrap=True, overflow="ellipsis"), table)

    def _best_text(self) -> str:
        return "-" if self.best is None else f"{self.best[0]:.4g} ({self.best[1]})"

    def _time_left(self) -> str:
        """The epochs left at the mean pace so far, with as many trials at once as run now."""
        running = list(self.running.values())
        done = self.epochs + sum(row.epochs for row in running)
        if not done:
            return "?"
        # With early stopping, the mean trial is shorter than max_epochs.
        mean_epochs = self.epochs / self.ended if self.ended else self.max_epochs
        left = max(0, self.total - self.ended - len(running)) * mean_epochs
        left += sum(max(mean_epochs - row.epochs, 0) for row in running)
        seconds_per_epoch = (self.seconds + sum(row.seconds for row in running)) / done
        minutes, seconds = divmod(round(left * seconds_per_epoch / max(1, len(running))), 60)
        return f"{minutes}:{seconds:02d}"

    def _print(self, line: str) -> None:
        """A line for an event, where neither a table nor a bar shows it."""
        if self._live is None and self._bar is None:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self.table())
        if self._bar is not None:
            self._bar.show(self.bar())


class NotebookBar:
    """A line of a notebook's output that is replaced in place."""

    INTERVAL = 0.25
    """Seconds between two updates."""

    def __init__(self) -> None:
        self._handle: Any = None
        """IPython's DisplayHandle of the line."""
        self._shown = 0.0

    def show(self, text: str, now: bool = False) -> None:
        """Replace the line, unless it was replaced a moment ago.

        Args:
            now: replace it in any case.
        """
        from IPython import display

        if not now and time.monotonic() - self._shown < self.INTERVAL:
            return
        content = {"text/plain": text}
        if self._handle is None:
            show: Callable[..., Any] = display.display  # IPython leaves it untyped.
            self._handle = show(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
        self._shown = time.monotonic()


def format_config(overrides: Mapping[str, object]) -> str:
    """`cell=gru lr=0.0034`: the last name of each key, numbers short."""
    return " ".join(f"{_last_name(key)}={format_value(value)}" for key, value in overrides.items())


def _last_name(key: str) -> str:
    return key.rpartition(".")[2]
