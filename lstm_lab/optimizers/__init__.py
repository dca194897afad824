"""Optimisers, each in its own file, the schedules of their learning rate, and averages of the weights."""

from lstm_lab.config.registry import import_all
from lstm_lab.optimizers.averaging import Averaging
from lstm_lab.optimizers.base import Optimizer
from lstm_lab.optimizers.schedules import Schedule

import_all(__name__)

__all__ = ["Averaging", "Optimizer", "Schedule"]
