"""Population-based training: a trial that does badly goes on from a better one's weights, with its numbers changed.

A clone is prepared whole in the folder `clone` of the trial that is to become it, and that folder appears at once, with
the donor's checkpoint copied into it: so no retention can take it away, and a kill leaves either no clone or a whole
one. The trial adopts it before its next epoch, and a trial that is begun again does so first.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lstm_lab import config, files, legacy
from lstm_lab.checkpointing import epochs_in, read_checkpoint
from lstm_lab.config import DataError
from lstm_lab.experiment import Experiment
from lstm_lab.files import append_jsonl, now
from lstm_lab.run import Run
from lstm_lab.sweeps.schedulers.pbt import optimizer_param_group
from lstm_lab.sweeps.schedulers.population import Observation, PopulationScheduler
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.store.folder import SweepFolder


class Population:
    """Decides who is cloned by whom; told each epoch, it acts at every multiple of the interval.

    Compared is what each trial reported at its own last multiple: nobody waits for a slower one.
    """

    def __init__(self, folder: SweepFolder, scheduler: PopulationScheduler) -> None:
        self.folder, self.scheduler = folder, scheduler
        self.sweep = folder.sweep
        self.base, self.search_space = self.sweep.base, self.sweep.search_space
        self.scores: dict[str, float] = {}
        self.history: list[Observation] = []
        """Each trial at each comparison."""
        self.since: dict[str, tuple[int, float]] = {}
        """Epochs and score of a trial when it got its numbers, or was last compared with them."""
        for row in files.read_jsonl(folder.path / files.POPULATION):
            self._add(legacy.population(row))

    def _add(self, row: dict[str, Any]) -> None:
        if not row.get("source"):
            self.history.append(Observation(row["trial"], row["epochs"], row["overrides"], row["gain"]))
            self.scores[row["trial"]] = row["score"]
        self.since[row["trial"]] = (row["epochs"], row["score"])

    def _begin(self, trial: str, source: str, done: dict[str, Any]) -> None:
        """A clone gains from where its donor stands; it is compared with others once it has trained itself."""
        epochs = done["from_epoch"]
        scores = [row[self.base.monitor] for row in self.folder.run(source).rows() if row["epoch"] == epochs - 1]
        row = {
            "trial": trial,
            "epochs": epochs,
            "score": scores[0] if scores else self.scores[source],
            "source": source,
        }
        append_jsonl(self.folder.path / "population.jsonl", row)
        self._add(row)

    def _compare(self, trial: str, epochs: int, score: float) -> None:
        """Onto the record, so that a driver that was killed knows it still."""
        before, old = self.since.get(trial, (epochs, score))
        better = (score - old) * (1 if self.base.mode == "max" else -1)
        gain = better / (epochs - before) if epochs > before else None
        row = {"trial": trial, "epochs": epochs, "score": score, "gain": gain}
        row["overrides"] = current_overrides(self.folder, trial)
        append_jsonl(self.folder.path / "population.jsonl", row)
        self._add(row)

    def report(self, trial: str, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """An epoch is done; the row of the lineage if the trial is to go on as a clone."""
        epochs = row["epoch"] + 1
        if epochs % self.scheduler.perturbation_interval:
            return None
        self._compare(trial, epochs, row[self.base.monitor])
        ranked = sorted(self.scores, key=lambda each: self.scores[each], reverse=self.base.mode == "max")
        few = min(max(1, round(self.scheduler.quantile_fraction * len(ranked))), len(ranked) // 2)
        if epochs >= self.base.trainer.max_epochs or trial not in ranked[len(ranked) - few :]:
            return None
        random = np.random.default_rng((self.sweep.seed, int(trial.removeprefix("t")), epochs))
        source = ranked[int(random.integers(few))]
        old, theirs = current_overrides(self.folder, trial), current_overrides(self.folder, source)
        new = self.scheduler.explore(theirs, self.search_space, self.history, epochs, random)
        row = {
            "trial": trial, "epoch": epochs, "source": source, "at": now(), "overrides": new,
            "changes": {key: {"old": old[key], "source": theirs[key], "new": new[key]} for key in new},
        }  # fmt: skip
        seed = self.folder.run(trial).experiment["seed"]
        done = prepare_clone(self.folder.run(source), self.folder.run(trial), self.sweep.experiment_for(new, seed), row)
        if done is not None:
            self._begin(trial, source, done)
        return done


def current_overrides(folder: SweepFolder, trial: str) -> Overrides:
    """The values that a trial has now."""
    rows = lineage(folder.run(trial))
    return rows[-1]["overrides"] if rows else next(r["overrides"] for r in folder.trial_rows() if r["trial"] == trial)


def lineage(run: Run) -> list[dict[str, Any]]:
    """From which trials it was cloned, at which of its epochs and theirs, and what was changed."""
    return run.lineage()


def prepare_clone(source: Run, run: Run, experiment: Experiment, row: dict[str, Any]) -> dict[str, Any] | None:
    """Lay out what a trial is to become; None where the donor has no epoch left to go on with."""
    new = run.path / ".clone"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    epochs = _link_checkpoints(source, new)
    if epochs is None or epochs >= experiment.trainer.max_epochs:
        shutil.rmtree(new)
        return None
    row = {**row, "from_epoch": epochs}
    content = torch.load(new / "last.ckpt", map_location="cpu", weights_only=True)
    update_param_groups(content, Experiment.of(source.experiment), experiment)
    torch.save(content, new / "retuned.ckpt")
    (new / "retuned.ckpt").replace(new / "last.ckpt")
    (new / "experiment.yaml").write_text(config.to_yaml(experiment.dump()), encoding="utf-8")
    (new / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in source.rows()[:epochs]))
    (new / "lineage.json").write_text(json.dumps(row))
    for path in new.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    new.rename(run.path / "clone")
    return row


def _link_checkpoints(source: Run, folder: Path) -> int | None:
    """Link the donor's newest checkpoint and the best up to it; the epochs they hold. The donor trains on meanwhile."""
    for _ in range(50):
        shutil.rmtree(folder)
        folder.mkdir()
        try:
            if has_clone(source):
                raise FileNotFoundError  # It becomes a clone itself: its record may be of one, its weights of another.
            os.link(source.checkpoints / "last.ckpt", folder / "last.ckpt")
            os.link(source.best_checkpoint, folder / "best.ckpt")
            epochs, best = (epochs_in(read_checkpoint(folder / name)) for name in ("last.ckpt", "best.ckpt"))
            if best <= epochs:
                return epochs
        except (FileNotFoundError, DataError):
            pass  # Or between two renames of the donor.
        time.sleep(0.02)
    return None


def update_param_groups(checkpoint: dict[str, Any], old: Experiment, new: Experiment) -> None:
    """Write the new optimiser's numbers over those it was saved with: restored as they are, they would win."""
    before, after = optimizer_param_group(old), optimizer_param_group(new)
    for state in checkpoint["optimizer_states"]:
        for group in state["param_groups"]:
            for key, value in after.items():
                if key == "lr":  # What the schedule has made of it by now stays.
                    group[key] *= value / before[key]
                elif before.get(key) != value:
                    group[key] = value


def exploit(run: Run) -> None:
    """Become the clone that lies ready, if there is one; done again after a kill, it ends the same."""
    clone = run.path / "clone"
    if not clone.is_dir():
        return
    row = legacy.lineage(json.loads((clone / "lineage.json").read_bytes()))
    # The one before belongs to other weights.
    (run.checkpoints / "previous.ckpt").unlink(missing_ok=True)
    for name in ("experiment.yaml", "metrics.jsonl", "best.ckpt", "last.ckpt"):
        if (clone / name).exists():
            (clone / name).replace((run.checkpoints if name.endswith(".ckpt") else run.path) / name)
    if row not in lineage(run):
        append_jsonl(run.path / "lineage.jsonl", row)
    shutil.rmtree(clone)


def has_clone(run: Run) -> bool:
    """Whether a clone lies ready."""
    return (run.path / "clone").is_dir()


def wait_for_population(folder: Path, members: int, seconds: float = 60.0) -> None:
    """Wait until so many trials have begun: the first must not be trained through before the last has started."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(list(folder.glob("trials/*/run.json"))) < members:
        time.sleep(0.05)
