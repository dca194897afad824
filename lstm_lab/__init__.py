"""Tune recurrent networks: typed experiments, distributed sweeps, local records, one-page reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__version__ = "0.1.0"


def load_sweep(folder: str | Path) -> pandas.DataFrame:
    """The trials of a sweep as a table: one row a trial, in the order in which they were asked for.

    Columns: trial, point, seed, phase (search or confirm), state, reason, the deciding metric at its best epoch under
    its own name (`val/loss`; NaN where there is none), epoch (that epoch, from 0), epochs, seconds, parameters,
    clones and cloned_from (pbt: how often it went on from another trial, and from which last), then one for each key of
    the space (`optimizer.lr`) as it was asked for, empty where the key was not there.

        >>> trials = lstm_lab.load_sweep("runs/vowels_cells-1")
        >>> trials[trials.state == "finished"].groupby("model.cell")["val/loss"].agg(["mean", "std", "count"])

    Raises:
        ConfigError: there is no sweep in the folder.
    """
    from lstm_lab.sweep.store.dataframe import trials_dataframe

    return trials_dataframe(folder)
