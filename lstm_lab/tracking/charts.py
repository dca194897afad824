"""Tables and charts that W&B draws, and the model itself, from the files of a run folder."""

from __future__ import annotations

import json
import re
from functools import singledispatch
from pathlib import Path
from typing import Any

from lstm_lab.example_records import (
    ClassExamples,
    Classification,
    Examples,
    ForecastExamples,
    NextStepExamples,
    TagExamples,
    TokenExamples,
    ValueExamples,
    read_examples,
)
from lstm_lab.files import read_json
from lstm_lab.run import Run


def show(run: Any, folder: Path, step: int) -> None:
    """Log the charts beside the last row, and the model of a run that is among the best of its sweep."""
    found = lineage(folder)
    if examples := read_examples(folder):
        found.update(charts(examples))
    if found:
        run.log({f"examples/{name}": chart for name, chart in found.items()}, step=step)
    about = read_json(folder / "run.json")
    if about.get("rank") is not None and (folder / "checkpoints" / "best.ckpt").is_file():
        run.log_artifact(model(run.id, folder, about), aliases=["latest", f"rank-{about['rank']}"])


def plain_name(text: str) -> str:
    """As W&B takes it for an artifact."""
    return re.sub(r"[^\w.-]", "-", text)[:120]


def model(run_id: str, folder: Path, about: dict[str, Any]) -> Any:
    """The checkpoint of the best epoch; where it comes from stands in its metadata, for offline there is no lineage."""
    import wandb

    status = read_json(folder / "status.json")
    artifact = wandb.Artifact(
        plain_name(f"model-{run_id}"),
        "model",
        metadata={
            "rank": about["rank"], "metric": about.get("monitor"), **(status.get("best") or {}),
            "data_digest": (about.get("data") or {}).get("digest"), "parameters": about.get("parameters"),
            "sweep": about.get("group"), "code": about.get("git"),
        },
    )  # fmt: skip
    artifact.add_file(str(folder / "checkpoints" / "best.ckpt"))
    artifact.add_file(str(folder / "experiment.yaml"))
    return artifact


def lineage(folder: Path) -> dict[str, Any]:
    """What a trial of population-based training was cloned from, and what changed."""
    import wandb

    rows = Run(folder).lineage()
    table = wandb.Table(["epoch", "source", "from_epoch", "hyperparameter", "old", "source_value", "new"])
    for row in rows:
        for key, change in row["changes"].items():
            values = [str(change[name]) for name in ("old", "source", "new")]
            table.add_data(row["epoch"], row["source"], row["from_epoch"], key, *values)
    return {"lineage": table} if rows else {}


@singledispatch
def charts(examples: Examples) -> dict[str, Any]:
    """Name -> chart or table of the examples of a run, by their type."""
    return {}


@charts.register
def _(examples: Classification) -> dict[str, Any]:
    import wandb

    counts = wandb.Table(["Actual", "Predicted", "nPredictions"])
    for target, row in zip(examples.classes, examples.confusion, strict=True):
        for prediction, count in zip(examples.classes, row, strict=True):
            counts.add_data(target, prediction, count)
    bins: list[Any] = [[b.confidence, b.accuracy, b.n] for b in examples.calibration]
    found: dict[str, Any] = {
        "confusion": wandb.plot_table(
            "wandb/confusion_matrix/v1",
            counts,
            {str(name): str(name) for name in counts.columns},
            {"title": "Confusion matrix"},
        ),
        "calibration": wandb.plot.scatter(
            wandb.Table(["confidence", "accuracy", "n"], bins), "confidence", "accuracy", "Accuracy by confidence"
        ),
    }
    if examples.recall:
        points = wandb.Table(["class", "recall", "precision"])
        for name, precision in examples.precision.items():
            for x, y in zip(examples.recall, precision, strict=True):
                points.add_data(name, x, y)
        found["precision_recall"] = wandb.plot_table(
            "wandb/area-under-curve/v0", points, {"x": "recall", "y": "precision", "class": "class"},
            {"title": "Precision and recall", "x-axis-title": "Recall", "y-axis-title": "Precision"},
        )  # fmt: skip
    return found


@charts.register
def _(examples: ClassExamples) -> dict[str, Any]:
    import wandb

    found = charts.dispatch(Classification)(examples)
    if rows := [sample.model_dump(exclude_none=True) for sample in examples.worst]:
        columns: list[Any] = list(rows[0])
        found["worst"] = wandb.Table(columns, [[row.get(name) for name in columns] for row in rows])
    return found


@charts.register
def _(examples: TagExamples) -> dict[str, Any]:
    import wandb

    steps = wandb.Table(["sequence", "step", "target", "prediction"])
    for sequence in examples.sequences:
        for step, (target, prediction) in enumerate(zip(sequence.target, sequence.prediction, strict=True)):
            steps.add_data(sequence.name, step, target, prediction)
    return {**charts.dispatch(Classification)(examples), "steps": steps}


@charts.register
def _(examples: ForecastExamples) -> dict[str, Any]:
    import wandb

    errors = examples.error_by_step
    found: dict[str, Any] = {
        "error_by_step": wandb.plot.line_series(
            list(range(1, len(errors) + 1)), [errors], ["absolute error"], "Error by step ahead", "steps ahead"
        )
    }
    table = wandb.Table(["window", "step", "target", *examples.columns])
    for window in examples.windows:
        horizon, past = len(window.target), len(window.past)
        found[f"forecast_{window.name.replace(' ', '_')}"] = wandb.plot.line_series(
            [list(range(-past, 0)), *[list(range(horizon))] * (1 + len(window.predictions))],
            [window.past, window.target, *window.predictions],
            ["past", "target", *examples.columns],
            f"{examples.target_name}: {window.name} window", "step",
        )  # fmt: skip
        for step, values in enumerate(zip(window.target, *window.predictions, strict=True)):
            table.add_data(window.name, step, *values)
    return {**found, "forecasts": table}


@charts.register
def _(examples: ValueExamples) -> dict[str, Any]:
    import wandb

    pairs: list[Any] = [list(pair) for pair in zip(examples.target, examples.prediction, strict=True)]
    table = wandb.Table(["target", "prediction"], pairs)
    return {"predictions": wandb.plot.scatter(table, "target", "prediction", f"{examples.target_name}: predictions")}


@charts.register
def _(examples: NextStepExamples) -> dict[str, Any]:
    import wandb

    rows = [row.model_dump() for row in examples.largest_losses]
    columns: list[Any] = list(rows[0]) if rows else ["name"]
    found: dict[str, Any] = {"largest_losses": wandb.Table(columns, [list(row.values()) for row in rows])}
    losses = [(position, nats) for position, nats in enumerate(examples.loss_by_position, 1) if nats is not None]
    if losses:
        x, y = [list(column) for column in zip(*losses, strict=True)]
        found["loss_by_position"] = wandb.plot.line_series(x, [y], ["nats"], "Loss by position", "step")
    return found


@charts.register
def _(examples: TokenExamples) -> dict[str, Any]:
    import wandb

    found = charts.dispatch(NextStepExamples)(examples)
    if examples.continuations:
        columns: list[Any] = ["context", "target", "probability", "predictions"]
        rows: list[Any] = [
            [row.context, row.target, row.probability, json.dumps(row.predictions)] for row in examples.continuations
        ]
        found["continuations"] = wandb.Table(columns, rows)
    return found
