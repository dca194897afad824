"""`stop_sick: true`: trials that a rule calls hopeless are ended before their scheduler compares them.

A rule is a class in a file below `rules/`, found by being written there. Knows neither Ray nor the folder of a sweep.
"""

from lstm_lab.sweeps.hopeless.base import PREFIX, HopelessRule, Suspect
from lstm_lab.sweeps.hopeless.decider import HopelessDecider, check_epochs

__all__ = ["PREFIX", "HopelessDecider", "HopelessRule", "Suspect", "check_epochs"]
