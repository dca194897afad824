"""Recurrent layers over whole padded sequences: a native engine on the CPU, Triton kernels beside cuDNN on a GPU.

    outputs, h, c = lstm(x, lengths, h0, c0, W, U, b)

All layers have gradients for x, the initial state and every weight. Second derivatives need `disabled()`.
Shapes: x (B, T, I); lengths (B,), each in 0..T, padding behind them is never read; states (B, H); weights in the
layout of torch's own layers, G gates: W (G H, I), U (G H, H), b and b_h (G H). Outputs (B, T, H) are zero on padding,
states are those after each sample's own last step. `reverse` reads each sample from its last step to its first.

Any other cell's step is recorded once as a tape and executed over whole sequences by the same engine: `execute`.

On a GPU, cuDNN (through torch) computes the plain layers, and `gpu` the LSTM's variants and its layer normalisation;
torch computes the rest step by step. `gpu.status()` returns whether its kernels are available.

The engine is compiled with the installation, or later by `python -m lstm_lab.kernels.build`; `status()` returns what
is active and why. LSTM_LAB_KERNELS overrides the choice: `off`, or one instruction set (`avx512`, `avx2`, `generic`).
Call `tune_memory()` once before training: otherwise malloc returns memory to the system that every step needs again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lstm_lab.kernels import gpu, native, native_layers, reference
from lstm_lab.kernels.executor import execute
from lstm_lab.kernels.layer_pass import EngineLayer, LayerPass
from lstm_lab.kernels.native import Status, disabled, reload, status, tune_memory
from lstm_lab.kernels.native_layers import Family, Flag
from lstm_lab.kernels.noise import RecurrentNoise, say_slow
from lstm_lab.kernels.noise import unroll as unroll_with_noise
from lstm_lab.kernels.philox import NoiseKey
from lstm_lab.kernels.reference import PLAIN, Variant
from lstm_lab.kernels.stack_step import StackStep

__all__ = [
    "PLAIN",
    "EngineLayer",
    "LayerPass",
    "NoiseKey",
    "RecurrentNoise",
    "StackStep",
    "Status",
    "Variant",
    "disabled",
    "execute",
    "gru",
    "lstm",
    "norm_lstm",
    "reload",
    "rnn",
    "status",
    "tune_memory",
]


def lstm(
    x: Tensor,
    lengths: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    W: Tensor,
    U: Tensor,
    b: Tensor | None = None,
    b_h: Tensor | None = None,
    *,
    peephole: Tensor | None = None,
    variant: Variant = PLAIN,
    reverse: bool = False,
    noise: RecurrentNoise | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """An LSTM layer; gates in the order i, f, g, o, without those that the variant leaves out.

    Args:
        x, lengths, W, U, b, b_h: see above. Both biases are added.
        h0, c0: initial state; None for zeros.
        peephole: (3, H) diagonal connections from c to i, f, o; o reads the new c. Rows of missing gates are ignored.
        variant: which gates and activations the layer has.
        noise: inside the recurrence (see `RecurrentNoise`); all layers here take it.

    Returns:
        Outputs, final h, final c.

    Raises:
        ValueError: shapes that do not match, lengths outside 0..T, or noise for another number of samples.
    """
    G = len(variant.checked().gates)
    H = _check(x, lengths, W, U, (b, b_h), (h0, c0), G)
    if peephole is not None and peephole.shape != (3, H):
        raise ValueError(f"peephole: expected (3, {H}), got {tuple(peephole.shape)}")
    noise = None if noise is None else noise.checked(len(x))
    if native.supports(x, W, U, b, b_h, h0, c0, peephole):
        flags = native_layers.lstm_flags(variant, peephole is not None)
        return native_layers.sequence(Family.LSTM, flags, reverse, G, x, lengths, h0, c0, W, U, b, b_h, peephole, noise)
    state, plain = (_start(x, h0, H), _start(x, c0, H)), peephole is None and variant == PLAIN
    if not plain and noise is None and gpu.supports(x, U, W, b, b_h, *state, peephole):
        return gpu.lstm(x, lengths, *state, W, U, b, b_h, peephole, variant, reverse)
    if plain and noise is None:
        result = reference.torch_layer("lstm", x, lengths, state, _weights(W, U, b, b_h), reverse)
        if result is not None:
            outputs, h, c = result
            return outputs, h, c
    step = partial(reference.lstm_step, W=W, U=U, b=b, b_h=b_h, peephole=peephole, variant=variant)
    outputs, h, c = _unroll(step, x, lengths, state, reverse, noise)
    return outputs, h, c


def norm_lstm(
    x: Tensor,
    lengths: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    W: Tensor,
    U: Tensor,
    b: Tensor,
    gain_x: Tensor,
    gain_h: Tensor,
    gain_c: Tensor,
    shift_c: Tensor,
    *,
    reverse: bool = False,
    noise: RecurrentNoise | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """An LSTM layer with layer normalisation (Ba et al. 2016) of W x, of U h, gates together, and of c' in its tanh.

    Args:
        gain_x, gain_h: (4 H,); their shift is the bias b, which comes after both.
        gain_c, shift_c: (H,)

    Returns:
        Outputs, final h, final c before its normalisation.
    """
    H = _check(x, lengths, W, U, (b, gain_x, gain_h), (h0, c0), 4)
    for part in (gain_c, shift_c):
        if part.shape != (H,):
            raise ValueError(f"gain and shift of c: expected ({H},), got {tuple(part.shape)}")
    state = (_start(x, h0, H), _start(x, c0, H))
    noise = None if noise is None else noise.checked(len(x))
    if noise is None and gpu.supports(x, U, W, b, *state, gain_x, gain_h, gain_c, shift_c):
        return gpu.norm_lstm(x, lengths, *state, W, U, b, gain_x, gain_h, gain_c, shift_c, reverse)
    if native.supports(x, W, U, b, h0, c0, gain_x, gain_h, gain_c, shift_c):
        norm = torch.cat((gain_h, gain_x, b, gain_c, shift_c))
        return native_layers.sequence(Family.NORM, 0, reverse, 4, x, lengths, h0, c0, W, U, None, None, norm, noise)
    weights = {"gain_x": gain_x, "gain_h": gain_h, "gain_c": gain_c, "shift_c": shift_c}
    step = partial(reference.norm_lstm_step, W=W, U=U, b=b, **weights)
    outputs, h, c = _unroll(step, x, lengths, state, reverse, noise)
    return outputs, h, c


def gru(
    x: Tensor,
    lengths: Tensor,
    h0: Tensor | None,
    W: Tensor,
    U: Tensor,
    b: Tensor | None = None,
    b_h: Tensor | None = None,
    *,
    reverse: bool = False,
    noise: RecurrentNoise | None = None,
) -> tuple[Tensor, Tensor]:
    """A GRU layer in torch's form (r acts after U); gates in the order r, z, n -> outputs, final h."""
    H = _check(x, lengths, W, U, (b, b_h), (h0,), 3)
    noise = None if noise is None else noise.checked(len(x))
    if native.supports(x, W, U, b, b_h, h0):
        return native_layers.sequence(Family.GRU, 0, reverse, 3, x, lengths, h0, None, W, U, b, b_h, None, noise)[:2]
    state, result = (_start(x, h0, H),), None
    if noise is None:
        result = reference.torch_layer("gru", x, lengths, state, _weights(W, U, b, b_h), reverse)
    if result is None:
        step = partial(reference.gru_step, W=W, U=U, b=b, b_h=b_h)
        result = _unroll(step, x, lengths, state, reverse, noise)
    outputs, h = result
    return outputs, h


def rnn(
    x: Tensor,
    lengths: Tensor,
    h0: Tensor | None,
    W: Tensor,
    U: Tensor,
    b: Tensor | None = None,
    b_h: Tensor | None = None,
    *,
    relu: bool = False,
    reverse: bool = False,
    noise: RecurrentNoise | None = None,
) -> tuple[Tensor, Tensor]:
    """An Elman layer, tanh or relu -> outputs, final h.

    Raises:
        ValueError: as `lstm`, and for noise with `update_dropout`, for which there is no candidate.
    """
    H = _check(x, lengths, W, U, (b, b_h), (h0,), 1)
    noise = None if noise is None else noise.checked(len(x))
    if noise is not None and noise.update_dropout:
        raise ValueError(reference.NO_UPDATE)
    if native.supports(x, W, U, b, b_h, h0):
        flags = Flag.RELU * relu
        return native_layers.sequence(Family.RNN, flags, reverse, 1, x, lengths, h0, None, W, U, b, b_h, None, noise)[
            :2
        ]
    state, result = (_start(x, h0, H),), None
    if noise is None:
        name = "rnn_relu" if relu else "rnn_tanh"
        result = reference.torch_layer(name, x, lengths, state, _weights(W, U, b, b_h), reverse)
    if result is None:
        step = partial(reference.rnn_step, W=W, U=U, b=b, b_h=b_h, relu=relu)
        result = _unroll(step, x, lengths, state, reverse, noise)
    outputs, h = result
    return outputs, h


def _unroll(
    step: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    lengths: Tensor,
    state: tuple[Tensor, ...],
    reverse: bool,
    noise: RecurrentNoise | None,
) -> tuple[Tensor, ...]:
    """A step in torch, one after the other; noise that runs this way says so once."""
    if noise is None:
        return reference.unroll(step, x, lengths, state, reverse)
    say_slow(x.device.type, native.status().reason)
    return unroll_with_noise(step, x, lengths, state, reverse, noise)


def _start(x: Tensor, state: Tensor | None, H: int) -> Tensor:
    return x.new_zeros(x.shape[0], H) if state is None else state


def _weights(W: Tensor, U: Tensor, b: Tensor | None, b_h: Tensor | None) -> list[Tensor]:
    if b is None and b_h is None:
        return [W, U]
    b = W.new_zeros(len(W)) if b is None else b
    return [W, U, b, b.new_zeros(len(U)) if b_h is None else b_h]


def _check(
    x: Tensor,
    lengths: Tensor,
    W: Tensor,
    U: Tensor,
    biases: tuple[Tensor | None, ...],
    states: tuple[Tensor | None, ...],
    gates: int,
) -> int:
    """H; a ValueError names the tensor whose shape does not fit: the engine reads memory by these sizes."""
    if x.dim() != 3:
        raise ValueError(f"x: expected (B, T, I), got {tuple(x.shape)}")
    B, _, I = x.shape  # noqa: E741
    H = U.shape[-1]
    if lengths.shape != (B,):
        raise ValueError(f"lengths: expected ({B},), got {tuple(lengths.shape)}")
    if W.shape != (gates * H, I):
        raise ValueError(f"W: expected ({gates * H}, {I}), got {tuple(W.shape)}")
    if U.shape != (gates * H, H):
        raise ValueError(f"U: expected ({gates * H}, {H}), got {tuple(U.shape)}")
    for bias in biases:
        if bias is not None and bias.shape != (gates * H,):
            raise ValueError(f"b: expected ({gates * H},), got {tuple(bias.shape)}")
    for state in states:
        if state is not None and state.shape != (B, H):
            raise ValueError(f"initial state: expected ({B}, {H}), got {tuple(state.shape)}")
    return H
