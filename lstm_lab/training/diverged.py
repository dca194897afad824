"""A loss that is not a number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lstm_lab.config import Fault


class Diverged(Fault):
    """The loss is NaN or infinite: a failure, never a result."""

    exit_code = 4


def check_finite(row: Mapping[str, float], epoch: int, lr: float) -> None:
    """Raise Diverged where a loss in the row of an epoch is NaN or infinite.

    Args:
        lr: before the schedule's factor.
    """
    for name in ("train/loss", "val/loss"):
        if not math.isfinite(row.get(name, 0.0)):
            raise Diverged(
                f"{name} is {row[name]} in epoch {epoch}: lower optimizer.lr (now {lr}) or "
                "set trainer.gradient_clip_val"
            )
