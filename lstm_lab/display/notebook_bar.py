"""Lightning's progress bar in a notebook."""

from __future__ import annotations

import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from lstm_lab.display.progress import NotebookDisplay, bar


class NotebookBar(ProgressBar):
    """Lightning's progress as a bar in a notebook: epoch, batch, and the metrics of the last epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._display, self._enabled = NotebookDisplay(), True
        self._started = time.monotonic()

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic()
        self._show(trainer, 0, force=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        # One step of the loop may have trained several batches: `batch_idx` is the first.
        self._show(trainer, trainer.fit_loop.epoch_loop.batch_idx + 1)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show(trainer, 0, force=True)

    def _show(self, trainer: pl.Trainer, batches: int, *, force: bool = False) -> None:
        if self._enabled and trainer.is_global_zero:
            content = bar(trainer.current_epoch, trainer.max_epochs, batches, int(trainer.num_training_batches),
                          trainer.callback_metrics, time.monotonic() - self._started)  # fmt: skip
            self._display.update(content, force=force, raw=True)
