"""One step of one sample through a stack of layers in one call of the engine, whose weights are packed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lstm_lab.kernels.layer_pass import EngineLayer
from lstm_lab.kernels.native import LayerCall, require_engine
from lstm_lab.kernels.native_layers import Family, pointer, row_stride


class LayerState(NamedTuple):
    """Of one layer."""

    h: Tensor
    """(1, H)"""
    c: Tensor
    """(1, H); (1, 0) where the layer has none."""


class _Memory(NamedTuple):
    """Of one layer, as `csrc/stack_step.h` reads it."""

    row: Tensor
    c: Tensor
    new_h: Tensor
    new_c: Tensor
    gates: Tensor


class StackStep:
    """Reads a sequence step by step, and carries the state: bit for bit what the layers compute of it as a whole.

    Args:
        layers: called for the layers, the first of them first: now, and when a parameter has changed.
        parameters: that they are computed from.
        int8: round weights to 8 bits, each row with a scale of its own, and in each step what they multiply: x and the
            output of each layer. States and all else stay in float32; answers are near those of the layers.

    Raises:
        ValueError: tensors that `native.supports` does not, layers of which one does not read the one before, or
            `int8` for another type than float32.
    """

    def __init__(
        self, layers: Callable[[], Sequence[EngineLayer]], parameters: Iterable[Tensor], int8: bool = False
    ) -> None:
        self.int8 = int8
        self._layers, self._parameters, self._engine = layers, list(parameters), require_engine()
        self._versions: list[int] = []
        self._shapes: list[tuple[int, int]] = []
        self._memory: list[_Memory] = []
        self._calls = (LayerCall * 0)()
        self.pack()

    def pack(self) -> None:
        """Take the weights as they are now; `step` does so where torch counted a change of a parameter.

        Raises:
            ValueError: they have other shapes than before.
        """
        self._versions = [parameter._version for parameter in self._parameters]
        with torch.no_grad():
            layers = [_dense(layer) for layer in self._layers()]
        shapes = [(layer.W.shape[1], layer.U.shape[1]) for layer in layers]
        if not self._memory:
            self._allocate(layers)
        elif shapes != self._shapes or any(layer.W.dtype is not self.outputs.dtype for layer in layers):
            raise ValueError("the layers have other shapes than when the stream was made: make another one")
        self._shapes = shapes
        self._held = [self._bind(call, layer) for call, layer in zip(self._calls, layers, strict=True)]

    def _allocate(self, layers: Sequence[EngineLayer]) -> None:
        """Memory of all layers, with a state of zeros."""
        first = layers[0].W
        self._size, dtype, width = first.shape[1], first.dtype, first.shape[1]
        self.outputs = first.new_zeros(layers[-1].U.shape[1])
        """(H,) of the last layer after the last step, which the next one overwrites."""
        if self.int8 and dtype is not torch.float32:
            raise ValueError(f"int8 is for weights in float32, not {dtype}")
        self._scratch = first.new_empty(max(self._scratch_bytes(layer) for layer in layers), dtype=torch.uint8)
        for layer in layers:
            (I, H), size = (layer.W.shape[1], layer.U.shape[1]), first.element_size()  # noqa: E741
            if width != I or layer.W.dtype is not dtype:
                raise ValueError(f"a layer reads {I} values in {layer.W.dtype}, the one before has {width} in {dtype}")
            gates, width = 13 * H + 3 if layer.family is Family.NORM else 0, H
            widths = (row_stride(H + 1 + I, size), row_stride(H, size), H, H, row_stride(gates, size))
            self._memory.append(_Memory(*map(first.new_zeros, widths)))
        self._calls = (LayerCall * len(layers))()
        for call, layer, memory in zip(self._calls, layers, self._memory, strict=True):
            call.family, call.flags, call.I, call.H = layer.family, layer.flags, layer.W.shape[1], layer.U.shape[1]
            call.rows, call.cells, call.hT, call.cT, call.gates = map(pointer, memory)
            call.rows_stride, call.gates_stride = len(memory.row), len(memory.gates)
            memory.row[call.H] = 1  # What the biases are multiplied by.
        for below, call, memory in zip(self._calls, self._calls[1:], self._memory[1:], strict=False):
            below.out = memory.row[call.H + 1 :].data_ptr()
        self._calls[-1].out = self.outputs.data_ptr()

    def _bind(self, call: LayerCall, layer: EngineLayer) -> tuple[Tensor | None, ...]:
        """Pack the weights of a layer -> the tensors that its call reads from now on."""
        call.W, call.U, call.b_ih, call.b_hh = map(pointer, layer.weights)
        call.extra, call.panels = pointer(layer.extra), None
        pack = self._engine.pack_layer_int8 if self.int8 else self._engine.pack_layer[layer.W.dtype]
        panels = layer.W.new_empty(pack(call), dtype=torch.int8 if self.int8 else None)
        call.panels = panels.data_ptr()
        pack(call)
        call.W = call.U = call.b_ih = call.b_hh = None
        return panels, layer.extra

    def step(self, x: Tensor) -> Tensor:
        """Read one step.

        Args:
            x: (I,)

        Returns:
            `outputs`.

        Raises:
            ValueError: another shape or type: the engine reads memory by these.
        """
        if x.shape != (self._size,) or x.dtype is not self.outputs.dtype or not x.is_contiguous():
            raise ValueError(f"x: expected ({self._size},) {self.outputs.dtype}, got {tuple(x.shape)} {x.dtype}")
        if [parameter._version for parameter in self._parameters] != self._versions:
            self.pack()
        if self.int8:
            self._engine.step_stack_int8(self._calls, len(self._calls), x.data_ptr(), self._scratch.data_ptr())
        else:
            self._engine.step_stack[x.dtype](self._calls, len(self._calls), x.data_ptr())
        return self.outputs

    @property
    def entry_point(self) -> tuple[Callable[..., None], object, tuple[int, ...]]:
        """The C function, its first argument, and its last; between are the number of layers and the address of x.

        Only as long as this object lives, whose memory they read.
        """
        if self.int8:
            return self._engine.step_stack_int8, self._calls, (self._scratch.data_ptr(),)
        return self._engine.step_stack[self.outputs.dtype], self._calls, ()

    @property
    def packed_bytes(self) -> int:
        """Of the weights as they are read."""
        return sum(panels.numel() * panels.element_size() for panels, _ in self._held if panels is not None)

    @staticmethod
    def _scratch_bytes(layer: EngineLayer) -> int:
        """As `step_stack_int8` wants it: 12 bytes for each padded row, and one for each value that is multiplied."""
        (G, H), width = (layer.num_gates, layer.U.shape[1]), max(layer.U.shape[1], layer.W.shape[1])
        return 12 * G * -(-H // 16) * 16 + width + 64

    def state(self) -> list[LayerState]:
        """A copy of the state of each layer."""
        return [
            LayerState(memory.row[:H].clone()[None], memory.c[: H * _has_c(call)].clone()[None])
            for (_, H), memory, call in zip(self._shapes, self._memory, self._calls, strict=True)
        ]

    def load(self, state: Sequence[LayerState]) -> None:
        """Go on from a state, as `state` returned it."""
        for (_, H), memory, part in zip(self._shapes, self._memory, state, strict=True):
            memory.row[:H] = part.h[0]
            memory.c[: part.c.shape[1]] = part.c[0]


def _has_c(call: LayerCall) -> bool:
    return call.family in (Family.LSTM, Family.NORM)


def _dense(layer: EngineLayer) -> EngineLayer:
    """The layer with contiguous weights, and its own copy of those that are read in each step."""
    b_ih, b_hh = (None if bias is None else bias.detach().contiguous() for bias in layer.weights[2:])
    extra = None if layer.extra is None else layer.extra.detach().clone(memory_format=torch.contiguous_format)
    return layer._replace(W=layer.W.detach().contiguous(), U=layer.U.detach().contiguous(), b_ih=b_ih, b_hh=b_hh,
                          extra=extra)  # fmt: skip
