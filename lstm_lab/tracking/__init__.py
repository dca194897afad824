"""W&B beside the local record: a view of it, and the only room that knows wandb.

The record on the disk is the truth. A W&B run can be absent, offline or a day late: all that stands in it is written
from the run folder, so it can be written again, under the same id, from that folder alone.
"""

from lstm_lab.tracking.server import Mode, project, resolve_mode
from lstm_lab.tracking.tracker import (
    Tracker,
    complete_all,
    has_files,
    is_complete,
    publish_best,
    rewrite,
    start_writer,
)

__all__ = [
    "Mode",
    "Tracker",
    "complete_all",
    "has_files",
    "is_complete",
    "project",
    "publish_best",
    "resolve_mode",
    "rewrite",
    "start_writer",
]
