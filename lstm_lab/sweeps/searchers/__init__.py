"""Where configurations come from, one file each."""

from lstm_lab.registry import import_all

import_all(__name__)
