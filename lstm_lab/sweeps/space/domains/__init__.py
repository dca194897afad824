"""Domains of hyperparameters: what a sweep file writes as `{loguniform: [1e-4, 1e-2]}`.

A domain is found by being written into a file of this folder.
"""

from lstm_lab.config.registry import import_all
from lstm_lab.sweeps.space.domains.base import Domain, Overrides

import_all(__name__)

__all__ = ["Domain", "Overrides"]
