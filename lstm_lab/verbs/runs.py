"""One run: trained, gone on with, evaluated, asked for predictions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs.options import Json, Name, Overrides, Wandb, WandbMode, free_folder, say

if TYPE_CHECKING:
    from lstm_lab.experiment import Experiment
    from lstm_lab.run import Run


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
        return go_on(resume, overrides, wandb)
    from lstm_lab.experiment import load_experiment
    from lstm_lab.provenance import command_line

    experiment = load_experiment(str(conf), overrides or ())
    dataset = experiment.data.build()
    read_whole(dataset)
    for note in dataset.notes:
        typer.echo(f"data {dataset.name}: {note}")
    from lstm_lab.run import Run

    run = Run.create(
        free_folder(name, Path(str(conf)).stem), experiment.dump(), command=command_line(), job_type="train"
    )
    return _train(experiment, run, wandb, dataset)


def read_whole(dataset: Any) -> None:
    """Read and split the data now, so that a fault in it leaves nothing behind."""
    _ = dataset.info, dataset.train, dataset.validation


def go_on(path: str, overrides: list[str] | None, wandb: WandbMode) -> None:
    """Train on where an interrupted run stands, by the experiment that it was begun with."""
    if overrides:
        raise ConfigError(
            f"override '{overrides[0]}': a resumed run keeps its experiment; train a new one to change it"
        )
    from lstm_lab.experiment import Experiment
    from lstm_lab.run import Run

    run = Run.open(path)
    if run.status["state"] == "finished":
        from lstm_lab.verbs.terminal import console

        console().print(f"{run.path} is finished: nothing to go on with")
        return
    experiment = Experiment.of(run.experiment, str(run.path / "experiment.yaml"))
    _train(experiment, run, wandb, None)


def _train(experiment: Experiment, run: Run, wandb: WandbMode, dataset: Any) -> None:
    import threading

    from lstm_lab.evaluate import evaluate
    from lstm_lab.report import write_report
    from lstm_lab.tracking import publish_best, resolve
    from lstm_lab.train import stopping
    from lstm_lab.train import train as fit
    from lstm_lab.verbs import terminal

    out, stop = terminal.console(), threading.Event()
    mode, reason = resolve(wandb.value)
    out.print(f"{run.path}  W&B {mode}: {reason}")
    bar = out.is_terminal

    def line(row: dict[str, Any]) -> None:
        shown = "  ".join(
            f"{key} {terminal.number(row[key])}" for key in ("train/loss", "val/loss", experiment.monitor)
        )
        out.print(f"epoch {row['epoch']:>3}  {shown}  {row['seconds']:.0f} s")

    with stopping(stop):
        result = fit(
            experiment, run, dataset=dataset, wandb=mode, stop=stop, progress=bar, on_epoch=None if bar else line
        )
    content = evaluate(run, "validation", dataset).dump()
    run.describe(validation={**content, "epoch": result.epoch})
    out.print(terminal.scores(content, f"Validation part, best epoch {result.epoch} of {result.epochs}"))
    out.print(terminal.verdict(content))
    page = write_report(run.path)
    publish_best([run], mode=mode)
    out.print(f"{page}\nTest part, still sealed: lstm-lab evaluate {run.path}")


def evaluate(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its winner.")], as_json: Json = False
) -> None:
    """Open the sealed test part, and record that it was opened."""
    from lstm_lab.evaluate import evaluate as score
    from lstm_lab.report import write_report
    from lstm_lab.run import Run
    from lstm_lab.sweep.store import summary
    from lstm_lab.sweep.store.folder import SweepFolder
    from lstm_lab.sweep.store.record import is_sweep
    from lstm_lab.verbs import terminal

    path = Path(folder)
    scores = summary.evaluate_best(SweepFolder.open(path)) if is_sweep(path) else score(Run.open(path))
    content = scores.dump()
    write_report(path)
    if as_json:
        say(content)
        return
    out = terminal.console()
    out.print(terminal.scores(content, f"Test part of {path}, opened {content['openings']} time(s)"))
    out.print(terminal.verdict(content))


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
