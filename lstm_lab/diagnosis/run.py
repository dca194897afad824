"""All rules over one run, or over a sweep and its best trial."""

from __future__ import annotations

import warnings

from lstm_lab.config import ConfigError, DataError, Notice
from lstm_lab.config.registry import import_all
from lstm_lab.diagnosis.base import Rule
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.diagnosis.sweep import SweepRule
from lstm_lab.records.diagnosis import Diagnosis, Finding, write_diagnosis
from lstm_lab.records.run import Run
from lstm_lab.sweeps.store.record import SweepRecord
from lstm_lab.training.first_weights import build_first


def diagnose(run: Run, *, probes: bool = True) -> list[Finding]:
    """What is wrong with a run, the gravest first; written to its diagnosis.json, which the page shows.

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
            # The explanation of a network is for models that answer for what they read.
            explained = run.best_checkpoint.is_file() and not evidence.experiment.model.owner.decodes
            available |= {"data", "network"} if explained else {"data"}
            available |= {"start"} if _has_first_weights(evidence) else set()
    rules = [rule() for rule in rule_types() if rule.reads in available]
    findings = _gravest_first([rule.check(evidence) for rule in rules])
    write_diagnosis(run.path, Diagnosis(epoch=evidence.best_epoch, probed="data" in available, findings=findings))
    return findings


def _has_first_weights(evidence: Evidence) -> bool:
    """Whether the training can begin again; not where the run that it started from is gone, which is said."""
    try:
        build_first(evidence.experiment, evidence.dataset, evidence.run)
    except ConfigError as error:
        warnings.warn(f"no short trainings from the first weights: {error}", Notice, stacklevel=2)
        return False
    return True


def diagnose_sweep(sweep: SweepRecord) -> list[Finding]:
    """What is wrong with a sweep, by its record; written to its diagnosis.json, which the page shows.

    Returns:
        The gravest first.
    """
    import_all("lstm_lab.diagnosis.rules")
    rules = [SweepRule.registered[name]() for name in sorted(SweepRule.registered)]
    findings = _gravest_first([rule.check(sweep) for rule in rules])
    write_diagnosis(sweep.path, Diagnosis(epoch=None, probed=False, findings=findings))
    return findings


def _gravest_first(found: list[Finding | None]) -> list[Finding]:
    return sorted((finding for finding in found if finding is not None), key=lambda finding: -finding.severity)


def rule_types() -> list[type[Rule]]:
    """Every rule over runs, in the order of its name."""
    import_all("lstm_lab.diagnosis.rules")
    return [Rule.registered[name] for name in sorted(Rule.registered)]
