"""The contract of a model that writes a sequence of tokens, and the search for the most probable one."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.text_pairs import END
from lstm_lab.models.base import Model, Output


class SearchOptions(Protocol):
    """How a sequence is searched for."""

    @property
    def beams(self) -> int:
        """Beginnings that are kept at each step; 1: the most probable token of each step is taken."""

    @property
    def length_penalty(self) -> float:
        """Exponent alpha of ((5 + length) / 6)^alpha, which log-probabilities are divided by (Wu et al. 2016)."""

    @property
    def max_length(self) -> int:
        """Tokens at most, the end included."""


class Decoded(NamedTuple):
    """Sequences that a model has written."""

    tokens: Tensor
    """(B, U) int64: `END` behind the last token, then -1."""
    attention: Tensor | None
    """(B, U, T) weights over the steps of the source, of a model with attention; 0 behind the end."""


class DecodingModel(Model):
    """A model that writes a sequence, token by token, each after those before it."""

    decodes: ClassVar[bool] = True

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        raise ConfigError(
            f"model '{self.name}' writes texts: explanations, ONNX files and programs of torch.export are for models "
            "that answer for what they read"
        )

    def of_batch(self, x: Tensor, lengths: Tensor, y: Tensor) -> Output:
        return self.forward_target(x, lengths, y)

    @abstractmethod
    def forward_target(self, x: Tensor, lengths: Tensor, y: Tensor) -> Output:
        """Logits (B, U, output_size) of each token of a target, after the tokens before it (teacher forcing).

        Args:
            x: (B, T) token numbers of sources.
            lengths: (B,) valid steps of them.
            y: (B, U) token numbers of targets, -1 behind their ends.
        """

    @abstractmethod
    def decode(self, x: Tensor, lengths: Tensor, options: SearchOptions) -> Decoded:
        """The sequence of each source.

        Args:
            x, lengths: as `forward_target` takes them.
        """


class Step(Protocol):
    """A model that has read some tokens of several sequences, and reads the next one of each."""

    def __call__(self, tokens: Tensor, parents: Tensor, kept: Tensor) -> Tensor:
        """Read a token of each sequence: log-probabilities (A, K, V) of what follows.

        Args:
            tokens: (A, K) K sequences for each of A samples.
            parents: (A K,) which of all sequences of the call before each continues.
            kept: (A,) which of the samples of the call before are still there.
        """


def search(step: Step, count: int, options: SearchOptions, device: torch.device) -> list[Tensor]:
    """Beam search: the best sequence that is found for each of `count` samples, (U,) tokens.

    Of a sample `beams` beginnings are kept, those with the largest log-probability. A sequence ends with `END`, or with
    `max_length` tokens; the one with the largest log-probability over length penalty is the best. The search for a
    sample ends when as many sequences have ended, or none that goes on can become better.
    """
    best: list[Tensor] = [torch.empty(0, dtype=torch.int64)] * count
    best_score = torch.full((count,), -torch.inf, dtype=torch.float64, device=device)
    ended = torch.zeros(count, dtype=torch.int64, device=device)
    samples = kept = parents = torch.arange(count, device=device)
    last, scores = torch.full((count, 1), END, device=device), torch.zeros(count, 1, dtype=torch.float64, device=device)
    written = torch.empty(count, 1, 0, dtype=torch.int64, device=device)
    last_penalty = _penalty(options.max_length, options)
    for length in range(1, options.max_length + 1):
        log_p = step(last, parents, kept)
        A, K, V = log_p.shape
        totals = (scores.unsqueeze(2) + log_p).flatten(1)
        # Twice as many as are kept: no more than half of them end.
        found, flat = totals.topk(min(2 * options.beams, K * V))
        parent, token = flat // V, flat % V
        rows = torch.arange(A, device=device).unsqueeze(1)
        written = torch.cat([written[rows, parent], token.unsqueeze(2)], 2)
        ends = (token == END) | (length == options.max_length)
        complete = ends[:, : options.beams] & (found[:, : options.beams] > -torch.inf)
        score, column = found[:, : options.beams].masked_fill(~complete, -torch.inf).max(1)
        score = score / _penalty(length, options)
        for row in (score > best_score[samples]).nonzero().squeeze(1).tolist():
            best[int(samples[row])] = written[row, column[row]].cpu()
        best_score[samples] = torch.maximum(best_score[samples], score)
        ended[samples] += complete.sum(1)
        if length == options.max_length:
            break
        going = ends.long().argsort(dim=1, stable=True)[:, : options.beams]  # (A, beams) the best that go on
        scores = found.masked_fill(ends, -torch.inf).gather(1, going)
        open_ = (ended[samples] < options.beams) & (scores[:, 0] / last_penalty > best_score[samples])
        kept = open_.nonzero().squeeze(1)
        if not len(kept):
            break
        samples, scores, going = samples[kept], scores[kept], going[kept]
        chosen = kept.unsqueeze(1)
        parents = (chosen * K + parent[chosen, going]).flatten()
        last, written = token[chosen, going], written[chosen, going]
    return best


def _penalty(length: int, options: SearchOptions) -> float:
    return float(((5 + length) / 6) ** options.length_penalty)
