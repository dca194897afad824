"""The compiled CPU engine: where it lies, whether it loads on this CPU, whether it is switched off, what it serves."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from ctypes import c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}


class Job(ctypes.Structure):
    """Mirrors `struct Job` in engine.cpp, field by field."""

    _fields_ = [
        *((name, c_int64) for name in ("family", "flags", "threads", "training", "reversed", "B", "T", "I", "H")),
        *(("x", c_void_p), ("x_b", c_int64), ("x_t", c_int64)),
        *((name, c_void_p) for name in ("lengths", "W", "U", "b_ih", "b_hh", "peep", "h0", "c0", "out", "hT", "cT")),
        *(("rows", c_void_p), ("rows_ld", c_int64), ("gates", c_void_p), ("gates_ld", c_int64)),
        *((name, c_void_p) for name in ("cells", "tanhs", "dout")),
        *(("dout_b", c_int64), ("dout_t", c_int64)),
        *((name, c_void_p) for name in ("dhT", "dcT", "dx", "dh0", "dc0", "dpeep", "dW", "dU", "db_ih", "db_hh")),
    ]


@dataclass(frozen=True)
class Status:
    """What computes recurrent cells on this CPU, and why."""

    active: bool
    engine: str
    """Instruction set of the native engine, or `torch`."""
    reason: str
    """One line for a person."""


class Engine:
    """Functions of the library for one instruction set, each by data type where it has one."""

    def __init__(self, library: ctypes.CDLL, isa: str):
        self.isa = isa
        job, integer, pointer = ctypes.POINTER(Job), c_int64, c_void_p

        def both(what: str, result: Any, *arguments: Any) -> dict[torch.dtype, Any]:
            found = {dtype: getattr(library, f"{what}_{suffix}_{isa}") for dtype, suffix in _SUFFIX.items()}
            for function in found.values():
                function.restype, function.argtypes = result, arguments
            return found

        self.forward, self.backward = both("forward", integer, job), both("backward", integer, job)
        self.play = both("play", integer, pointer)
        self.activations = both("activations", None, pointer, integer, pointer, pointer)
        self.threads = getattr(library, f"threads_{isa}")
        self.threads.restype, self.threads.argtypes = integer, [job]


_lock = threading.Lock()
_loaded: tuple[Engine | None, Status] | None = None
_disabled = threading.local()


def _load() -> tuple[Engine | None, Status]:
    """The engine of the best instruction set that this CPU has. Reads, never builds."""
    # Here, so that `python -m lstm_lab.kernels.build` is not imported before it runs.
    from lstm_lab.kernels import build

    asked = os.environ.get("LSTM_LAB_KERNELS", "")
    allowed = ["off", *build.variants()]
    if asked and asked not in allowed:
        return None, Status(False, "torch", f"LSTM_LAB_KERNELS={asked} is none of {', '.join(allowed)}; using torch")
    if asked == "off":
        return None, Status(False, "torch", "switched off by LSTM_LAB_KERNELS=off; using torch")
    why = "not built"
    for folder in (build.BESIDE, build.user_cache()):
        for about in sorted(folder.glob("engine-*.json")):
            fault = build.check(about)
            if fault:
                why = fault
                continue
            try:
                library = ctypes.CDLL(str(about.with_suffix(".so")))
                for isa in [asked] if asked else build.variants():
                    supported = getattr(library, f"supported_{isa}")
                    if supported():
                        path = about.with_suffix(".so")
                        return Engine(library, isa), Status(True, isa, f"native CPU engine ({isa}) from {path}")
                why = f"this CPU lacks {asked}"
            except (OSError, AttributeError) as error:
                why = f"{about.with_suffix('.so')} does not load ({str(error).splitlines()[0]})"
    line = f"no native CPU engine: {why}; using torch. Build it: python -m lstm_lab.kernels.build"
    return None, Status(False, "torch", line)


def engine() -> Engine | None:
    """The engine, looked for once in a process."""
    return None if switched_off() else _get()[0]


def engine_now() -> Engine:
    """The engine, where `serves` has said that there is one."""
    found = engine()
    assert found is not None
    return found


def status() -> Status:
    """What is active, and why. `lstm-lab doctor` shows it."""
    if switched_off():
        return Status(False, "torch", "switched off by kernels.disabled(); using torch")
    return _get()[1]


def _get() -> tuple[Engine | None, Status]:
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load()
    return _loaded


def reload() -> Status:
    """Look again, as after a build."""
    global _loaded
    with _lock:
        _loaded = None
    return status()


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Inside, everything of this thread goes through torch: for second derivatives, and to compare."""
    before = getattr(_disabled, "on", False)
    _disabled.on = True
    try:
        yield
    finally:
        _disabled.on = before


def switched_off() -> bool:
    """Whether this thread is inside `disabled()`."""
    return getattr(_disabled, "on", False)


def tune_memory() -> bool:
    """Let malloc keep what a step frees instead of handing it back page by page. Once, at the start of a training.

    Returns:
        Whether this C library knows how (glibc does).
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version.restype = ctypes.c_char_p
        libc.gnu_get_libc_version()
        # M_MMAP_THRESHOLD = -3, M_TRIM_THRESHOLD = -1 (malloc.h): 1 GiB and 4 GiB - 1, both as C int.
        return bool(libc.mallopt(-3, 1 << 30)) and bool(libc.mallopt(-1, 2**31 - 1))
    except (OSError, AttributeError, TypeError):
        return False


def serves(*tensors: Tensor | None) -> bool:
    """Whether the engine can take these tensors: on the CPU, all float32 or all float64, no transform at work."""
    first = tensors[0]
    if first is None or first.dtype not in _SUFFIX or engine() is None or torch.is_autocast_enabled("cpu"):
        return False
    for tensor in tensors:
        if tensor is not None and (tensor.dtype is not first.dtype or tensor.device.type != "cpu" or wrapped(tensor)):
            return False
    return not torch.jit.is_tracing()


def wrapped(tensor: Tensor) -> bool:
    """Whether it is more than memory: a subclass, or a batch of torch.func."""
    return type(tensor) not in (Tensor, torch.nn.Parameter) or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
