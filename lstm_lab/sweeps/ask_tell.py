"""A sweep for people with their own training code: it is asked for experiments, and told what came of them.

No Ray takes part. The folder is that of any sweep: rows, leaderboard and page are the same, and a sweep that is opened
again goes on where it was. The searcher is asked and told in the order of the calls, which trials.jsonl keeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lstm_lab.config import ConfigError
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.folder import SweepFolder, warm_outcome
from lstm_lab.sweeps.store.leaderboard import ENDED, Configuration, Trial, best_trial

KEY = "ask_tell"
"""Of about.json: whether the trials of a sweep are trained by other code."""


@dataclass(frozen=True)
class AskedTrial:
    """What `AskTell.ask` returns: what to train."""

    id: str
    experiment: Experiment
    """With the seed and the fold of the trial."""
    overrides: Overrides
    """Dotted key -> value of the space."""
    seed: int
    path: Path
    """Its folder, for whatever the training wants to keep."""


class AskTell:
    """A sweep that is asked and told; a context manager that writes the summary and the page at its end.

    Args:
        folder: new, or of an earlier process.

    Raises:
        ConfigError: another process works on it, or it has a section that needs trials to be trained here.
    """

    def __init__(self, folder: SweepFolder) -> None:
        self.folder, self.sweep = folder, folder.sweep
        check(self.sweep)
        if folder.trial_rows() and not folder.about.get(KEY):
            raise ConfigError(f"{folder.path}: its trials are trained by lstm-lab: lstm-lab resume {folder.path}")
        self.path, self.base = folder.path, self.sweep.base
        self._stack = ExitStack()
        self._stack.enter_context(folder.lock())
        folder.describe(**{KEY: True})
        self._started = time.monotonic() - float(folder.about.get("seconds") or 0.0)
        self._searcher = self.sweep.start_searcher()
        for number, row in enumerate(folder.warm_start()):
            self._searcher.tell_outcome(-1 - number, row["overrides"], warm_outcome(row))
        self._told: list[int] = []
        """Configurations whose results the searcher was told since it was last asked."""
        self._ended: dict[int, list[Trial]] = {}
        self._pending: list[str] = []
        """Recorded trials that nobody trains now."""
        self._asked: dict[str, AskedTrial] = {}
        """Trials whose results are awaited."""
        self._next = 0
        self._replay()

    def _replay(self) -> None:
        """Ask and tell the searcher what it was asked and told before."""
        ended = {trial.id: trial for trial in self.folder.trials() if trial.state in ENDED}
        by_number: dict[int, list[Trial]] = {}
        for trial in ended.values():
            by_number.setdefault(trial.configuration, []).append(trial)
        for row in self.folder.trial_rows():
            number = row["configuration"]
            if number == self._next:
                for told in row.get("told") or ():
                    self._learn(by_number.pop(told, []))
                self._told = []
                self._searcher.replay(number, row["overrides"])
                self._next += 1
            if row["trial"] not in ended:
                self._pending.append(row["trial"])
        for trials in by_number.values():
            self._ended[trials[0].configuration] = trials
            self._learn(trials)

    def ask(self) -> AskedTrial | None:
        """The next trial to train; None where there is none.

        Several may be asked for before the first is told.
        """
        if not self._pending and not self._add_next():
            return None
        id = self._pending.pop(0)
        row = next(row for row in self.folder.trial_rows() if row["trial"] == id)
        experiment, run = self.sweep.experiment_for(row["overrides"], row["seed"], row.get("fold")), self.folder.run(id)
        if not run.exists():
            about = {"command": str(self.folder.about.get("command", "")), "job_type": "trial"}
            Run.create(run.path, experiment.dump(), tags=list(experiment.tags), **about)
        run.describe(monitor=self.base.monitor, mode=self.base.mode, group=self.folder.name)
        self._asked[id] = AskedTrial(id, experiment, row["overrides"], row["seed"], run.path)
        return self._asked[id]

    def _add_next(self) -> bool:
        if self._next >= self.sweep.num_configurations:
            return False
        number, self._next = self._next, self._next + 1
        told, self._told = self._told, []
        overrides = self._searcher.ask(number)
        version = self.folder.version
        self._pending += [
            self.folder.add_trial(number, repeat, overrides, told=told, version=version)
            for repeat in self.sweep.repeats
        ]
        return True

    def tell(self, trial: AskedTrial | str, value: float | Mapping[str, float], *, seconds: float = 0.0) -> None:
        """The result of a trial that was asked for.

        Args:
            trial: or its id.
            value: the monitored metric, or all metrics by their names in the record ("val/loss"), this one among them,
                and so is each objective where there are several, and each metric with a constraint ("parameters",
                "latency" in milliseconds).
                One that is not finite makes the trial a failed one.
            seconds: that its training took.

        Raises:
            ConfigError: the trial was not asked for, has been told already, or the metric is missing.
        """
        run = self._awaited(trial)
        metrics = {self.base.monitor: value} if isinstance(value, int | float) else dict(value)
        if self.base.monitor not in metrics:
            raise ConfigError(f"tell: {self.base.monitor} is missing: give it, or the value alone")
        if missing := [name for name in self.sweep.criteria.names if name not in metrics]:
            raise ConfigError(f"tell: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: give each "
                              "objective, and each metric with a constraint, by its name, as {\"val/loss\": 0.3, "
                              "\"parameters\": 1200}")  # fmt: skip
        measures = self.sweep.criteria.measures
        if measures:
            run.describe(measures={name: float(metrics[name]) for name in measures})
        row = {name: float(number) for name, number in metrics.items() if name not in measures}
        run.append({"epoch": 0, **row, "seconds": float(seconds)})
        number = row[self.base.monitor]
        if math.isfinite(number):
            run.mark("finished", reason=None, epochs=1, best={"epoch": 0, "value": number}, seconds=float(seconds))
        else:
            run.mark("failed", reason=f"{self.base.monitor} is {number}", epochs=1, best=None, seconds=float(seconds))
        self._end(run.path.name)

    def fail(self, trial: AskedTrial | str, reason: str) -> None:
        """A trial that was asked for has failed: it has no value.

        Raises:
            ConfigError: as of `tell`.
        """
        run = self._awaited(trial)
        run.mark("failed", reason=reason, epochs=0, best=None, seconds=0.0)
        self._end(run.path.name)

    def _awaited(self, trial: AskedTrial | str) -> Run:
        id = trial if isinstance(trial, str) else trial.id
        if id not in self._asked:
            waits = f"awaited are {', '.join(self._asked)}" if self._asked else "none is awaited"
            raise ConfigError(f"tell: {id} was not asked for, or has been told already: {waits}")
        return self.folder.run(id)

    def _end(self, id: str) -> None:
        del self._asked[id]
        trial = self.folder.trial(id)
        rows = self._ended.setdefault(trial.configuration, [])
        rows.append(trial)
        self._learn(rows)

    def _learn(self, trials: list[Trial]) -> None:
        """Tell the searcher the mean of a configuration, once all of its seeds and folds have ended."""
        if len(trials) == len(self.sweep.repeats):
            row = Configuration.of(trials, self.sweep.criteria)
            self._searcher.tell_outcome(row.number, row.overrides, row.outcome(self.sweep.criteria))
            self._told.append(row.number)

    @property
    def best(self) -> Trial | None:
        """The best trial until now, with `overrides`, `seed` and `value`; None where none has a value."""
        return best_trial(self.folder.leaderboard(), self.base.mode)

    def close(self) -> None:
        """Let go of the folder; where every trial has been told, write summary.json, best.yaml and the page before."""
        seconds = time.monotonic() - self._started
        self.folder.describe(seconds=round(seconds, 1))
        if not self._asked and not self._pending and self._next >= self.sweep.num_configurations:
            summary.write(self.folder, "disabled")
        self._stack.close()

    def __enter__(self) -> AskTell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def check(sweep: Sweep) -> None:
    """Refuse what needs trials that are trained here.

    Raises:
        ConfigError: in one line.
    """
    scheduler = sweep.build_scheduler()
    if scheduler.stops_trials or sweep.is_population_based:
        raise ConfigError(
            f"scheduler: {scheduler.name} looks at epochs, which ask and tell do not see: leave scheduler out"
        )
    for name, value in (
        ("confirm", sweep.confirm), ("patience_trials", sweep.patience_trials), ("timeout", sweep.timeout),
        ("keep_checkpoints", sweep.keep_checkpoints), ("refit", sweep.refit or None),
        ("stop_sick", sweep.stop_sick or None),
    ):  # fmt: skip
        if value is not None:
            raise ConfigError(f"{name}: is not done by ask and tell: leave it out")
    if sweep.budget is not None and (sweep.budget.epochs is not None or sweep.budget.minutes is not None):
        raise ConfigError("budget: ask and tell count trials alone: write budget: {trials: ...}, or leave it out")
