"""Which W&B mode to use: asked of the server itself, in two seconds at most, before anything else waits for it."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

Mode = Literal["online", "offline", "disabled"]


@dataclass(frozen=True)
class Server:
    """Where W&B is, and who asks."""

    url: str
    key: str | None
    """None: an identity token, which only W&B itself can read."""
    fault: str = ""
    """Why nobody is logged in; empty: somebody is."""

    @property
    def name(self) -> str:
        return urlsplit(self.url).hostname or self.url

    def refusal(self, seconds: float = 2.0) -> str:
        """Why nothing can be sent there now, in a few words; empty: it answers and takes the key.

        A server that does not answer costs wandb 17 to 90 seconds.
        """
        if self.fault:
            return self.fault
        query = {"operationName": "Viewer", "query": "query Viewer { viewer { id entity } }", "variables": {}}
        headers = {"Content-Type": "application/json", "User-Agent": "lstm-lab"}
        if self.key:
            headers["Authorization"] = "Basic " + base64.b64encode(f"api:{self.key}".encode()).decode()
        request = urllib.request.Request(f"{self.url.rstrip('/')}/graphql", json.dumps(query).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            return f"{self.name} refuses the key" if error.code in (401, 403) else f"{self.name} says {error.code}"
        except (OSError, ValueError):
            return f"{self.name} does not answer"
        if self.key and not (content.get("data") or {}).get("viewer"):
            return f"{self.name} refuses the key"
        return ""


def server() -> Server:
    """The server and the account that W&B itself would use; asks for nothing."""
    import wandb

    settings = wandb.setup().settings
    # What wandb has read once it keeps: the environment may say otherwise by now.
    url, key = os.environ.get("WANDB_BASE_URL") or settings.base_url, os.environ.get("WANDB_API_KEY")
    if key:
        return Server(url, key)
    try:
        there = wandb.login(prompt=False, host=url)
    except Exception as error:  # noqa: BLE001 - a broken .netrc must not stop what W&B only views
        return Server(url, None, f"no W&B account can be read ({type(error).__name__})")
    known: Any = wandb.setup().settings
    return Server(url, known.api_key) if there else Server(url, None, "no W&B account is logged in")


def resolve(mode: Literal["auto"] | Mode) -> tuple[Mode, str]:
    """The mode to use and the reason in a few words: online only with a key and a server that takes it.

    Asked for `online` it may still be offline: the runs are there all the same, and `lstm-lab sync` uploads them.
    """
    wanted = os.environ.get("WANDB_MODE") if mode == "auto" else mode
    reason = "WANDB_MODE says so" if mode == "auto" else "as asked"
    if wanted == "offline":
        return "offline", reason
    if wanted == "disabled":
        return "disabled", reason
    found = server()
    refusal = found.refusal()
    if refusal:
        return "offline", f"{refusal}; upload later with lstm-lab sync" if wanted == "online" else refusal
    return "online", f"logged in at {found.name}"
