"""What a sweep shows while it runs: a table on a terminal, one line a trial elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from lstm_lab.sweep.domains import Point
from lstm_lab.sweep.region import spelled
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
        self.best: tuple[float, str] | None = None
        self.began = time.monotonic()
        self._already: set[str] = set()
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, trial: str, overrides: Point, seed: int) -> None:
        self.rows.setdefault(
            trial, {"parameters": describe(overrides), "seed": seed, "epochs": 0, "value": None, "state": "running"}
        )
        self._refresh()

    def past(self, trial: str, overrides: Point, seed: int, state: str, epochs: int, value: float | None) -> None:
        """A trial that an earlier process brought to its end."""
        self.begin(trial, overrides, seed)
        self._already.add(trial)
        self.rows[trial].update(state=state, epochs=epochs)
        self._score(trial, value)

    def epoch(self, trial: str, row: dict[str, Any]) -> None:
        self.rows[trial]["epochs"] = row["epoch"] + 1
        self._score(trial, row[self.metric])
        self._refresh()

    def clone(self, row: dict[str, Any]) -> None:
        """A trial that goes on from another."""
        self.rows[row["trial"]]["parameters"] = describe(row["overrides"])
        if self._live is None:
            changes = " ".join(
                f"{key.rsplit('.', 1)[-1]} {spelled(change['old'])} -> {spelled(change['new'])}"
                for key, change in row["changes"].items()
            )
            self.console.print(
                f"{row['trial']} goes on from {row['from']} after epoch {row['from_epoch']}: {changes}",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
        self._refresh()

    def end(self, trial: str, state: str, reason: str | None = None) -> None:
        row = self.rows[trial]
        row["state"] = state
        if self._live is None:
            value = "-" if row["value"] is None else f"{row['value']:.4g}"
            best = "-" if self.best is None else f"{self.best[0]:.4g} ({self.best[1]})"
            self.console.print(
                f"{trial} {state:<8} epochs {row['epochs']:>3}  {self.metric} {value:<9} best {best:<18} "
                f"{row['parameters']}{f'  {reason}' if reason else ''}  [{self._count()}]",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
        self._refresh()

    def _score(self, trial: str, value: float | None) -> None:
        row = self.rows[trial]
        if value is not None and better(value, row["value"], self.mode):
            row["value"] = value
            if better(value, self.best[0] if self.best else None, self.mode):
                self.best = (value, trial)

    def _count(self) -> str:
        ended = sum(row["state"] != "running" for row in self.rows.values())
        return f"{ended}/{self.asked} trials, {self._left()} left"

    def _left(self) -> str:
        """Time left: trials to come, at the pace of those this process has ended."""
        here = [row for name, row in self.rows.items() if name not in self._already and row["state"] != "running"]
        if not here:
            return "?"
        ended = len(here) + len(self._already)
        seconds = (time.monotonic() - self.began) / len(here) * (self.asked - ended)
        minutes, seconds = divmod(round(seconds), 60)
        return f"{minutes}:{seconds:02d}"

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._table())

    def _table(self) -> Table:
        best = "" if self.best is None else f", best {self.best[0]:.4g} ({self.best[1]})"
        table = Table(title=f"{self._count()}{best}", title_justify="left", box=None, pad_edge=False)
        for column in ("trial", "parameters", "seed", "epoch", self.metric, "state"):
            table.add_column(column, justify="right" if column in ("seed", "epoch", self.metric) else "left")
        # What runs comes first; of what has ended, the newest: a terminal has few lines.
        running = [item for item in self.rows.items() if item[1]["state"] == "running"]
        ended = [item for item in self.rows.items() if item[1]["state"] != "running"]
        for trial, row in running + ended[::-1][: max(4, self.console.height - len(running) - 6)]:
            value = "" if row["value"] is None else f"{row['value']:.4g}"
            star = " *" if self.best and self.best[1] == trial else ""
            state = f"[{COLOURS.get(row['state'], 'white')}]{row['state']}[/]"
            epochs = f"{row['epochs']}/{self.max_epochs}"
            table.add_row(trial, row["parameters"], str(row["seed"]), epochs, value + star, state)
        return table


def describe(overrides: Point) -> str:
    """`cell=gru lr=0.0034`: the last part of each key, numbers short."""
    return " ".join(f"{key.rsplit('.', 1)[-1]}={spelled(value)}" for key, value in overrides.items())
