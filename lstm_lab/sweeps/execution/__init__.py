"""A sweep on Ray Tune. The only room that knows Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstm_lab.sweeps.execution import ray_environment

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_lab.records.files import Row
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.view.events import OnEvent
    from lstm_lab.tracking import Mode


def execute_sweep(
    folder: SweepFolder, *, wandb: Mode, console: Console, address: str | None = None, storage: str | None = None,
    on_event: OnEvent | None = None,
) -> Row:  # fmt: skip
    """Run what is missing of a sweep, and write its summary.

    Args:
        folder: new, or one to resume.
        wandb: resolved mode; one W&B run per trial.
        console: shows the progress.
        address: of a Ray cluster, `auto` or `host:port`; None: Ray runs on this machine for as long as the sweep does.
        storage: URI that the trials write to, where nodes share no disk.
        on_event: called with each event (`sweeps.view.events`), in place of a progress on the console.

    Returns:
        The content of summary.json.

    Raises:
        Interrupted: after Ctrl-C, with everything saved; calling again resumes.
        ConfigError: the cluster refuses, or a node cannot take part.
        DiskFull: make room, then call again.
    """
    from lstm_lab.records.code_state import source_digest

    source_digest()  # Kept: files that change while Ray starts are not what this process runs.
    with ray_environment.auth_mode_set(address):
        from lstm_lab.sweeps.execution.driver import run_phases
        from lstm_lab.sweeps.view.events import told

        with told(folder, on_event):
            return run_phases(folder, wandb=wandb, console=console, address=address, storage=storage, on_event=on_event)
