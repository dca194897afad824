"""From a padded batch to a task's answers. Each registered class here is one model."""

from lstm_lab.config.registry import import_all
from lstm_lab.models.base import Model
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.pooling import Pooling
from lstm_lab.models.sequence import SequenceModel

import_all(__name__)

__all__ = ["Encoder", "Model", "Pooling", "SequenceModel"]
