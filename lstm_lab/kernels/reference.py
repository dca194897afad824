"""The same layers in torch operations: the definition that each kernel is proven against, and the fallback without it.

Weights as torch lays them out: W (G H, I), U (G H, H), biases (G H), with G gates in the order i, f, g, o (LSTM,
without those that a variant leaves out) or r, z, n (GRU).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lstm_lab.kernels.lengths import length_mask, mask_padding, reverse_padded


class Variant(NamedTuple):
    """Which parts an LSTM has (Greff et al. 2017, "LSTM: A Search Space Odyssey"); by default all of them.

    In the paper's abbreviations: NIG, NFG, NOG omit a gate (it is 1), NIAF and NOAF a tanh, CIFG couples f = 1 - i.
    """

    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    input_activation: bool = True
    output_activation: bool = True
    coupled: bool = False

    @property
    def gates(self) -> str:
        """The gates that have weights, in the order of their columns."""
        present = {"i": self.input_gate, "f": self.forget_gate and not self.coupled, "g": True, "o": self.output_gate}
        return "".join(gate for gate, has_weights in present.items() if has_weights)

    def checked(self) -> Variant:
        """The variant itself.

        Raises:
            ValueError: f = 1 - i without one of the two gates.
        """
        if self.coupled and not (self.input_gate and self.forget_gate):
            raise ValueError(
                "coupled=True needs both gates, for f = 1 - i: remove input_gate=False and forget_gate=False"
            )
        return self


PLAIN = Variant()
NO_UPDATE = "update_dropout: an Elman network adds no candidate to its state; use state_dropout or zoneout_h"
_TORCH_LAYERS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
}


def lstm_step(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    peephole: Tensor | None = None,
    variant: Variant = PLAIN,
    products_of: Tensor | None = None,
    update: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """x (B, I), h and c (B, H) -> the next h and c. `peephole` (3, H) for i, f, o; the output gate reads the new c.

    All steps here take `products_of`, what U is multiplied by instead of h, and those with a candidate `update`, its
    factor; see `noise.py`.
    """
    activations = lstm_activations(x, h, c, W, U, b, b_h, peephole, variant, products_of, update)
    return activations["h"], activations["c"]


def lstm_activations(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    peephole: Tensor | None = None,
    variant: Variant = PLAIN,
    products_of: Tensor | None = None,
    update: Tensor | None = None,
) -> dict[str, Tensor]:
    """The same step with all its activations, (B, H) each; a gate that the variant leaves out is 1."""
    z = _affine(x, W, b) + _affine(h if products_of is None else products_of, U, b_h)  # (B, G H)
    pre = dict(zip(variant.gates, torch.split(z, h.shape[1], 1), strict=True))

    def gate(name: str, c: Tensor, row: int) -> Tensor:
        if name not in pre:
            return torch.ones_like(c)
        return torch.sigmoid(pre[name] if peephole is None else pre[name] + peephole[row] * c)

    i = gate("i", c, 0)  # (B, H)
    f = 1 - i if variant.coupled else gate("f", c, 1)
    g = torch.tanh(pre["g"]) if variant.input_activation else pre["g"]
    c = f * c + i * (g if update is None else g * update)
    o = gate("o", c, 2)
    h = o * (torch.tanh(c) if variant.output_activation else c)
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}


def norm_lstm_step(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor,
    gain_x: Tensor,
    gain_h: Tensor,
    gain_c: Tensor,
    shift_c: Tensor,
    products_of: Tensor | None = None,
    update: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """An LSTM step with layer normalisation (Ba et al. 2016, equations 20-22): gains (4 H,), those of c (H,)."""
    width, H = (len(U),), (h.shape[1],)
    h = h if products_of is None else products_of
    z = layer_norm(h @ U.T, width, gain_h) + layer_norm(x @ W.T, width, gain_x) + b  # (B, 4 H)
    i, f, g, o = z.chunk(4, 1)
    g = torch.tanh(g) if update is None else torch.tanh(g) * update
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * g
    return torch.sigmoid(o) * torch.tanh(layer_norm(c, H, gain_c, shift_c)), c


def gru_step(
    x: Tensor,
    h: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    products_of: Tensor | None = None,
    update: Tensor | None = None,
) -> tuple[Tensor]:
    """A GRU step as torch has it (Cho et al. 2014; the reset gate acts after U_n): gates r, z, n; b, b_h (3 H,)."""
    x_r, x_z, x_n = _affine(x, W, b).chunk(3, 1)  # (B, H)
    h_r, h_z, h_n = _affine(h if products_of is None else products_of, U, b_h).chunk(3, 1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n) if update is None else torch.tanh(x_n + r * h_n) * update
    return ((1 - z) * n + z * h,)


def rnn_step(
    x: Tensor,
    h: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    relu: bool = False,
    products_of: Tensor | None = None,
    update: Tensor | None = None,
) -> tuple[Tensor]:
    """An Elman step (Elman 1990): tanh or relu of W x + U h + b + b_h. Its new h has no part that `update` could drop.

    Raises:
        ValueError: an `update`.
    """
    if update is not None:
        raise ValueError(NO_UPDATE)
    z = _affine(x, W, b) + _affine(h if products_of is None else products_of, U, b_h)  # (B, H)
    return (torch.relu(z) if relu else torch.tanh(z),)


def _affine(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    return x @ W.T if b is None else x @ W.T + b


def unroll(
    step: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    lengths: Tensor,
    state: tuple[Tensor, ...],
    reverse: bool = False,
) -> tuple[Tensor, ...]:
    """`step(x_t, *state) -> state` over a padded batch -> outputs (B, T, H), then each part of the final state."""
    lengths = lengths.to(x.device)
    mask = length_mask(lengths, x.shape[1])  # (B, T)
    steps = mask_padding(x, lengths).unbind(1)
    outputs = []
    for t in reversed(range(len(steps))) if reverse else range(len(steps)):
        valid = mask[:, t].unsqueeze(1)
        new = step(steps[t], *state)
        state = tuple(torch.where(valid, after, before) for after, before in zip(new, state, strict=True))
        outputs.append(torch.where(valid, state[0], torch.zeros_like(state[0])))
    if not outputs:
        return (x.new_zeros(x.shape[0], 0, state[0].shape[1]), *state)
    return (torch.stack(outputs[::-1] if reverse else outputs, 1), *state)


def torch_layer(
    name: str, x: Tensor, lengths: Tensor, state: tuple[Tensor, ...], weights: list[Tensor], reverse: bool = False
) -> tuple[Tensor, ...] | None:
    """nn.LSTM, nn.GRU or nn.RNN (`lstm`, `gru`, `rnn_tanh`, `rnn_relu`) by its own function, packed where padded.

    Returns:
        Outputs and state as `unroll`; None for a batch without samples or steps, which torch refuses.
    """
    if not x.shape[0] or not x.shape[1]:
        return None
    return _torch_layer(name, x, lengths.cpu(), state, weights, reverse)


def _torch_layer(
    name: str, x: Tensor, lengths: Tensor, state: tuple[Tensor, ...], weights: list[Tensor], reverse: bool = False
) -> tuple[Tensor, ...]:
    if reverse:
        outputs, *end = _torch_layer(name, reverse_padded(x, lengths), lengths, state, weights)
        return (reverse_padded(outputs, lengths), *end)
    if int(lengths.min()) < 1:  # torch requires at least one step: run one, and discard its result
        nonempty = (lengths > 0).to(x.device).unsqueeze(1)  # (B, 1)
        zeroed = torch.where(nonempty.unsqueeze(-1), x, torch.zeros_like(x))
        outputs, *end = _torch_layer(name, zeroed, lengths.clamp(min=1), state, weights)
        end = [torch.where(nonempty, after, before) for after, before in zip(end, state, strict=True)]
        return (torch.where(nonempty.unsqueeze(-1), outputs, torch.zeros_like(outputs)), *end)
    layer = _TORCH_LAYERS[name]
    hidden: Any = tuple(part.unsqueeze(0) for part in state) if len(state) > 1 else state[0].unsqueeze(0)
    options = (len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False)
    if bool((lengths == x.shape[1]).all()):
        outputs, *end = layer(x, hidden, weights, *options, True)
    else:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        order, inverse = packed.sorted_indices, packed.unsorted_indices
        hidden = tuple(h[:, order] for h in hidden) if isinstance(hidden, tuple) else hidden[:, order]
        data, *end = layer(packed.data, packed.batch_sizes, hidden, weights, *options)
        end = [part[:, inverse] for part in end]
        outputs = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])[0]
    return (outputs, *(part.squeeze(0) for part in end))
