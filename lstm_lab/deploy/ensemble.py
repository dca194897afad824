"""The best configurations of a sweep in use together."""

from __future__ import annotations

from pathlib import Path

from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.evaluation.predict import PredictionTable
from lstm_lab.experiment import Accelerator
from lstm_lab.sweeps.store import ensemble
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.record import read_ensembles
from lstm_lab.sweeps.store.shapes import EnsembleRow


def predict_together(
    path: Path, top: int, new: NewData, future: NewData | None = None, accelerator: Accelerator | None = None
) -> tuple[EnsembleRow, PredictionTable]:
    """The ensemble of a sweep's best configurations, and its predictions for new data.

    Where its weights are chosen now, the page of the sweep is written again, which shows its scores.

    Args:
        top: how many configurations, with all their seeds.
        new, future, accelerator: as of `evaluation.predict.predict`.

    Raises:
        ConfigError: no sweep, fewer configurations, or their predictions have no mean.
        DataError: the new data cannot be read, or those of the sweep are others than it was trained on.
    """
    from lstm_lab.report import write_report

    known = read_ensembles(path)
    found, table = ensemble.predict(SweepFolder.open(path), top, new, future, accelerator)
    if read_ensembles(path) != known:
        write_report(path)
    return found, table
