"""Data sets: sequences, their splits, and everything that is fitted on the training split alone."""

from lstm_lab.config.registry import import_all
from lstm_lab.data.base import Batch, Dataset, NewSamples, Split
from lstm_lab.data.from_memory import arrays, frame
from lstm_lab.data.loader import SequenceDataModule
from lstm_lab.data.readers.in_memory import NewData

import_all("lstm_lab.data.sources")

__all__ = [
    "Batch", "Dataset", "NewData", "NewSamples", "SequenceDataModule", "Split", "arrays", "frame",
]  # fmt: skip
