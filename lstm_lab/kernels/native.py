"""The compiled CPU engine: finding it, calling it, its place in autograd."""

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

LSTM, GRU, RNN, NORM = range(4)
_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
_LANES = 16  # of the widest vector, in float32: what row strides are rounded to
_REFUSAL = (
    "the fused kernels compute no second derivatives; run the way forward inside lstm_lab.kernels.disabled(), "
    "where torch computes them"
)


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


class _Engine:
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
_loaded: tuple[_Engine | None, Status] | None = None
_disabled = threading.local()


def _load() -> tuple[_Engine | None, Status]:
    """The engine of the best instruction set that this CPU has. Reads, never builds."""
    from lstm_lab.kernels import (
        build,
    )  # here, so that `python -m lstm_lab.kernels.build` is not imported before it runs

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
                        return _Engine(library, isa), Status(True, isa, f"native CPU engine ({isa}) from {path}")
                why = f"this CPU lacks {asked}"
            except (OSError, AttributeError) as error:
                why = f"{about.with_suffix('.so')} does not load ({str(error).splitlines()[0]})"
    line = f"no native CPU engine: {why}; using torch. Build it: python -m lstm_lab.kernels.build"
    return None, Status(False, "torch", line)


def engine() -> _Engine | None:
    """The engine, looked for once in a process."""
    return None if switched_off() else _get()[0]


def engine_now() -> _Engine:
    """The engine, where `serves` has said that there is one."""
    found = engine()
    assert found is not None
    return found


def status() -> Status:
    """What is active, and why. `lstm-lab doctor` shows it."""
    if switched_off():
        return Status(False, "torch", "switched off by kernels.disabled(); using torch")
    return _get()[1]


def _get() -> tuple[_Engine | None, Status]:
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


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def stride(width: int, itemsize: int) -> int:
    """Elements from row to row: whole vectors, and no power of two, where all rows would fall into one cache set."""
    stride = -(-width // _LANES) * _LANES
    return stride + _LANES if stride * itemsize % 1024 == 0 else stride


def sequence(
    family: int,
    flags: int,
    reverse: bool,
    gates: int,
    x: Tensor,
    lengths: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    W: Tensor,
    U: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    peephole: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer over a padded batch. Shapes as `struct Job` in engine.cpp has them; c is empty where there is none."""
    tensors = (x, h0, c0, W, U, b_ih, b_hh, peephole)
    lengths = lengths.to("cpu", torch.int64).contiguous()
    arguments = (engine(), family, flags, reverse, gates, torch.get_num_threads(), lengths)
    # What need not be kept is not: no rows, no gates, two steps of state.
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return _Sequence.apply(*arguments, *tensors)
    return _forward(arguments, tensors, training=False)[0]


def _forward(arguments: tuple, tensors: tuple, training: bool) -> tuple[tuple, tuple, Job]:
    native, family, flags, reverse, gates, threads, lengths = arguments
    tensors = tuple(_dense(t) for t in tensors)
    x, U = tensors[0], tensors[4]
    B, T, I = x.shape  # noqa: E741
    H = U.shape[1]
    size, has_c = x.element_size(), family in (LSTM, NORM)
    rows, padded = (B * T if training else 2 * B), -(-H // _LANES) * _LANES
    keeps = {GRU: 4 * H, NORM: 13 * H + 3}.get(family, gates * H)  # elements of a row of gates
    rows_ld, gates_ld = stride(H + 1 + I, size), stride(keeps, size)
    out, hT, cT = x.new_empty(B, T, H), x.new_empty(B, H), x.new_empty(B, H if has_c else 0)
    kept = (
        x.new_empty(rows, rows_ld),
        x.new_empty(rows if training or family == NORM else 0, gates_ld),
        x.new_empty(rows if has_c else 0, padded),
        x.new_empty(rows if has_c and training else 0, padded),
    )
    job = Job(family, flags, threads, training, reverse, B, T, I, H)
    job.x_b, job.x_t = x.stride(0), x.stride(1)
    job.rows_ld, job.gates_ld = rows_ld, gates_ld
    _point(job, lengths, tensors, kept)
    job.out, job.hT, job.cT = out.data_ptr(), hT.data_ptr(), cT.data_ptr()
    _checked(native.forward[x.dtype](job), T)
    return (out, hT, cT), kept, job


def _point(job: Job, lengths: Tensor, tensors: tuple, kept: tuple) -> None:
    job.lengths = lengths.data_ptr()
    job.x, job.h0, job.c0, job.W, job.U, job.b_ih, job.b_hh, job.peep = map(_pointer, tensors)
    job.rows, job.gates, job.cells, job.tanhs = map(_pointer, kept)


def _dense(tensor: Tensor | None) -> Tensor | None:
    """Contiguous, but for the first two axes of a batch."""
    if tensor is None or tensor.is_contiguous():
        return tensor
    return tensor if tensor.dim() == 3 and tensor.stride(2) == 1 else tensor.contiguous()


def _checked(code: int, steps: int) -> None:
    if code == -1:
        raise ValueError(f"every length must lie in 0..{steps}, the steps of the batch")
    if code < 0:
        raise MemoryError("the native engine could not allocate its scratch memory")


def once(grads: tuple) -> tuple:
    """Gradients that refuse, under create_graph=True, to be differentiated: when someone tries, and not before."""
    if not torch.is_grad_enabled():
        return grads
    refusal: Any = torch._C._functions.DelayedError(_REFUSAL, len(grads))
    return refusal(*(None if g is None else g.detach().requires_grad_() for g in grads))


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        arguments, tensors = inputs[:7], inputs[7:]
        ctx.arguments, ctx.spent = arguments, False
        outputs, kept, ctx.job = _forward(arguments, tensors, training=True)
        ctx.save_for_backward(*tensors, outputs[2], *kept)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        with torch.no_grad():
            results = _Sequence.way_back(ctx, *grads)
        return once(results)

    @staticmethod
    def way_back(ctx: Any, dout: Tensor | None, dhT: Tensor | None, dcT: Tensor | None) -> tuple:
        native, job, lengths = ctx.arguments[0], ctx.job, ctx.arguments[-1]
        *tensors, cT, rows, gates, cells, tanhs = ctx.saved_tensors
        if ctx.spent:  # gradients have been written over the gates: a second way back computes them anew
            (_, _, cT), (rows, gates, cells, tanhs), job = _forward(ctx.arguments, tuple(tensors), training=True)
        ctx.spent = True
        tensors = tuple(_dense(t) for t in tensors)
        x, peephole = tensors[0], tensors[7]
        dout, dhT, dcT = (None if g is None else _dense(g) for g in (dout, dhT, dcT))
        _point(job, lengths, tensors, (rows, gates, cells, tanhs))
        job.x_b, job.x_t, job.cT = x.stride(0), x.stride(1), cT.data_ptr()
        job.dout, job.dhT, job.dcT = _pointer(dout), _pointer(dhT), _pointer(dcT)
        if dout is not None:
            job.dout_b, job.dout_t = dout.stride(0), dout.stride(1)
        need = ctx.needs_input_grad[7:]
        weights = any(need[3:7])  # one product gives all of these
        grads = [
            x.new_empty(t.shape) if t is not None and (weights if 3 <= i < 7 else need[i]) else None
            for i, t in enumerate(tensors)
        ]
        if peephole is not None and need[7]:  # each thread adds up its own
            grads[7] = x.new_empty(native.threads(job), *peephole.shape)
        job.dx, job.dh0, job.dc0, job.dW, job.dU, job.db_ih, job.db_hh, job.dpeep = map(_pointer, grads)
        _checked(native.backward[x.dtype](job), x.shape[1])
        if grads[7] is not None:
            grads[7] = grads[7].sum(0)
        return (*(None,) * 7, *(grad if needed else None for grad, needed in zip(grads, need, strict=True)))
