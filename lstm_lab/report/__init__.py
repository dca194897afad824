"""Reports: `write_report(folder)` reads the records of a run or a sweep and writes one page beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lstm_lab.records.examples import AnyExamples
    from lstm_lab.records.run_record import RunRecord
    from lstm_lab.sweeps.store.record import SweepRecord

__all__ = ["write_comparison", "write_report"]


def write_report(folder: str | Path, to: str = "html") -> Path:
    """Write the page of a run or a sweep into its folder.

    The page is one file: it loads nothing and sends nothing.

    Args:
        folder: of a run or a sweep.
        to: html, markdown or json.

    Returns:
        The path of the page.

    Raises:
        ConfigError: the folder holds neither a run nor a sweep, or a symbolic link in it leads out of it.
        DataError: its files are incomplete, or the page cannot be written.
    """
    from lstm_lab.records.links import check_links
    from lstm_lab.report.page import build_page
    from lstm_lab.report.parts.render import FORMATS
    from lstm_lab.report.records.read import read

    folder = Path(folder)
    check_links(folder)
    name, render = FORMATS[to]
    record = read(folder)
    return _write(folder / name, render(build_page(record, _examples(record))), f"lstm-lab report {folder}")


def write_comparison(
    folders: Sequence[str | Path], out: str | Path, *, from_wandb: str | Path | None = None, metric: str | None = None,
    mode: str | None = None, to: str = "html",
) -> Path:  # fmt: skip
    """Write one page that compares runs and sweeps, with statistics.

    Args:
        folders: of runs and sweeps; of a sweep its best configuration is compared.
        out: the file to write.
        from_wandb: a folder with offline W&B runs of any code, which are compared too.
        metric: by which they are compared; None: the monitored one that all have.
        mode: min or max: which end of the metric is better; None: as the records say, or by the metric's name.
        to: html, markdown or json.

    Returns:
        The path of the page.

    Raises:
        ConfigError: there is nothing to compare, no metric to compare by, or a folder holds neither a run nor a sweep.
        DataError: files are incomplete, or the page cannot be written.
    """
    from lstm_lab.config import ConfigError
    from lstm_lab.records.files import make_folder
    from lstm_lab.report.compare_page import compare_command, compare_page
    from lstm_lab.report.parts.render import FORMATS
    from lstm_lab.report.records.read import read
    from lstm_lab.report.records.wandb_offline import read_wandb

    paths, wandb = [Path(folder) for folder in folders], Path(from_wandb) if from_wandb else None
    if not paths and wandb is None:
        raise ConfigError("compare: give runs or sweeps, as runs/a-1 runs/b-1, or --from-wandb DIR")
    wandb_runs = read_wandb(wandb) if wandb else []
    page = compare_page([read(path) for path in paths], wandb_runs, metric, mode, compare_command(paths, wandb))
    make_folder(Path(out).parent)
    return _write(Path(out), FORMATS[to][1](page), "run the command again")


def _write(path: Path, text: str, again: str) -> Path:
    """Write a page, whole or not at all; `again` writes it once there is room."""
    from lstm_lab.records.files import write_atomic
    from lstm_lab.system.disk import explained

    with explained(path, again):
        write_atomic(path, text)
    return path


def _examples(record: RunRecord | SweepRecord) -> AnyExamples | None:
    """Examples of the run, or of the sweep's best trial; None without its checkpoint or its data.

    A page is written in any case.
    """
    from lstm_lab.config import Fault
    from lstm_lab.records.run import Run
    from lstm_lab.sweeps.store.record import SweepRecord

    if isinstance(record, SweepRecord):
        state, run = (record.winner.state, record.winner.record) if record.winner else ("", None)
    else:
        state, run = record.state, record
    if run is None or state not in ("finished", "stopped") or not Run(run.path).best_checkpoint.is_file():
        return None
    from lstm_lab.examples.collect import examples_of

    try:
        return examples_of(Run(run.path))
    except (Fault, OSError):
        return None
