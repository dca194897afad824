"""What the clock is told and asked, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

Report = Mapping[str, object]
"""The row of an epoch."""


class Answer(Enum):
    """What a trial does after an epoch."""

    CONTINUE = "continue"
    STOP = "stop"
    WAIT = "wait"
    """Until something that comes first on the clock is known."""


class Compares(Enum):
    """What a scheduler's decision about a trial after some epochs may depend on."""

    EARLIER_TRIALS = "earlier trials"
    """What the trials before it reported up to as many epochs. As each starts no later than the next one, they are
    the ones that come first on the clock."""
    ANY_TRIALS = "any trials"
    """Whatever was reported before on the clock."""
    POPULATION = "population"
    """What all trials reported after as many epochs: they are compared together."""


class Decider(Protocol):
    """A scheduler; it is asked in an order that the sweep determines."""

    def decide(self, trial: int, epochs: int, row: Report) -> bool:
        """Whether a trial continues after so many epochs."""

    def compare(self, epochs: int, rows: Mapping[int, Report]) -> None:
        """All trials of a population have trained so many epochs; failed ones are left out."""


class Planned(NamedTuple):
    """A trial that is to be trained, or was before the sweep was interrupted."""

    epochs: int
    """That it is trained for at most."""
    rows: Mapping[int, Report] = {}
    """Epochs -> the row that was recorded after so many."""
    ended: bool = False
    group: int | None = None
    """Once a trial of a group is stopped, those behind it in the group are not started, or stopped at their next
    decision; None: it depends on no other trial."""


class Trials(Protocol):
    """Where trials come from, and who is told when they end."""

    def plan(self) -> Sequence[Planned]:
        """The trials of a further configuration; none if there is no further one."""

    def skip(self, trial: int, because: int) -> None:
        """The clock has come to a trial that is not started, because another one of its group was stopped."""

    def end(self, trial: int) -> None:
        """The clock has come to the end of a trial: a searcher may learn from it."""
