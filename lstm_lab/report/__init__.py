"""Runs and sweeps as pages: `write_report(folder)` reads the disk and writes one `report.html` beside what it read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["write_comparison", "write_report"]


def write_report(folder: str | Path, to: str = "html") -> Path:
    """Write the page of a run or a sweep into its own folder, and return its path.

    The page needs nothing beside it: it opens without a network and sends nothing.

    Args:
        folder: of a run or a sweep.
        to: html, markdown or json.

    Raises:
        DataError: the folder holds neither a run nor a sweep, its files are torn, or the page cannot be written.
    """
    from lstm_lab.report.page import page_of
    from lstm_lab.report.parts.render import FORMS
    from lstm_lab.report.records.read import read

    folder = Path(folder)
    name, made = FORMS[to]
    record = read(folder)
    return save(folder / name, made(page_of(record, _examples(record))))


def write_comparison(
    folders: Sequence[str | Path], out: str | Path, *, from_wandb: str | Path | None = None, metric: str | None = None,
    mode: str | None = None, to: str = "html",
) -> Path:  # fmt: skip
    """Write runs and sweeps as one page, with statistics, and return its path.

    Args:
        folders: of runs and of sweeps; of a sweep its best point is compared.
        out: the file to write.
        from_wandb: a folder with offline W&B runs, of whatever code, that are compared too.
        metric: by which they are compared; without it the deciding one that all have.
        mode: min or max; without it as the record says, or by the metric's name.
        to: html, markdown or json.

    Raises:
        ConfigError: there is nothing to compare, or no metric to do it by.
        DataError: a folder holds neither, or the page cannot be written.
    """
    from lstm_lab.config import ConfigError
    from lstm_lab.report.compare_page import command_of, compare_page
    from lstm_lab.report.parts.render import FORMS
    from lstm_lab.report.records.read import read
    from lstm_lab.report.records.wandb_offline import read_wandb

    paths, foreign = [Path(folder) for folder in folders], Path(from_wandb) if from_wandb else None
    if not paths and foreign is None:
        raise ConfigError("compare: give runs or sweeps, as runs/a-1 runs/b-1, or --from-wandb DIR")
    theirs = read_wandb(foreign) if foreign else []
    page = compare_page([read(path) for path in paths], theirs, metric, mode, command_of(paths, foreign))
    return save(Path(out), FORMS[to][1](page))


def save(path: Path, text: str) -> Path:
    """One page onto the disk, whole or not at all."""
    from lstm_lab.config import DataError
    from lstm_lab.files import write_atomic

    try:
        write_atomic(path, text)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}; check the permissions of its folder") from None
    return path


def _examples(record: Any) -> dict[str, Any]:
    """What the best model answers; nothing where its checkpoint or its data are gone: the page is written without."""
    from lstm_lab.config import Fault
    from lstm_lab.run import Run

    trial = getattr(record, "winner", record)
    found = getattr(trial, "record", trial)
    if found is None or trial.state not in ("finished", "stopped") or not Run(found.path).best_checkpoint.is_file():
        return {}
    from lstm_lab.examples.collect import keep

    try:
        return keep(Run(found.path))
    except (Fault, OSError):
        return {}
