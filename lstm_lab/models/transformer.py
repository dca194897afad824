"""Attention alone: an encoder without recurrence, as the other side of the question whether recurrence is better."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from lstm_lab import config
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import DataInfo, Dataset
from lstm_lab.data.kinds.text_stream import TextStream
from lstm_lab.kernels.lengths import length_mask, mask_padding
from lstm_lab.models.base import Model, Output, TaskConfig, TaskInfo, TokenDataInfo
from lstm_lab.models.embedding import TokenEmbedding
from lstm_lab.models.encoder import Encoded
from lstm_lab.models.pooling import Last, Pooling, check_pooling
from lstm_lab.models.sites import IN_EVERY_MODEL, Dropout, Place, Site
from lstm_lab.records.files import Row

Positions = Literal["rotary", "none"]
ROTARY_BASE = 10_000.0
"""Of the wavelengths of positions (Vaswani et al. 2017)."""


class Transformer(Model, name="transformer"):
    """The encoder of Vaswani et al. (2017), normalised before each part (Xiong et al. 2020).

        x = W_in input + b_in
        x = x + dropout(attention(norm(x)));  x = x + dropout(W_2 gelu(W_1 norm(x)))     in each layer
        y = W dropout(pooling(norm(x))) + b

    Queries and keys are rotated by their positions (Su et al. 2021), so that attention depends on distances. Padding is
    never read. For a task with a target per step there is no pooling: the head reads each step's output.
    """

    class Config(Model.Config):
        embedding: TokenEmbedding.Config = TokenEmbedding.Config()
        """Vectors of tokens, for data that hold tokens."""
        d_model: config.Count = 64
        """Width of each layer."""
        nhead: config.Count = 4
        """Heads of each attention, which share the width."""
        num_layers: config.Count = 2
        """Layers of attention."""
        dim_feedforward: config.Count = 128
        """Units between the two matrices behind each attention."""
        causal: bool = False
        """Whether each step reads only itself and the steps before it."""
        positions: Positions = "rotary"
        """How the order of the steps is known: rotary; none, which only a causal encoder can do without."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
        """Share of values zeroed behind each part of a layer, and before the head."""
        pooling: Annotated[Named, OneOf(Pooling, default="last")] = Last.Config()
        """How a sequence becomes one vector."""

        @model_validator(mode="after")
        def _heads_share_the_width(self) -> Transformer.Config:
            unit = self.nhead * (2 if self.positions == "rotary" else 1)  # Rotary positions turn pairs of numbers.
            if self.d_model % unit:
                raise ValueError(
                    f"d_model={self.d_model} cannot be shared by nhead={self.nhead} heads with positions="
                    f"{self.positions}: make it a multiple of {unit}"
                )
            return self

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            found = {Place.INPUT, Place.OUTPUT, Place.ACTIVATIONS}
            return IN_EVERY_MODEL | found | ({Place.EMBEDDING} if data.dataset.tokens else set())

        def recurrent_steps(self, task: TaskConfig, data: Dataset.Config) -> int | None:
            return 1  # It has no recurrence.

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            self.embedding.check(data)
            if self.embedding.tie_weights:
                raise ValueError("model.embedding.tie_weights: model 'transformer' has a head of its own; leave it out")
            check_pooling(self.pooling, type(self)().pooling, task)
            if task.owner.causal and not self.causal:
                raise ValueError(
                    f"model.causal: task '{task.name}' predicts the next step, which every step would read; set it to "
                    "true"
                )
            if isinstance(data, TextStream.Config) and data.stateful:
                raise ValueError("data.stateful: model 'transformer' carries no state from chunk to chunk; set it to "
                                 "false")  # fmt: skip

    def __init__(
        self,
        info: DataInfo,
        task: TaskInfo,
        *,
        embedding: TokenEmbedding.Config,
        d_model: int,
        nhead: int,
        num_layers: int,
        dim_feedforward: int,
        causal: bool,
        positions: Positions,
        dropout: float,
        pooling: Named,
    ) -> None:
        super().__init__()
        self.causal, self.rotary, self.head_size = causal, positions == "rotary", d_model // nhead
        self.embedding = embedding.build(info.input_size) if isinstance(info, TokenDataInfo) else None
        self.pretrained = embedding.pretrained
        self.input_site = Site(Place.INPUT)
        self.read = nn.Linear(info.input_size if self.embedding is None else embedding.dim, d_model)
        self.layers = nn.ModuleList(AttentionLayer(d_model, nhead, dim_feedforward, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)
        self.pooling = None if task.per_step else pooling.build(d_model)
        self.output_site = Site(Place.OUTPUT, dropout)
        self.head = nn.Linear(d_model, task.output_size)

    def load_pretrained(self, info: DataInfo) -> Row:
        if self.embedding is None or self.pretrained is None or not isinstance(info, TokenDataInfo):
            return {}
        found = self.embedding.load_pretrained(self.pretrained, info.tokens)
        return {"pretrained": {"file": self.pretrained, "tokens": found}}

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        x = self.read(self.input_site(x if self.embedding is None else self.embedding(x)))
        x, lengths = mask_padding(x, lengths), lengths.to(x.device)
        seen = self._seen(lengths, x.shape[1])
        angles = rotations(x.shape[1], self.head_size, x) if self.rotary else None
        for layer in self.layers:
            x = layer(x, seen, angles)
        outputs = mask_padding(self.norm(x), lengths)
        last = (lengths - 1).clamp(min=0)
        encoded = Encoded(outputs, outputs[torch.arange(len(x), device=x.device), last], (), lengths)
        features, attention = (outputs, None) if self.pooling is None else self.pooling(encoded, lengths)
        dropped = self.output_site(features)
        steps, whole = (dropped, None) if self.pooling is None else (None, dropped)
        return Output(self.head(dropped), encoded, attention, steps, whole)

    def _seen(self, lengths: Tensor, steps: int) -> Tensor:
        """(B, 1, T or 1, T) which steps each step reads; of an empty sequence the first, so that none reads nothing."""
        seen = length_mask(lengths.clamp(min=1), steps)[:, None, None]
        if not self.causal:
            return seen
        return seen & torch.ones(steps, steps, dtype=torch.bool, device=lengths.device).tril()


class AttentionLayer(nn.Module):
    """Attention of several heads, then two matrices, each normalised before and added to its input.

    Args:
        d_model: D.
        nhead: heads.
        dim_feedforward: units between the two matrices.
        dropout: share of values zeroed behind each part.
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int, dropout: float) -> None:
        super().__init__()
        self.nhead = nhead
        self.norm_attention, self.norm_feedforward = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.widen, self.narrow = nn.Linear(d_model, dim_feedforward), nn.Linear(dim_feedforward, d_model)
        self.dropouts = nn.ModuleList(Dropout(dropout) if dropout else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor, seen: Tensor, angles: tuple[Tensor, Tensor] | None) -> Tensor:
        """x (B, T, D) -> (B, T, D).

        Args:
            seen: which steps each step reads, broadcast to (B, heads, T, T).
            angles: cosine and sine of the rotation of each step; None: none.
        """
        q, k, v = self.qkv(self.norm_attention(x)).unflatten(2, (3, self.nhead, -1)).permute(2, 0, 3, 1, 4)
        if angles is not None:
            q, k = rotated(q, *angles), rotated(k, *angles)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=seen)  # (B, heads, T, d)
        x = x + self.dropouts[0](self.out(mixed.transpose(1, 2).flatten(2)))
        y: Tensor = self.dropouts[1](self.narrow(gelu(self.widen(self.norm_feedforward(x)))))
        return x + y


def rotations(steps: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine (T, d / 2) of the angle of each step and pair of numbers (Su et al. 2021)."""
    frequencies = ROTARY_BASE ** -(torch.arange(0, size, 2, dtype=torch.float64, device=like.device) / size)
    angles = torch.outer(torch.arange(steps, dtype=torch.float64, device=like.device), frequencies)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x (B, heads, T, d) with each pair (i, i + d / 2) of its numbers rotated by the angle of its step."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)
