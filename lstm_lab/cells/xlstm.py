"""The two cells of xLSTM: exponential gates, kept from overflow by a running maximum of their logarithms.

Beck et al. (2024), "xLSTM: Extended Long Short-Term Memory": where sigmoid gates cannot revise what is stored, exp(i~)
can outweigh all that came before. N heads of width d = H / N; heads are independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid, pad

from lstm_lab.cells.base import ALL_NOISES, Cell, S, TraceableCell, uniform_weight
from lstm_lab.cells.mlstm_chunks import normalizer, retrieve_in_chunks
from lstm_lab.config import Count
from lstm_lab.config.registry import Named
from lstm_lab.kernels import RecurrentNoise
from lstm_lab.kernels.lengths import length_mask, mask_padding

CHUNK_SIZE = 20
"""Steps that an mLSTM computes at once."""
LOG_ZERO = -1e30
"""Stands for log 0: exp gives 0, and unlike -inf it can be subtracted from itself."""


class XLSTMConfig(Named):
    """Options of both cells."""

    num_heads: Count = 1
    """Number of independent heads; must divide hidden_size. The paper takes 4."""
    forget_gate: Literal["sigmoid", "exp"] = "sigmoid"
    """Activation of the forget gate; exp can also amplify."""
    forget_bias: float | None = None
    """Initial bias of the forget gate; null: 1 for sigmoid, 0 for exp, where f = 1."""


class XLSTMCell(TraceableCell[S]):
    """Base of both cells: heads, and a forget gate in logarithms."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int = 1,
        forget_gate: str = "sigmoid",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        check_heads(num_heads, hidden_size)
        self.num_heads, self.forget_gate = num_heads, forget_gate
        self.forget_bias = {"sigmoid": 1.0, "exp": 0.0}[forget_gate] if forget_bias is None else forget_bias

    @classmethod
    def check(cls, config: Cell.Config, hidden_size: int) -> None:
        assert isinstance(config, XLSTMConfig)
        check_heads(config.num_heads, hidden_size)

    def log_forget(self, f: Tensor) -> Tensor:
        """log f of the pre-activation f of the forget gate, both (..., N or H)."""
        return f if self.forget_gate == "exp" else logsigmoid(f)


def check_heads(num_heads: int, hidden_size: int) -> None:
    """Raise ValueError where hidden_size is no multiple of num_heads."""
    if hidden_size % num_heads:
        raise ValueError(
            f"num_heads={num_heads} does not divide hidden_size={hidden_size}: "
            f"set num_heads to {math.gcd(num_heads, hidden_size)}, or hidden_size to a multiple of {num_heads}"
        )


class SLSTMState(NamedTuple):
    """State of an sLSTM; the stabiliser m keeps its exponentials in range."""

    h: Tensor
    """(B, H) hidden state, the output."""
    c: Tensor
    """(B, H) cell state, times exp(-m)."""
    n: Tensor
    """(B, H) normalizer, the sum of the input weights, times exp(-m)."""
    m: Tensor
    """(B, H) stabiliser, the largest logarithm among the input weights."""


class SLSTM(XLSTMCell[SLSTMState], name="slstm"):
    """Beck et al. (2024), section 2.2: exponential gates, scalar memories that mix within a head.

    z = tanh(W_z x + R_z h + b_z)         i~ = W_i x + R_i h + b_i
    o = sigmoid(W_o x + R_o h + b_o)      f~ = W_f x + R_f h + b_f      log f = log sigmoid(f~) or f~
    m' = max(log f + m, i~)
    c' = exp(log f + m - m') * c + exp(i~ - m') * z
    n' = exp(log f + m - m') * n + exp(i~ - m')
    h' = o * c' / n'

    R is block-diagonal, one (d, d) block for each head and gate. m starts at the logarithm of zero, so the first input
    has weight 1 and n is at least 1 from then on.
    """

    State = SLSTMState
    gates = ("o",)
    noises = ALL_NOISES - {"zoneout_c"}  # c, n and m are one memory: they cannot be kept one by one

    class Config(XLSTMConfig):
        """Options of the cell."""

    roles = {"R": "recurrent"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int = 1,
        forget_gate: str = "sigmoid",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, num_heads, forget_gate, forget_bias)
        H, N, d = hidden_size, self.num_heads, hidden_size // self.num_heads
        self.W = uniform_weight(H, 4 * H, input_size)  # gates in the order z, i, f, o
        self.R = uniform_weight(H, N, 4 * d, d)  # the same within each head
        self.b = uniform_weight(H, 4 * H)
        with torch.no_grad():
            nn.init.constant_(self.b[2 * H : 3 * H], self.forget_bias)

    def unit_axes(self) -> Mapping[str, tuple[str, ...]] | None:
        if self.num_heads > 1:  # Heads have equally many units: it is not for one of them to lose some.
            return None
        return {"W": ("HHHH", "I"), "R": (".", "HHHH", "H"), "b": ("HHHH",)}

    def initial_state(self, x: Tensor) -> SLSTMState:
        zeros = x.new_zeros(x.shape[0], self.hidden_size)
        return SLSTMState(zeros, zeros, zeros, torch.full_like(zeros, LOG_ZERO))

    def activations(self, x: Tensor, state: SLSTMState) -> dict[str, Tensor]:
        read = self.dropped_state(state.h)
        heads = [
            (h @ R.T).chunk(4, 1) for h, R in zip(read.chunk(self.num_heads, 1), self.R.unbind(0), strict=True)
        ]  # N times 4 times (B, d)
        Rh = torch.cat([head[gate] for gate in range(4) for head in heads], 1)  # (B, 4 H)
        z, i, f, o = (linear(x, self.W, self.b) + Rh).chunk(4, 1)  # (B, H) each
        decayed = self.log_forget(f) + state.m
        m = torch.maximum(decayed, i)
        f, i, z, o = torch.exp(decayed - m), torch.exp(i - m), torch.tanh(z), torch.sigmoid(o)
        c = f * state.c + i * self.dropped_update(z)
        n = f * state.n + i
        h = o * c / n
        return {"z": z, "i": i, "f": f, "o": o, "c": c, "n": n, "m": m, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        # Of h = o c / n: the share of the normaliser that is old.
        return 1 - activations["i"] / activations["n"].clamp(min=torch.finfo(activations["n"].dtype).tiny)


class MLSTMState(NamedTuple):
    """State of an mLSTM; the stabiliser m keeps its exponentials in range."""

    h: Tensor
    """(B, H) hidden state, the output."""
    C: Tensor
    """(B, N d d) matrix memory of each head, rows values and columns keys, times exp(-m)."""
    n: Tensor
    """(B, H) normalizer, the weighted sum of keys, times exp(-m)."""
    m: Tensor
    """(B, N) stabiliser, the largest logarithm among the weights in C."""


class MLSTM(XLSTMCell[MLSTMState], name="mlstm"):
    """Beck et al. (2024), section 2.3: exponential gates, a matrix memory for each head; no gate depends on h.

    q = W_q x + b_q      k = (W_k x + b_k) / sqrt(d)      v = W_v x + b_v      o = sigmoid(W_o x + b_o)
    i~ = w_i x + b_i     f~ = w_f x + b_f                 log f = log sigmoid(f~) or f~, one for each head
    m' = max(log f + m, i~)
    C' = exp(log f + m - m') C + exp(i~ - m') v k^T
    n' = exp(log f + m - m') n + exp(i~ - m') k
    h' = o * C' q / max(|n'^T q|, exp(-m'))

    exp(-m') is the 1 of the paper's max(|n^T q|, 1) in the scale of C'. It is clamped to [exp(-80), exp(80)]: at
    infinity it has no gradient, and at 0 it could not prevent a division by zero. m starts as in the sLSTM: at 0, the
    weight of the empty memory could exceed that of the inputs. Whole sequences are computed in chunks.
    """

    State = MLSTMState
    supports_reverse = True
    noises = frozenset()  # no weights multiply h, and no gate reads it
    gates = ("o",)

    class Config(XLSTMConfig):
        """Options of the cell."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int = 1,
        forget_gate: str = "sigmoid",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, num_heads, forget_gate, forget_bias)
        H, N = hidden_size, self.num_heads
        self.W = uniform_weight(H, 4 * H + 2 * N, input_size)  # q, k, v, o, i, f
        self.b = uniform_weight(H, 4 * H + 2 * N)
        with torch.no_grad():
            nn.init.constant_(self.b[4 * H + N :], self.forget_bias)

    def initial_state(self, x: Tensor) -> MLSTMState:
        B, H, N = x.shape[0], self.hidden_size, self.num_heads
        h, C, n = (x.new_zeros(B, width) for width in (H, H * H // N, H))
        return MLSTMState(h, C, n, x.new_full((B, N), LOG_ZERO))

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        """x (..., I) -> q, k, v (..., N, d), o (..., H), i~ and log f (..., N)."""
        H, N = self.hidden_size, self.num_heads
        d = H // N
        q, k, v, o, i, f = torch.split(linear(x, self.W, self.b), [H, H, H, H, N, N], -1)
        q, k, v = (torch.unflatten(part, -1, (N, d)) for part in (q, k * d**-0.5, v))
        return q, k, v, torch.sigmoid(o), i, self.log_forget(f)

    def activations(self, x: Tensor, state: MLSTMState) -> dict[str, Tensor]:
        N, d = self.num_heads, self.hidden_size // self.num_heads
        q, k, v, o, i, log_f = self._project(x)
        C, n = torch.unflatten(state.C, 1, (N, d, d)), torch.unflatten(state.n, 1, (N, d))
        decayed = log_f + state.m
        m = torch.maximum(decayed, i)  # (B, N)
        f, i = torch.exp(decayed - m).unsqueeze(-1), torch.exp(i - m).unsqueeze(-1)
        C = f.unsqueeze(-1) * C + (i * v).unsqueeze(-1) * k.unsqueeze(-2)  # (B, N, d, d)
        n = f * n + i * k  # (B, N, d)
        Cq = (C * q.unsqueeze(-2)).sum(-1)  # (B, N, d)
        h = o * (Cq / normalizer((n * q).sum(-1), m).unsqueeze(-1)).flatten(1)
        return {"f": torch.exp(log_f), "o": o, "C": C.flatten(1), "n": n.flatten(1), "m": m, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: MLSTMState | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, MLSTMState]:
        if reverse or noise is not None:
            return super().forward(x, lengths, state, reverse, noise)
        return self.chunked(x, lengths, self.initial_state(x) if state is None else state, CHUNK_SIZE)

    def chunked(self, x: Tensor, lengths: Tensor, state: MLSTMState, size: int) -> tuple[Tensor, MLSTMState]:
        """`forward` in chunks of at most `size` steps; the result does not depend on it."""
        N, d, T, H = self.num_heads, self.hidden_size // self.num_heads, x.shape[1], self.hidden_size
        if not T:
            return x.new_zeros(len(x), 0, H), state
        count = -(-T // size)
        L, lengths = -(-T // count), lengths.to(x.device)
        q, k, v, o, i, log_f = self._project(pad(mask_padding(x, lengths), (0, 0, 0, count * L - T)))
        # In the padding the input gate is 0 and the forget gate 1, so that the state stays as it is.
        valid = length_mask(lengths, count * L).unsqueeze(-1)  # (B, count L, 1)
        i = torch.where(valid, i, torch.full_like(i, -torch.inf))
        log_f = torch.where(valid, log_f, torch.zeros_like(log_f))
        q, k, v, i, log_f = (
            torch.unflatten(part, 1, (count, L)).movedim(3, 1).contiguous() for part in (q, k, v, i, log_f)
        )
        C, n = torch.unflatten(state.C, 1, (N, d, d)), torch.unflatten(state.n, 1, (N, 1, d))
        retrieved, C, n, m = retrieve_in_chunks(q, k, v, i, log_f, C, n, state.m)
        outputs = mask_padding((o * retrieved.movedim(1, 3).flatten(3).flatten(1, 2))[:, :T], lengths)
        last = outputs.gather(1, (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, H)).squeeze(1)
        h = torch.where((lengths > 0).unsqueeze(1), last, state.h)
        return outputs, MLSTMState(h, C.flatten(1), n.flatten(1), m)
