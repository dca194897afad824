"""Averages of the weights over training, each in its own file."""

from lstm_lab.optimizers.averaging.base import Averaging
from lstm_lab.registry import import_all

import_all(__name__)

__all__ = ["Averaging"]
