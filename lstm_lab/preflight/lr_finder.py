"""Learning-rate range test (Smith, 2017): the loss while the rate grows from step to step."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.data import Dataset
from lstm_lab.display.svg import line_chart
from lstm_lab.experiment import Experiment
from lstm_lab.preflight.bare_loop import BareLoop
from lstm_lab.records import files

BETA = 0.95
"""Decay of the mean that smooths the loss."""
DIVERGED = 4.0
"""The test ends where the smoothed loss is so many times the least one."""
SKIPPED = 0.1
"""Share of the steps at the beginning that the suggestion leaves out: the mean is of few losses there."""


@dataclass(frozen=True)
class RangeTest:
    """A range test: one value for each step."""

    lrs: list[float]
    losses: list[float]
    """Of the batch of each step, before the step."""
    smoothed: list[float]
    suggestion: float | None
    """As `suggest` chooses it; None where the loss never falls."""
    current: float
    """`optimizer.lr` of the experiment."""


def range_test(
    experiment: Experiment, dataset: Dataset, *, min_lr: float = 1e-6, max_lr: float = 1.0, num_training: int = 100
) -> RangeTest:
    """Train for `num_training` steps while the rate grows exponentially from `min_lr` to `max_lr`.

    Optimizer, clipping, regularizers and the order of batches are those of the experiment; its schedule is not used.
    """
    loop = BareLoop(experiment, dataset)
    batches, mean = loop.batches(), 0.0
    lrs: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    for i in range(num_training):
        lrs.append(min_lr * (max_lr / min_lr) ** (i / max(num_training - 1, 1)))
        losses.append(loop.step(next(batches), lrs[-1]))
        mean = BETA * mean + (1 - BETA) * losses[-1]
        smoothed.append(mean / (1 - BETA ** (i + 1)))
        if not math.isfinite(smoothed[-1]) or smoothed[-1] > DIVERGED * abs(min(smoothed)) > 0:
            break
    return RangeTest(lrs, losses, smoothed, suggest(lrs, smoothed, num_training), experiment.optimizer.build().lr)


def suggest(lrs: list[float], smoothed: list[float], num_training: int) -> float | None:
    """The rate at which the smoothed loss falls fastest, or a tenth of that where it is least, whichever is lower.

    A clipped adaptive optimizer may lower the loss at rates that no longer train beyond these steps: there the steepest
    point alone lies far too high (Smith, 2017, takes the rate from before the minimum too).

    Returns:
        None where the loss never falls.
    """
    first = max(math.ceil(SKIPPED * num_training), 1)
    known = [i for i in range(first, len(lrs) - 1) if math.isfinite(smoothed[i + 1])]
    if not known:
        return None
    slopes = {i: (smoothed[i + 1] - smoothed[i - 1]) / math.log(lrs[i + 1] / lrs[i - 1]) for i in known}
    steepest = min(known, key=lambda i: slopes[i])
    if slopes[steepest] >= 0:
        return None
    least = min(known, key=lambda i: smoothed[i])
    return min(lrs[steepest], lrs[least] / 10)


def save(test: RangeTest, folder: Path, title: str) -> Path:
    """Write `find_lr.json` and a page with the curve, `find_lr.html`; the path of the page.

    Raises:
        DataError: there is nothing to draw, because the first loss is not finite.
    """
    drawn = [(lr, loss) for lr, loss in zip(test.lrs, test.smoothed, strict=True) if math.isfinite(loss)]
    if not drawn:
        raise DataError("find-lr: the loss of the first batch is not finite: look at the data (lstm-lab data inspect)")
    files.make_folder(folder)
    files.write_json(folder / "find_lr.json", asdict(test))
    marks = {"optimizer.lr": test.current, **({"suggestion": test.suggestion} if test.suggestion else {})}
    page = line_chart(drawn, title=title, x="learning rate", y="loss, smoothed", marks=marks)
    files.write_atomic(folder / "find_lr.html", page)
    return folder / "find_lr.html"
