"""What becomes of a trial that asks for more memory than there is."""

from __future__ import annotations

from typing import Any

import torch

from lstm_lab import config
from lstm_lab.config import DataError
from lstm_lab.experiment import Experiment
from lstm_lab.files import write_atomic
from lstm_lab.run import Run
from lstm_lab.training import Result, train


class OutOfMemory(DataError):
    """A batch that does not fit."""


def is_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on the device or on the machine."""
    # Of torch's CPU allocator there is nothing but its sentence.
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(each in str(error).lower() for each in words)
    )


def train_with_memory_limit(experiment: Experiment, run: Run, *, halve: bool, **how: Any) -> Result:
    """`train`, with a word on memory; begun again with half the batch each time, where that was asked for.

    Raises:
        OutOfMemory: the batch does not fit and may not, or cannot, be halved.
    """
    while True:
        try:
            return train(experiment, run, **how)
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            batch = experiment.data.batch_size
            if not halve or batch < 2:
                way = "lower it" if halve else "lower it, or write resources.halve_batch: true"
                first = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
                raise OutOfMemory(f"data.batch_size {batch} does not fit into memory ({first}); {way}") from error
        # Left before the next try, for a traceback holds every tensor of the last one.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        experiment = experiment.with_overrides({"data.batch_size": batch // 2})
        again(run, experiment, batch)


def again(run: Run, experiment: Experiment, batch: int) -> None:
    """From the beginning with another experiment: what stood for the larger batch would be half of each."""
    run.truncate(0)
    for path in run.checkpoints.glob("*.ckpt"):
        path.unlink()
    write_atomic(run.path / "experiment.yaml", config.to_yaml(experiment.dump()))
    run.describe(halved=[*run.about.get("halved", []), {"from": batch, "to": experiment.data.batch_size}])
