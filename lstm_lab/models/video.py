"""Frames -> a small convolution -> any cell: a classifier of clips."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.clips import ClipInfo, ClipSequences
from lstm_lab.models.base import Model, Output, TaskConfig, TaskInfo
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.pooling import Last, Pooling
from lstm_lab.models.sites import IN_EVERY_MODEL, Place, Site

Counts = Annotated[tuple[config.Count, ...], Field(min_length=1, strict=False)]


class VideoModel(Model, name="video"):
    """z_t = relu(W conv(frame_t) + b), the same for every frame; cells over z_1 .. z_T; pooling; head.

    Each convolution reads 3 x 3 pixels at every second place and is followed by relu. Places in a frame are kept, for
    what moves is known by where it is (after Donahue et al. 2015, whose convolutions are those of a large network).
    """

    class Config(Model.Config):
        filters: Counts = (8, 16)
        """Channels that each convolution returns; each halves the sides of the frame."""
        features: config.Count = 64
        """Numbers that a frame becomes, z."""
        cell: Annotated[Cell.Config, OneOf(Cell, default="lstm")] = lstm_lab.cells.lstm.LSTM.Config()
        """The recurrent cell."""
        hidden_size: config.Count = 64
        """Units of each cell, H."""
        num_layers: config.Count = 1
        """Layers of cells."""
        bidirectional: bool = False
        """Whether cells read in both directions."""
        pooling: Annotated[Named, OneOf(Pooling, default="last")] = Last.Config()
        """How the outputs of the cells become one vector."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of values zeroed before the head."""

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            found = {Place.INPUT, Place.OUTPUT, Place.ACTIVATIONS, Place.RECURRENCE, Place.RECURRENT_WEIGHTS}
            return IN_EVERY_MODEL | found | ({Place.BETWEEN} if self.num_layers > 1 else set())

        def recurrent_cell(self) -> Named:
            return self.cell

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            if not issubclass(data.dataset, ClipSequences):
                raise ValueError(
                    f"model 'video' reads clips of frames, and data '{data.name}' has none: choose data: clips or "
                    "moving_digits, or model: sequence"
                )
            self.cell.owner.check(self.cell, self.hidden_size)

    def __init__(
        self,
        info: ClipInfo,
        task: TaskInfo,
        *,
        filters: tuple[int, ...],
        features: int,
        cell: Named,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        pooling: Named,
        dropout: float,
    ) -> None:
        super().__init__()
        self.hidden_size, self.shape = hidden_size, info.shape
        height, width, channels = info.shape
        layers: list[nn.Module] = []
        for before, after in zip((channels, *filters), filters, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
            height, width = (height + 1) // 2, (width + 1) // 2
        self.convolutions = nn.Sequential(*layers)
        self.frame = nn.Linear(filters[-1] * height * width, features)
        self.encoder = Encoder(cell, input_size=features, hidden_size=hidden_size, num_layers=num_layers,
                               bidirectional=bidirectional)  # fmt: skip
        self.pooling = pooling.build(self.encoder.output_size)
        self.output_site = Site(Place.OUTPUT, dropout)
        self.head = nn.Linear(self.encoder.output_size, task.output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        frames = x.reshape(-1, *self.shape).permute(0, 3, 1, 2)  # (B T, C, H, W)
        z = torch.relu(self.frame(self.convolutions(frames).flatten(1))).view(*x.shape[:2], -1)
        encoded = self.encoder(z, lengths)
        features, attention = self.pooling(encoded, lengths)
        dropped = self.output_site(features)
        return Output(self.head(dropped), encoded, attention, features=dropped)
