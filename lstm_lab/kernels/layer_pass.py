"""One layer of the engine, forward and backward, without autograd: for training steps that need no graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lstm_lab.kernels.native import LayerCall, require_engine
from lstm_lab.kernels.native_layers import Family, Inputs, Options, Saved, dense, pointer, prepare, run


class EngineLayer(NamedTuple):
    """What the engine computes a cell from. Shapes as in `kernels.lstm`."""

    family: Family
    num_gates: int
    W: Tensor
    U: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None = None
    extra: Tensor | None = None
    """As `native_layers.sequence` takes it."""
    flags: int = 0
    """A combination of `Flag`."""

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """W, U and both biases."""
        return self.W, self.U, self.b_ih, self.b_hh

    @property
    def tensors(self) -> list[Tensor]:
        """All that it has."""
        return [tensor for tensor in (*self.weights, self.extra) if tensor is not None]


class LayerPass:
    """Computes what `native_layers.sequence` does, and its gradients, with memory that it keeps from call to call.

    A forward pass overwrites what the one before it returned; each is followed by one backward pass at most.

    Args:
        layer: `backward` writes the gradients of its tensors into their `.grad`, which must be there.
        reverse: read each sample from its last step to its first.
    """

    def __init__(self, layer: EngineLayer, reverse: bool = False) -> None:
        self.layer, self.reverse, self.engine = layer, reverse, require_engine()
        self.shape = torch.Size()
        """Of the input that there is memory for."""
        self.x = self.lengths = torch.empty(0)

    def _allocate(self, x: Tensor, lengths: Tensor) -> None:
        layer, options = self.layer, Options(
            self.engine, self.layer.family, self.layer.flags, self.reverse, self.layer.num_gates,
            torch.get_num_threads(), lengths, None,
        )  # fmt: skip
        inputs = Inputs(x, None, None, *layer.weights, layer.extra)
        (self.outputs, self.h, self.c), self.saved, self.call = prepare(options, inputs, training=True)
        if layer.extra is not None:  # Each thread adds up its own.
            self.d_extra = x.new_empty(self.engine.threads(self.call), *layer.extra.shape)
            self.call.d_extra = self.d_extra.data_ptr()
        self.options, self.shape = options, x.shape
        self.bind()

    def bind(self) -> None:
        """Look up where weights and their gradients are, after either may have been given another place in memory."""
        if self.shape:
            call, weights = self.call, self.layer.weights
            call.W, call.U, call.b_ih, call.b_hh = map(pointer, weights)
            call.dW, call.dU, call.db_ih, call.db_hh = (None if w is None else pointer(w.grad) for w in weights)
            call.extra = pointer(self.layer.extra)

    options: Options
    saved: Saved
    call: LayerCall
    d_extra: Tensor
    outputs: Tensor
    h: Tensor
    c: Tensor

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, H), and the final h (B, H).

        Args:
            x: (B, T, I)
            lengths: (B,) int64, on the CPU.

        Raises:
            ValueError: an input of another type or shape: the engine reads memory by these.
        """
        W = self.layer.W
        if x.dim() != 3 or x.shape[2] != W.shape[1] or x.dtype is not W.dtype or lengths.shape != x.shape[:1]:
            raise ValueError(
                f"x: expected (B, T, {W.shape[1]}) {W.dtype} and lengths (B,), got {tuple(x.shape)} {x.dtype} "
                f"and {tuple(lengths.shape)}"
            )
        self.x, self.lengths = x, lengths = (
            dense(x),
            lengths.to("cpu", torch.int64).contiguous(),
        )  # Read in both passes.
        if x.shape != self.shape:
            self._allocate(x, lengths)
        call = self.call
        call.x, call.lengths = x.data_ptr(), lengths.data_ptr()
        call.x_stride_b, call.x_stride_t = x.stride(0), x.stride(1)
        run(self.engine.forward[x.dtype], call, self.options, self.saved)
        return self.outputs, self.h

    def backward(self, d_outputs: Tensor | None, dh: Tensor | None, needs_dx: bool) -> Tensor | None:
        """Write the gradients of the weights to where `bind` found them.

        Args:
            d_outputs: (B, T, H) gradient of the outputs; its padding is not read. None: zero.
            dh: (B, H) of the final h; None: zero.

        Returns:
            That of x, (B, T, I); None where it is not needed.
        """
        call = self.call
        d_outputs, dh = None if d_outputs is None else dense(d_outputs), None if dh is None else dense(dh)
        dx = torch.empty_like(self.x) if needs_dx else None
        call.dout, call.dhT, call.dx = pointer(d_outputs), pointer(dh), pointer(dx)
        if d_outputs is not None:
            call.dout_stride_b, call.dout_stride_t = d_outputs.stride(0), d_outputs.stride(1)
        run(self.engine.backward[self.x.dtype], call, self.options, self.saved)
        if self.layer.extra is not None and self.layer.extra.grad is not None:
            torch.sum(self.d_extra, 0, out=self.layer.extra.grad)
        return dx
