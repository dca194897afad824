"""From a cell's step to its tape.

The step runs twice on synthetic rows, 7 and then 11 of them, while every operation is recorded: this tells apart what
depends on the number of rows and what does not, in shapes, strides and arguments alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lstm_lab.kernels.backward import derive_backward
from lstm_lab.kernels.buffers import allocate_buffers
from lstm_lab.kernels.recording import Args, Kwargs, RecordedCall, Recording
from lstm_lab.kernels.rules import RULES
from lstm_lab.kernels.tape import ROWS, BuildState, S, Step, Tape, UnsupportedOp
from lstm_lab.kernels.writer import Writer

if TYPE_CHECKING:
    from torch._ops import OpOverload


class CallRecorder(TorchDispatchMode):
    """As a context: records every operation of torch, in order.

    Raises:
        UnsupportedOp: an operation that draws random numbers, or that writes into its argument.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its whole compiler, a second or two, only to exclude it here.

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types.
        self.calls: list[RecordedCall] = []

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: Args = (), kwargs: Kwargs | None = None
    ) -> object:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise UnsupportedOp(f"{func} draws random numbers")
        if func._schema.is_mutable:
            raise UnsupportedOp(f"{func} writes into its argument")
        out = func(*args, **(kwargs or {}))
        self.calls.append(RecordedCall(func, args, kwargs or {}, out))
        return out


def record(
    step: Step[S],
    build_state: BuildState[S],
    leaves: dict[str, Tensor],
    input_size: int,
    widths: Sequence[int],
) -> Tape:
    """The tape of a step, forward and backward.

    Args:
        step: (N, I) and a state -> output (N, H), and the new state.
        build_state: makes a state of its parts, (N, width) each.
        leaves: parameters and buffers by name; no other tensors may take part in the step.
        input_size: I.
        widths: of the parts of the state.

    Raises:
        UnsupportedOp: the step does what a tape cannot express.
    """
    recordings: list[Recording] = []
    dtype = next(iter(leaves.values())).dtype if leaves else torch.get_default_dtype()
    for rows in ROWS:
        x, *parts = (torch.linspace(-0.9, 0.7, rows * n, dtype=dtype).reshape(rows, n) for n in (input_size, *widths))
        recorder = CallRecorder()
        try:
            with torch.no_grad(), recorder:
                output, new_state = step(x, build_state(*parts))
        except UnsupportedOp:
            raise
        except Exception as fault:
            raise UnsupportedOp(f"the step fails on synthetic rows: {fault}") from fault
        recordings.append(Recording(x, parts, recorder.calls, output, list(new_state)))
    one, two = recordings
    tape = Writer(leaves, one, two, RULES).write()
    derive_backward(tape)
    allocate_buffers(tape)
    return tape
