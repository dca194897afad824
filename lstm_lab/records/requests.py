"""What a person asks of a run or a sweep that another process executes: to pause, to stop, or to end at once.

A request is a row of requests.jsonl in its folder. The process that executes it looks there while it works. A row that
was there before it started was meant for an earlier one, and is not obeyed.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lstm_lab.config import ConfigError, Fault
from lstm_lab.display.printable import printable
from lstm_lab.records import files
from lstm_lab.records.shapes import Shape, Time, TrialId, fits
from lstm_lab.system import disk

Action = Literal["pause", "stop", "kill"]
ACTIONS: tuple[Action, ...] = ("pause", "stop", "kill")
PAST: dict[Action, str] = {"pause": "paused", "stop": "stopped", "kill": "killed"}


class Killed(Fault):
    """A person has ended a run at once."""

    exit_code = 4


class RequestRow(Shape):
    """A row of requests.jsonl."""

    action: Action
    by: Annotated[str, Field(max_length=300)]
    at: Time
    trial: TrialId | None = None


@dataclass(frozen=True)
class Request:
    """What somebody asked for."""

    action: Action
    by: str
    """`user@host`"""
    at: str
    trial: str | None = None
    """Of a sweep; None: the whole run or sweep."""

    @property
    def reason(self) -> str:
        """As the record says why something ended: `stopped by ada@lab7 at 2026-11-30T10:12:00+00:00`."""
        return printable(f"{PAST[self.action]} by {self.by} at {self.at}")


def requests_of(folder: Path) -> list[Request]:
    """Every request that was made for a run or sweep, obeyed or not, oldest first."""
    rows = [row for row in files.read_jsonl(folder / files.REQUESTS) if fits(row, RequestRow)]
    return [Request(row["action"], row["by"], row["at"], row.get("trial")) for row in rows]


class Requests:
    """The requests since this was made, for the process that holds the lock on a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / files.REQUESTS
        self._size = 0
        self._num_seen = 0
        self.new()

    def new(self) -> list[Request]:
        """Requests since the last call, oldest first."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return []
        if size == self._size:
            return []
        made = requests_of(self.path.parent)
        seen, self._num_seen, self._size = self._num_seen, len(made), size
        return made[seen:]


def request(folder: Path, action: Action, trial: str | None = None) -> Request:
    """Ask the process that executes a run or a sweep for something.

    Args:
        trial: of a sweep; None: the whole run or sweep.

    Raises:
        ConfigError: no process works on it, or nothing may be written there.
    """
    if not files.is_locked(folder):
        raise ConfigError(f"{folder}: no process is working on it: there is nothing to {action}")
    made = Request(action, requester(), files.now(), trial)
    if (folder / files.REQUESTS).is_symlink():
        raise ConfigError(f"{folder / files.REQUESTS}: is a symbolic link, and may be anybody's file: remove it")
    try:
        files.append_jsonl(folder / files.REQUESTS, asdict(made))
    except OSError as error:
        raise disk.explain(error, folder) from None
    return made


def requester() -> str:
    """Who asks: `user@host`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # A user without a name, as in some containers.
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class Watch:
    """The first request for a run, and the event that it sets."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.request: Request | None = None


@contextmanager
def watch(
    folder: Path, stop: threading.Event, interval: float = 0.5, requests: Requests | None = None
) -> Iterator[Watch]:
    """Inside, the first request for a run sets an event.

    Args:
        interval: seconds between two looks at the folder.
        requests: that a process has seen until now; None: those of before are not obeyed.
    """
    found, requests, ended = Watch(stop), requests or Requests(folder), threading.Event()

    def look() -> None:
        while not ended.wait(interval):
            if new := requests.new():
                found.request = new[0]
                stop.set()
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
