"""From the state in which an encoder ends to the one that a decoder starts from."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lstm_lab.cells.base import CellState
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.state import EncoderState

BRIDGED = ("h", "c")
"""Parts of a cell's state that are projected, where they have a number for each unit."""


class Bridge(nn.Module):
    """The decoder's first state: the encoder's last one; of an encoder in both directions a projection of it.

    Of each layer h, and where the cell has one c, is tanh(W [forward; backward] + b) (after Bahdanau, Cho & Bengio
    2015, A.2.2). All other parts of its state are those that the cell starts from.

    Args:
        encoder: as many layers and units as `decoder`, of the same cell.
        decoder: in one direction.
    """

    def __init__(self, encoder: Encoder, decoder: Encoder) -> None:
        super().__init__()
        H = decoder.hidden_size
        self.decoder_initial = decoder.initial_state
        self.projections: nn.ModuleList | None = None
        if encoder.bidirectional:
            self.projections = nn.ModuleList(
                nn.ModuleDict({part: nn.Linear(2 * H, H) for part in _parts(layer[0], H)})
                for layer in decoder.initial_state(1)
            )

    def forward(self, state: EncoderState) -> EncoderState:
        """The decoder's state, of the encoder's after its last step in each direction."""
        if self.projections is None:
            return state
        start = self.decoder_initial(len(state[0][0].h))
        layers = zip(cast("list[nn.ModuleDict]", self.projections), state, start, strict=True)
        return tuple((_projected(projections, both, own[0]),) for projections, both, own in layers)


def _parts(state: CellState, H: int) -> list[str]:
    parts = zip(state._fields, state, strict=True)
    return [name for name, value in parts if name in BRIDGED and value.shape[1:] == (H,)]


def _projected(projections: nn.ModuleDict, both: tuple[CellState, ...], own: CellState) -> CellState:
    """The state of one layer, of those of both directions and the one that its cell starts from."""
    found: dict[str, Tensor] = dict(zip(own._fields, own, strict=True))
    forward, backward = (dict(zip(state._fields, state, strict=True)) for state in both)
    for name, projection in projections.items():
        found[name] = torch.tanh(projection(torch.cat([forward[name], backward[name]], 1)))
    return type(own)(**found)
