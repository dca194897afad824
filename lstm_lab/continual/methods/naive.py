"""Fine-tuning alone."""

from __future__ import annotations

from lstm_lab.continual.base import Method


class Naive(Method, name="naive"):
    """Each stage starts from the weights of the one before, and sees its own data alone."""
