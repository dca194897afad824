"""Where configurations come from. Each file here is one searcher, found by being written."""

from lstm_lab.config.registry import import_all
from lstm_lab.sweeps.searchers.base import Searcher

import_all(__name__)

__all__ = ["Searcher"]
