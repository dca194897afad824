"""The contract of a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from lstm_lab.records.diagnosis import Chart, Finding

if TYPE_CHECKING:
    from lstm_lab.diagnosis.evidence import Evidence


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
    reads: ClassVar[Literal["record", "data", "start", "network"]] = "record"
    """What it needs: the record alone, which decides at once; the data too; the first weights besides, as for short
    trainings from them; or the weights of the best epoch."""
    registered: ClassVar[dict[str, type[Rule]]] = {}
    """Name -> rule, filled by defining it."""

    def __init_subclass__(cls) -> None:
        Rule.registered[cls.name] = cls

    @abstractmethod
    def check(self, evidence: Evidence) -> Finding | None:
        """What this rule finds; None where the fault is not there, or cannot be told."""

    def found(
        self, severity: int, evidence: str, *action: str, advice: str = "", cost: str = "", chart: Chart | None = None
    ) -> Finding:
        """A finding of this rule."""
        return Finding(rule=self.name, severity=severity, evidence=evidence, action=action, advice=advice, cost=cost,
                       chart=chart)  # fmt: skip
