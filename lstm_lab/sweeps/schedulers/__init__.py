"""Which trials are stopped early, and which copy another. Each file here is one scheduler, found by being written."""

from lstm_lab.config.registry import import_all
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.schedulers.population import PopulationScheduler

import_all(__name__)

__all__ = ["PopulationScheduler", "Scheduler"]
