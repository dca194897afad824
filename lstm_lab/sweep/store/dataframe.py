"""A sweep's record as a pandas table; `lstm_lab.load_sweep` is its door."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.sweep.store.folder import SweepFolder

if TYPE_CHECKING:
    import pandas


def frame(folder: str | Path) -> pandas.DataFrame:
    """One row a trial; `lstm_lab.load_sweep` names the columns."""
    import pandas

    opened = SweepFolder.open(folder)
    sweep = opened.sweep
    metric, keys = sweep.base.monitor, list(sweep.space)
    rows = [
        {
            "trial": trial.id,
            "point": trial.point,
            "seed": trial.seed,
            "phase": trial.phase,
            "state": trial.state,
            "reason": trial.reason,
            metric: float("nan") if trial.value is None else trial.value,
            "epoch": trial.epoch,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            "parameters": trial.parameters,
            "clones": len(trial.lineage),
            "cloned_from": trial.lineage[-1]["source"] if trial.lineage else None,
            **{key: trial.overrides.get(key) for key in keys},
        }
        for trial in opened.trials()
    ]
    columns = ["trial", "point", "seed", "phase", "state", "reason", metric, "epoch", "epochs", "seconds", "parameters"]
    columns += ["clones", "cloned_from"]
    return pandas.DataFrame(rows, columns=[*columns, *keys])
