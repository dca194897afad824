"""The environment variables that Ray is started with. Ray reads one at its import, so nothing here imports Ray."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from lstm_lab.config import ConfigError

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Tune would write the state of all trials again and again, and nobody reads it.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # An actor gets a process of its own: those that Ray starts in advance would only take its time.
    "RAY_prestart_worker_first_driver": "0",
}
"""For the time of every sweep."""


class _Import:
    """Whether Ray has read RAY_AUTH_MODE as `set_auth_mode` had set it."""

    read_auth_mode = False


@contextlib.contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Inside, these environment variables are set; afterwards they are as they were."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def local_settings(scratch: Path) -> dict[str, str]:
    """For a Ray on this machine that keeps everything in `scratch`, and lets in nobody without its token.

    Ray listens on every interface: without the token, anybody on the network could run code here.
    """
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(_secret())
    return {
        **SETTINGS,
        # A folder of its own keeps files of other Ray instances away.
        "RAY_TMPDIR": str(scratch),
        "RAY_AUTH_TOKEN_PATH": str(token),
    }


@cache
def _secret() -> str:
    """The token of this process: Ray reads it once, and keeps it for every cluster that the process starts."""
    return secrets.token_hex(32)


def auth_mode(address: str) -> str:
    """Whether the cluster at an address wants a token: `token`, or what RAY_AUTH_MODE says.

    Raises:
        ConfigError: there is no token. Ray would be refused for twenty seconds and give no reason.
    """
    if mode := os.environ.get("RAY_AUTH_MODE"):
        return mode
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or path.is_file():
        return "token"
    raise ConfigError(
        f"--address {address}: no token for the cluster: {path} does not exist; copy it from the head node and set "
        "RAY_AUTH_TOKEN_PATH, or RAY_AUTH_MODE=disabled if the cluster has none"
    )


def set_auth_mode(address: str) -> None:
    """Set RAY_AUTH_MODE for a cluster. Ray reads it when it is imported, so this comes first."""
    _Import.read_auth_mode = "ray" not in sys.modules
    os.environ["RAY_AUTH_MODE"] = auth_mode(address)


def reread_auth_mode(address: str) -> None:
    """Have Ray read RAY_AUTH_MODE again, where something had imported it before the variable was set.

    Raises:
        ConfigError: Ray offers no way to do that any more.
    """
    if _Import.read_auth_mode:
        return
    try:
        from ray._raylet import Config  # type: ignore[attr-defined]

        Config.initialize("")
    except Exception as error:
        mode = os.environ.get("RAY_AUTH_MODE", "")
        raise ConfigError(
            f"--address {address}: Ray was imported before RAY_AUTH_MODE was set, and does not read it again "
            f"({type(error).__name__}); set RAY_AUTH_MODE={mode} in the environment of this process"
        ) from error
