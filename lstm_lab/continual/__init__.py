"""Continual learning: experiments one after the other, and what a model forgets of the earlier ones."""

from lstm_lab.config.registry import import_all
from lstm_lab.continual.base import Method

import_all("lstm_lab.continual.methods")

__all__ = ["Method"]
