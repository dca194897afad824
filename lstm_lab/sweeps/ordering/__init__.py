"""The order of a sweep's decisions, which no machine's speed changes. Knows neither Ray nor the folder of a sweep."""

from lstm_lab.sweeps.ordering.contract import Answer, Compares, Decider, Planned, Report, Trials
from lstm_lab.sweeps.ordering.virtual_clock import VirtualClock

__all__ = ["Answer", "Compares", "Decider", "Planned", "Report", "Trials", "VirtualClock"]
