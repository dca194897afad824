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
    """RAY_AUTH_MODE as it was when Ray was imported; None: not known."""

    mode: str | None = None


@contextlib.contextmanager
def environment(settings: Mapping[str, str | None]) -> Iterator[None]:
    """Inside, these environment variables are set, or unset where None; afterwards they are as they were."""
    before = {name: os.environ.get(name) for name in settings}
    _set(settings)
    try:
        yield
    finally:
        _set(before)


def _set(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def local_settings(scratch: Path) -> dict[str, str | None]:
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
        # Whatever the environment says of clusters: `disabled` would open this one to the network.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_AUTH_TOKEN": None,
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


@contextlib.contextmanager
def auth_mode_set(address: str | None) -> Iterator[None]:
    """Inside, RAY_AUTH_MODE is what a cluster wants; `token` for a Ray on this machine, whatever it was before.

    Ray reads it when it is imported, so this comes first.

    Raises:
        ConfigError: there is no token for the cluster.
    """
    mode = "token" if address is None else auth_mode(address)
    with environment({"RAY_AUTH_MODE": mode}):
        if "ray" not in sys.modules:
            _Import.mode = mode
        yield


def reread_auth(address: str | None = None) -> None:
    """Have Ray read RAY_AUTH_MODE and the token again: it may have been imported, or have used a cluster, before.

    Raises:
        ConfigError: Ray offers no way to do that any more, and has read another mode.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "")
    try:
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()
    except Exception as error:
        if _Import.mode == mode:
            return
        where = f"--address {address}" if address else "sweep"
        raise ConfigError(
            f"{where}: Ray was imported before RAY_AUTH_MODE was set, and does not read it again "
            f"({type(error).__name__}); set RAY_AUTH_MODE={mode} in the environment of this process"
        ) from error


def require_token() -> None:
    """Check, before a Ray on this machine is started, that it will let in nobody without the token of this process.

    Raises:
        ConfigError: it would.
    """
    try:
        from ray._raylet import (  # type: ignore[attr-defined]
            AuthenticationMode,
            AuthenticationTokenLoader,
            get_authentication_mode,
        )

        found = get_authentication_mode() == AuthenticationMode.TOKEN
        reason = "RAY_AUTH_MODE=token has no effect"
        if found:
            found = AuthenticationTokenLoader.instance().get_raw_token() == _secret()
            reason = "it has another token than this process has made"
    except Exception as error:  # noqa: BLE001 - whatever Ray has changed, an open door is no way out
        found, reason = False, f"{type(error).__name__}: {error}"
    if not found:
        import ray

        raise ConfigError(
            f"sweep: Ray {ray.__version__} listens on every network interface and would let anybody in ({reason}): "
            "install ray 2.60 and start a new process"
        )
