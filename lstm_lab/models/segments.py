"""A recurrence over a long sequence in segments: gradients end between them, or are computed from what is read again.

- Truncated backpropagation through time (Williams & Peng 1990): the state is carried from segment to segment, and
  gradients are not, so that what a step has to do with inputs of earlier segments is not learnt.
- Gradient checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost"): of a segment only its
  outputs and its last state are kept; the backward pass computes the rest again.

Neither changes what is computed forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lstm_lab.cells.base import CellState
from lstm_lab.models.state import map_cell_state

Run = Callable[[Tensor, Tensor, CellState | None, int], tuple[Tensor, CellState]]
"""x (B, T, I), lengths (B,), state or None, number of the first of these steps -> outputs (B, T, H), state."""


class Segments(NamedTuple):
    """Where a recurrence is cut, in steps that it reads; None: nowhere."""

    truncate: int | None = None
    """Steps between the places where gradients end."""
    checkpoint: int | None = None
    """Steps that are computed again at once."""

    def folded(self, dilation: int) -> Segments:
        """Those of a layer that is computed as `dilation` sequences, each with a step in so many."""
        return Segments(*(None if steps is None else -(-steps // dilation) for steps in self))

    def starts(self, steps: int) -> list[int]:
        """The first step of each segment."""
        return sorted({start for each in self if each is not None for start in range(0, steps, each)} | {0})

    def run(self, run: Run, x: Tensor, lengths: Tensor, state: CellState | None) -> tuple[Tensor, CellState]:
        """Outputs and last state of a padded batch, as `run(x, lengths, state, 0)` computes them."""
        starts = self.starts(x.shape[1])
        if len(starts) == 1 and self.checkpoint is None:
            return run(x, lengths, state, 0)
        outputs: list[Tensor] = []
        end: CellState | None = None
        for start, stop in zip(starts, [*starts[1:], x.shape[1]], strict=True):
            if start and state is not None and self.truncate and start % self.truncate == 0:
                state = map_cell_state(Tensor.detach, state)
            within = (lengths - start).clamp(0, stop - start)
            output, state = self._segment(run, x[:, start:stop], within, state, start)
            outputs.append(output)
            end = state if end is None or self.truncate is None else _later(lengths > start, state, end)
        return torch.cat(outputs, 1), cast("CellState", end)

    def _segment(
        self, run: Run, x: Tensor, lengths: Tensor, state: CellState | None, start: int
    ) -> tuple[Tensor, CellState]:
        if self.checkpoint is None or not torch.is_grad_enabled():
            return run(x, lengths, state, start)
        # Random numbers are drawn by key: there is no generator whose state would have to be restored.
        found = checkpoint(run, x, lengths, state, start, use_reentrant=False, preserve_rng_state=False)
        return cast("tuple[Tensor, CellState]", found)


def _later(reads: Tensor, new: CellState, old: CellState) -> CellState:
    """The state of each sample: the new one where it reads any of these steps, else that in which it ended.

    A sample that has ended keeps the state with its gradient, which a later segment's does not have.

    Args:
        reads: (B,) bool.
    """
    if bool(reads.all()):
        return new
    if not bool(reads.any()):
        return old

    def chosen(after: Tensor, before: Tensor) -> Tensor:
        return torch.where(reads.to(after.device).view(-1, *[1] * (after.dim() - 1)), after, before)

    build: Callable[..., CellState] = type(new)
    return build(*map(chosen, new, old))
