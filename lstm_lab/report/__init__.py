"""Runs and sweeps as pages: `write_report(folder)` reads the disk and writes one `report.html` beside what it read."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(folder: str | Path) -> Path:
    """Write the page of a run or a sweep into its own folder, and return its path.

    The page needs nothing beside it: it opens without a network and sends nothing.

    Raises:
        DataError: the folder holds neither a run nor a sweep, its files are torn, or the page cannot be written.
    """
    from lstm_lab.config import DataError
    from lstm_lab.report.page import page_of
    from lstm_lab.report.read import read
    from lstm_lab.run import write_atomic

    folder = Path(folder)
    html = page_of(read(folder))
    path = folder / "report.html"
    try:
        write_atomic(path, html)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}; check the permissions of its folder") from None
    return path
