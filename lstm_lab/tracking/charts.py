"""Tables and charts for W&B, and the model itself, from what a run folder holds of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.records import files
from lstm_lab.records.example_shapes import Examples
from lstm_lab.records.examples import (
    ClassExamples,
    Classification,
    ForecastExamples,
    LabelExamples,
    NextStepExamples,
    TagExamples,
    TokenExamples,
    ValueExamples,
    read_examples,
)
from lstm_lab.records.files import Row
from lstm_lab.records.integrity import lost_best
from lstm_lab.records.run import Run

if TYPE_CHECKING:
    import wandb

Charts = dict[str, object]
"""Name -> what `wandb.Run.log` takes: a table or a chart."""


def log(run: wandb.Run, folder: Path, step: int) -> None:
    """Log the charts beside the last row, and the model of a run that is among the best of its sweep.

    Args:
        folder: of the run in our record.
        step: the last epoch.
    """
    record = Run(folder)
    found = lineage(record.lineage())
    if examples := read_examples(folder):
        found.update(charts(examples))
    if found:
        run.log({f"examples/{name}": chart for name, chart in found.items()}, step=step)
    about = record.about
    if about.get("rank") is not None and record.best_checkpoint.is_file() and lost_best(record) is None:
        run.log_artifact(model_artifact(run.id, record), aliases=["latest", f"rank-{about['rank']}"])


def artifact_name(text: str) -> str:
    """A name that W&B accepts for an artifact."""
    return re.sub(r"[^\w.-]", "-", text)[:120]


def model_artifact(run_id: str, record: Run) -> wandb.Artifact:
    """The checkpoint of the best epoch. Its origin is in the metadata, because offline W&B knows no lineage."""
    import wandb

    about, best = record.about, record.status.get("best") or {}
    artifact = wandb.Artifact(
        artifact_name(f"model-{run_id}"),
        "model",
        metadata={
            "rank": about["rank"], "metric": about.get("monitor"), **best,
            "data_digest": (about.get("data") or {}).get("digest"), "parameters": about.get("parameters"),
            "sweep": about.get("group"), "code": about.get("git"),
        },
    )  # fmt: skip
    artifact.add_file(str(record.best_checkpoint))
    artifact.add_file(str(record.path / files.EXPERIMENT))
    return artifact


def lineage(rows: Sequence[Row]) -> Charts:
    """The exploits of a trial of population-based training: from which trial, and what changed."""
    columns = ["epoch", "source", "from_epoch", "hyperparameter", "old", "source_value", "new"]
    cells = [
        [row["epoch"], row["source"], row["from_epoch"], key, *(str(change[name]) for name in ("old", "source", "new"))]
        for row in rows
        for key, change in row["changes"].items()
    ]
    return {"lineage": table(columns, cells)} if rows else {}


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> wandb.Table:
    """A W&B table."""
    import wandb

    return wandb.Table([*columns], [list(row) for row in rows])


@singledispatch
def charts(examples: Examples) -> Charts:
    """Name -> chart or table of the examples of a run, by their type."""
    return {}


@charts.register
def classification(examples: Classification) -> Charts:
    """Confusion matrix, calibration, and precision over recall."""
    import wandb

    names = examples.classes
    counts = [
        [target, prediction, count]
        for target, row in zip(names, examples.confusion, strict=True)
        for prediction, count in zip(names, row, strict=True)
    ]
    columns = ["Actual", "Predicted", "nPredictions"]
    bins = table(["confidence", "accuracy", "n"], [[b.confidence, b.accuracy, b.n] for b in examples.calibration])
    found: Charts = {
        "confusion": wandb.plot_table(
            "wandb/confusion_matrix/v1", table(columns, counts), {name: name for name in columns},
            {"title": "Confusion matrix"},
        ),
        "calibration": wandb.plot.scatter(bins, "confidence", "accuracy", "Accuracy by confidence"),
    }  # fmt: skip
    if examples.recall:
        points = [
            [name, recall, value]
            for name, precision in examples.precision.items()
            for recall, value in zip(examples.recall, precision, strict=True)
        ]
        found["precision_recall"] = wandb.plot_table(
            "wandb/area-under-curve/v0", table(["class", "recall", "precision"], points),
            {"x": "recall", "y": "precision", "class": "class"},
            {"title": "Precision and recall", "x-axis-title": "Recall", "y-axis-title": "Precision"},
        )  # fmt: skip
    return found


@charts.register
def _(examples: ClassExamples) -> Charts:
    found = classification(examples)
    if rows := [sample.model_dump(exclude_none=True) for sample in examples.worst]:
        columns = list(rows[0])
        found["worst"] = table(columns, [[row.get(name) for name in columns] for row in rows])
    return found


@charts.register
def _(examples: LabelExamples) -> Charts:
    rows = [label.model_dump() for label in examples.labels]
    found: Charts = {"labels": table(list(rows[0]), [row.values() for row in rows])} if rows else {}
    if examples.worst:
        columns = ["sample", "target", "prediction", "loss", "text"]
        worst = [
            [sample.sample, ", ".join(sample.target), ", ".join(sample.prediction), sample.loss, sample.text]
            for sample in examples.worst
        ]
        found["worst"] = table(columns, worst)
    return found


@charts.register
def _(examples: TagExamples) -> Charts:
    steps = [
        [sequence.name, step, target, prediction]
        for sequence in examples.sequences
        for step, (target, prediction) in enumerate(zip(sequence.target, sequence.prediction, strict=True))
    ]
    return {**classification(examples), "steps": table(["sequence", "step", "target", "prediction"], steps)}


@charts.register
def _(examples: ForecastExamples) -> Charts:
    import wandb

    errors, names = examples.error_by_step, examples.columns
    found: Charts = {
        "error_by_step": wandb.plot.line_series(
            list(range(1, len(errors) + 1)), [errors], ["absolute error"], "Error by step ahead", "steps ahead"
        )
    }
    rows: list[list[object]] = []
    for window in examples.windows:
        ahead, before = list(range(len(window.target))), list(range(-len(window.past), 0))
        found[f"forecast_{window.name.replace(' ', '_')}"] = wandb.plot.line_series(
            [before, *[ahead] * (1 + len(window.predictions))],
            [window.past, window.target, *window.predictions],
            ["past", "target", *names],
            f"{examples.target_name}: {window.name} window", "step",
        )  # fmt: skip
        values = zip(window.target, *window.predictions, strict=True)
        rows += [[window.name, step, *row] for step, row in enumerate(values)]
    return {**found, "forecasts": table(["window", "step", "target", *names], rows)}


@charts.register
def _(examples: ValueExamples) -> Charts:
    import wandb

    pairs = table(["target", "prediction"], zip(examples.target, examples.prediction, strict=True))
    return {"predictions": wandb.plot.scatter(pairs, "target", "prediction", f"{examples.target_name}: predictions")}


@charts.register
def next_step(examples: NextStepExamples) -> Charts:
    """Where the loss is: by token or channel, and by position."""
    import wandb

    rows = [row.model_dump() for row in examples.largest_losses]
    found: Charts = {"largest_losses": table(list(rows[0]) if rows else ["name"], [row.values() for row in rows])}
    losses = [(position, nats) for position, nats in enumerate(examples.loss_by_position, 1) if nats is not None]
    if losses:
        x, y = [list(column) for column in zip(*losses, strict=True)]
        found["loss_by_position"] = wandb.plot.line_series(x, [y], ["nats"], "Loss by position", "step")
    return found


@charts.register
def _(examples: TokenExamples) -> Charts:
    found = next_step(examples)
    if examples.continuations:
        rows = [
            [row.context, row.target, row.probability, json.dumps(row.predictions)] for row in examples.continuations
        ]
        found["continuations"] = table(["context", "target", "probability", "predictions"], rows)
    return found
