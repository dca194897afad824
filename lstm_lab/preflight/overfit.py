"""Training on a few batches alone: a model that cannot learn them by heart has a fault, or is too small."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from lstm_lab.data import Dataset
from lstm_lab.data.base import Batch
from lstm_lab.experiment import Experiment
from lstm_lab.preflight.bare_loop import BareLoop

LINES = 10
"""Lines of output, evenly over the epochs."""


def overfit(experiment: Experiment, dataset: Dataset, num_batches: int) -> Iterator[str]:
    """Lines with the loss of the first batches while a model is trained on them alone, `trainer.max_epochs` times.

    The loss is computed without dropout, and after the steps.
    """
    loop = BareLoop(experiment, dataset)
    batches = list(itertools.islice(loop.loader, num_batches))
    epochs = experiment.trainer.max_epochs
    first = last = _loss(loop, batches)
    samples = sum(len(batch.x) for batch in batches)
    yield f"{len(batches)} of {len(loop.loader)} batches, {samples} samples: loss {first:.4g}"
    for epoch in range(1, epochs + 1):
        for batch in batches:
            loop.step(batch)
        if epoch == epochs or epoch % max(epochs // LINES, 1) == 0:
            last = _loss(loop, batches)
            yield f"after epoch {epoch}: loss {last:.4g}"
    if last < first:
        yield f"the loss fell from {first:.4g} to {last:.4g}"
    else:
        yield (
            f"the loss did not fall ({first:.4g}, then {last:.4g}): change optimizer.lr (lstm-lab find-lr), or look at "
            "the data (lstm-lab data inspect)"
        )


def _loss(loop: BareLoop, batches: list[Batch]) -> float:
    """Mean loss of the batches as they are evaluated."""
    learner, total, count = loop.learner, 0.0, 0.0
    learner.eval()
    with torch.no_grad():
        for batch in batches:
            batch = batch.to(learner.device)
            n = float(learner.task.num_targets(batch))
            total += float(learner.task.loss(learner(batch).logits, batch)) * n
            count += n
    learner.train()
    return total / count
