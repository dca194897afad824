"""The verbs of a run: train, evaluate, predict."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lstm_lab.config import ConfigError
from lstm_lab.display.printable import printable
from lstm_lab.verbs import early, generation
from lstm_lab.verbs.options import (
    Accelerator,
    Ensemble,
    Json,
    Name,
    Overrides,
    Samples,
    Top,
    Wandb,
    WandbMode,
    echo,
    echo_json,
)

if TYPE_CHECKING:
    from lstm_lab.data import Dataset
    from lstm_lab.experiment import Experiment
    from lstm_lab.records.files import Row
    from lstm_lab.records.run import Run


def train(
    conf: Annotated[str | None, typer.Argument(help="Experiment file, as conf/vowels_lstm.yaml.")] = None,
    overrides: Overrides = None,
    resume: Annotated[str | None, typer.Option(help="Run to resume, instead of a file.")] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--from", help="Run, or sweep, whose best weights it starts from (transfer.run)."),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="Run, or sweep, whose predictions it learns from (distillation.teachers); of several, each with "
            "--teacher, the mean prediction."
        ),
    ] = None,
    name: Name = None,
    wandb: Wandb = WandbMode.auto,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print shapes, parameters, baselines and the time of an epoch; make no folder."),
    ] = False,
    overfit_batches: Annotated[
        int | None,
        typer.Option(min=1, help="Train on the first batches alone, and print their loss; make no folder."),
    ] = None,
) -> None:
    """Train one experiment, or resume an interrupted run."""
    if (conf is None) == (resume is None):
        raise ConfigError("train: give either an experiment file, as conf/vowels_lstm.yaml, or --resume RUN")
    if dry_run and resume is not None:
        raise ConfigError("--dry-run: needs an experiment file; a resumed run was planned when it started")
    if overfit_batches is not None and (dry_run or resume is not None):
        raise ConfigError("--overfit-batches: needs an experiment file, without --dry-run and --resume")
    if resume is not None:
        if start_from is not None:
            raise ConfigError("--from: needs an experiment file; a resumed run keeps the weights that it started from")
        if teacher:
            raise ConfigError("--teacher: needs an experiment file; a resumed run keeps its teachers")
        return resume_run(resume, overrides, wandb)
    if teacher:
        for folder in teacher:
            early.require_record(folder)
        overrides = [*(overrides or ()), teachers_override(teacher)]
    if start_from is not None:
        early.require_record(start_from)
        overrides = [*(overrides or ()), transfer_override(start_from)]
    early.check_experiment(str(conf), overrides or ())
    from lstm_lab.experiment import load_experiment
    from lstm_lab.records.provenance import command_line
    from lstm_lab.workflow import create_run

    experiment = load_experiment(str(conf), overrides or ())
    if dry_run:
        from lstm_lab.preflight.dry_run import plan

        for text in plan(experiment, experiment.data.build()):
            echo(text)
        return None
    if overfit_batches is not None:
        from lstm_lab.preflight.overfit import overfit
        from lstm_lab.system.out_of_memory import within_memory

        with within_memory(experiment.data.batch_size):
            for text in overfit(experiment, experiment.data.build(), overfit_batches):
                echo(text)
        return None
    run, dataset = create_run(experiment, name=name, stem=Path(str(conf)).stem, command=command_line())
    for note in dataset.notes:
        echo(f"data {dataset.name}: {note}")
    return train_run(experiment, run, wandb, dataset)


def transfer_override(folder: str) -> str:
    """The override by which an experiment starts from a run, or from the best trial of a sweep."""
    from lstm_lab.workflow import best_run

    return f"transfer.run={best_run(Path(folder)).path.resolve()}"


def teachers_override(folders: Iterable[str | Path]) -> str:
    """The override by which an experiment learns from runs, or from the best trials of sweeps."""
    from lstm_lab.workflow import best_run

    return f"distillation.teachers={json.dumps([str(best_run(Path(folder)).path.resolve()) for folder in folders])}"


def resume_run(path: str, overrides: list[str] | None, wandb: WandbMode) -> None:
    """Resume an interrupted run, by the experiment that it was started with."""
    if overrides:
        raise ConfigError(
            f"override '{overrides[0]}': a resumed run keeps its experiment; train a new one to change it"
        )
    from lstm_lab.records.run import Run

    run = Run.open(path)
    if run.status["state"] == "finished":
        from lstm_lab.records.integrity import lost_best, lost_rows, start_over

        damaged = lost_rows(run) or lost_best(run)
        if damaged is None:
            echo(f"{run.path} is finished: nothing to resume")
            return
        echo(f"{run.path}: {damaged}; it is trained again")
        start_over(run)
    from lstm_lab.experiment import recorded_experiment

    train_run(recorded_experiment(run), run, wandb, None)


def train_run(experiment: Experiment, run: Run, wandb: WandbMode, dataset: Dataset | None) -> None:
    """Train a run, or resume it, and print how it goes and what came of it."""
    from lstm_lab.display.console import plain_console
    from lstm_lab.display.progress import epoch_line
    from lstm_lab.tracking import resolve_mode
    from lstm_lab.training.transfer import report_lines
    from lstm_lab.verbs import terminal
    from lstm_lab.workflow import run_experiment

    out = plain_console()
    mode, reason = resolve_mode(wandb.value)
    out.print(terminal.start(run.path, f"W&B {mode}: {reason}"))
    bar = out.is_terminal

    def line(row: Row) -> None:
        out.print(epoch_line(row, experiment.monitor))

    def start(record: Row) -> None:
        for text in report_lines(record):
            out.print(text)

    outcome = run_experiment(experiment, run, dataset=dataset, wandb=mode, progress=bar, on_epoch=None if bar else line,
                             on_transfer=start)  # fmt: skip
    content, result = outcome.validation.dump(), outcome.result
    epoch = f"{experiment.trainer.select} epoch {result.epoch} of {result.epochs}"
    out.print(terminal.scores(content, f"Validation split, {epoch}"))
    out.print(terminal.verdict(content))
    if outcome.findings:
        out.print(terminal.next_step(outcome.findings, run.path))
    out.print(f"{outcome.report}\nNot evaluated on the test split yet: lstm-lab evaluate {run.path}")


def evaluate(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then each seed of its best configuration.")],
    samples: Samples = None,
    ensemble: Ensemble = False,
    top: Top = None,
    accelerator: Accelerator = None,
    as_json: Json = False,
) -> None:
    """Evaluate on the held-out test split, and record that it was done."""
    early.require_record(folder)
    from lstm_lab.display.console import plain_console
    from lstm_lab.verbs import terminal
    from lstm_lab.workflow import evaluate_folder

    together = _together(folder, ensemble, top, samples)
    content = evaluate_folder(Path(folder), accelerator.value if accelerator else None, samples, together).dump()
    if as_json:
        echo_json(content)
        return
    out = plain_console()
    out.print(terminal.scores(content, f"Test split of {folder}, evaluation {content['test_evaluations']}"))
    out.print(terminal.verdict(content))


def predict(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its best trial.")],
    file: Annotated[
        str | None,
        typer.Argument(help="New data with the same columns; texts as CSV, JSONL, Parquet, TXT or - (standard input)."),
    ] = None,
    future: Annotated[
        str | None,
        typer.Option(help="File with the time and the columns of data.future in the rows to come; without it, they are "
                          "in rows of FILE whose targets are empty."),
    ] = None,
    samples: Samples = None,
    ensemble: Ensemble = False,
    top: Top = None,
    prompt: generation.Prompt = None,
    length: generation.Length = None,
    temperature: generation.Temperature = None,
    top_k: generation.TopK = None,
    top_p: generation.TopP = None,
    beams: generation.Beams = None,
    stop: generation.Stop = None,
    seed: generation.Seed = None,
    accelerator: Accelerator = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Predict for new data: what follows each series, the class of each sequence or text, or its translation. CSV on
    standard output.

    With --prompt instead of FILE, what follows a text, by a model of the next step (task next_step).
    """
    early.require_record(folder)
    device: Literal["auto", "cpu", "gpu"] | None = accelerator.value if accelerator else None
    chosen = {
        "length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p, "beams": beams,
        "stop": tuple(stop) if stop else None, "seed": seed,
    }  # fmt: skip
    if prompt is not None:
        generation.refuse_with_prompt(file=file, future=future, samples=samples, ensemble=ensemble or None, top=top)
        generation.write_continuation(folder, prompt, chosen, device, as_json)
        return
    generation.refuse_without_prompt(chosen)
    if file is None:
        raise ConfigError("predict: give FILE with new data; or --prompt TEXT, where the model predicts the next step")
    new = [line for line in sys.stdin.read().splitlines() if line.strip()] if file == "-" else file
    together = _together(folder, ensemble, top, samples)
    if together is None:
        from lstm_lab.evaluation.predict import predict as predictions
        from lstm_lab.workflow import best_run

        table = predictions(best_run(Path(folder)), new, future, device, samples)
    else:
        from lstm_lab.deploy.ensemble import predict_together

        found, table = predict_together(Path(folder), together, new, future, device)
        echo(f"lstm-lab: {found.described}", err=True)
    if as_json:
        echo_json(table.to_records())
        return
    text = table.to_csv()
    # A program gets the names as they are.
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)


def _together(folder: str, ensemble: bool, top: int | None, samples: int | None) -> int | None:
    """How many of a sweep's best configurations predict together; None: the best trial predicts alone."""
    if not ensemble and top is None:
        return None
    if samples is not None:
        raise ConfigError(
            "--samples: does not go with an ensemble, which has several predictions already: leave one out"
        )
    early.require_sweep(folder)
    from lstm_lab.sweeps.store.ensemble import default_top
    from lstm_lab.sweeps.store.folder import SweepFolder

    return default_top(SweepFolder.open(folder)) if top is None else top
