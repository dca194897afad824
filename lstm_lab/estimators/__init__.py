"""Estimators by scikit-learn's conventions: a class or values for each sequence, and forecasts of a time series."""

from lstm_lab.estimators.forecaster import Forecaster
from lstm_lab.estimators.sequences import SequenceClassifier, SequenceRegressor

__all__ = ["Forecaster", "SequenceClassifier", "SequenceRegressor"]
