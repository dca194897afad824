"""The progress of a sweep as events for a program: `lstm-lab sweep --json` prints one as JSON on each line.

Every event has `event`, its kind, and `at`, the time. The kinds, and what else each has:

sweep_started   sweep (folder), title, metric, mode, max_epochs, order, objectives (where there are several)
phase_started   phase (search, confirm), trials (at most)
trial_started   trial, seed, fold (in a cross-validation), overrides; again where it goes on after a pause or a restart
epoch           trial, epoch (from 0), value of the monitored metric, metrics: the row of the record
trial_waiting   trial: it waits for a decision on the virtual clock, and its place is used by another one
trial_continues trial, source, epoch, changes: it continues from another trial of its population
trial_ended     trial, state (finished, stopped, failed, interrupted), reason, epochs, value: at the epoch that counts
best            trial, value: better than every value before; of several objectives, of the first
refit           run (folder), trial, epochs: the best configuration was trained on the validation split too
sweep_ended     state (finished, interrupted, failed), reason, and winner (trial), value (mean over its seeds),
                trials (by state), pareto_front (numbers of configurations) where it has finished
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO

from rich.console import Console

from lstm_lab.config import Fault, Interrupted
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import Select
from lstm_lab.sweeps.objectives import SINGLE, Criteria
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import read_summary
from lstm_lab.sweeps.view.progress import SweepProgress

OnEvent = Callable[[Row], None]


def event(kind: str, **content: object) -> Row:
    """An event of now."""
    return {"event": kind, "at": files.now(), **content}


@contextmanager
def told(folder: SweepFolder, on_event: OnEvent | None) -> Iterator[None]:
    """Inside, a sweep is executed: its start and its end are events."""
    if on_event is None:
        yield
        return
    sweep = folder.sweep
    several = {"objectives": sweep.monitor} if sweep.monitor else {}
    on_event(event("sweep_started", sweep=str(folder.path), title=sweep.title, metric=sweep.base.monitor,
                   mode=sweep.base.mode, max_epochs=sweep.base.trainer.max_epochs, order=sweep.order,
                   **several))  # fmt: skip
    try:
        yield
    except (Fault, KeyboardInterrupt) as error:
        state = "interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed"
        on_event(event("sweep_ended", state=state, reason=str(error) or None))
        raise
    summary = read_summary(folder.path) or {}
    best, rows = summary.get("winner") or {}, summary.get("configurations") or [{}]
    front = {"pareto_front": summary["pareto_front"]} if "pareto_front" in summary else {}
    on_event(event("sweep_ended", state="finished", reason=summary.get("ended"), winner=best.get("trial"),
                   value=rows[0].get("mean") if best else None, trials=summary.get("trials"), **front))  # fmt: skip


class EventProgress(SweepProgress):
    """Calls a function with each event, and shows nothing.

    Args:
        on_event: called with each event, a dict of plain values.
    """

    def __init__(
        self, metric: str, mode: str, total: int, max_epochs: int, on_event: OnEvent, select: Select = "best",
        criteria: Criteria = SINGLE,
    ) -> None:  # fmt: skip
        super().__init__(metric, mode, total, max_epochs, Console(file=StringIO(), quiet=True), select, criteria)
        self.on_event = on_event

    def start_trial(self, trial: str, overrides: Mapping[str, object], repeat: Repeat) -> None:
        super().start_trial(trial, overrides, repeat)
        fold = {} if repeat.fold is None else {"fold": repeat.fold}
        self.on_event(event("trial_started", trial=trial, seed=repeat.seed, **fold, overrides=dict(overrides)))

    def add_ended(self, trial: Trial) -> None:
        super().add_ended(trial)
        self._emit_end(trial.id, trial.state, trial.reason)

    def report_epoch(self, trial: str, result: Row) -> None:
        row = {key: value for key, value in result.items() if "/" in key or key in ("lr", "seconds")}
        self.on_event(event("epoch", trial=trial, epoch=result["epoch"], value=result[self.metric], metrics=row))
        super().report_epoch(trial, result)

    def _update_best(self, trial: str, value: float | None) -> None:
        before = self.best
        super()._update_best(trial, value)
        if self.best is not None and self.best != before:
            self.on_event(event("best", trial=self.best[1], value=self.best[0]))

    def report_exploit(self, row: Row) -> None:
        super().report_exploit(row)
        changes = row["changes"]
        self.on_event(
            event("trial_continues", trial=row["trial"], source=row["source"], epoch=row["epoch"], changes=changes)
        )

    def end_trial(self, trial: str, state: str, reason: str | None = None) -> None:
        super().end_trial(trial, state, reason)
        self._emit_end(trial, state, reason)

    def suspend_trial(self, trial: str, state: str) -> None:
        super().suspend_trial(trial, state)
        self.on_event(event("trial_waiting", trial=trial))

    def _emit_end(self, trial: str, state: str, reason: str | None) -> None:
        row = self.rows[trial]
        self.on_event(event("trial_ended", trial=trial, state=state, reason=reason, epochs=row.epochs, value=row.value))
