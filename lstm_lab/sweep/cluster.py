"""A Ray for one sweep on this machine: locked to it, and gone afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import ray

from lstm_lab.sweep.record import SweepFolder


@cache
def secret() -> str:
    """The token of this process: Ray reads it once, and keeps it for every cluster that the process starts."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def cluster(folder: SweepFolder) -> Iterator[Path]:
    """An embedded Ray on this machine, and a scratch folder; both are gone afterwards."""
    # What a killed driver of this sweep left behind.
    shutil.rmtree(folder.about.get("scratch") or "", ignore_errors=True)
    # Socket paths have a length limit, and a folder of its own keeps stale cluster files away.
    scratch = Path(tempfile.mkdtemp(prefix="ll-", dir="/tmp"))
    folder.describe(scratch=str(scratch))
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(secret())
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray listens on every interface: without the token, anybody on the network could run code here.
        "RAY_AUTH_TOKEN_PATH": str(token),
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "TUNE_MAX_PENDING_TRIALS_PG": str(2 * (os.cpu_count() or 1)),
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    # Failures are named by the record; Tune's own telling of them is a page each.
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=200 * 1024**2,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            configure_logging=True,
            _temp_dir=str(scratch),
            _node_ip_address="127.0.0.1",
        )
        yield scratch
    finally:
        ray.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(scratch, ignore_errors=True)
