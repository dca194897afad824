"""Each family of sequence kernels as a layer of the public API and as an unrolled step; and comparisons of the two."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.kernels import Variant, noise, reference
from lstm_lab.kernels.lengths import length_mask


def unroll(step, x, lengths, state, reverse, with_noise):
    if with_noise is None:
        return reference.unroll(step, x, lengths, state, reverse)
    return noise.unroll(step, x, lengths, state, reverse, with_noise)


class Family:
    """A layer of the public API, and the same as an unrolled step."""

    def __init__(self, layer, step, gates: int, states: int, peephole: bool = False, **options):
        self.layer, self.step, self.gates, self.states = layer, step, gates, states
        self.peephole, self.options = peephole, options

    def leaves(self, B: int, T: int, I: int, H: int, dtype: torch.dtype) -> list[Tensor]:  # noqa: E741
        """x, states, W, U, b, b_h and perhaps peepholes."""
        draw = torch.Generator().manual_seed(0)
        G, scale = self.gates, (I + H) ** -0.5
        shapes = [(B, T, I), *[(B, H)] * self.states, (G * H, I), (G * H, H), (G * H,), (G * H,)]
        scales = [1.0, *[1.0] * self.states, scale, scale, 1.0, 1.0]
        if self.peephole:
            shapes, scales = [*shapes, (3, H)], [*scales, 0.3]
        return [
            (torch.randn(shape, generator=draw, dtype=torch.float64) * s).to(dtype).requires_grad_()
            for shape, s in zip(shapes, scales, strict=True)
        ]

    def fast(self, lengths: Tensor, leaves, reverse: bool = False, noise=None):
        x, *rest = leaves
        n = self.states + 4
        extra = {"peephole": rest[n]} if self.peephole else {}
        return self.layer(x, lengths, *rest[:n], reverse=reverse, noise=noise, **self.options, **extra)

    def slow(self, lengths: Tensor, leaves, reverse: bool = False, noise=None):
        x, *rest = leaves
        weights = dict(zip(("W", "U", "b", "b_h"), rest[self.states : self.states + 4], strict=True))
        if self.peephole:
            weights["peephole"] = rest[-1]
        step = partial(self.step, **weights, **self.options)
        return unroll(step, x, lengths, tuple(rest[: self.states]), reverse, noise)


class NormFamily(Family):
    """Layer normalisation: one bias, then gains."""

    def leaves(self, B: int, T: int, I: int, H: int, dtype: torch.dtype) -> list[Tensor]:  # noqa: E741
        *common, b, _ = super().leaves(B, T, I, H, dtype)
        gains = [b.detach().flip(0) * 0.3 + 1, b.detach() * 0.3 + 1, b.detach()[:H] * 0.3 + 1, b.detach()[H : 2 * H]]
        return [*common, b, *(gain.clone().requires_grad_() for gain in gains)]

    def fast(self, lengths: Tensor, leaves, reverse: bool = False, noise=None):
        return self.layer(leaves[0], lengths, *leaves[1:], reverse=reverse, noise=noise)

    def slow(self, lengths: Tensor, leaves, reverse: bool = False, noise=None):
        names = ("W", "U", "b", "gain_x", "gain_h", "gain_c", "shift_c")
        step = partial(self.step, **dict(zip(names, leaves[3:], strict=True)))
        return unroll(step, leaves[0], lengths, tuple(leaves[1:3]), reverse, noise)


def odyssey(gates: int, peephole: bool = True, **without) -> Family:
    return Family(kernels.lstm, reference.lstm_step, gates, 2, peephole, variant=Variant(**without))


FAMILIES = {
    "lstm": odyssey(4, peephole=False),
    "gru": Family(kernels.gru, reference.gru_step, 3, 1),
    "rnn": Family(kernels.rnn, reference.rnn_step, 1, 1),
    "rnn_relu": Family(kernels.rnn, reference.rnn_step, 1, 1, relu=True),
    "norm_lstm": NormFamily(kernels.norm_lstm, reference.norm_lstm_step, 4, 2),
    "peephole": odyssey(4),
    "nig": odyssey(3, input_gate=False),
    "nfg": odyssey(3, forget_gate=False),
    "nog": odyssey(3, output_gate=False),
    "niaf": odyssey(4, input_activation=False),
    "noaf": odyssey(4, output_activation=False),
    "cifg": odyssey(3, coupled=True),
    "cifg_np": odyssey(3, peephole=False, coupled=True),
}
SHAPES = [
    (1, 1, 1, 1),
    (4, 5, 2, 3),
    (7, 6, 3, 17),
    (13, 4, 5, 33),
    (40, 3, 8, 32),
    (3, 4, 20, 100),
    (5, 0, 3, 4),
    (9, 1, 3, 8),
]


def ragged(B: int, T: int) -> Tensor:
    """Lengths from 0 to T; both are included where there are enough samples."""
    lengths = torch.randint(0, T + 1, (B,), generator=torch.Generator().manual_seed(0))
    lengths[-1] = T
    if B > 2:
        lengths[1] = 0
    return lengths


def with_nan_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """The same batch with NaN in its padding."""
    return x.detach().masked_fill(~length_mask(lengths, x.shape[1]).unsqueeze(-1), torch.nan).requires_grad_()


def results(run, lengths, leaves, reverse=False) -> list[Tensor]:
    """Outputs, final states, then the gradient of a random sum of them for every leaf."""
    outputs = run(lengths, leaves, reverse)
    draw = torch.Generator().manual_seed(1)
    weights = [torch.randn(o.shape, generator=draw, dtype=torch.float64).to(o.dtype) for o in outputs]
    total = sum((o * w).sum() for o, w in zip(outputs, weights, strict=True))
    grads = torch.autograd.grad(total, leaves, allow_unused=True)
    grads = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, leaves, strict=True)]
    return [*(o.detach() for o in outputs), *grads]


def assert_agree(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    """Equal up to `tolerance` of each tensor's largest entry."""
    for a, b in zip(ours, theirs, strict=True):
        scale = max(1.0, b.abs().max().item()) if b.numel() else 1.0
        assert_close(a.to(b.dtype), b, rtol=0, atol=tolerance * scale)


def to_float32(leaves: list[Tensor]) -> list[Tensor]:
    return [leaf.detach().float().requires_grad_() for leaf in leaves]


def bitwise_equal(ours, theirs) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
