"""A batch that does not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lstm_lab.config import Fault

WAY = "lower it; lstm-lab find-batch-size CONF says what fits"


class OutOfMemory(Fault):
    """A batch does not fit into memory: training cannot start, or go on."""

    exit_code = 4


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that no memory was left, on the device or on the machine."""
    # torch's CPU allocator raises a plain RuntimeError: only its message tells.
    messages = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error).lower() for message in messages)
    )


def out_of_memory(error: BaseException, batch_size: int, way: str = WAY) -> OutOfMemory:
    """The error in one line.

    Args:
        way: what to do.
    """
    first = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return OutOfMemory(f"data.batch_size {batch_size} does not fit into memory ({first}); {way}")


@contextmanager
def within_memory(batch_size: int) -> Iterator[None]:
    """Turn what torch raises when no memory is left into one line.

    Raises:
        OutOfMemory: no memory is left.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error, batch_size) from error
