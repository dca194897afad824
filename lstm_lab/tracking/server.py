"""Which W&B mode to use: asked of the server itself, in two seconds at most, before anything else waits for it."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from lstm_lab.config import ConfigError

Mode = Literal["online", "offline", "disabled"]
MODES: dict[str, Mode] = {
    "online": "online", "run": "online", "shared": "online", "offline": "offline", "dryrun": "offline",
    "disabled": "disabled",
}  # fmt: skip
"""Value of WANDB_MODE, the older ones of W&B among them -> mode."""


@dataclass(frozen=True)
class Server:
    """The W&B server and account of this process."""

    url: str
    key: str | None
    """None: an identity token, which only W&B itself can read."""
    login_error: str = ""
    """Why no account is logged in; empty if one is."""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or self.url

    def unavailable(self, timeout: float = 2.0) -> str:
        """Why nothing can be sent now, in a few words; empty if the server answers and accepts the key.

        A server that does not answer costs wandb itself 17 to 90 seconds.

        Args:
            timeout: seconds.
        """
        if self.login_error:
            return self.login_error
        query = {"operationName": "Viewer", "query": "query Viewer { viewer { id entity } }", "variables": {}}
        headers = {"Content-Type": "application/json", "User-Agent": "lstm-lab"}
        if self.key:
            headers["Authorization"] = "Basic " + base64.b64encode(f"api:{self.key}".encode()).decode()
        request = urllib.request.Request(f"{self.url.rstrip('/')}/graphql", json.dumps(query).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                content = json.load(response)
        except urllib.error.HTTPError as error:
            return f"{self.host} refuses the key" if error.code in (401, 403) else f"{self.host} answers {error.code}"
        except (OSError, ValueError):
            return f"{self.host} does not answer"
        if self.key and not (content.get("data") or {}).get("viewer"):
            return f"{self.host} refuses the key"
        return ""


def find_server() -> Server:
    """The server and the account that W&B itself would use. Sends nothing."""
    import wandb

    # wandb keeps the URL that it read first: the environment may have changed since.
    url = os.environ.get("WANDB_BASE_URL") or str(wandb.setup().settings.base_url)
    key = os.environ.get("WANDB_API_KEY")
    if key:
        return Server(url, key)
    try:
        logged_in = wandb.login(prompt=False, host=url)
    except Exception as error:  # noqa: BLE001 - a broken .netrc must not stop what W&B only views
        return Server(url, None, f"no W&B account can be read ({type(error).__name__})")
    return (
        Server(url, wandb.setup().settings.api_key) if logged_in else Server(url, None, "no W&B account is logged in")
    )


def project() -> str:
    """The W&B project of all runs: `WANDB_PROJECT`, else `lstm-lab`. The entity is W&B's own: `WANDB_ENTITY`."""
    return os.environ.get("WANDB_PROJECT") or "lstm-lab"


def environment_mode() -> Mode | None:
    """The mode that WANDB_MODE, or the older WANDB_DISABLED, names; None where neither is set.

    Raises:
        ConfigError: another value.
    """
    written = os.environ.get("WANDB_MODE", "").strip()
    if not written:
        return "disabled" if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes") else None
    try:
        return MODES[written.lower()]
    except KeyError:
        raise ConfigError(f"WANDB_MODE={written}: must be online, offline or disabled") from None


def resolve_mode(mode: Literal["auto"] | Mode) -> tuple[Mode, str]:
    """The mode to use, and the reason in a few words: online only with a key that the server accepts.

    `online` may still become offline: the runs are kept all the same, and `lstm-lab sync` uploads them.

    Raises:
        ConfigError: WANDB_MODE is none.
    """
    wanted = environment_mode() if mode == "auto" else mode
    reason = "set by the environment" if mode == "auto" else "as requested"
    if wanted == "offline":
        return "offline", reason
    if wanted == "disabled":
        return "disabled", reason
    server = find_server()
    error = server.unavailable()
    if error:
        return "offline", f"{error}; upload later with lstm-lab sync" if wanted == "online" else error
    return "online", f"logged in at {server.host}"
