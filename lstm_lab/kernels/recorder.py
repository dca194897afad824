"""From a cell's step to its tape.

The step runs twice on made-up rows, 7 and then 11 of them, while every operation is written down: so what depends on
the number of rows is told from what does not, in shapes, strides and arguments alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lstm_lab.kernels.buffers import settle
from lstm_lab.kernels.reverse import reverse
from lstm_lab.kernels.tape import ROWS, Refused, Tape
from lstm_lab.kernels.writer import Writer


class _Recorder(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its whole compiler, a second or two, only to keep it away from here.

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Refused(f"{func} draws random numbers")
        if func._schema.is_mutable:
            raise Refused(f"{func} writes into its argument")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


def record(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]],
    state: Callable[..., Any],
    leaves: dict[str, Tensor],
    input_size: int,
    widths: Sequence[int],
) -> Tape:
    """A tape of a step, and of the way back.

    Args:
        step: (N, I) and a state -> what is shown (N, H), and the new state.
        state: makes a state of its parts, (N, width) each.
        leaves: parameters and buffers by name; the only tensors that the step may bring along.

    Raises:
        Refused: the step does what a tape cannot.
    """
    taken = []
    dtype = next(iter(leaves.values())).dtype if leaves else torch.get_default_dtype()
    for rows in ROWS:
        x, *parts = (torch.linspace(-0.9, 0.7, rows * n, dtype=dtype).reshape(rows, n) for n in (input_size, *widths))
        recorder = _Recorder()
        try:
            with torch.no_grad(), recorder:
                shown, new = step(x, state(*parts))
        except Refused:
            raise
        except Exception as fault:
            raise Refused(f"the step fails on made-up rows: {fault}") from fault
        taken.append((x, parts, recorder.calls, shown, list(new)))
    writer = Writer(leaves, *taken)
    writer.write()
    reverse(writer.tape)
    settle(writer.tape)
    return writer.tape
