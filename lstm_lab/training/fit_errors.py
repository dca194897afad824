"""What Lightning raises in `fit`, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from lstm_lab.config import DataError


class TrainingStart(Callback):
    """Whether training has begun: what is raised before is about the checkpoint that it was to continue from."""

    def __init__(self) -> None:
        self.reached = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.reached = True


@contextmanager
def explained_fit(checkpoint: Path | None) -> Iterator[TrainingStart]:
    """Turn what Lightning raises in `fit` into our errors. The callback that it gives must be among the Trainer's.

    Args:
        checkpoint: to continue from; None: from the beginning.

    Raises:
        KeyboardInterrupt: Lightning ends the process with an exit code of its own.
        DataError: the checkpoint can be read, but holds something else than this run's state.
    """
    start = TrainingStart()
    try:
        yield start
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        if checkpoint is None or start.reached or isinstance(error, torch.OutOfMemoryError):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise DataError(f"{checkpoint}: is not a checkpoint of this run ({reason}): delete it to continue from the one "
                        "before it, or from the beginning") from error  # fmt: skip
