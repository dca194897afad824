"""A run: one execution of an experiment, in a folder that alone is enough to evaluate, predict and resume."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from lstm_lab import config
from lstm_lab.config import ConfigError, DataError, legacy
from lstm_lab.display import printable
from lstm_lab.records import files, shapes
from lstm_lab.records.files import Row
from lstm_lab.records.provenance import git_state, versions
from lstm_lab.system import disk

State = Literal["running", "finished", "stopped", "failed", "interrupted"]
_DESCRIBING = threading.Lock()
MEASURED = ("samples_per_second", "memory_mib", "seconds", "cpu_joules", "gpu_joules")
"""Columns of the record that differ between two executions of the same experiment: training samples of an epoch by its
whole time, peak memory, seconds and joules since the start, the joules where the machine measures them."""


def no_record(path: Path) -> ConfigError:
    """The error for a folder that was named as a run or a sweep, and is neither."""
    missing = f"there is no {files.RUN} and no {files.SWEEP} in it"
    return disk.closed(path) or ConfigError(f"{path}: neither a run nor a sweep: {missing}{files.similar_run(path)}")


def read_yaml(path: Path) -> Row:
    """A YAML file of a record.

    Raises:
        DataError: it is missing, incomplete or not YAML.
    """
    try:
        return config.load(path)
    except ConfigError as error:
        raise DataError(str(error)) from None


class Run:
    """One execution of an experiment, as its folder.

    Args:
        path: the folder; `Run.create` makes it, `Run.open` insists that it is one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def id(self) -> str:
        return str(self.about["id"])

    @classmethod
    def create(cls, path: str | Path, experiment: Mapping[str, object], **about: object) -> Run:
        """Make the folder, and its parents, for an experiment given as plain content.

        Args:
            about: further fields of run.json, as `command` and `job_type`.

        Raises:
            ConfigError: it is a run already, or the folder cannot be made.
        """
        run = cls(path)
        if run.exists():
            raise ConfigError(f"{run.path}: is a run already; choose another name, or train --resume {run.path}")
        files.make_folder(run.checkpoints)
        files.write_atomic(run.path / files.EXPERIMENT, config.to_yaml(experiment))
        # Last: a folder without it is no run yet, and may be started again.
        run.describe(format=legacy.FORMAT, id=run.path.name, name=run.path.name, created=files.now(), git=git_state(),
                     versions=versions(), **about)  # fmt: skip
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in a folder.

        Raises:
            ConfigError: there is none.
        """
        run = cls(path)
        if not run.exists():
            raise ConfigError(f"{run.path}: not a run: there is no run.json in it{files.similar_run(run.path)}")
        return run

    def exists(self) -> bool:
        """Whether the folder is that of a run."""
        return os.path.isfile(self.path / files.RUN)

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def about(self) -> Row:
        """run.json: everything known of it but its state.

        Raises:
            DataError: it is incomplete, or holds something else.
        """
        path = self.path / files.RUN
        about = legacy.run(files.read_json(path))
        shapes.check(about, shapes.RunFile, str(path))
        return about

    @property
    def data(self) -> Row:
        """What run.json says of the data it was trained on: `digest`, `info` and `notes`.

        Raises:
            DataError: nothing, because its training has never begun.
        """
        data: Row | None = self.about.get("data")
        if data is None:
            raise DataError(f"{self.path}: its data are not known, because its training has not begun: start it by "
                            f"lstm-lab train --resume {self.path}")  # fmt: skip
        return data

    def describe(self, **fields: object) -> None:
        """Add fields to run.json."""
        with _DESCRIBING:  # The W&B run of a trial may be entered while its scores are.
            files.write_json(self.path / files.RUN, {**(self.about if self.exists() else {}), **fields})

    @property
    def experiment(self) -> Row:
        """The resolved experiment, as plain content for `Experiment.of`."""
        return legacy.experiment(read_yaml(self.path / files.EXPERIMENT))

    @property
    def checkpoints(self) -> Path:
        return self.path / files.CHECKPOINTS

    @property
    def best_checkpoint(self) -> Path:
        """The checkpoint of the epoch that counts: the best by the monitored metric, or the last."""
        return self.checkpoints / files.BEST

    def resumable(self) -> list[Path]:
        """Checkpoints to resume from, newest first."""
        return [path for name in (files.LAST, files.PREVIOUS) if (path := self.checkpoints / name).is_file()]

    # --- the record ---------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """The metric record, one row per epoch; what is no such row is left out."""
        return [row for row in files.read_jsonl(self.path / files.METRICS) if shapes.is_metric_row(row)]

    def append(self, row: Row) -> None:
        """Append a row to the metric record, on the disk when this returns."""
        files.append_jsonl(self.path / files.METRICS, row)

    def truncate(self, epochs: int) -> None:
        """Keep the rows of epochs below `epochs`, so that a resumed run repeats none."""
        files.write_jsonl(self.path / files.METRICS, [row for row in self.rows() if row["epoch"] < epochs])

    def start_test_evaluation(self, epoch: int) -> int:
        """Count an evaluation on the test split, on the disk when this returns: before the split is read.

        Args:
            epoch: whose weights are evaluated.

        Returns:
            Its number, counted from 1.

        Raises:
            ConfigError: nothing can be written here.
            DataError: the evaluations before it cannot be read.
        """
        with files.exclusive(self.path):
            number = len(self.test_evaluations()) + 1
            row = {"at": files.now(), "epoch": epoch, "split": "test", "state": "started", "scores": {},
                   "test_evaluations": number}  # fmt: skip
            try:
                files.append_jsonl(self.path / files.TESTS, row)
            except OSError as error:
                raise disk.explain(error, self.path) from None
        return number

    def complete_test_evaluation(self, number: int, scores: Row) -> None:
        """Replace the row that `start_test_evaluation` wrote by the whole one."""
        with files.exclusive(self.path):
            rows = files.read_jsonl(self.path / files.TESTS)
            for index, row in enumerate(rows):
                if row.get("test_evaluations") == number and row.get("state") == "started":
                    rows[index] = {"at": row["at"], "epoch": row["epoch"], **scores}
            files.write_jsonl(self.path / files.TESTS, rows)

    def test_evaluations(self) -> list[Row]:
        """Each evaluation on the test split, oldest first. One that was not completed has the state `started`, and no
        scores; it counts all the same.

        Raises:
            DataError: a row is none: it would not be counted.
        """
        path = self.path / files.TESTS
        rows = [legacy.evaluation(row) for row in files.read_jsonl(path)]
        for number, row in enumerate(rows, 1):
            shapes.check(row, shapes.Evaluation, f"{path}: evaluation {number}")
        return rows

    def lineage(self) -> list[Row]:
        """Each time a trial of population-based training continued from another trial, oldest first."""
        rows = (legacy.lineage(row) for row in files.read_jsonl(self.path / files.LINEAGE))
        return [row for row in rows if shapes.fits(row, shapes.LineageRow)]

    # --- its state ----------------------------------------------------------------------------------------------------

    def mark(self, state: State, **more: object) -> None:
        """Replace status.json: the state, the time, and further fields."""
        path, status = self.path / files.STATUS, {"state": state, "at": files.now(), **more}
        try:
            files.write_json(path, status)
        except OSError:
            # A full disk has no room for another file, but the one that is there may take the state itself.
            short = {**status, "traceback": None, "reason": str(status.get("reason") or "")[:200] or None}
            files.overwrite_json(path, short)

    def mark_failed(self, error: BaseException) -> None:
        """Mark as failed, with the error's first line as the reason, and the whole traceback."""
        text = "".join(traceback.format_exception(error))
        first = f"{type(error).__name__}: {error}".splitlines()[0]
        rows = self.rows()
        seconds = rows[-1]["seconds"] if rows else 0.0
        known: Row = {"reason": first, "epochs": len(rows), "best": None, "seconds": seconds}
        try:
            self.mark("failed", traceback=text, **known)
        except OSError:
            # Where the disk is full, or a file must not grow, there may be room for the reason alone.
            with suppress(OSError):  # Else the error itself would be lost.
                self.mark("failed", **{**known, "reason": printable.shortened(first)})

    @property
    def status(self) -> Row:
        """status.json; a run in state `running` whose lock nobody holds was killed: interrupted.

        Raises:
            DataError: it is incomplete, or holds something else.
        """
        path = self.path / files.STATUS
        status = files.read_json(path) if os.path.lexists(path) else {"state": "interrupted"}
        shapes.check(status, shapes.StatusFile, str(path))
        if status["state"] == "running" and not self.is_locked():
            status = {**status, "state": "interrupted"}
        return status

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train; an interrupted run has not ended."""
        return self.status["state"] in ("finished", "stopped", "failed")

    def is_locked(self) -> bool:
        """Whether a process is working on it."""
        return files.is_locked(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: two processes writing one record would destroy it.

        Raises:
            ConfigError: another process holds it.
        """
        with files.folder_lock(self.path, "run"):
            yield
