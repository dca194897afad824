"""The trials of a sweep as a pandas table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.spaces import joined_space

if TYPE_CHECKING:
    import pandas


def trials_dataframe(folder: str | Path) -> pandas.DataFrame:
    """One row per trial, in the order in which they were added.

    Columns: trial, configuration (its number), seed, fold (from 0; only with cross-validation), version (which
    extension added it, 0: none; only where there is one), phase (search or confirm), state, reason, the monitored
    metric at its best epoch under its own name (`val/loss`; NaN where there is none), epoch (that epoch, from 0),
    epochs, seconds, parameters, the other objectives where there are several and what has a constraint (`latency` in
    ms), exploits and exploited (pbt: how often it continued from another trial, and from which last), then one for each
    key of the space (`optimizer.lr`): the value it started with, empty where the key was not there.

    Raises:
        ConfigError: there is no sweep in the folder.
    """
    import pandas

    opened = SweepFolder.open(folder)
    sweep = opened.sweep
    space = {key: domain.to_yaml() for key, domain in sweep.space.items()}
    metric, keys = sweep.base.monitor, list(joined_space(space, opened.about.get("extensions") or []))
    more = ["fold"] if sweep.cross_validation is not None else []
    more += ["version"] if opened.version else []
    columns = ["trial", "configuration", "seed", *more, "phase", "state", "reason", metric, "epoch", "epochs"]
    columns += ["seconds", "parameters"]
    others = [each for each in sweep.criteria.measured if each.name not in columns]
    columns += [*(each.name for each in others), "exploits", "exploited"]
    rows = [
        {
            "trial": trial.id,
            "configuration": trial.configuration,
            "seed": trial.seed,
            **({} if sweep.cross_validation is None else {"fold": trial.fold}),
            **({"version": trial.version} if opened.version else {}),
            "phase": trial.phase,
            "state": trial.state,
            "reason": trial.reason,
            metric: float("nan") if trial.value is None else trial.value,
            "epoch": trial.epoch,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            "parameters": trial.parameters,
            **{each.name: each.value(trial.record) if trial.record else None for each in others},
            "exploits": len(trial.lineage),
            "exploited": trial.lineage[-1]["source"] if trial.lineage else None,
            **{key: trial.overrides.get(key) for key in keys},
        }
        for trial in opened.trials()
    ]
    return pandas.DataFrame(rows, columns=[*columns, *keys])
