"""Encoder, pooling, and the model that joins them to a head."""

from lstm_lab.models.encoder import Encoder
from lstm_lab.models.pooling import Pooling
from lstm_lab.models.sequence import SequenceModel

__all__ = ["Encoder", "Pooling", "SequenceModel"]
