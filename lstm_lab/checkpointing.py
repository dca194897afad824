"""What must not be lost of a training: after each epoch a row and a checkpoint, and the way back to them."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import PickleError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping

from lstm_lab.config import DataError, Interrupted
from lstm_lab.learner import Learner
from lstm_lab.run import Run
from lstm_lab.tracking import Tracker


class Keeping(Callback):
    """The part in it of every process but the first: a checkpoint is written once all of them have come to it."""

    @property
    def state_key(self) -> str:
        return "Keeper"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Killed between its last epoch and its last word, a run must not train one epoch more than it would have.
        stopping = trainer.early_stopping_callback
        if isinstance(stopping, EarlyStopping) and stopping.wait_count >= stopping.patience:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(os.devnull, weights_only=False)


class Keeper(Keeping):
    """Keeps what must not be lost: a row and a checkpoint after each epoch, a checkpoint when asked to stop."""

    def __init__(
        self,
        run: Run,
        tracker: Tracker,
        on_epoch: Callable[[dict[str, Any]], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.run, self.tracker, self.on_epoch, self.stop = run, tracker, on_epoch, stop
        self.epochs = 0
        rows = run.rows()
        self.told = rows[-1]["seconds"] if rows else 0.0
        self.began = time.monotonic() - self.told

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        # The last batch of an epoch goes on into validation, and the epoch is kept whole.
        if self.stop is not None and self.stop.is_set() and not trainer.is_last_batch:
            self.save(trainer)
            raise self.interrupted()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.monotonic() - self.began
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        row = {
            "epoch": self.epochs,
            "step": trainer.global_step,
            **metrics,
            "samples_per_second": round(len(data.dataset.train) / max(seconds - self.told, 1e-6), 1),
            "memory_mib": round(memory() / 2**20, 1),
            "seconds": round(seconds, 3),
        }
        self.told = seconds
        self.epochs += 1
        self.run.append(row)
        self.tracker.log(row)
        self.save(trainer, best=pl_module.improved)
        if self.on_epoch is not None:
            self.on_epoch(row)
        if self.stop is not None and self.stop.is_set():
            raise self.interrupted()

    def save(self, trainer: pl.Trainer, best: bool = False) -> None:
        """last.ckpt, whole or not at all; the one before it stays as previous.ckpt."""
        folder = self.run.checkpoints
        new, last = folder / ".new.ckpt", folder / "last.ckpt"
        trainer.save_checkpoint(new, weights_only=False)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        if best:
            link = folder / ".best.ckpt"
            link.unlink(missing_ok=True)
            os.link(new, link)
            link.replace(self.run.best)
        if last.exists():
            last.replace(folder / "previous.ckpt")
        new.replace(last)

    def interrupted(self) -> Interrupted:
        return Interrupted(
            f"interrupted after {self.epochs} epochs; go on with: lstm-lab train --resume {self.run.path}"
        )


def memory() -> int:
    """Bytes at the peak: of the accelerator's memory where there is one, else of this process so far."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


def newest_checkpoint(run: Run) -> tuple[Path | None, int]:
    """The newest checkpoint that loads, and how many epochs it holds; (None, 0) to begin at the beginning."""
    for path in run.resumable():
        try:
            return path, epochs_in(read_checkpoint(path))
        except DataError as error:
            warnings.warn(f"{error}; going on from the one before", stacklevel=2)
    return None, 0


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Weights and plain data of a checkpoint; no pickle in it is executed.

    Raises:
        DataError: torn, or it holds what only a pickle could bring back.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {key: content[key] for key in ("state_dict", "callbacks", "learner")}
    except (OSError, RuntimeError, LookupError, ValueError, EOFError, TypeError, AttributeError, PickleError) as error:
        raise DataError(f"{path}: torn or not ours ({type(error).__name__})") from None


def epochs_in(checkpoint: dict[str, Any]) -> int:
    """How many epochs had been trained when it was written."""
    return checkpoint["callbacks"]["Keeper"]["epochs"]
