"""Optimisers, each in its own file, the schedules of their learning rate, and averages of the weights."""

from lstm_lab.optimizers.averaging import Averaging
from lstm_lab.optimizers.base import Optimizer
from lstm_lab.optimizers.schedules import Schedule
from lstm_lab.registry import import_all

import_all(__name__)

__all__ = ["Averaging", "Optimizer", "Schedule"]
