"""Why training is slow."""

from __future__ import annotations

from lstm_lab.diagnosis.base import Rule
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.records.diagnosis import Finding


class EngineNotUsed(Rule):
    """Trained on the CPU without the compiled engine."""

    name = "trained without the compiled engine"

    def check(self, evidence: Evidence) -> Finding | None:
        about = evidence.record.about
        code = about.get("code") or {}
        if about.get("device") != "cpu" or code.get("engine") != "torch":
            return None
        return self.found(
            1,
            "the cells ran through torch, step by step where it has no layer for them",
            advice="python -m lstm_lab.kernels.build compiles it; lstm-lab doctor says what is missing",
        )
