"""Checkpoints and the metric record: both are written after each epoch, and a run resumes from them."""

from __future__ import annotations

import io
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import PickleError
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lstm_lab.config import DataError, Interrupted
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.integrity import verify_checkpoint
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import Select, finite
from lstm_lab.records.scores import level
from lstm_lab.system.energy import Energy, EnergyMeter, start_meter
from lstm_lab.system.peak_memory import peak_memory
from lstm_lab.tracking import Tracker
from lstm_lab.training.learner import Learner

STATE_KEY = "Keeper"
"""Under which a checkpoint holds the state of `RunCheckpoint`: that callback's name in format 1."""


PARTS = ("state_dict", "callbacks", "learner", "optimizer_states", "global_step")
"""What is read of a checkpoint."""


class StageEnded(Exception):
    """Training goes on with other hyperparameters, from the checkpoint that was just written."""


class RankCheckpoint(Callback):
    """What every process does at the end of an epoch: a checkpoint is written once all of them have reached it."""

    @property
    def state_key(self) -> str:
        return STATE_KEY

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A run that was killed after its last epoch, before it was marked as finished, must not train one epoch more.
        stopping = trainer.early_stopping_callback
        if isinstance(stopping, EarlyStopping) and stopping.wait_count >= stopping.patience:
            trainer.should_stop = True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Learner)
        pl_module.takes_roll_backs = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        roll_back(trainer, None)
        trainer.save_checkpoint(os.devnull, weights_only=False)


def roll_back(trainer: pl.Trainer, best: Path | None) -> int | None:
    """Return to the best epoch where the schedule wants it; every process calls this at the end of an epoch.

    Args:
        best: its checkpoint, on rank 0.

    Returns:
        That epoch; None where training goes on from where it is.
    """
    learner = trainer.lightning_module
    assert isinstance(learner, Learner)
    if not learner.rolls_back:
        return None
    own: Row = {} if best is None else read_checkpoint(best)
    checkpoint = trainer.strategy.broadcast(own)
    learner.roll_back(checkpoint)
    return epochs_in(checkpoint) - 1


class RunCheckpoint(RankCheckpoint):
    """Rank 0: a row of the record and a checkpoint after each epoch, and a checkpoint when asked to stop.

    Args:
        on_epoch: called with each row once it is on the disk, with its checkpoint.
        stop: once set, the step in progress is finished, everything is saved, and `Interrupted` is raised.
        until: `StageEnded` is raised after so many epochs; None: never.
        select: which epoch's weights are in best.ckpt.
    """

    def __init__(
        self,
        run: Run,
        tracker: Tracker,
        on_epoch: Callable[[Row], None] | None = None,
        stop: threading.Event | None = None,
        until: int | None = None,
        select: Select = "best",
    ) -> None:
        self.run, self.tracker, self.on_epoch, self.stop, self.until = run, tracker, on_epoch, stop, until
        self.select: Select = select
        self.epochs = 0
        rows = run.rows()
        self.seconds = rows[-1]["seconds"] if rows else 0.0
        """Training time at the end of the last epoch."""
        self.started = time.monotonic() - self.seconds
        self.joules = {key: float(rows[-1].get(key) or 0.0) if rows else 0.0 for key in Energy._fields}
        """Measured before this process."""
        self.meter = EnergyMeter()

    def state_dict(self) -> dict[str, int]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.epochs = state_dict["epochs"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        assert isinstance(pl_module, Learner)
        self.run.describe(steps=pl_module.step_path)
        self.meter = start_meter()  # The accelerator is in use now.

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        learner = trainer.lightning_module
        assert isinstance(learner, Learner)
        # After the last batch of an epoch comes validation, so that the epoch is saved as a whole. Gradients that wait
        # for those of other batches are in no checkpoint.
        is_between = not trainer.is_last_batch and not learner.step.is_accumulating
        if self.stop is not None and self.stop.is_set() and is_between:
            self.save(trainer)
            raise self.interrupted()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.monotonic() - self.started
        data = trainer.datamodule  # type: ignore[attr-defined]
        row = {
            "epoch": self.epochs,
            "step": trainer.global_step,
            **metrics,
            "samples_per_second": round(len(data.dataset.train) / max(seconds - self.seconds, 1e-6), 1),
            "memory_mib": round(peak_memory() / 2**20, 1),
            "seconds": round(seconds, 3),
        }
        measured = self.meter.read()._asdict().items()
        row |= {key: round(self.joules[key] + value, 2) for key, value in measured if value is not None}
        self.seconds = seconds
        returned = roll_back(trainer, self.run.best_checkpoint)
        if returned is not None:
            row["rolled_back_to"] = returned
        self.epochs += 1
        self.run.append(row)
        self.tracker.log(row)
        self.save(trainer, best=pl_module.improved or self.select == "last")
        if self.on_epoch is not None:
            self.on_epoch(row)
        if self.stop is not None and self.stop.is_set():
            raise self.interrupted()
        if self.epochs == self.until:
            raise StageEnded

    def save(self, trainer: pl.Trainer, best: bool = False) -> None:
        """Write last.ckpt, whole or not at all; the one before it becomes previous.ckpt.

        Args:
            best: it is also best.ckpt.
        """
        folder = self.run.checkpoints
        new, last = folder / ".new.ckpt", folder / files.LAST
        try:
            trainer.save_checkpoint(new, weights_only=False)
        except OSError:  # The rest of it on a full disk would take the room that status.json needs.
            new.unlink(missing_ok=True)
            raise
        with new.open("rb") as file:
            os.fsync(file.fileno())
        if best:
            _link(new, self.run.best_checkpoint)
        if last.exists():
            last.replace(folder / files.PREVIOUS)
        new.replace(last)

    def interrupted(self) -> Interrupted:
        return Interrupted(
            f"interrupted after {self.epochs} epochs; resume with: lstm-lab train --resume {self.run.path}"
        )


class Resumable(NamedTuple):
    """Where a run can be resumed from."""

    path: Path | None
    """Its newest checkpoint that can be relied on; None to start from the beginning."""
    epochs: int
    """That it holds."""
    unusable: dict[Path, str]
    """Newer checkpoints, and what is wrong with each."""


def find_checkpoint(run: Run) -> Resumable:
    """The newest checkpoint that can be relied on.

    One that cannot be read, or whose epochs the record lacks, is passed over; so is one whose best epoch is lost.
    """
    unusable = {}
    for path in run.resumable():
        try:
            content = read_checkpoint(path)
            _check_record(run, path, content)
            _check_best(run, path, content)
        except DataError as error:
            unusable[path] = str(error)
        else:
            return Resumable(path, epochs_in(content), unusable)
    return Resumable(None, 0, unusable)


def newest_checkpoint(run: Run) -> tuple[Path | None, int]:
    """`find_checkpoint`, with a warning for each that is passed over; (None, 0) to start from the beginning."""
    found = find_checkpoint(run)
    way = "resuming from the checkpoint before it" if found.path else "starting from the beginning"
    for error in found.unusable.values():
        warnings.warn(f"{error}; {way}", stacklevel=2)
    return found.path, found.epochs


def _check_record(run: Run, path: Path, checkpoint: Row) -> None:
    """Insist that the record has every epoch of a checkpoint, and the best value that it knows.

    Raises:
        DataError: it does not: a run that went on would lack rows, and may have lost its best epoch.
    """
    rows, epochs = {row["epoch"]: row for row in run.rows()}, epochs_in(checkpoint)
    lost = sum(epoch not in rows for epoch in range(epochs))
    if lost:
        raise DataError(f"{run.path / files.METRICS}: lacks {lost} of the {epochs} epochs in {path.name}")
    best, monitor = checkpoint["learner"].get("best"), run.about.get("monitor") or ""
    values = [row.get(monitor) for row in rows.values()] if monitor else []
    if best is not None and values and not any(level(value, best) for value in values if finite(value)):
        raise DataError(f"{run.path / files.METRICS}: no epoch has the best {monitor} in {path.name}")


def _check_best(run: Run, path: Path, checkpoint: Row) -> None:
    """Insist that the weights of the epoch that counts are there; where it is the checkpoint's own, they are in it.

    Raises:
        DataError: they are lost.
    """
    best = checkpoint["learner"].get("best")
    if best is None:
        return
    try:
        read_checkpoint(run.best_checkpoint)
    except DataError:
        row = next((row for row in run.rows() if row["epoch"] == epochs_in(checkpoint) - 1), None)
        counts = row is not None and (
            run.about.get("select") == "last" or level(row.get(run.about.get("monitor") or ""), best)
        )
        # A checkpoint of the middle of the next epoch has later weights.
        if row is None or not counts or row["step"] != checkpoint["global_step"]:
            raise
        _link(path, run.best_checkpoint)


def _link(path: Path, best: Path) -> None:
    """Make a checkpoint the best one too, whole or not at all."""
    link = best.with_name(".best.ckpt")
    link.unlink(missing_ok=True)
    os.link(path, link)
    link.replace(best)


def read_checkpoint(path: Path) -> Row:
    """Weights and plain data of a checkpoint, every record verified by its checksum; no pickle in it is executed.

    Raises:
        DataError: it is damaged or incomplete, or holds what only a pickle could restore.
    """
    verify_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = {key: content[key] for key in PARTS}
    except (OSError, RuntimeError, LookupError, ValueError, EOFError, TypeError, AttributeError, PickleError) as error:
        raise DataError(f"{path}: incomplete or not ours ({type(error).__name__})") from None
    if _is_whole(found):
        return found
    raise DataError(f"{path}: incomplete or not ours (it lacks weights, or the number of epochs)")


def _is_whole(content: Row) -> bool:
    """Whether weights, and the number of epochs, are there."""
    weights, callbacks = content["state_dict"], content["callbacks"]
    state = callbacks.get(STATE_KEY) if isinstance(callbacks, dict) else None
    epochs = state.get("epochs") if isinstance(state, dict) else None
    tensors = isinstance(weights, dict) and all(isinstance(value, torch.Tensor) for value in weights.values())
    return tensors and type(epochs) is int and epochs >= 0


def epochs_in(checkpoint: Row) -> int:
    """Epochs that had been trained when a checkpoint was written."""
    epochs: int = checkpoint["callbacks"][STATE_KEY]["epochs"]
    return epochs


class InPlaceCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint where it is to be. Lightning's own way is through the folder of temporary files, which may be
    on another disk, and where the rest of it stays if that or this disk is full."""

    def save_checkpoint(self, checkpoint: Row, path: str | Path, storage_options: object = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with Path(path).open("wb") as file:
            file.write(content.getbuffer())
