"""Which batch size fits into memory and is fast: one training step after another, each with twice the batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment
from lstm_lab.preflight.bare_loop import BareLoop
from lstm_lab.system.out_of_memory import is_out_of_memory
from lstm_lab.system.peak_memory import peak_memory, reset_peak_memory

SECONDS = 0.5
"""For how long each size is timed."""
RESERVE = 0.8
"""Share of the free memory of the machine that a batch may take: without it, the operating system ends the process."""


@dataclass(frozen=True)
class BatchSizeRow:
    """What a batch size costs."""

    batch_size: int
    samples_per_second: float | None
    """Of training steps; None where it does not fit."""
    memory_mib: float | None
    """Peak memory of the device, or of this process."""


def batch_sizes(experiment: Experiment, dataset: Dataset, *, start: int = 8) -> Iterator[BatchSizeRow]:
    """Rows for `start`, 2 `start`, ...: up to all samples, or to the first size that does not fit into memory.

    On a CPU a size is not tried where the sizes before say that it needs more than is free.
    """
    reset_peak_memory()
    size, before = start, peak_memory()
    while True:
        size = min(size, len(dataset.train))
        try:
            rate = samples_per_second(experiment, dataset, size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            rate = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if rate is None:
            yield BatchSizeRow(size, None, None)
            return
        after = peak_memory()
        yield BatchSizeRow(size, rate, after / 2**20)
        if size == len(dataset.train):
            return
        if not torch.cuda.is_available() and 2 * max(after - before, 0) > RESERVE * free_memory():
            yield BatchSizeRow(2 * size, None, None)
            return
        size *= 2


def samples_per_second(experiment: Experiment, dataset: Dataset, size: int) -> float:
    """Training samples a second with batches of a size, from at least two steps."""
    loop = BareLoop(experiment.with_overrides({"data.batch_size": size}), dataset)
    trained, seconds = 0, 0.0
    for batch in loop.batches():
        begin = time.perf_counter()
        loop.step(batch)
        if loop.steps > 1:  # The first one also pays for what is set up once.
            seconds += time.perf_counter() - begin
            trained += len(batch.x)
        if trained and seconds >= SECONDS:
            break
    return trained / seconds


def free_memory() -> int:
    """Bytes that the machine has free."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
