"""The commands for sweeps: sweep, resume, watch, convert."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.records.files import Row, to_json
from lstm_lab.verbs import early
from lstm_lab.verbs.options import Address, Json, Name, Storage, Wandb, WandbMode, echo, echo_json
from lstm_lab.verbs.runs import resume_run

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.workflow import SweepOutcome

Events = Annotated[
    bool, typer.Option("--json", help="Print each event as JSON on a line of standard output, and nothing else there.")
]


def sweep(
    files: Annotated[
        list[str],
        typer.Argument(help="Sweep files, as sweeps/vowels_cells.yaml, and key=value overrides."),
    ],
    name: Name = None,
    wandb: Wandb = WandbMode.auto,
    test: Annotated[bool, typer.Option("--test", help="Evaluate the best trial on the test split at the end.")] = False,
    address: Address = None,
    storage: Storage = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and start nothing.")] = False,
    as_json: Events = False,
) -> None:
    """Run the sweep of each file: hyperparameter search with Ray Tune."""
    paths = [file for file in files if "=" not in file]
    overrides = [file for file in files if "=" in file]
    if not paths:
        raise ConfigError("sweep: give a sweep file, as sweeps/vowels_cells.yaml")
    if as_json and dry_run:
        raise ConfigError("--json: a plan has no events: leave out --dry-run, or --json")
    if name is not None and len(paths) > 1:
        raise ConfigError(f"--name {name}: needs one sweep file, got {len(paths)}")
    for path in paths:
        early.check_sweep(path, overrides)
    from lstm_lab.records.provenance import command_line
    from lstm_lab.sweeps.corners import build_corners
    from lstm_lab.sweeps.data_grid import folder_stems, load_sweeps, on_data
    from lstm_lab.workflow import create_sweep, removed_if_not_started

    loaded = {path: load_sweeps(path, overrides) for path in paths}
    stems = {path: folder_stems(path, each, name) for path, each in loaded.items()}
    found = [(path, label, sweep) for path, each in loaded.items() for label, sweep in each.items()]
    for path, label, each in found:
        with on_data(path, label):
            build_corners(each, path)
    if dry_run:
        from lstm_lab.sweeps.view.dry_run import plan

        plans = [
            plan(each, stems[path][label] if label else path, name and stems[path][label], address, storage)
            for path, label, each in found
        ]
        return echo("\n\n".join("\n".join(lines) for lines in plans))
    folders = {
        (path, label): create_sweep(
            each, name=name and stems[path][label], stem=stems[path][label], command=command_line(), storage=storage
        )
        for path, label, each in found
    }
    over = [[folder for (of, _), folder in folders.items() if of == path] for path in paths if len(stems[path]) > 1]
    with removed_if_not_started([*folders.values()]):
        return _sweep([*folders.values()], wandb, test, address, storage, as_json, over)


def resume(
    folder: Annotated[str, typer.Argument(help="Folder of an interrupted sweep or run.")],
    wandb: Wandb = WandbMode.auto,
    address: Address = None,
    storage: Storage = None,
    as_json: Events = False,
) -> None:
    """Resume an interrupted or killed sweep or run; a damaged sweep is repaired first."""
    from lstm_lab.records import files
    from lstm_lab.records.run import Run, no_record
    from lstm_lab.sweeps.store.record import is_sweep

    if not is_sweep(Path(folder)) and Run(folder).exists():
        if as_json:
            raise ConfigError(f"--json: {folder} is a run; events are those of a sweep: leave it out")
        return resume_run(folder, None, wandb)
    if not is_sweep(Path(folder)) and not (Path(folder) / files.ABOUT).is_file():
        raise no_record(Path(folder))
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.store.repair import repair

    for line in repair(folder):
        echo(f"repaired {line}", err=as_json)
    return _sweep([SweepFolder.open(folder)], wandb, False, address, storage, as_json)


def extend(
    folder: Annotated[str, typer.Argument(help="Folder of a sweep.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="New limits, as in budget.trials=80, or a new search, as in 'space.model.hidden_size={choice: [96]}' "
            "searcher=optuna."
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="More configurations, or those of a new search, per combination of the grids."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="More seeds for the best configurations, as 3,4,5; their mean then decides.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="How many of the best get the seeds; 3, or as many as before.")
    ] = None,
    wandb: Wandb = WandbMode.auto,
    address: Address = None,
    storage: Storage = None,
    as_json: Events = False,
) -> None:
    """Extend a sweep by samples, by seeds for its best configurations, or by a new search, and run what is new."""
    early.require_sweep(folder)
    from lstm_lab import config
    from lstm_lab.records.provenance import command_line
    from lstm_lab.sweeps.corners import build_corners
    from lstm_lab.sweeps.store import extension
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.store.repair import repair

    given = config.parse_overrides([f"seeds=[{seeds}]"])[0][1] if seeds else []
    if not isinstance(given, list) or not all(type(seed) is int and seed >= 0 for seed in given):
        raise ConfigError(f"--seeds {seeds}: must be whole numbers of at least 0, as 3,4,5")
    for line in repair(folder):
        echo(f"repaired {line}", err=as_json)
    opened, changes = SweepFolder.open(folder), dict(config.parse_overrides(overrides or ()))
    added = extension.Addition(samples, given, top, changes)
    if extension.starts_search(changes):
        build_corners(extension.extended(opened.sweep, added, folder), folder)
    row = extension.extend(opened, added, command_line())
    echo(f"version {row['version']}: {extension.describe_changes(row)}", err=as_json)
    return _sweep([opened], wandb, False, address, storage, as_json)


def _sweep(
    folders: list[SweepFolder], wandb: WandbMode, test: bool, address: str | None, storage: str | None, as_json: bool,
    over_data: Sequence[Sequence[SweepFolder]] = (),
) -> None:  # fmt: skip
    """Run sweeps one after another.

    Args:
        over_data: those of them that are the same sweep on several data sets.
    """
    from lstm_lab.display.console import plain_console
    from lstm_lab.sweeps.store.summary import ranking
    from lstm_lab.system.disk import DiskFull
    from lstm_lab.tracking import resolve_mode
    from lstm_lab.verbs import terminal
    from lstm_lab.workflow import run_sweep

    out, outcomes = plain_console(), []
    out.quiet = as_json
    mode, reason = resolve_mode(wandb.value)
    for folder in folders:
        sweep = folder.sweep
        trials = sweep.num_configurations * len(sweep.repeats)
        out.print(f"{sweep.title}\n{terminal.start(folder.path, f'{trials} trials  W&B {mode}: {reason}')}")
        try:
            outcomes.append(
                run_sweep(
                    folder, wandb=mode, console=out, address=address, storage=storage, test=test,
                    on_event=_print_event if as_json else None,
                )
            )  # fmt: skip
        except DiskFull:
            for outcome in outcomes:
                _print_outcome(outcome, out)
            out.print()
            out.print(terminal.leaderboard(ranking(folder), out.width))
            raise
    for outcome in outcomes:
        _print_outcome(outcome, out)
    for same in over_data:
        _print_over_data([folder.path for folder in same], out)
    if any(outcome.summary["trials"]["failed"] for outcome in outcomes):
        raise SystemExit(4)
    if any(outcome.summary["winner"] is None for outcome in outcomes):
        raise SystemExit(4)


def _print_over_data(folders: Sequence[Path], out: Console) -> None:
    """What holds over the data sets of a sweep: a table with mean ranks, and the page that compares them."""
    from lstm_lab.records.files import runs_folder
    from lstm_lab.report import write_comparison
    from lstm_lab.verbs import terminal

    path = runs_folder() / f"{folders[0].name}-data-sets.html"
    out.print()
    for each in terminal.over_data_sets(folders):
        out.print(each)
    out.print(f"Over all data sets: {write_comparison(folders, path)}")


def _print_event(event: Row) -> None:
    """An event as JSON on a line of its own, at once."""
    sys.stdout.write(f"{to_json(event)}\n")
    sys.stdout.flush()


def _print_outcome(outcome: SweepOutcome, out: Console) -> None:
    from lstm_lab.sweeps.store.leaderboard import why_no_best
    from lstm_lab.verbs import terminal

    content, folder = outcome.summary, outcome.folder
    out.print()
    out.print(terminal.leaderboard(content, out.width))
    count, runs = content["trials"], content["wandb"]
    out.print(
        f"{count['total']} trials: {count['finished']} finished, {count['stopped']} stopped early, "
        f"{count['failed']} failed; {runs['runs']} W&B runs ({runs['mode']}), "
        f"{runs['runs'] - runs['ended']} unfinished; {content['seconds']:.0f} s"
    )
    if removed := content["removed"]["trials"]:
        out.print(f"checkpoints of {removed} trials removed, {content['removed']['bytes'] / 1e6:.1f} MB")
    for failure in content["failures"]:
        out.print(f"{failure['trial']} failed: {failure['reason']}")
    if outcome.test is not None:
        scores = outcome.test.dump()
        trials = outcome.test.details.get("trials")
        tested = ", ".join(trials) if isinstance(trials, list) else content["winner"]["trial"]
        out.print(terminal.scores(scores, f"Test split, best configuration: {tested}"))
        out.print(terminal.verdict(scores))
    if outcome.findings:
        out.print(terminal.next_step(outcome.findings, folder.path))
    if content["winner"] is None:
        out.print(f"No best trial: {why_no_best(outcome.folder.leaderboard())}\nReport: {outcome.report}")
    else:
        out.print(f"Train it again: lstm-lab train {folder.path / 'best.yaml'}\nReport: {outcome.report}")


def watch(
    folder: Annotated[str, typer.Argument(help="Folder of a sweep, running or not.")],
    once: Annotated[bool, typer.Option("--once", help="Show it once instead of until it ends.")] = False,
) -> None:
    """Show the progress of a sweep, from another shell, until it ends."""
    early.require_sweep(folder)
    from lstm_lab.display.console import plain_console
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.view import watch as watching

    out = plain_console()
    out.print(watching.watch(SweepFolder.open(folder), out, once=once), soft_wrap=True)


def leaderboard(
    folder: Annotated[str, typer.Argument(help="Folder of a sweep, running or not.")], as_json: Json = False
) -> None:
    """Show the configurations of a sweep, best first: mean and std over seeds, parameters, state."""
    early.require_sweep(folder)
    from lstm_lab.display.console import plain_console
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.store.summary import ranking
    from lstm_lab.verbs import terminal

    content = ranking(SweepFolder.open(folder))
    if as_json:
        return echo_json(content)
    out = plain_console()
    return out.print(terminal.leaderboard(content, out.width))


def convert(
    file: Annotated[str, typer.Argument(help="A sweep file of W&B or of lstm-lab.")],
    names: Annotated[list[str] | None, typer.Argument(help="Names in W&B = dotted keys, as lr=optimizer.lr")] = None,
    experiment: Annotated[str | None, typer.Option(help="Experiment file of a W&B sweep's trials.")] = None,
) -> None:
    """Convert a sweep file of W&B to one of lstm-lab, or back; the result goes to standard output."""
    from lstm_lab import config
    from lstm_lab.sweeps.view.wandb_convert import from_wandb, is_wandb, to_wandb

    if is_wandb(config.load(file)):
        renamed = {key: str(value) for key, value in config.parse_overrides(names or ())}
        echo(from_wandb(file, experiment, renamed), nl=False)
    elif names or experiment:
        raise ConfigError(f"{file}: is not a sweep file of W&B: names and --experiment are for those")
    else:
        echo(to_wandb(file), nl=False)
