"""Peak memory since a run began, where several are trained one after another in the same process.

On the CPU it is that of the whole process: what libraries take, and what the process still holds of an earlier run, is
in it; the peak of an earlier run is not.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory() -> bool:
    """Begin to measure anew.

    Returns:
        Whether the machine lets a process do so: Linux does, elsewhere the peak on the CPU is that of the process.
    """
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        return True
    with contextlib.suppress(AttributeError, OSError):  # Without glibc.
        ctypes.CDLL(None).malloc_trim(0)  # What an earlier run has freed is still resident.
    try:
        CLEAR.write_text("5")  # man 5 proc: the peak of the resident set becomes what it is now.
    except OSError:
        return False
    return True


def peak_memory() -> int:
    """Bytes: of the accelerator where there is one, else of this process, since `reset_peak_memory`."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    try:
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return resident if sys.platform == "darwin" else resident * 1024
