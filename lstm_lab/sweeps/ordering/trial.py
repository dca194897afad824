"""What the clock knows of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lstm_lab.sweeps.ordering.contract import Report


@dataclass
class Trial:
    """A trial on the clock."""

    number: int
    milestones: Sequence[int]
    rows: dict[int, Report]
    ended: bool
    group: int | None = None
    passed: int = 0
    """How many milestones lie behind it."""
    start: int | None = None
    """Tick at which a virtual worker takes it."""
    stop: int | None = None
    """Epochs after which it is stopped."""
    because: int | None = None
    """Trial of its group for whose stop it is stopped too."""
    is_past: bool = False
    """Whether the clock has come to its end."""
    reached: int = field(init=False)
    """Epochs that it has trained, as far as is known."""
    started: bool = field(init=False)
    """Whether it has been given to a real worker."""

    def __post_init__(self) -> None:
        self.started, self.reached = self.ended, max(self.rows, default=0)

    @property
    def epochs(self) -> int:
        return self.milestones[-1]

    @property
    def settled(self) -> int:
        """Epochs up to which it is decided that it continues."""
        return self.milestones[self.passed - 1] if self.passed else 0

    @property
    def next(self) -> int:
        """Its next milestone, in epochs."""
        return self.milestones[min(self.passed, len(self.milestones) - 1)]

    @property
    def due(self) -> int:
        """Tick of its next milestone, or of its stop."""
        assert self.start is not None
        return self.start + (self.next if self.stop is None else self.stop)

    @property
    def waits(self) -> bool:
        """Whether it has reported a milestone that is not decided."""
        return self.stop is None and self.next in self.rows and self.next < self.epochs

    @property
    def over(self) -> bool:
        """Whether no decision about it will come."""
        return self.stop is not None or (self.ended and not self.waits)
