"""One file = one data set, found by being written here."""

from lstm_lab.config.registry import import_all

import_all(__name__)
