"""The verbs of the command line; each is a few lines over a function below.

Heavy imports stand inside the verbs: `--help` brings in neither torch, nor ray, nor wandb.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_lab.config import ConfigError, Fault, Interrupted

if TYPE_CHECKING:
    from lstm_lab.experiment import Experiment
    from lstm_lab.run import Run

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Tune recurrent networks: train, sweep, evaluate, report.",
)  # fmt: skip


class WandbMode(StrEnum):
    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


class Form(StrEnum):
    html = "html"
    markdown = "markdown"
    json = "json"


class Target(StrEnum):
    html = "html"
    markdown = "markdown"
    json = "json"
    wandb = "wandb"


Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, as in optimizer.lr=3e-4 model.cell=gru")]
Name = Annotated[str | None, typer.Option(help="Folder below runs/; a free one is found without it.")]
Wandb = Annotated[WandbMode, typer.Option(help="Where W&B runs go; auto is online with an account, else offline.")]
To = Annotated[Form, typer.Option(help="What to write; all three say the same.")]
Address = Annotated[
    str | None,
    typer.Option(help="Ray cluster: host:port, or auto (RAY_ADDRESS, else the one here)."),
]
Json = Annotated[bool, typer.Option("--json", help="Plain JSON on standard output.")]


@app.command()
def train(
    conf: Annotated[str | None, typer.Argument(help="Experiment file, as conf/vowels_lstm.yaml.")] = None,
    overrides: Overrides = None,
    resume: Annotated[str | None, typer.Option(help="Run to go on with, instead of a file.")] = None,
    name: Name = None,
    wandb: Wandb = WandbMode.auto,
) -> None:
    """Train one experiment, or go on with an interrupted run."""
    if (conf is None) == (resume is None):
        raise ConfigError("train: give either an experiment file, as conf/vowels_lstm.yaml, or --resume RUN")
    if resume is not None:
        return _resume_run(resume, overrides, wandb)
    from lstm_lab.experiment import command_line, load_experiment

    experiment = load_experiment(str(conf), overrides or ())
    dataset = experiment.data.build()
    _read(dataset)
    for note in dataset.notes:
        typer.echo(f"data {dataset.name}: {note}")
    from lstm_lab.run import Run

    run = Run.create(_folder(name, Path(str(conf)).stem), experiment.dump(), command=command_line(), job_type="train")
    return _train(experiment, run, wandb, dataset)


def _read(dataset: Any) -> None:
    """Read and split the data now, so that a fault in it leaves nothing behind."""
    _ = dataset.facts, dataset.train, dataset.validation


def _folder(name: str | None, stem: str) -> Path:
    from lstm_lab.run import claim, runs_folder

    if name is None:
        return claim(stem)
    if Path(name).name != name or name in (".", ".."):
        raise ConfigError(f"--name {name}: must be a plain folder name; LSTM_LAB_RUNS says where it goes")
    if (runs_folder() / name).exists():
        raise ConfigError(f"{runs_folder() / name}: exists already; choose another name")
    return runs_folder() / name


def _resume_run(path: str, overrides: list[str] | None, wandb: WandbMode) -> None:
    if overrides:
        raise ConfigError(
            f"override '{overrides[0]}': a resumed run keeps its experiment; train a new one to change it"
        )
    from lstm_lab.experiment import Experiment
    from lstm_lab.run import Run

    run = Run.open(path)
    if run.status["state"] == "finished":
        from lstm_lab.report.text import console

        console().print(f"{run.path} is finished: nothing to go on with")
        return
    experiment = Experiment.of(run.experiment, str(run.path / "experiment.yaml"))
    _train(experiment, run, wandb, None)


def _train(experiment: Experiment, run: Run, wandb: WandbMode, dataset: Any) -> None:
    import threading

    from lstm_lab.evaluate import evaluate
    from lstm_lab.report import text, write_report
    from lstm_lab.tracking import publish, resolve
    from lstm_lab.train import stopping
    from lstm_lab.train import train as fit

    out, stop = text.console(), threading.Event()
    mode, reason = resolve(wandb.value)
    out.print(f"{run.path}  W&B {mode}: {reason}")
    bar = out.is_terminal

    def line(row: dict[str, Any]) -> None:
        shown = "  ".join(f"{key} {text.number(row[key])}" for key in ("train/loss", "val/loss", experiment.decides))
        out.print(f"epoch {row['epoch']:>3}  {shown}  {row['seconds']:.0f} s")

    with stopping(stop):
        result = fit(
            experiment, run, dataset=dataset, wandb=mode, stop=stop, progress=bar, on_epoch=None if bar else line
        )
    content = evaluate(run, "validation", dataset).dump()
    run.describe(validation={**content, "epoch": result.epoch})
    out.print(text.scores(content, f"Validation part, best epoch {result.epoch} of {result.epochs}"))
    out.print(text.verdict(content))
    page = write_report(run.path)
    publish([run], mode=mode)
    out.print(f"{page}\nTest part, still sealed: lstm-lab evaluate {run.path}")


@app.command()
def evaluate(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its winner.")], as_json: Json = False
) -> None:
    """Open the sealed test part, and record that it was opened."""
    from lstm_lab.evaluate import evaluate as score
    from lstm_lab.report import text, write_report
    from lstm_lab.run import Run
    from lstm_lab.sweep import summary
    from lstm_lab.sweep.record import SweepFolder, is_sweep

    path = Path(folder)
    scores = summary.open_test(SweepFolder.open(path)) if is_sweep(path) else score(Run.open(path))
    content = scores.dump()
    write_report(path)
    if as_json:
        _say(content)
        return
    out = text.console()
    out.print(text.scores(content, f"Test part of {path}, opened {content['openings']} time(s)"))
    out.print(text.verdict(content))


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="A run trained on a file of your own.")],
    file: Annotated[str, typer.Argument(help="New data with the same columns; texts as CSV, JSONL, Parquet or TXT.")],
) -> None:
    """What comes next after the end of a series, or the label of each text, as CSV on standard output."""
    import csv

    from lstm_lab.predict import predict as answer
    from lstm_lab.run import Run

    header, rows = answer(Run.open(run), file)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(header)
    out.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows)


data_app = typer.Typer(no_args_is_help=True, help="Look at data before training on them.")
app.add_typer(data_app, name="data")


@data_app.command("inspect")
def inspect_data(
    file: Annotated[str, typer.Argument(help="CSV, TSV, Parquet, JSONL, .ts or .txt file, or a folder of texts.")],
    choices: Annotated[
        list[str] | None, typer.Argument(help="Fields of data where the guess is wrong: targets=[load] label=mood")
    ] = None,
    write: Annotated[str | None, typer.Option(help="Experiment file to write, as conf/my_load.yaml.")] = None,
    as_json: Json = False,
) -> None:
    """What a file holds, what is wrong with it, and the experiment that trains on it."""
    from lstm_lab.config import DataError, parse_overrides
    from lstm_lab.data.inspection import inspect
    from lstm_lab.experiment import Experiment

    if write is not None and Path(write).exists():
        raise ConfigError(f"{write}: exists already; choose another name")
    look = inspect(file, dict(parse_overrides(choices or ())))
    experiment = Experiment.of(look.experiment, f"{file}: the experiment for it")
    fault = None
    try:
        _read(experiment.data.build())
    except DataError as error:
        fault = str(error)
    if as_json:
        _say({**look.dump(), "fault": fault})
    else:
        from lstm_lab.data.inspection.shown import shown

        shown(look, fault)
    if write is not None:
        if fault is not None:
            raise DataError(fault)
        Path(write).parent.mkdir(parents=True, exist_ok=True)
        Path(write).write_text(look.yaml(), encoding="utf-8")
        typer.echo(f"lstm-lab train {write}", err=as_json)


@app.command()
def sweep(
    files: Annotated[
        list[str], typer.Argument(help="Sweep files, as sweeps/vowels_cells.yaml, and key=value overrides.")
    ],
    name: Name = None,
    wandb: Wandb = WandbMode.auto,
    test: Annotated[bool, typer.Option("--test", help="Open the winner's test part at the end.")] = False,
    address: Address = None,
    storage: Annotated[
        str | None, typer.Option(help="URI that trials write to, as s3://bucket/runs, where nodes share no disk.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be started, and start nothing.")] = False,
) -> None:
    """Answer the question of each sweep file with trials on Ray Tune."""
    from lstm_lab.experiment import command_line
    from lstm_lab.sweep.record import SweepFolder
    from lstm_lab.sweep.spec import build_corners, load_sweep
    from lstm_lab.sweep.storage import own_place

    paths = [file for file in files if "=" not in file]
    overrides = [file for file in files if "=" in file]
    if not paths:
        raise ConfigError("sweep: give a sweep file, as sweeps/vowels_cells.yaml")
    if name is not None and len(paths) > 1:
        raise ConfigError(f"--name {name}: goes with one sweep file, not with {len(paths)}")
    asked = [(path, load_sweep(path, overrides)) for path in paths]
    for path, found in asked:
        build_corners(found, path)
    if dry_run:
        from lstm_lab.sweep.plan import plan

        return typer.echo("\n\n".join("\n".join(plan(found, path, name, address, storage)) for path, found in asked))
    folders = []
    for path, found in asked:
        folder = _folder(name, Path(path).stem)
        about = {"storage": own_place(storage, folder.name, found)} if storage else {}
        folders.append(SweepFolder.create(folder, found, command=command_line(), **about))
    return _sweep(folders, wandb, test, address)


@app.command()
def resume(
    folder: Annotated[str, typer.Argument(help="An interrupted sweep or run.")],
    wandb: Wandb = WandbMode.auto,
    address: Address = None,
) -> None:
    """Go on where a sweep or a run was interrupted or killed; what is damaged in it is mended first."""
    from lstm_lab.sweep.mend import mend
    from lstm_lab.sweep.record import SweepFolder, is_sweep

    if not is_sweep(Path(folder)) and (Path(folder) / "run.json").is_file():
        return _resume_run(folder, None, wandb)
    for line in mend(folder):
        typer.echo(f"mended {line}")
    return _sweep([SweepFolder.open(folder)], wandb, False, address)


def _sweep(folders: list[Any], wandb: WandbMode, test: bool, address: str | None) -> None:
    from lstm_lab.report import text, write_report
    from lstm_lab.sweep import summary
    from lstm_lab.sweep.tune import sweep_on
    from lstm_lab.tracking import resolve

    out, ends, failed = text.console(), [], 0
    mode, reason = resolve(wandb.value)
    for folder in folders:
        found = folder.sweep
        trials = found.points * len(found.seeds)
        out.print(f"{found.question}\n{folder.path}  {trials} trials  W&B {mode}: {reason}")
        content = sweep_on(folder, wandb=mode, console=out, address=address)
        failed += content["trials"]["failed"]
        scores = summary.open_test(folder).dump() if test and content["winner"] else None
        page = write_report(folder.path)
        content["wandb"] = summary.publish(folder, mode)
        ends.append((content, scores, page, folder))
    for content, scores, page, folder in ends:
        out.print()
        out.print(text.leaderboard(content))
        count, runs = content["trials"], content["wandb"]
        out.print(
            f"{count['asked']} trials: {count['finished']} finished, {count['stopped']} stopped early, "
            f"{count['failed']} failed; {runs['runs']} W&B runs ({runs['mode']}), "
            f"{runs['runs'] - runs['ended']} unfinished; {content['seconds']:.0f} s"
        )
        if removed := content["removed"]["trials"]:
            out.print(f"checkpoints of {removed} trials removed, {content['removed']['bytes'] / 1e6:.1f} MB")
        for failure in content["failures"]:
            out.print(f"{failure['trial']} failed: {failure['reason']}", markup=False)
        if scores is not None:
            out.print(text.scores(scores, f"Test part, winner {content['winner']['trial']}"))
            out.print(text.verdict(scores))
        if content["winner"]:
            out.print(f"Again: lstm-lab train {folder.path / 'best.yaml'}\nReport: {page}")
    if failed:
        raise SystemExit(4)


@app.command()
def watch(
    folder: Annotated[str, typer.Argument(help="A sweep, running or not.")],
    once: Annotated[bool, typer.Option("--once", help="One look instead of waiting for the end.")] = False,
) -> None:
    """Show how a sweep stands, from another shell, until it ends."""
    from lstm_lab.report import text
    from lstm_lab.sweep import watch as watching
    from lstm_lab.sweep.record import SweepFolder

    out = text.console()
    out.print(watching.watch(SweepFolder.open(folder), out, once=once), markup=False, soft_wrap=True)


@app.command()
def report(
    folder: Annotated[str, typer.Argument(help="A run or a sweep.")],
    to: Annotated[Target, typer.Option(help="What to write; wandb saves a W&B Report of a sweep.")] = Target.html,
    final: Annotated[bool, typer.Option("--final", help="A W&B Report that is no draft.")] = False,
) -> None:
    """Write the page of a run or a sweep from what lies on the disk."""
    if to is Target.wandb:
        from lstm_lab.report.wandb_report import publish

        return typer.echo(publish(Path(folder), final))
    if final:
        raise ConfigError("--final: goes with --to wandb alone: a page is no draft")
    from lstm_lab.report import write_report

    return typer.echo(write_report(Path(folder), to.value))


@app.command()
def compare(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps, as runs/vowels_cells-1.")] = None,
    from_wandb: Annotated[str | None, typer.Option(help="A folder with offline W&B runs, of whatever code.")] = None,
    metric: Annotated[str | None, typer.Option(help="Compare by it; without it, by the deciding one.")] = None,
    mode: Annotated[str | None, typer.Option(help="min or max, where the record does not say which is better.")] = None,
    to: To = Form.html,
    out: Annotated[str | None, typer.Option(help="File to write; compare.html below runs/ without it.")] = None,
) -> None:
    """Several runs or sweeps in one page, with statistics."""
    from lstm_lab.report import write_comparison
    from lstm_lab.run import make_folder, runs_folder

    if mode not in (None, "min", "max"):
        raise ConfigError(f"--mode {mode}: must be min or max")
    path = Path(out) if out else runs_folder() / f"compare.{'md' if to is Form.markdown else to.value}"
    make_folder(path.parent)
    typer.echo(write_comparison(folders or (), path, from_wandb=from_wandb, metric=metric, mode=mode, to=to.value))


@app.command()
def sync(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps; all below runs/ without any.")] = None,
) -> None:
    """Upload runs to W&B from their record, each whole and once."""
    from collections import Counter

    from lstm_lab.tracking.upload import sync as send

    said = {"sent": "uploaded", "there": "there already", "training": "still training", "failed": "failed",
            "left": "left"}  # fmt: skip
    count: Counter[str] = Counter()
    for sent in send(folders or ()):
        count[sent.outcome] += 1
        if sent.outcome != "there":
            typer.echo(f"{sent.run.path}  {said[sent.outcome]}{': ' if sent.reason else ''}{sent.reason}")
    typer.echo(", ".join([f"{sum(count.values())} runs", *(f"{n} {said[outcome]}" for outcome, n in count.items())]))
    if count["failed"] or count["left"]:
        raise SystemExit(4)


@app.command()
def convert(
    file: Annotated[str, typer.Argument(help="A sweep file of W&B, or one of ours.")],
    names: Annotated[list[str] | None, typer.Argument(help="theirs=ours, as lr=optimizer.lr")] = None,
    experiment: Annotated[str | None, typer.Option(help="What a W&B sweep's trials start from.")] = None,
) -> None:
    """A W&B sweep file as one of ours, or the other way round, on standard output."""
    from lstm_lab import config
    from lstm_lab.sweep.wandb_yaml import from_wandb, is_wandb, read, to_wandb

    if is_wandb(read(file)):
        renamed = {key: str(value) for key, value in config.parse_overrides(names or ())}
        typer.echo(from_wandb(file, experiment, renamed), nl=False)
    elif names or experiment:
        raise ConfigError(f"{file}: is a sweep of ours: names and --experiment go with one of W&B")
    else:
        typer.echo(to_wandb(file), nl=False)


@app.command()
def tui(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps; all below runs/ without any.")] = None,
) -> None:
    """Look through runs in W&B's own terminal view, which needs no account."""
    from lstm_lab.tracking.terminal import tui as show

    raise SystemExit(show(folders or ()))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Cells, tasks, data sets, optimisers, schedules, searchers, schedulers."""
    import inspect

    import lstm_lab.experiment
    import lstm_lab.sweep.spec  # noqa: F401 - fills the registries
    from lstm_lab.registry import all_kinds

    kinds = {
        kind: {name: (inspect.getdoc(member) or "").split("\n")[0] for name, member in sorted(base.members.items())}
        for kind, base in all_kinds().items()
    }
    if as_json:
        _say(kinds)
        return
    for kind, members in kinds.items():
        typer.echo(kind)
        for name, doc in members.items():
            typer.echo(f"  {name:<18} {doc}")


@app.command()
def fields(
    of: Annotated[str, typer.Argument(help="experiment or sweep.")] = "experiment", as_json: Json = False
) -> None:
    """Every field with its type, default and meaning."""
    from dataclasses import asdict

    from lstm_lab.registry import fields as rows

    found = list(rows(_model(of)))
    if as_json:
        _say([asdict(row) for row in found])
        return
    for row in found:
        key = f"{row.path} ({row.of})" if row.of else row.path
        typer.echo(f"{key:<36} {row.type:<44} {row.default:<18} {row.doc}")


@app.command()
def schema(of: Annotated[str, typer.Argument(help="experiment or sweep.")] = "experiment") -> None:
    """JSON schema of a file, for editors that complete YAML."""
    _model(of)
    from lstm_lab.sweep.spec import file_schema

    _say(file_schema(of))


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine offers, and what stands in the way."""
    from lstm_lab.doctor import examine

    found = examine()
    if as_json:
        _say(found)
        return
    for name, value in found["facts"].items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {inner}" for key, inner in value.items())
        typer.echo(f"{name:<14} {value}")
    for problem in found["problems"]:
        typer.echo(f"problem: {problem}")
    if not found["problems"]:
        typer.echo("nothing stands in the way")


def _model(of: str) -> Any:
    if of == "experiment":
        from lstm_lab.experiment import Experiment

        return Experiment
    if of == "sweep":
        from lstm_lab.sweep.spec import Sweep

        return Sweep
    raise ConfigError(f"{of}: must be experiment or sweep")


def _say(content: Any) -> None:
    typer.echo(json.dumps(content, indent=1))


def main() -> None:
    """Run a verb; a fault is one line on standard error, and its exit code."""
    try:
        code = app(standalone_mode=False)
    except Interrupted as fault:
        typer.echo(f"lstm-lab: {fault}", err=True)
        code = fault.exit_code
    except Fault as fault:
        typer.echo(f"lstm-lab: {' '.join(str(fault).split())}", err=True)
        code = fault.exit_code
    except KeyboardInterrupt:
        typer.echo("lstm-lab: interrupted", err=True)
        code = Interrupted.exit_code
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # A usage error of the parser: its sentence, and where the words are explained.
        typer.echo(f"lstm-lab: {error.format_message()}; see lstm-lab --help", err=True)
        code = 2
    sys.exit(code or 0)


def command() -> None:
    """`main`, in a process that has nothing else to do."""
    try:
        main()
    except SystemExit as end:
        if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
            raise
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # To take torch and Ray apart, object by object, takes up to two seconds; the kernel does it at once.
        os._exit(end.code if isinstance(end.code, int) else 1)


if __name__ == "__main__":
    command()
