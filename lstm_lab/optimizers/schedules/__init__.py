"""Learning-rate schedules, each in its own file."""

from lstm_lab.optimizers.schedules.base import Schedule
from lstm_lab.registry import import_all

import_all(__name__)

__all__ = ["Schedule"]
