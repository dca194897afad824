"""Tables and charts that W&B draws, and the model itself, from what a run folder holds of them.

examples.json says what the best epoch answers to the validation part; `lstm-lab report` writes it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lstm_lab.files import read_json
from lstm_lab.run import Run

WORST = ("sample", "truth", "answer", "chance", "length", "text")
"""Columns of the table of the worst examples, as far as there are."""


def show(run: Any, folder: Path, step: int) -> None:
    """Log the charts beside the last row, and the model of a run that is among the best of its sweep."""
    found = lineage(folder)
    path = folder / "examples.json"
    if path.is_file():
        found.update(DRAWN[(content := json.loads(path.read_bytes()))["kind"]](content))
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


def _classes(content: dict[str, Any]) -> dict[str, Any]:
    import wandb

    classes = content["classes"]
    counts = wandb.Table(["Actual", "Predicted", "nPredictions"])
    for truth, row in zip(classes, content["confusion"], strict=True):
        for answer, count in zip(classes, row, strict=True):
            counts.add_data(str(truth), str(answer), count)
    sure = wandb.Table(["confidence", "right", "n"], [[b["sure"], b["right"], b["n"]] for b in content["calibration"]])
    charts: dict[str, Any] = {
        "confusion": wandb.plot_table(
            "wandb/confusion_matrix/v1",
            counts,
            {str(name): str(name) for name in counts.columns},
            {"title": "Confusion"},
        ),
        "calibration": wandb.plot.scatter(sure, "confidence", "right", "Share right at each confidence"),
    }
    if content.get("recall"):
        points = wandb.Table(["class", "recall", "precision"])
        for name, precision in content["precision"].items():
            for x, y in zip(content["recall"], precision, strict=True):
                points.add_data(name, x, y)
        charts["precision_recall"] = wandb.plot_table(
            "wandb/area-under-curve/v0", points, {"x": "recall", "y": "precision", "class": "class"},
            {"title": "Precision and recall", "x-axis-title": "Recall", "y-axis-title": "Precision"},
        )  # fmt: skip
    if content.get("worst"):
        columns: list[Any] = [name for name in WORST if name in content["worst"][0]]
        charts["worst"] = wandb.Table(columns, [[row.get(name) for name in columns] for row in content["worst"]])
    return charts


def _tags(content: dict[str, Any]) -> dict[str, Any]:
    import wandb

    strips = wandb.Table(["sequence", "step", "truth", "answer"])
    for strip in content["strips"]:
        for step, (truth, answer) in enumerate(zip(strip["truth"], strip["answer"], strict=True)):
            strips.add_data(strip["name"], step, truth, answer)
    return {**_classes(content), "steps": strips}


def _forecasts(content: dict[str, Any]) -> dict[str, Any]:
    import wandb

    steps = content["steps"]
    charts: dict[str, Any] = {
        "error_ahead": wandb.plot.line_series(
            list(range(1, len(steps) + 1)), [steps], ["absolute error"], "Error at each step ahead", "steps ahead"
        )
    }
    worst = wandb.Table(["window", "step", "truth", *content["parts"]])
    for window in content["windows"]:
        ahead, past = len(window["truth"]), window["past"]
        charts[f"forecast_{window['name'].replace(' ', '_')}"] = wandb.plot.line_series(
            [list(range(-len(past), 0)), *[list(range(ahead))] * (1 + len(window["said"]))],
            [past, window["truth"], *window["said"]],
            ["past", "truth", *content["parts"]],
            f"{content['target']}: {window['name']}", "step",
        )  # fmt: skip
        for step, values in enumerate(zip(window["truth"], *window["said"], strict=True)):
            worst.add_data(window["name"], step, *values)
    return {**charts, "forecasts": worst}


def _numbers(content: dict[str, Any]) -> dict[str, Any]:
    import wandb

    pairs = wandb.Table(["truth", "said"], [list(pair) for pair in zip(content["truth"], content["said"], strict=True)])
    return {"answers": wandb.plot.scatter(pairs, "truth", "said", f"{content['target']}: said against true")}


def _next_step(content: dict[str, Any]) -> dict[str, Any]:
    import wandb

    told = ("name", "n", "steps", "loss", "nats", "found", "said")
    parts: list[Any] = [[row[name] for name in told] for row in content["parts"]]
    places = [(place, nats) for place, nats in enumerate(content["places"], 1) if nats is not None]
    charts: dict[str, Any] = {"loss_lies": wandb.Table([*told], parts)}
    if places:
        x, y = [list(column) for column in zip(*places, strict=True)]
        charts["loss_by_step"] = wandb.plot.line_series(x, [y], ["nats"], "Loss by the place of a step", "step")
    if content.get("continuations"):
        columns: list[Any] = ["before", "truth", "chance", "expected"]
        rows: list[Any] = [
            [r["before"], r["truth"], r["chance"], json.dumps(r["expected"])] for r in content["continuations"]
        ]
        charts["continuations"] = wandb.Table(columns, rows)
    return charts


DRAWN = {
    "classes": _classes, "tags": _tags, "forecasts": _forecasts, "numbers": _numbers, "next_step": _next_step,
}  # fmt: skip
"""Kind of examples.json -> its charts."""
