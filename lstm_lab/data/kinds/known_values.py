"""Which splits have something to predict: one without is refused; of series, a target without values is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.split_points import SplitRows

if TYPE_CHECKING:
    from lstm_lab.data.base import Dataset
    from lstm_lab.data.kinds.series import Series

CONSEQUENCES = {
    "training": "it is neither learned nor scored", "validation": "it is not scored there",
    "test": "it is not scored there",
}  # fmt: skip
"""Split -> what follows for a target without a value there."""


def check_targets(dataset: Dataset) -> None:
    """Insist that there is something to learn and to validate on.

    Raises:
        DataError: the training or the validation split has no target.
    """
    for name, split in (("training", dataset.train), ("validation", dataset.validation)):
        if not split.has_targets:
            raise DataError(
                f"data '{dataset.name}': the {name} split has no target: provide labels or values there, or split "
                "differently"
            )


def count_known(series: Series, split_rows: Sequence[SplitRows]) -> dict[str, np.ndarray]:
    """Split -> (series, targets) number of known values among the rows that it predicts, -1 where it has no rows.

    Args:
        split_rows: of each series.
    """
    found: dict[str, list[np.ndarray]] = {split: [] for split in CONSEQUENCES}
    known = ~np.isnan(series.values[:, : series.num_targets])
    for (start, _), rows in zip(series.spans, split_rows, strict=True):
        for split, (first, end) in zip(CONSEQUENCES, rows, strict=True):
            own = known[start + first : start + end]
            found[split].append(own.sum(0) if len(own) else np.full(own.shape[1], -1))
    return {split: np.stack(counts) for split, counts in found.items()}


def check_known(series: Series, counts: dict[str, np.ndarray]) -> None:
    """Insist that there is something to learn and to validate on.

    Raises:
        DataError: the training or the validation split has no value of any target.
    """
    for split in ("training", "validation"):
        if not (counts[split] > 0).any():
            names = ", ".join(series.columns[: series.num_targets])
            raise DataError(
                f"{series.path}: no value of {names} in the {split} split: provide values there, choose other targets, "
                "or split differently"
            )


def known_notes(series: Series, counts: dict[str, np.ndarray], has_test_split: bool) -> tuple[str, ...]:
    """A sentence for each split and target without a value there, in all series or in some."""
    notes = []
    for split, consequence in CONSEQUENCES.items():
        for name, empty in zip(series.columns, (counts[split] == 0).sum(0).tolist(), strict=False):
            if empty and (split != "test" or has_test_split):
                of = "" if empty == len(series.names) else f" in {empty} of {len(series.names)} series"
                notes.append(f"no value of {name} in the {split} split{of}: {consequence}")
    return tuple(notes)


def untrained(series: Series, counts: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Targets without a value in the training split of any series."""
    empty = np.all(counts["training"] <= 0, axis=0).tolist()
    return tuple(name for name, is_empty in zip(series.columns, empty, strict=False) if is_empty)
