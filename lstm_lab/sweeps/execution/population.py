"""Population-based training: a trial that does badly continues from a better one's weights, with its values changed.

Exploit: the checkpoints and record of the source trial, with the new values, are prepared in the folder `clone` of the
trial that is to continue from them. That folder appears at once, with copies of its own: no retention can remove them,
and a kill leaves either no clone or a complete one. The trial takes it over before its next epoch, or when it restarts.
Explore: the scheduler chooses the new values (`PopulationScheduler.explore`).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lstm_lab import config
from lstm_lab.config import DataError, legacy
from lstm_lab.experiment import Experiment
from lstm_lab.hyperparameter_schedule import optimizer_param_group
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.sweeps.ordering import Report
from lstm_lab.sweeps.schedulers.population import Observation, PopulationScheduler
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.record import read_rows
from lstm_lab.sweeps.store.shapes import PopulationRow
from lstm_lab.training.checkpointing import epochs_in, read_checkpoint

CLONE = "clone"
"""Folder of a run: a clone that is complete, and not taken over yet."""
CLONE_LINEAGE = "lineage.json"
"""File of a clone: the row for lineage.jsonl."""


class Population:
    """Decides which trial continues from which, at every multiple of the perturbation interval.

    On the virtual clock, all trials are compared once each of them has reached the multiple (`compare`). By arrival,
    compared is what each trial reported at its own last multiple: no trial waits for a slower one (`on_epoch`).

    Args:
        scheduler: its interval and quantile, and how it explores.
    """

    def __init__(self, folder: SweepFolder, scheduler: PopulationScheduler) -> None:
        self.folder, self.scheduler = folder, scheduler
        self.sweep = folder.sweep
        self.base, self.search_space = self.sweep.base, self.sweep.search_space
        self.scores: dict[str, float] = {}
        """Trial -> the monitored metric at its last multiple."""
        self.history: list[Observation] = []
        """Each trial at each multiple, oldest first."""
        self.since: dict[str, tuple[int, float]] = {}
        """Trial -> its epochs and score when it got its values, or was last compared with them."""
        self.compared: set[tuple[str, int]] = set()
        """Trials and the epochs after which they were compared."""
        self.cloned: set[tuple[str, int]] = set()
        """Trials and the epochs after which they continued from another one."""
        for row in read_rows(folder.path / files.POPULATION, PopulationRow, legacy.population):
            self._add(row)

    def on_epoch(self, trial: str, row: Row) -> Row | None:
        """A trial has reported an epoch; the row of its lineage if it is to continue from another trial."""
        epochs = row["epoch"] + 1
        if epochs % self.scheduler.perturbation_interval:
            return None
        self._record_score(trial, epochs, row[self.base.monitor])
        best, worst = self._quantiles(list(self.scores))
        if epochs >= self.base.trainer.max_epochs or trial not in worst:
            return None
        return self._exploit(trial, best, epochs)

    def compare(self, epochs: int, rows: Mapping[str, Report]) -> Iterator[Row]:
        """All trials that have not ended have trained so many epochs; the row of each that continues from another.

        Repeated by a process that resumes the sweep, it does what an earlier one did not come to.

        Args:
            rows: trial -> its row after so many epochs.
        """
        for trial, row in rows.items():
            if (trial, epochs) not in self.compared:
                self._record_score(trial, epochs, float(row[self.base.monitor]))  # type: ignore[arg-type]
        best, worst = self._quantiles(list(rows))
        for trial in worst:
            done = prepared(self.folder.run(trial), epochs)
            if done is None and (event := self._exploit(trial, best, epochs)) is not None:
                yield event
            elif done is not None and (trial, epochs) not in self.cloned:
                self._record_clone(trial, done["source"], done["from_epoch"], epochs)

    def _quantiles(self, trials: Sequence[str]) -> tuple[list[str], list[str]]:
        """The best and the worst of the trials, best first."""
        ranked = sorted(trials, key=lambda each: self.scores[each], reverse=self.base.mode == "max")
        quantile = min(max(1, round(self.scheduler.quantile_fraction * len(ranked))), len(ranked) // 2)
        return ranked[:quantile], ranked[len(ranked) - quantile :]

    def _exploit(self, trial: str, best: Sequence[str], epochs: int) -> Row | None:
        """Let a trial continue from one of the best; the row of its lineage, None where that cannot be copied."""
        rng = np.random.default_rng((self.sweep.seed, int(trial.removeprefix("t")), epochs))
        source = best[int(rng.integers(len(best)))]
        old, theirs = current_overrides(self.folder, trial), current_overrides(self.folder, source)
        new = self.scheduler.explore(theirs, self.search_space, self.history, epochs, rng)
        event: Row = {
            "trial": trial, "epoch": epochs, "source": source, "at": files.now(), "overrides": new,
            "changes": {key: {"old": old[key], "source": theirs[key], "new": new[key]} for key in new},
        }  # fmt: skip
        run = self.folder.run(trial)
        experiment = self.sweep.experiment_for(new, run.experiment["seed"])
        done = prepare_clone(self.folder.run(source), run, experiment, event)
        if done is not None:
            self._record_clone(trial, source, done["from_epoch"], epochs)
        return done

    def _record_score(self, trial: str, epochs: int, score: float) -> None:
        before, old = self.since.get(trial, (epochs, score))
        better = (score - old) * (1 if self.base.mode == "max" else -1)
        gain = better / (epochs - before) if epochs > before else None
        row: Row = {"trial": trial, "epochs": epochs, "score": score, "gain": gain}
        self._record({**row, "overrides": current_overrides(self.folder, trial)})

    def _record_clone(self, trial: str, source: str, epochs: int, at: int) -> None:
        """From now on a trial gains on the score of its source; it is ranked again once it has trained itself."""
        scores = [row[self.base.monitor] for row in self.folder.run(source).rows() if row["epoch"] == epochs - 1]
        score = scores[0] if scores else self.scores[source]
        self._record({"trial": trial, "epochs": epochs, "score": score, "source": source, "at": at})

    def _record(self, row: Row) -> None:
        """On disk, for a driver that resumes the sweep."""
        files.append_jsonl(self.folder.path / files.POPULATION, row)
        self._add(row)

    def _add(self, row: Row) -> None:
        if not row.get("source"):
            self.history.append(Observation(row["trial"], row["epochs"], row["overrides"], row["gain"]))
            self.scores[row["trial"]] = row["score"]
            self.compared.add((row["trial"], row["epochs"]))
        else:
            self.cloned.add((row["trial"], row.get("at") or row["epochs"]))
        self.since[row["trial"]] = (row["epochs"], row["score"])


def current_overrides(folder: SweepFolder, trial: str) -> Overrides:
    """The configuration that a trial has now."""
    rows = folder.run(trial).lineage()
    overrides: Overrides = (
        rows[-1]["overrides"] if rows else next(r["overrides"] for r in folder.trial_rows() if r["trial"] == trial)
    )
    return overrides


def prepare_clone(source: Run, run: Run, experiment: Experiment, event: Row) -> Row | None:
    """Prepare what a trial is to continue from.

    Args:
        source: the trial whose checkpoints are copied.
        run: the trial that continues from them.
        experiment: with the new values.
        event: the row of the lineage, without `from_epoch`.

    Returns:
        The whole row; None where the source has trained all its epochs, or has no checkpoint to copy.
    """
    new = run.path / f".{CLONE}"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    epochs = _copy_checkpoints(source, new)
    if epochs is None or epochs >= experiment.trainer.max_epochs:
        shutil.rmtree(new)
        return None
    # The source may be given other values in the same second.
    event = {**event, "from_epoch": epochs, "source_exploits": len(source.lineage())}
    checkpoint = torch.load(new / files.LAST, map_location="cpu", weights_only=True)
    update_param_groups(checkpoint, Experiment.of(source.experiment), experiment)
    # Written beside it first: last.ckpt is a link to the source's own file.
    torch.save(checkpoint, new / "updated.ckpt")
    (new / "updated.ckpt").replace(new / files.LAST)
    (new / files.EXPERIMENT).write_text(config.to_yaml(experiment.dump()), encoding="utf-8")
    files.write_jsonl(new / files.METRICS, source.rows()[:epochs])
    files.write_json(new / CLONE_LINEAGE, event)
    for path in new.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    new.rename(run.path / CLONE)
    return event


def _copy_checkpoints(source: Run, folder: Path) -> int | None:
    """Link the source's last checkpoint and the best one until then, while it trains on; the epochs they hold."""
    for _ in range(50):
        shutil.rmtree(folder)
        folder.mkdir()
        try:
            if has_clone(source):
                raise FileNotFoundError  # While it takes over its own clone, its record and weights may not match.
            os.link(source.checkpoints / files.LAST, folder / files.LAST)
            os.link(source.best_checkpoint, folder / files.BEST)
            epochs, best = (epochs_in(read_checkpoint(folder / name)) for name in (files.LAST, files.BEST))
            if best <= epochs:
                return epochs
        except (FileNotFoundError, DataError):
            pass  # Between two renames of the source.
        time.sleep(0.02)
    return None


def update_param_groups(checkpoint: Row, old: Experiment, new: Experiment) -> None:
    """Write the values of the new optimiser into a checkpoint: restored as they are, the old ones would stay in force.

    The learning rate is scaled, so that the phase of its schedule stays.
    """
    before, after = optimizer_param_group(old.optimizer), optimizer_param_group(new.optimizer)
    for state in checkpoint["optimizer_states"]:
        for group in state["param_groups"]:
            for key, value in after.items():
                if key == "lr":
                    group[key] *= value / before[key]
                elif before.get(key) != value:
                    group[key] = value


def exploit(run: Run) -> None:
    """Take over the clone that was prepared for a trial, if there is one; repeated after a kill, it ends the same."""
    clone = run.path / CLONE
    if not clone.is_dir():
        return
    event = legacy.lineage(files.read_json(clone / CLONE_LINEAGE))
    # It belongs to other weights.
    (run.checkpoints / files.PREVIOUS).unlink(missing_ok=True)
    for name in (files.EXPERIMENT, files.METRICS, files.BEST, files.LAST):
        if (clone / name).exists():
            (clone / name).replace((run.checkpoints if name.endswith(".ckpt") else run.path) / name)
    if event not in run.lineage():
        files.append_jsonl(run.path / files.LINEAGE, event)
    shutil.rmtree(clone)


def prepared(run: Run, epochs: int) -> Row | None:
    """The row of a trial's lineage after so many epochs, taken over already or not; None where there is none."""
    rows = [row for row in run.lineage() if row["epoch"] == epochs]
    if not rows and has_clone(run):
        pending = legacy.lineage(files.read_json(run.path / CLONE / CLONE_LINEAGE))
        rows = [pending] if pending["epoch"] == epochs else []
    return rows[-1] if rows else None


def has_clone(run: Run) -> bool:
    """Whether a clone is prepared for a trial."""
    return (run.path / CLONE).is_dir()


def wait_for_population(folder: Path, size: int, timeout: float = 60.0) -> None:
    """Wait until so many trials have started: the first must not end before the last has started.

    Args:
        timeout: seconds.
    """
    end = time.monotonic() + timeout
    while time.monotonic() < end and len(list(folder.glob(f"trials/*/{files.RUN}"))) < size:
        time.sleep(0.05)
