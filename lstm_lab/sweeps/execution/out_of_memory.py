"""What happens to a trial whose batch does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lstm_lab import config
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import EXPERIMENT, write_atomic
from lstm_lab.records.run import Run
from lstm_lab.system.out_of_memory import is_out_of_memory, out_of_memory
from lstm_lab.training.train import Result


def train_within_memory(
    train: Callable[[Experiment], Result], experiment: Experiment, run: Run, *, halve_batch: bool
) -> Result:
    """Train; when a batch does not fit into memory, start again with half the batch, or fail with the way out.

    Args:
        train: trains the run with an experiment.
        halve_batch: whether to try smaller batches.

    Raises:
        OutOfMemory: the batch does not fit, and must not or cannot be halved.
    """
    while True:
        try:
            return train(experiment)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            size = experiment.data.batch_size
            if not halve_batch or size < 2:
                way = "lower it" if halve_batch else "lower it, or write resources.halve_batch: true"
                raise out_of_memory(error, size, way) from error
        # Outside of the except clause: the traceback holds every tensor of the failed attempt.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        experiment = experiment.with_overrides({"data.batch_size": size // 2})
        restart(run, experiment, size)


def restart(run: Run, experiment: Experiment, old_size: int) -> None:
    """Empty the record for another batch size: with the old rows kept, it would be half of each."""
    run.truncate(0)
    for path in run.checkpoints.glob("*.ckpt"):
        path.unlink()
    write_atomic(run.path / EXPERIMENT, config.to_yaml(experiment.dump()))
    new_size = experiment.data.batch_size
    run.describe(halved=[*run.about.get("halved", []), {"from": old_size, "to": new_size}])
