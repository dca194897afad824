"""Optimisers, each in its own file, and the schedules of their learning rate."""

from lstm_lab.optimizers.base import Optimizer
from lstm_lab.optimizers.schedules import Schedule
from lstm_lab.registry import import_all

import_all(__name__)

__all__ = ["Optimizer", "Schedule"]
