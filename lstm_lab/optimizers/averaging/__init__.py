"""Averages of the weights over training, each in its own file."""

from lstm_lab.config.registry import import_all
from lstm_lab.optimizers.averaging.base import Averaging

import_all(__name__)

__all__ = ["Averaging"]
