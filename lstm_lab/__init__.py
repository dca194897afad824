"""Tune recurrent networks: typed experiments, distributed sweeps, local records, one-page reports.

>>> import lstm_lab as lab
>>> run = lab.train(DEMAND, "model.cell=gru", "trainer.max_epochs=1", progress=False)
>>> round(run.best["val/loss"], 1) > 0
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lstm_lab import data, nn
    from lstm_lab.api import ask_tell, compare, load_run, load_sweep, resume, sweep, train
    from lstm_lab.config import ConfigError, DataError, Fault, Interrupted
    from lstm_lab.estimators import Forecaster, SequenceClassifier, SequenceRegressor
    from lstm_lab.experiment import Experiment
    from lstm_lab.records.scores import Scores
    from lstm_lab.results import Comparison, SweepResult
    from lstm_lab.sweeps.spec import Sweep
    from lstm_lab.trained_run import TrainedRun

__version__ = "0.1.0"

_HOMES = {
    "lstm_lab.api": ("ask_tell", "compare", "load_run", "load_sweep", "resume", "sweep", "train"),
    "lstm_lab.config": ("ConfigError", "DataError", "Fault", "Interrupted"),
    "lstm_lab.estimators": ("Forecaster", "SequenceClassifier", "SequenceRegressor"),
    "lstm_lab.experiment": ("Experiment",),
    "lstm_lab.results": ("Comparison", "SweepResult"),
    "lstm_lab.records.scores": ("Scores",),
    "lstm_lab.sweeps.spec": ("Sweep",),
    "lstm_lab.trained_run": ("TrainedRun",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Comparison", "ConfigError", "DataError", "Experiment", "Fault", "Forecaster", "Interrupted", "Scores",
    "SequenceClassifier", "SequenceRegressor", "Sweep", "SweepResult", "TrainedRun", "ask_tell", "compare", "data",
    "load_run", "load_sweep", "nn", "resume", "sweep", "train",
]  # fmt: skip


def __getattr__(name: str) -> object:
    # Imported when it is used: `import lstm_lab` brings in neither torch nor Ray nor W&B.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in ("data", "nn"):
        return import_module(f"lstm_lab.{name}")
    raise AttributeError(f"module 'lstm_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
