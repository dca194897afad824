"""W&B beside the local record: a view of it, and the only room that knows wandb.

The record on the disk is the truth. A W&B run can be absent, offline or a day late; when a run is resumed its offline
segment is written again from the record, because W&B cannot join two segments of one id.
"""

from __future__ import annotations

import os
import shutil
import socket
import warnings
from typing import Any, Literal
from urllib.parse import urlsplit

from lstm_lab.run import Run, State, runs_folder

Mode = Literal["online", "offline", "disabled"]
PROJECT = "lstm-lab"


def resolve(mode: Literal["auto"] | Mode) -> tuple[Mode, str]:
    """The mode to use and the reason in a few words: `auto` goes online only with a key and a server that answers."""
    if mode != "auto":
        return mode, "as asked"
    wanted = os.environ.get("WANDB_MODE")
    if wanted in ("online", "offline", "disabled"):
        return wanted, "WANDB_MODE says so"  # type: ignore[return-value]
    if not _has_key():
        return "offline", "no W&B account is logged in"
    server = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai")
    port = server.port or (443 if server.scheme == "https" else 80)
    try:
        # A server that does not answer costs wandb 17 to 90 seconds: ask it for two first.
        socket.create_connection((server.hostname or "", port), timeout=2).close()
    except OSError:
        return "offline", f"{server.hostname} does not answer"
    return "online", f"logged in at {server.hostname}"


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    return bool(wandb.login(prompt=False))


class Tracker:
    """One W&B run beside one run of ours.

    Args:
        run: its id is the W&B id, so a resumed run is the same one there.
        mode: resolved; `disabled` writes nothing.
        group: the sweep it belongs to.
    """

    def __init__(
        self, run: Run, *, mode: Mode, group: str | None = None, job_type: str = "train", tags: tuple[str, ...] = ()
    ) -> None:
        self._run: Any = None
        self._folder, self.mode = run, mode
        if mode == "disabled":
            return
        past = run.rows()
        shutil.rmtree(run.path / "wandb", ignore_errors=True)
        identity = f"{group}-{run.id}" if group else run.id
        told: dict[str, Any] = {"mode": mode, "id": identity, "ended": False}
        try:
            self._run = self._open(identity, group, job_type, tags)
        except Exception as error:  # noqa: BLE001 - a view that cannot be opened must never stop what it views
            told["error"] = f"{type(error).__name__}: {error}"
            warnings.warn(f"{run.path}: no W&B run: {told['error']}; the record is kept all the same", stacklevel=2)
        run.describe(wandb=told)
        for row in past:
            if self._run is not None and self._run.step <= row["epoch"]:
                self.log(row)

    def _open(self, identity: str, group: str | None, job_type: str, tags: tuple[str, ...]) -> Any:
        """A W&B run, in a service of this process alone."""
        import wandb

        _keep_files_here()
        about = self._folder.about
        # A parent's service would be shared, and hold the id of a run whose process was killed.
        os.environ.pop("WANDB_SERVICE", None)
        opened = wandb.init(
            project=PROJECT,
            id=identity,
            name=self._folder.id,
            group=group,
            job_type=job_type,
            tags=list(tags),
            dir=str(self._folder.path),
            # Nested: a report reads `config:optimizer.value.lr`, and flattened keys leave its panels empty.
            config={
                **self._folder.experiment,
                "data_digest": about.get("data", {}).get("digest"),
                "parameters": about.get("parameters"),
            },
            mode=self.mode,
            resume="allow" if self.mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, init_timeout=30),
        )
        os.environ.pop("WANDB_SERVICE", None)
        opened.define_metric("epoch")
        opened.define_metric("*", step_metric="epoch")
        if "decides" in about:  # else it failed before its data was read
            opened.define_metric(about["decides"], step_metric="epoch", summary=about["mode"])
        return opened

    def log(self, row: dict[str, Any]) -> None:
        if self._run is not None:
            self._run.log(row, step=row["epoch"])

    def finish(self, state: State, **summary: Any) -> None:
        """End the run, however it ended: one left open shows as crashed for ever."""
        if self._run is not None:
            self._run.summary.update(
                {"state": state, **{key: value for key, value in summary.items() if value is not None}}
            )
            self._run.finish(exit_code=1 if state == "failed" else 0)
            self._folder.describe(wandb={"mode": self.mode, "id": self._run.id, "ended": True})
            self._run = None


def end(run: Run, *, mode: Mode, group: str | None = None) -> None:
    """Write a run's W&B run again from the record, and end it: for one whose process died before it could."""
    state = run.status["state"]
    Tracker(run, mode=mode, group=group, job_type="trial" if group else "train").finish(state)


def _keep_files_here() -> None:
    """W&B stages and caches below the home folder unless told; keep it all with the runs."""
    home = runs_folder().resolve() / ".wandb"
    for name in ("DATA", "CACHE", "CONFIG"):
        os.environ.setdefault(f"WANDB_{name}_DIR", str(home))


def is_ended(run: Run) -> bool:
    """Whether the W&B run of this run was ended by its own process."""
    return bool(run.about.get("wandb", {}).get("ended"))
