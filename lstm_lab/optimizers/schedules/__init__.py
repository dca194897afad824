"""Learning-rate schedules, each in its own file."""

from lstm_lab.config.registry import import_all
from lstm_lab.optimizers.schedules.base import Schedule

import_all(__name__)

__all__ = ["Schedule"]
