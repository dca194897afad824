"""What a sweep shows while it runs: a table on a terminal, one line a trial elsewhere."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import format_value
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.tasks.base import better

COLOURS = {"running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red", "interrupted": "magenta"}


class LiveView:
    """Told what happens, it shows it.

    Args:
        metric, mode: what decides.
        asked: trials in all.
        max_epochs: of one trial, for the time left.
    """

    def __init__(self, metric: str, mode: str, asked: int, max_epochs: int, console: Console) -> None:
        self.metric, self.mode, self.asked, self.max_epochs, self.console = metric, mode, asked, max_epochs, console
        self.rows: dict[str, dict[str, Any]] = {}
        self.running: dict[str, dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()
        """Of what has ended: trials by state, and their epochs; kept up, for a sweep may have ten thousand of them."""
        self.seconds = 0.0
        self.best: tuple[float, str] | None = None
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, trial: str, overrides: Overrides, seed: int) -> None:
        if trial not in self.rows:
            row = {"parameters": describe(overrides), "seed": seed, "epochs": 0, "seconds": 0.0, "value": None}
            self.rows[trial] = row
        self.rows[trial]["state"] = "running"
        self.running[trial] = self.rows[trial]
        self._refresh()

    def past(self, trial: Trial) -> None:
        """A trial that has ended, as the record has it."""
        self.begin(trial.id, trial.config, trial.seed)
        self.rows[trial.id].update(epochs=trial.epochs, seconds=trial.seconds)
        self._score(trial.id, trial.value)
        self._close(trial.id, trial.state)

    def _close(self, trial: str, state: str) -> None:
        row = self.running.pop(trial)
        row["state"] = state
        self.counts[state] += 1
        self.counts["epochs"] += row["epochs"]
        self.seconds += row["seconds"]

    def epoch(self, trial: str, row: dict[str, Any]) -> None:
        """A trial has done an epoch."""
        self.rows[trial].update(epochs=row["epoch"] + 1, seconds=row["seconds"])
        self._score(trial, row[self.metric])
        self._refresh()

    def clone(self, row: dict[str, Any]) -> None:
        """A trial that goes on from another."""
        self.rows[row["trial"]]["parameters"] = describe(row["overrides"])
        if self._live is None:
            changes = " ".join(
                f"{key.rsplit('.', 1)[-1]} {format_value(change['old'])} -> {format_value(change['new'])}"
                for key, change in row["changes"].items()
            )
            self.console.print(
                f"{row['trial']} goes on from {row['source']} after epoch {row['from_epoch']}: {changes}",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
        self._refresh()

    def end(self, trial: str, state: str, reason: str | None = None) -> None:
        row = self.rows[trial]
        self._close(trial, state)
        if self._live is None:
            value = "-" if row["value"] is None else f"{row['value']:.4g}"
            self.console.print(
                f"{trial} {state:<8} epochs {row['epochs']:>3}  {self.metric} {value:<9} best {self.best_said():<18} "
                f"{row['parameters']}{f'  {reason}' if reason else ''}  [{self.said()}]",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
        self._refresh()

    def _score(self, trial: str, value: float | None) -> None:
        row = self.rows[trial]
        if value is not None and better(value, row["value"], self.mode):
            row["value"] = value
            if better(value, self.best[0] if self.best else None, self.mode):
                self.best = (value, trial)

    @property
    def ended(self) -> int:
        return sum(self.counts[state] for state in ENDED)

    def said(self) -> str:
        """How far it is: `7/24 trials: 2 running, 3 finished, 2 stopped, 0 failed, 1:42 left`."""
        counts = ", ".join(f"{self.counts[state]} {state}" for state in ENDED)
        return f"{self.ended}/{self.asked} trials: {len(self.running)} running, {counts}, {self._left()} left"

    def best_said(self) -> str:
        return "-" if self.best is None else f"{self.best[0]:.4g} ({self.best[1]})"

    def _left(self) -> str:
        """Time left: epochs to come at the pace of those that are done, so many side by side as run now."""
        running = list(self.running.values())
        done = self.counts["epochs"] + sum(row["epochs"] for row in running)
        if not done:
            return "?"
        # Early stopping makes the usual trial shorter than the longest.
        usual = self.counts["epochs"] / self.ended if self.ended else self.max_epochs
        to_come = max(0, self.asked - self.ended - len(running)) * usual
        to_come += sum(max(usual - row["epochs"], 0) for row in running)
        pace = (self.seconds + sum(row["seconds"] for row in running)) / done
        minutes, seconds = divmod(round(to_come * pace / max(1, len(running))), 60)
        return f"{minutes}:{seconds:02d}"

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self.table())

    def table(self) -> Group:
        """The line that counts, and a row for each trial there is room for."""
        table = Table(box=None, pad_edge=False)
        for column in ("trial", "parameters", "seed", "epoch", self.metric, "state"):
            table.add_column(column, justify="right" if column in ("seed", "epoch", self.metric) else "left")
        # What runs comes first; of what has ended, the newest: a terminal has few lines.
        room = max(4, self.console.height - len(self.running) - 6)
        newest = (item for item in reversed(self.rows.items()) if item[1]["state"] != "running")
        for trial, row in [*self.running.items(), *islice(newest, room)]:
            value = "" if row["value"] is None else f"{row['value']:.4g}"
            star = " *" if self.best and self.best[1] == trial else ""
            state = f"[{COLOURS.get(row['state'], 'white')}]{row['state']}[/]"
            epochs = f"{row['epochs']}/{self.max_epochs}"
            table.add_row(trial, row["parameters"], str(row["seed"]), epochs, value + star, state)
        return Group(Text(f"{self.said()}, best {self.best_said()}", no_wrap=True, overflow="ellipsis"), table)


def describe(overrides: Overrides) -> str:
    """`cell=gru lr=0.0034`: the last part of each key, numbers short."""
    return " ".join(f"{key.rsplit('.', 1)[-1]}={format_value(value)}" for key, value in overrides.items())
