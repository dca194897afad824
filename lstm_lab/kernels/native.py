"""The compiled CPU engine: finding and loading it, switching it off, and which tensors it supports."""

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


class LayerCall(ctypes.Structure):
    """Mirrors `struct LayerCall` in csrc/layer.h, field by field."""

    _fields_ = [
        *((name, c_int64) for name in ("family", "flags", "threads", "training", "reverse", "B", "T", "I", "H")),
        *(("x", c_void_p), ("x_stride_b", c_int64), ("x_stride_t", c_int64)),
        *((name, c_void_p) for name in ("lengths", "W", "U", "b_ih", "b_hh", "extra", "h0", "c0", "out", "hT", "cT")),
        *(("rows", c_void_p), ("rows_stride", c_int64), ("gates", c_void_p), ("gates_stride", c_int64)),
        *((name, c_void_p) for name in ("cells", "tanhs", "dout")),
        *(("dout_stride_b", c_int64), ("dout_stride_t", c_int64)),
        *((name, c_void_p) for name in ("dhT", "dcT", "dx", "dh0", "dc0", "d_extra", "dW", "dU", "db_ih", "db_hh")),
        *(("noise", c_void_p), ("panels", c_void_p)),
    ]


@dataclass(frozen=True)
class Status:
    """Which implementation computes recurrent cells on this CPU, and why."""

    active: bool
    engine: str
    """Instruction set of the native engine, or `torch`."""
    reason: str
    """One line, for messages."""
    binary: str = ""
    """Name of the native engine's file without its ending; it stands for source, compiler and flags."""
    missing: bool = False
    """There is no engine that this CPU runs, though nobody switched it off."""


class Engine:
    """The functions of the library for one instruction set, by dtype where they depend on it."""

    def __init__(self, library: ctypes.CDLL, isa: str) -> None:
        self.isa = isa
        call, integer, pointer = ctypes.POINTER(LayerCall), c_int64, c_void_p

        def by_dtype(name: str, result: Any, *arguments: Any) -> dict[torch.dtype, Any]:
            functions = {dtype: library[f"{name}_{suffix}_{isa}"] for dtype, suffix in _SUFFIX.items()}
            for function in functions.values():
                function.restype, function.argtypes = result, arguments
            return functions

        self.forward, self.backward = by_dtype("forward", integer, call), by_dtype("backward", integer, call)
        self.pack_layer = by_dtype("pack_layer", integer, call)
        self.step_stack = by_dtype("step_stack", None, pointer, integer, pointer)
        self.run_tape = by_dtype("run_tape", integer, pointer)
        self.activations = by_dtype("activations", None, pointer, integer, pointer, pointer)
        self.pack_layer_int8, self.step_stack_int8 = (
            library[f"pack_layer_int8_{isa}"],
            library[f"step_stack_int8_{isa}"],
        )
        self.pack_layer_int8.restype, self.pack_layer_int8.argtypes = integer, [call]
        self.step_stack_int8.restype, self.step_stack_int8.argtypes = None, [pointer, integer, pointer, pointer]
        self.has_optimizer_step = bool(library[f"has_optimizer_step_{isa}"]())
        self.clip_norm, self.adam = library[f"clip_norm_{isa}"], library[f"adam_{isa}"]
        self.clip_norm.restype, self.clip_norm.argtypes = ctypes.c_float, [pointer, ctypes.c_double, pointer]
        self.adam.restype, self.adam.argtypes = None, [pointer]
        self.draw, self.philox = library[f"draw_{isa}"], library[f"philox_{isa}"]
        self.draw.restype, self.philox.restype = None, None
        self.draw.argtypes = [pointer]
        self.philox.argtypes = [pointer, integer, integer, integer, pointer]
        self.threads = library[f"threads_{isa}"]
        self.threads.restype, self.threads.argtypes = integer, [call]


_lock = threading.Lock()
_loaded: tuple[Engine | None, Status] | None = None


class _Disabled(threading.local):
    on = False


_disabled = _Disabled()


def _load() -> tuple[Engine | None, Status]:
    """The engine for the best instruction set of this CPU. Loads, never builds."""
    # Imported here, so that `python -m lstm_lab.kernels.build` does not import itself first.
    from lstm_lab.kernels import build

    requested = os.environ.get("LSTM_LAB_KERNELS", "")
    allowed = ["off", *build.instruction_sets()]
    if requested and requested not in allowed:
        reason = f"LSTM_LAB_KERNELS={requested} is none of {', '.join(allowed)}; using torch"
        return None, Status(False, "torch", reason)
    if requested == "off":
        return None, Status(False, "torch", "switched off by LSTM_LAB_KERNELS=off; using torch")
    reason = "not built"
    for folder in (build.PACKAGE_FOLDER, build.user_cache()):
        for info in sorted(folder.glob("engine-*.json")):
            fault = build.find_fault(info)
            if fault:
                reason = fault
                continue
            path = info.with_suffix(".so")
            try:
                library = ctypes.CDLL(str(path))
                for isa in [requested] if requested else build.instruction_sets():
                    if library[f"supported_{isa}"]():
                        return Engine(library, isa), Status(
                            True, isa, f"native CPU engine ({isa}) from {path}", path.stem
                        )
                reason = f"this CPU lacks {requested}"
            except (OSError, AttributeError) as error:
                reason = f"{path} does not load ({str(error).splitlines()[0]})"
    line = f"no native CPU engine: {reason}; using torch. Build it: python -m lstm_lab.kernels.build"
    return None, Status(False, "torch", line, missing=True)


def engine() -> Engine | None:
    """The engine, loaded once per process; None where there is none or it is switched off."""
    return None if switched_off() else _get()[0]


def require_engine() -> Engine:
    """The engine, after `supports` has returned True."""
    found = engine()
    assert found is not None
    return found


def status() -> Status:
    """Which implementation is active, and why. `lstm-lab doctor` prints it."""
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
    """Load again, as after a build."""
    global _loaded
    with _lock:
        _loaded = None
    return status()


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Context in which this thread computes everything with torch: for second derivatives, and for comparisons."""
    before = _disabled.on
    _disabled.on = True
    try:
        yield
    finally:
        _disabled.on = before


def switched_off() -> bool:
    """Whether this thread is inside `disabled()`."""
    return _disabled.on


def tune_memory() -> bool:
    """Let malloc reuse what a step frees instead of returning it to the system. Call it once, before training.

    Returns:
        Whether this C library has the option (glibc has).
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version.restype = ctypes.c_char_p
        libc.gnu_get_libc_version()
        # M_MMAP_THRESHOLD = -3 and M_TRIM_THRESHOLD = -1 of malloc.h: 1 GiB, and the largest C int.
        return bool(libc.mallopt(-3, 1 << 30)) and bool(libc.mallopt(-1, 2**31 - 1))
    except (OSError, AttributeError, TypeError):
        return False


def supports(*tensors: Tensor | None) -> bool:
    """Whether the engine can take these tensors: on the CPU, all float32 or all float64, under no transform."""
    first = tensors[0]
    if first is None or first.dtype not in _SUFFIX or engine() is None or torch.is_autocast_enabled("cpu"):
        return False
    for tensor in tensors:
        if tensor is not None and (
            tensor.dtype is not first.dtype or tensor.device.type != "cpu" or is_wrapped(tensor)
        ):
            return False
    return not torch.jit.is_tracing()


def is_wrapped(tensor: Tensor) -> bool:
    """Whether a tensor is more than its memory: a subclass, or inside a transform of torch.func."""
    return type(tensor) not in (Tensor, torch.nn.Parameter) or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
