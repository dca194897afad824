"""The lineage of a trial of population-based training: whose weights it has, and which hyperparameters held when."""

from __future__ import annotations

from typing import NamedTuple

from lstm_lab.config import DataError
from lstm_lab.records.files import Row
from lstm_lab.records.links import is_plain_name
from lstm_lab.records.run import Run


class History(NamedTuple):
    """The hyperparameters of the weights of a trial."""

    changes: list[tuple[int, Row]]
    """(first epoch, hyperparameters from then on); empty where they never changed."""
    is_repeatable: bool
    """Whether training with them gives the same weights. Older records do not say how often a source had continued from
    another trial, the folder of a source may be gone, and a batch may have been halved for want of memory."""


def hyperparameter_history(run: Run, exploits: int | None = None, before: str | None = None) -> History:
    """The hyperparameters at each epoch, those of the trials included that it continued from.

    Args:
        exploits: how often the trial itself had continued from another one; None: as the next argument says.
        before: an ISO 8601 time: of the weights that the trial had then; None: of those it has now.

    Raises:
        DataError: its record names a trial otherwise than we do.
    """
    rows = run.lineage()
    rows = rows[:exploits] if exploits is not None else [row for row in rows if before is None or row["at"] < before]
    is_repeatable = run.exists() and not run.about.get("halved") and len(rows) >= (exploits or 0)
    if not rows:
        return History([], is_repeatable)
    last = rows[-1]
    if not is_plain_name(last["source"]):
        raise DataError(f"{run.path}: its lineage names a trial {last['source']!r}, but trials are named like t0001")
    count = last.get("source_exploits")
    source = hyperparameter_history(Run(run.path.parent / last["source"]), count, last["at"])
    changes = source.changes or [(0, {key: change["source"] for key, change in last["changes"].items()})]
    changes = [each for each in changes if each[0] < last["from_epoch"]] + [(last["from_epoch"], last["overrides"])]
    return History(changes, is_repeatable and source.is_repeatable and count is not None)
