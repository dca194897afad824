"""Where sequences come from, how they split, and what was fitted on the training part only."""

from lstm_lab.data.base import Batch, Dataset, SequenceDataModule
from lstm_lab.registry import import_all

import_all("lstm_lab.data.sources")

__all__ = ["Batch", "Dataset", "SequenceDataModule"]
