"""What is wrong with a run, measured: rules over its record, its data and short trainings from its first weights.

A rule is a file, or a class in a file, below `rules/`, found by being written there. Rules over sweeps are beside them.
"""

from lstm_lab.diagnosis.base import Rule
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.diagnosis.run import diagnose, diagnose_sweep
from lstm_lab.diagnosis.sweep import SweepRule
from lstm_lab.records.diagnosis import Finding

__all__ = ["Evidence", "Finding", "Rule", "SweepRule", "diagnose", "diagnose_sweep"]
