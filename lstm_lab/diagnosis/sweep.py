"""The contract of a rule over a sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from lstm_lab.records.diagnosis import Chart, Finding
from lstm_lab.sweeps.store.record import SweepRecord


class SweepRule(ABC):
    """A fault of a sweep with a name; it reads the record alone."""

    name: ClassVar[str]
    """The fault, in the words of the field."""
    registered: ClassVar[dict[str, type[SweepRule]]] = {}
    """Name -> rule, filled by defining it."""

    def __init_subclass__(cls) -> None:
        SweepRule.registered[cls.name] = cls

    @abstractmethod
    def check(self, sweep: SweepRecord) -> Finding | None:
        """What this rule finds; None where the fault is not there, or cannot be told."""

    def found(
        self, severity: int, evidence: str, *action: str, advice: str = "", cost: str = "", chart: Chart | None = None
    ) -> Finding:
        """A finding of this rule, whose action are overrides of the sweep's file."""
        return Finding(rule=self.name, severity=severity, evidence=evidence, action=action, advice=advice, cost=cost,
                       chart=chart)  # fmt: skip
