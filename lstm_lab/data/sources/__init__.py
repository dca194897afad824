"""One file = one data set, found by being written here."""

from lstm_lab.registry import import_all

import_all(__name__)
