"""Regularizers, each in its own file: what changes a training so that the model fits less of its noise."""

from lstm_lab.config.registry import import_all
from lstm_lab.regularizers.base import Regularizer
from lstm_lab.regularizers.chosen import Regularizers

import_all(__name__)

__all__ = ["Regularizer", "Regularizers"]
