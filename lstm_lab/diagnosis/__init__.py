"""What is wrong with a run, measured: rules over its record, its data and short trainings from its first weights.

A rule is a file, or a class in a file, below `rules/`, found by being written there.
"""

from lstm_lab.diagnosis.base import Finding, Rule
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.diagnosis.run import diagnose

__all__ = ["Evidence", "Finding", "Rule", "diagnose"]
