"""Clipping by norm and the step of Adam and AdamW for a small model in one call of the engine, with torch's rounding.

Torch takes longer to call its operators for a few small tensors than these take to compute. The engine rounds as they
do; since another build of torch might not, its first results for each list of sizes are compared with torch's, and
where one bit differs torch computes them from then on.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Sequence
from ctypes import c_double, c_float, c_int64, c_void_p
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from lstm_lab.kernels import native

MAX_ELEMENTS = 1 << 15
"""Of one tensor: of more torch computes parts in parallel, which sums norms in another order."""
MAX_TENSORS = 64
COMPARISONS = 4
"""With torch's results, before those of the engine are used alone."""


class AdamOptions(NamedTuple):
    """Of one group of parameters."""

    lr: float
    beta1: float
    beta2: float
    weight_decay: float
    eps: float
    decoupled: bool
    """Whether the weight decay is, as of AdamW."""


class _OptimizerCall(ctypes.Structure):
    """Mirrors `struct OptimizerCall` in csrc/optimizer_step.h, field by field."""

    _fields_ = [
        *(("n", c_int64), ("sizes", c_void_p)),
        *((name, c_void_p) for name in ("gradients", "parameters", "means", "squares", "steps")),
        *((name, c_double) for name in ("lr", "beta1", "beta2", "weight_decay", "eps")),
        ("decoupled", c_int64),
    ]


class _Call:
    """A call for tensors of certain sizes, and whether its results are torch's."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        n = len(sizes)
        self.sizes, self.norms = (c_int64 * n)(*sizes), (c_float * n)()
        self.addresses = [(c_void_p * n)() for _ in range(5)]
        self.call = _OptimizerCall(n, ctypes.addressof(self.sizes), *map(ctypes.addressof, self.addresses))
        self.pointer, self.norms_pointer = ctypes.addressof(self.call), ctypes.addressof(self.norms)
        self.equals_torch, self.comparisons = True, 0

    def compare(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
        """Keep torch's results where they are others."""
        self.comparisons += 1
        if not all(map(torch.equal, ours, theirs)):
            self.equals_torch = False
            for tensor, value in zip(ours, theirs, strict=True):
                tensor.copy_(value)


class _Clips(threading.local):
    """Of one thread: a call holds the addresses of the gradients that it scales."""

    def __init__(self) -> None:
        self.calls: dict[tuple[int, ...], _Call] = {}


_clips = _Clips()


def clip_norm(gradients: list[Tensor], limit: float, in_torch: Callable[[list[Tensor], float], Tensor]) -> Tensor:
    """Scale gradients in place so that the norm of all together is at most `limit`; infinity only measures it.

    Args:
        in_torch: the same by torch.

    Returns:
        () the norm before.
    """
    sizes = _sizes(gradients)
    if sizes is None:
        return in_torch(gradients, limit)
    call = _clips.calls.get(sizes)
    if call is None:
        call = _clips.calls[sizes] = _Call(sizes)
    if not call.equals_torch:
        return in_torch(gradients, limit)
    theirs = [gradient.clone() for gradient in gradients] if call.comparisons < COMPARISONS else None
    call.addresses[0][:] = [gradient.data_ptr() for gradient in gradients]
    value = native.require_engine().clip_norm(call.pointer, limit, call.norms_pointer)
    norm = torch.tensor(value, dtype=torch.float32)
    if theirs is not None and math.isfinite(norm):
        call.compare([norm, *gradients], [in_torch(theirs, limit), *theirs])
    return norm


class AdamState(NamedTuple):
    """Of the parameters of one group, in their order and shapes."""

    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    """() each: how many were taken."""


class AdamStep:
    """Steps of Adam or AdamW, in place.

    Args:
        in_torch: a step by torch.
    """

    def __init__(self, state: AdamState, in_torch: Callable[[list[Tensor], AdamState, AdamOptions], None]) -> None:
        self.state, self.in_torch = state, in_torch
        self.sizes = _sizes(state.parameters, torch.nn.Parameter)
        whole = all(t.numel() == 1 and t.dtype is torch.float32 and t.is_cpu for t in state.steps)
        fits = self.sizes is not None and whole and _sizes(state.means) == _sizes(state.squares) == self.sizes
        self.places: list[int] = []
        self.call = _Call(self.sizes) if fits and self.sizes is not None else None

    def __call__(self, gradients: list[Tensor], options: AdamOptions) -> None:
        state, call = self.state, self.call
        # Below 1/2 torch interpolates from the other end.
        if call is None or not call.equals_torch or options.beta1 <= 0.5 or type(options.lr) is not float:
            return self.in_torch(gradients, state, options)
        places = [parameter.data_ptr() for parameter in state.parameters]
        if places != self.places:  # The first step, or somebody moved them.
            if _sizes(state.parameters, torch.nn.Parameter) != self.sizes:
                return self.in_torch(gradients, state, options)
            self.places = places
            for addresses, tensors in zip(call.addresses[1:], state, strict=True):
                addresses[:] = [tensor.data_ptr() for tensor in tensors]
        if _sizes(gradients) != self.sizes:
            return self.in_torch(gradients, state, options)
        call.addresses[0][:] = [gradient.data_ptr() for gradient in gradients]
        struct = call.call
        (struct.lr, struct.beta1, struct.beta2, struct.weight_decay, struct.eps, struct.decoupled) = options
        copies = None
        if call.comparisons < COMPARISONS:
            copies = AdamState(*([tensor.clone() for tensor in part] for part in state))
        native.require_engine().adam(call.pointer)
        increment_version(state.parameters)  # So that torch, and a stream of the model, know that they have changed.
        if copies is not None:
            self.in_torch(gradients, copies, options)
            call.compare([t for part in state for t in part], [t for part in copies for t in part])
        return None


def _sizes(tensors: list[Tensor], kind: type[Tensor] = Tensor) -> tuple[int, ...] | None:
    """Elements of each; None where the engine cannot take them."""
    engine = native.engine()
    if engine is None or not engine.has_optimizer_step or not 0 < len(tensors) <= MAX_TENSORS:
        return None
    for tensor in tensors:
        if tensor.dtype is not torch.float32 or type(tensor) is not kind or not tensor.is_cpu:
            return None
        if not tensor.is_contiguous():
            return None
    sizes = tuple([tensor.numel() for tensor in tensors])
    return sizes if max(sizes) <= MAX_ELEMENTS else None
