"""Pictures of evidences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lstm_lab.records.diagnosis import Chart, Series
from lstm_lab.records.run_record import finite

if TYPE_CHECKING:
    from lstm_lab.diagnosis.evidence import Evidence
    from lstm_lab.diagnosis.short_training import ShortTrainings

MAX_BARS = 24
"""Bars of a series at most: the first ones."""


def curves(evidence: Evidence, *metrics: str, y: str = "loss", log_y: bool = False) -> Chart:
    """Metrics of the record by epoch."""
    series = [
        Series(
            name=metric,
            x=[row["epoch"] for row in evidence.rows],
            y=[row[metric] if finite(row.get(metric)) else None for row in evidence.rows],
        )
        for metric in metrics
    ]
    return Chart(x="epoch", y=y, series=series, log_y=log_y)


def losses(evidence: Evidence) -> Chart:
    """Training and validation loss by epoch."""
    return curves(evidence, "train/loss", "val/loss")


def by_rate(trainings: ShortTrainings, losses: Mapping[float, float]) -> Chart:
    """Training loss after 60 steps over the learning rate, beside that before the first step.

    Args:
        losses: factor of the experiment's rate -> loss; infinite where it diverged.
    """
    factors = sorted(losses)
    rates: list[float | str] = [trainings.lr * factor for factor in factors]
    after = [losses[factor] if finite(losses[factor]) else None for factor in factors]
    return Chart(
        x="learning rate",
        y="training loss",
        series=[
            Series(name="after 60 steps", x=rates, y=after),
            Series(name="before", x=rates, y=[trainings.loss_before()] * len(rates)),
        ],
        log_x=True,
    )


def bars(x: str, y: str, names: Sequence[object], **series: Sequence[float | None]) -> Chart:
    """Bars beside one another; a series by its name, with underscores for spaces."""
    shown: list[float | str] = [str(name) for name in names[:MAX_BARS]]
    return Chart(
        x=x,
        y=y,
        series=[
            Series(name=name.replace("_", " "), x=shown, y=list(values[:MAX_BARS])) for name, values in series.items()
        ],
        kind="bars",
    )
