"""The weights of a cell that keeps them in one of torch's own layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn


def rnn_weights(layer: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W (G H, I), U (G H, H) and the two biases (G H,) of a one-layer torch RNN with G gates."""
    # Read as attributes, which `torch.func.functional_call` can replace by tensors that are no parameters.
    weights = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    return cast("tuple[Tensor, Tensor, Tensor, Tensor]", weights)


def rnn_unit_axes(gates: int) -> Mapping[str, tuple[str, ...]]:
    """`Cell.unit_axes` of a cell whose attribute `layer` is a one-layer torch RNN."""
    rows = "H" * gates
    return {
        "layer.weight_ih_l0": (rows, "I"),
        "layer.weight_hh_l0": (rows, "H"),
        "layer.bias_ih_l0": (rows,),
        "layer.bias_hh_l0": (rows,),
    }
