"""LSTM-FCN and ALSTM-FCN: a recurrent layer beside a fully convolutional network (Karim et al., 2018)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import pad

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import DataInfo, Dataset
from lstm_lab.kernels.lengths import length_mask, mask_padding
from lstm_lab.models.base import Model, Output, TaskConfig, TaskInfo
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.pooling import Last, Pooling
from lstm_lab.models.sites import IN_EVERY_MODEL, Dropout, Place, Site

Counts = Annotated[tuple[config.Count, ...], Field(min_length=1, strict=False)]


class LSTMFCN(Model, name="lstm_fcn"):
    """Karim et al. (2018), "LSTM Fully Convolutional Networks for Time Series Classification".

    y = W [dropout(pooling(cells over x)); mean over steps of three times relu(batch_norm(convolution))] + b

    `pooling: last` is the LSTM-FCN, `pooling: additive` the ALSTM-FCN, with the score of Bahdanau et al. (2015) of each
    step alone, as there is no decoder whose state could ask. The paper's LSTM reads a series of one channel transposed,
    as one step of T channels; here cells read the steps in order, whatever their number.

    Padding is never read: it is zero for each convolution, as what lies outside a sequence is, and is left out of the
    batch statistics and of the mean. Statistics of batches are those of each process, where there are several.
    """

    class Config(Model.Config):
        cell: Annotated[Cell.Config, OneOf(Cell, default="lstm")] = lstm_lab.cells.lstm.LSTM.Config()
        """The recurrent cell."""
        hidden_size: config.Count = 8
        """Units of the cell, H; the paper tries 8, 64 and 128."""
        bidirectional: bool = False
        """Whether cells read in both directions."""
        pooling: Annotated[Named, OneOf(Pooling, default="last")] = Last.Config()
        """How the outputs of the cells become one vector."""
        filters: Counts = (128, 256, 128)
        """Channels that each convolution returns."""
        kernel_sizes: Counts = (8, 5, 3)
        """Steps that each convolution reads."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.8
        """Share of values zeroed of what the cells return, before the head."""

        @model_validator(mode="after")
        def _one_kernel_for_each(self) -> LSTMFCN.Config:
            if len(self.filters) != len(self.kernel_sizes):
                raise ValueError(
                    f"filters={list(self.filters)} and kernel_sizes={list(self.kernel_sizes)}: each convolution has "
                    "one of both; give lists of equal length"
                )
            self.cell.owner.check(self.cell, self.hidden_size)
            return self

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            recurrence = {Place.RECURRENCE, Place.RECURRENT_WEIGHTS}
            return IN_EVERY_MODEL | recurrence | {Place.INPUT, Place.OUTPUT, Place.ACTIVATIONS}

        def recurrent_cell(self) -> Named:
            return self.cell

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            if data.dataset.tokens:
                raise ValueError(
                    f"model 'lstm_fcn' reads numbers, and data '{data.name}' holds tokens: it needs model: sequence"
                )
            if task.owner.per_step:
                raise ValueError(
                    f"model 'lstm_fcn' answers for a whole sequence; task '{task.name}' has a target at every step: "
                    "it needs model: sequence"
                )

    def __init__(
        self,
        info: DataInfo,
        task: TaskInfo,
        *,
        cell: Named,
        hidden_size: int,
        bidirectional: bool,
        pooling: Named,
        filters: tuple[int, ...],
        kernel_sizes: tuple[int, ...],
        dropout: float,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.encoder = Encoder(cell, input_size=info.input_size, hidden_size=hidden_size, bidirectional=bidirectional)
        self.pooling = pooling.build(self.encoder.output_size)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.blocks = nn.ModuleList(
            ConvolutionBlock(channels, width, kernel_size)
            for channels, width, kernel_size in zip((info.input_size, *filters), filters, kernel_sizes, strict=False)
        )
        self.output_site = Site(Place.OUTPUT)
        self.head = nn.Linear(self.encoder.output_size + filters[-1], task.output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        encoded = self.encoder(x, lengths)
        features, attention = self.pooling(encoded, lengths)
        lengths = lengths.to(x.device)
        valid, y = length_mask(lengths, x.shape[1]), mask_padding(x, lengths)
        for block in self.blocks:
            y = block(y, valid)
        mean = y.sum(1) / lengths.clamp(min=1).unsqueeze(1)  # (B, filters)
        whole = self.output_site(torch.cat((self.dropout(features), mean), 1))
        return Output(self.head(whole), encoded, attention, features=whole)


class ConvolutionBlock(nn.Module):
    """relu(batch_norm(convolution)), as many steps as before; initialised as by He et al. (2015), as in the paper.

    Args:
        channels: I.
        width: channels that are returned, W.
        kernel_size: steps that each output reads, one more after it than before it where the number is even.
    """

    def __init__(self, channels: int, width: int, kernel_size: int) -> None:
        super().__init__()
        # Without a bias: the normalisation subtracts the mean.
        self.convolution = nn.Conv1d(channels, width, kernel_size, bias=False)
        self.around = ((kernel_size - 1) // 2, kernel_size // 2)
        nn.init.kaiming_uniform_(self.convolution.weight, nonlinearity="relu")
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (B, T, I), zero on padding, and which steps are valid (B, T) -> (B, T, W), zero on padding."""
        y = self.convolution(pad(x.transpose(1, 2), self.around)).transpose(1, 2)
        rows = torch.relu(self.norm(y[valid]))  # (valid steps of all samples, W)
        return torch.zeros_like(y).index_put((valid,), rows)
