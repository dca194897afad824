"""The contract of a rule, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lstm_lab.files import Row

if TYPE_CHECKING:
    from lstm_lab.diagnosis.evidence import Evidence


@dataclass(frozen=True)
class Finding:
    """A cause that explains what a run does, and what to do next."""

    rule: str
    """Name of the rule, as "learning rate too high"."""
    severity: int
    """3: the run cannot be used; 2: it loses much; 1: it could be better."""
    evidence: str
    """What was measured, a sentence with its numbers."""
    action: tuple[str, ...] = ()
    """Overrides to train with next; empty where the remedy lies in the data."""
    advice: str = ""
    """What to do where no override does it."""
    cost: str = ""
    """What the action costs."""

    def dump(self) -> Row:
        """Plain values."""
        return asdict(self)


class Rule(ABC):
    """A fault with a name.

    A new rule is a subclass in a file of `lstm_lab/diagnosis/rules/`:

        class Silence(Rule):
            name = "nothing but silence"

            def check(self, evidence):
                return None if evidence.inputs.std.max() > 0 else self.found(3, "every input is constant")
    """

    name: ClassVar[str]
    """The fault, in the words of the field."""
    reads: ClassVar[Literal["record", "data", "network"]] = "record"
    """What it needs: the record alone, which decides at once; the data too, as for short trainings from the first
    weights; or the weights of the best epoch besides."""
    registered: ClassVar[dict[str, type[Rule]]] = {}
    """Name -> rule, filled by defining it."""

    def __init_subclass__(cls) -> None:
        Rule.registered[cls.name] = cls

    @abstractmethod
    def check(self, evidence: Evidence) -> Finding | None:
        """What this rule finds; None where the fault is not there, or cannot be told."""

    def found(self, severity: int, evidence: str, *action: str, advice: str = "", cost: str = "") -> Finding:
        """A finding of this rule."""
        return Finding(self.name, severity, evidence, action, advice, cost)
