"""Recurrent cells. Each file here is one cell or one family; writing the file is all it takes to add one."""

from lstm_lab.cells.base import Cell
from lstm_lab.config.registry import import_all

import_all(__name__)

__all__ = ["Cell"]
