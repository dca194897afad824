"""Steps of the optimizer, as Lightning counts them."""

from __future__ import annotations

import pytorch_lightning as pl


def restore_step(trainer: pl.Trainer, step: int) -> None:
    """Set `trainer.global_step` to that of a checkpoint.

    Lightning counts steps that it takes itself and steps taken in `training_step` apart, and a checkpoint of the one
    kind may be continued in the other.
    """
    loop = trainer.fit_loop.epoch_loop
    for progress in (
        loop.automatic_optimization.optim_progress.optimizer.step, loop.manual_optimization.optim_step_progress
    ):  # fmt: skip
        progress.total.ready = progress.total.completed = step
