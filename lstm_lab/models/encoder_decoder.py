"""Encoder and decoder over tokens, with attention: translation, and whatever else writes a text for a text."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import DataInfo, Dataset
from lstm_lab.data.kinds.text_pairs import END, TextPairInfo
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN
from lstm_lab.kernels import draws
from lstm_lab.models.base import Output, TaskInfo
from lstm_lab.models.bridge import Bridge
from lstm_lab.models.decoder_attention import DecoderAttention, General, Memory
from lstm_lab.models.decoding import Decoded, DecodingModel, SearchOptions, search
from lstm_lab.models.embedding import TiedHead, TokenEmbedding
from lstm_lab.models.encoder import Encoded, Encoder
from lstm_lab.models.sequence import Dropout, Fraction
from lstm_lab.models.sites import IN_EVERY_MODEL, Keyed, Place, Site
from lstm_lab.models.state import EncoderState, map_state
from lstm_lab.records.files import Row


class ScheduledSampling(config.Config):
    """How often the decoder reads its own token in training, in place of the target's (Bengio et al. 2015)."""

    final: Fraction = 0.0
    """Share of the steps, from `steps` on; 0: it always reads the target's (teacher forcing)."""
    steps: config.Count = 10_000
    """Training batches over which the share rises linearly from 0."""


class DecoderState(NamedTuple):
    """What a decoder carries from step to step, of N sequences."""

    cells: EncoderState
    output: Tensor
    """(N, H) of the top layer."""
    fed: Tensor
    """(N, R) what the head has read."""
    coverage: Tensor
    """(N, T) sum of the weights so far."""

    def select(self, rows: Tensor) -> DecoderState:
        """Of some of the sequences."""
        cells = map_state(lambda tensor: tensor[rows], self.cells)
        return DecoderState(cells, self.output[rows], self.fed[rows], self.coverage[rows])


class EncoderDecoder(DecodingModel, name="encoder_decoder"):
    """Sutskever, Vinyals & Le (2014), with attention as Luong, Pham & Manning (2015) or Bahdanau, Cho & Bengio (2015).

    The encoder reads the source, e_1..e_T. The decoder continues from its state; before its first step it reads END:
        h_u = cells([y_{u-1}; r_{u-1} or c_u], h_{u-1})    r with input_feeding, c with attention: additive
        c_u = sum over s of a_us e_s                       of the query h_u, or h_{u-1} with attention: additive
        r_u = tanh(W [h_u; c_u] + b),  p(y_u) = softmax(V dropout(r_u) + b)
    Where neither r nor c enters the cells, and the score needs no coverage, all steps of a target are computed at once,
    the cells by the engine; otherwise one after another.
    """

    class Config(DecodingModel.Config):
        embedding: TokenEmbedding.Config = TokenEmbedding.Config()
        """Vectors of the source's tokens."""
        target_embedding: TokenEmbedding.Config = TokenEmbedding.Config()
        """Vectors of the target's tokens; with tie_weights r has their size."""
        cell: Annotated[Cell.Config, OneOf(Cell, default="lstm")] = lstm_lab.cells.lstm.LSTM.Config()
        """The recurrent cell, of encoder and decoder."""
        hidden_size: config.Count = 256
        """Units of each cell, H."""
        num_layers: config.Count = 1
        """Layers of the encoder, and of the decoder."""
        bidirectional: bool = True
        """Whether the encoder reads in both directions; the decoder then starts from a projection of both states."""
        attention: Annotated[DecoderAttention.Config | None, OneOf(DecoderAttention, "general", optional=True)] = (
            General.Config()
        )
        """Over the encoder's outputs; null: the decoder has the encoder's last state alone."""
        coverage: bool = False
        """Whether the score reads how much weight each step of the source has had so far."""
        input_feeding: bool = False
        """Whether the decoder's cells read r of the step before."""
        dropout: Dropout = Dropout()
        """Share of values zeroed in training, by place: of vectors of tokens, between layers, and of r."""
        scheduled_sampling: ScheduledSampling = ScheduledSampling()
        """How often the decoder reads its own token in training."""

        @model_validator(mode="after")
        def _choices_go_together(self) -> EncoderDecoder.Config:
            name = "null" if self.attention is None else self.attention.name
            attention = None if self.attention is None else self.attention.owner
            if self.coverage and (attention is None or not attention.takes_coverage):
                fitting = sorted(name for name, each in DecoderAttention.members.items() if each.takes_coverage)
                raise ValueError(f"coverage=true does nothing with attention={name}: use {' or '.join(fitting)}")
            if attention is not None and attention.needs_equal_sizes and self.bidirectional:
                raise ValueError(f"attention={name} compares outputs of the encoder with those of the decoder, which "
                                 "are half as wide: set bidirectional to false, or use general")  # fmt: skip
            if self.input_feeding and attention is None:
                raise ValueError("input_feeding=true needs an attention: leave it out, or set attention=general")
            if self.input_feeding and attention is not None and attention.before_step:
                raise ValueError(f"input_feeding=true: with attention={name} the cells read the context already; leave "
                                 "it out, or use general")  # fmt: skip
            if self.dropout.between > 0 and self.num_layers == 1:
                raise ValueError(f"dropout.between={self.dropout.between} would do nothing: num_layers is 1; set "
                                 "num_layers to 2 or use dropout.output")  # fmt: skip
            if self.embedding.tie_weights:
                raise ValueError("embedding.tie_weights: the head writes tokens of the target; set "
                                 "target_embedding.tie_weights")  # fmt: skip
            self.cell.owner.check(self.cell, self.hidden_size)
            return self

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            return (
                IN_EVERY_MODEL
                | {Place.EMBEDDING, Place.INPUT, Place.OUTPUT, Place.ACTIVATIONS}
                | ({Place.BETWEEN} if self.num_layers > 1 else frozenset())
            )

    def __init__(
        self,
        info: TextPairInfo,
        task: TaskInfo,
        *,
        embedding: TokenEmbedding.Config,
        target_embedding: TokenEmbedding.Config,
        cell: Named,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        attention: Named | None,
        coverage: bool,
        input_feeding: bool,
        dropout: Dropout,
        scheduled_sampling: ScheduledSampling,
    ) -> None:
        super().__init__()
        H = self.hidden_size = hidden_size
        self.pretrained = (embedding.pretrained, target_embedding.pretrained)
        self.embedding = embedding.build(info.input_size)
        self.target_embedding = target_embedding.build(task.output_size)
        self.encoder = Encoder(
            cell, input_size=embedding.dim, hidden_size=H, num_layers=num_layers, bidirectional=bidirectional,
            input_dropout=dropout.input, between_dropout=dropout.between,
        )  # fmt: skip
        D, R = self.encoder.output_size, target_embedding.dim if target_embedding.tie_weights else H
        self.attention: DecoderAttention | None = None if attention is None else attention.build(H, D, coverage)
        self.reads_context = self.attention is not None and self.attention.before_step
        self.input_feeding, self.has_coverage = input_feeding, coverage
        fed = D if self.reads_context else R if input_feeding else 0
        self.decoder = Encoder(
            cell, input_size=target_embedding.dim + fed, hidden_size=H, num_layers=num_layers,
            between_dropout=dropout.between,
        )  # fmt: skip
        self.bridge = Bridge(self.encoder, self.decoder)
        self.target_site = Site(Place.INPUT, dropout.input)
        self.readout = nn.Linear(H if attention is None else H + D, R)
        self.output_site = Site(Place.OUTPUT, dropout.output)
        tied = target_embedding.tie_weights
        self.head = TiedHead(self.target_embedding) if tied else nn.Linear(R, task.output_size)
        self.sampling = SampledSteps(scheduled_sampling)

    def load_pretrained(self, info: DataInfo) -> Row:
        assert isinstance(info, TextPairInfo)
        found: Row = {}
        names = ("pretrained", "target_pretrained")
        tables = ((self.embedding, info.tokens), (self.target_embedding, info.target_vocabulary.tokens))
        for name, path, (embedding, tokens) in zip(names, self.pretrained, tables, strict=True):
            if path is not None:
                found[name] = {"file": path, "tokens": embedding.load_pretrained(path, tokens)}
        return found

    def read(self, x: Tensor, lengths: Tensor) -> tuple[Encoded, Memory | None, EncoderState]:
        """Encode sources (B, T): outputs, what the decoder attends to, and the state that it starts from."""
        encoded = self.encoder(self.embedding(x), lengths)
        memory = None if self.attention is None else self.attention.memory(encoded.outputs, lengths)
        return encoded, memory, self.bridge(encoded.state)

    @property
    def is_parallel(self) -> bool:
        """Whether nothing that a step computes enters the cells or the attention of the next one."""
        return not (self.input_feeding or self.reads_context or self.has_coverage)

    def forward_target(self, x: Tensor, lengths: Tensor, y: Tensor) -> Output:
        encoded, memory, start = self.read(x, lengths)
        first = torch.full_like(y[:, :1], END)
        tokens = torch.cat([first, y[:, :-1].clamp(min=0)], 1)
        sampled = self.sampling(y) if self.training else None  # (B, U)
        if sampled is None and self.is_parallel:
            steps = (y >= 0).sum(1).cpu()
            h = self.decoder(self.target_site(self.target_embedding(tokens)), steps, start).outputs
            r, a = self.attend(h, memory)
            return Output(self.head(self.output_site(r)), encoded, a)
        return self._stepwise(tokens, sampled, encoded, memory, start)

    def _stepwise(
        self, tokens: Tensor, sampled: Tensor | None, encoded: Encoded, memory: Memory | None, start: EncoderState
    ) -> Output:
        """One step after another.

        Args:
            tokens: (B, U) that the decoder reads.
            sampled: (B, U) bool: where it reads its own token instead; None: nowhere.
        """
        state = self.first_state(start, encoded.outputs.shape[1])
        vectors = self.target_site(self.target_embedding(tokens))
        logits: list[Tensor] = []
        weights: list[Tensor] = []
        for u in range(tokens.shape[1]):
            v = vectors[:, u]
            if sampled is not None and u > 0:
                own = self.target_embedding(logits[-1].detach().argmax(1))
                v = torch.where(sampled[:, u : u + 1], own, v)
            r, a, state = self.step(v.unsqueeze(1), state, memory)
            logits.append(self.head(self.output_site(r.squeeze(1))))
            weights += [] if a is None else [a]
        return Output(torch.stack(logits, 1), encoded, torch.cat(weights, 1) if weights else None)

    def first_state(self, start: EncoderState, T: int) -> DecoderState:
        """Before the first step, of a source of T steps."""
        h = start[-1][0].h
        return DecoderState(start, h, h.new_zeros(len(h), self.readout.out_features), h.new_zeros(len(h), T))

    def step(self, v: Tensor, state: DecoderState, memory: Memory | None) -> tuple[Tensor, Tensor | None, DecoderState]:
        """One step of K sequences for each of A sources.

        Args:
            v: (A, K, E) vectors of the tokens that are read.
            state: of A K sequences.

        Returns:
            r (A, K, R), weights (A, K, T), and the new state.
        """
        A, K = v.shape[:2]
        coverage = state.coverage.view(A, K, -1) if self.has_coverage else None
        context: Tensor | None = None
        a: Tensor | None = None
        if self.reads_context and self.attention is not None and memory is not None:
            context, a = self.attention(state.output.view(A, K, -1), memory, coverage)
        fed = context if context is not None else state.fed.view(A, K, -1) if self.input_feeding else None
        inputs = v if fed is None else torch.cat([v, fed], 2)
        ones = torch.ones(A * K, dtype=torch.int64)
        decoded = self.decoder(inputs.reshape(A * K, 1, -1), ones, state.cells)
        h = decoded.outputs.view(A, K, -1)
        if context is None:
            r, a = self.attend(h, memory, coverage)
        else:
            r = torch.tanh(self.readout(torch.cat([h, context], 2)))
        covered = state.coverage if a is None else state.coverage + a.flatten(0, 1)
        return r, a, DecoderState(decoded.state, h.flatten(0, 1), r.flatten(0, 1), covered)

    def attend(self, h: Tensor, memory: Memory | None, coverage: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """r (B, U, R) of the decoder's outputs h (B, U, H), and the weights (B, U, T) of an attention."""
        if self.attention is None or memory is None:
            return torch.tanh(self.readout(h)), None
        context, a = self.attention(h, memory, coverage)
        return torch.tanh(self.readout(torch.cat([h, context], 2))), a

    def decode(self, x: Tensor, lengths: Tensor, options: SearchOptions) -> Decoded:
        encoded, memory, start = self.read(x, lengths)
        writer = _Writer(self, memory, self.first_state(start, encoded.outputs.shape[1]))
        found = search(writer, len(x), options, x.device)
        y = nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=-1).to(x.device)
        weights = self.forward_target(x, lengths, y).attention
        return Decoded(y, None if weights is None else weights * (y >= 0).unsqueeze(2))


class SampledSteps(Keyed):
    """Which steps of a batch read the model's own token in training."""

    def __init__(self, schedule: ScheduledSampling) -> None:
        super().__init__()
        self.schedule = schedule

    def forward(self, y: Tensor) -> Tensor | None:
        """(B, U) bool, of targets (B, U); None: no step does."""
        done = 0 if self.key is None else self.key.step
        share = self.schedule.final * min(done / self.schedule.steps, 1.0)
        if share == 0:
            return None
        B, U = y.shape
        return ~draws.keep(self.noise_key(B, y.device), share, U, 1).view(B, U)


class _Writer:
    """A decoder in a search: it carries the state of every sequence."""

    def __init__(self, model: EncoderDecoder, memory: Memory | None, state: DecoderState) -> None:
        self.model, self.memory, self.state = model, memory, state

    def __call__(self, tokens: Tensor, parents: Tensor, kept: Tensor) -> Tensor:
        self.state = self.state.select(parents)
        if self.memory is not None:
            self.memory = self.memory.select(kept)
        r, _, self.state = self.model.step(self.model.target_embedding(tokens), self.state, self.memory)
        logits: Tensor = self.model.head(r)
        logits[..., UNKNOWN] = -torch.inf  # It is no text.
        return logits.log_softmax(2)
