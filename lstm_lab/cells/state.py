"""The state that a cell carries from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from typing_extensions import TypeVar


class Hidden(NamedTuple):
    """State of a cell that carries its output alone."""

    h: Tensor
    """(B, H)"""


class CellState(Protocol):
    """Any cell's state: a NamedTuple of tensors, (B, width) each."""

    @property
    def h(self) -> Tensor:
        """(B, H) the output of the last step."""

    @property
    def _fields(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Tensor]: ...


S = TypeVar("S", bound=CellState, default=Any)
