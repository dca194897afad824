"""What is asked of a sequence. Each file here is one task."""

from lstm_lab.config.registry import import_all
from lstm_lab.tasks.base import Task

import_all(__name__)

__all__ = ["Task"]
