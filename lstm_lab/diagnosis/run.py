"""All rules over one run."""

from __future__ import annotations

from lstm_lab.config import DataError
from lstm_lab.diagnosis.base import Finding, Rule
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.registry import import_all
from lstm_lab.run import Run


def diagnose(run: Run, *, probes: bool = True) -> list[Finding]:
    """What is wrong with a run, the gravest first.

    Args:
        probes: whether to train shortly and look into the network too, which takes up to a minute; else the record
            alone decides, at once.
    """
    evidence = Evidence(run)
    available = {"record"}
    if probes:
        try:
            _ = evidence.dataset
        except DataError:  # Its data are gone: what the record says still holds.
            pass
        else:
            available |= {"data", "network"} if run.best_checkpoint.is_file() else {"data"}
    findings = []
    for rule in rule_types():
        if rule.reads not in available:
            continue
        found = rule().check(evidence)
        if found is not None:
            findings.append(found)
    return sorted(findings, key=lambda found: -found.severity)


def rule_types() -> list[type[Rule]]:
    """Every rule, in the order of its name."""
    import_all("lstm_lab.diagnosis.rules")
    return [Rule.registered[name] for name in sorted(Rule.registered)]
