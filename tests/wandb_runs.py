"""Run folders for the tests of W&B, and what W&B adds to a training."""

from __future__ import annotations

import time
import warnings

from lstm_lab import tracking
from lstm_lab.records.run import Run

MAX_SECONDS = 60.0
"""That W&B may cost a training that ends: more than a busy machine needs, less than W&B by itself would wait."""


def record(path, epochs=5, state="finished", **about):
    """A run folder as training leaves it, without training."""
    experiment = {"data": {"name": "vowels"}, "optimizer": {"name": "adam", "lr": 0.01}}
    run = Run.create(path, experiment, command="", job_type="train", **about)
    info = {"digest": "abc123", "info": {}, "notes": []}
    run.describe(monitor="val/loss", mode="min", parameters=12, data=info, group=about.get("group"))
    for epoch in range(epochs):
        run.append(row(epoch))
    run.mark(state, best={"epoch": 0, "value": 1.0})
    return run


def row(epoch):
    return {"epoch": epoch, "step": 4 * epoch, "val/loss": 1.0 + epoch / 7, "lr": 0.01, "seconds": epoch / 2}


def same(copy, run):
    """Whether the server's copy equals the record, row by row."""
    assert copy.rows == run.rows()
    assert copy.ended
    return True


def timed(run, mode):
    """Seconds that W&B adds to a training that takes none, and its warnings."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        started_at = time.monotonic()
        tracker = tracking.Tracker(run, mode=mode)
        for epoch in range(len(run.rows()), 40):
            run.append(row(epoch))
            tracker.log(row(epoch))
        run.mark("finished", best={"epoch": 0, "value": 1.0})
        tracker.finish("finished")
        return time.monotonic() - started_at, [str(each.message) for each in warned if each.category is UserWarning]
