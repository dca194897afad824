"""Size, latency and score of a run and of its exported graphs, side by side, for the record of the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
import onnx
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch
from lstm_lab.deploy.drawn_inputs import draw_inputs
from lstm_lab.deploy.graph_scores import graph_scores
from lstm_lab.deploy.onnx_writer.states import StatePart
from lstm_lab.deploy.to_onnx import run_session, session_of
from lstm_lab.evaluation.evaluate import scores_of
from lstm_lab.evaluation.predict import LoadedRun
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.training.train import check_same_data

STEPS, WARM_UP, REPEATS = 50, 5, 50
"""Of the sequence that is timed, where the data do not fix it; calls before those that are timed, and how many are."""
TORCH, ONNX, INT8 = "torch, float32", "ONNX, float32", "ONNX, 8 bits"


def measure(
    run: Run, loaded: LoadedRun, graphs: Mapping[str, onnx.ModelProto], parts: Sequence[StatePart], scored: bool
) -> tuple[Row, str]:
    """A row for the run and for each graph: bytes, milliseconds of one random sequence, the metric on validation.

    Calls are interleaved, on one core, and their median is taken.

    Args:
        graphs: by form.
        parts: of their state, where it is an input.
        scored: whether to read the data and score them.

    Returns:
        `exports` of run.json, and why nothing was scored, where that was wanted.
    """
    learner, info = loaded.learner, loaded.info
    inputs, x = draw_inputs(info, 1, STEPS, np.random.default_rng(0))
    given, lengths = torch.from_numpy(x), torch.from_numpy(inputs["lengths"])
    if isinstance(learner.task, Forecast):
        given, lengths = learner.task.model_inputs(Batch(given, lengths, torch.empty(0)))
    start = {part.given: part.start(1) for part in parts}
    sessions = {form: session_of(graph) for form, graph in graphs.items()}

    def graph_call(form: str) -> Callable[[], object]:
        return lambda: run_session(sessions[form], {**inputs, **start})

    calls: dict[str, Callable[[], object]] = {TORCH: lambda: learner.model(given, lengths)}
    calls |= {form: graph_call(form) for form in graphs}
    sizes = {TORCH: sum(p.numel() * p.element_size() for p in learner.model.parameters())}
    sizes |= {form: graph.ByteSize() for form, graph in graphs.items()}
    with torch.inference_mode():
        ms = _interleaved(calls)
    values, reason = _scores(run, loaded, graphs, parts) if scored else ({}, "")
    rows = [{"form": form, "bytes": sizes[form], "ms": ms[form], "value": values.get(form)} for form in calls]
    return {"metric": learner.task.monitor, "steps": x.shape[1], "rows": rows}, reason


def _interleaved(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of each call, the median."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(WARM_UP + REPEATS):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - begun)
    return {name: float(f"{1000 * median(times):.3g}") for name, times in seconds.items()}


def _scores(
    run: Run, loaded: LoadedRun, graphs: Mapping[str, onnx.ModelProto], parts: Sequence[StatePart]
) -> tuple[dict[str, float], str]:
    """The monitored metric of each on the validation split; nothing, and why, where that cannot be."""
    learner, dataset, metric = loaded.learner, loaded.dataset, loaded.learner.task.monitor
    size = 4 * loaded.experiment.data.batch_size
    try:
        check_same_data(run, dataset)
        found = {
            form: graph_scores(graph, learner.task, loaded.info, dataset.validation, size, parts)[metric]
            for form, graph in graphs.items()
        }
    except (ConfigError, DataError) as reason:
        return {}, str(reason)
    return {TORCH: scores_of(learner, dataset.validation, size)[0][metric], **found}, ""


def merged(old: Row | None, new: Row) -> Row:
    """The record with rows that an earlier export has measured and this one has not."""
    rows = {row["form"]: row for row in (old or {}).get("rows", ())}
    for row in new["rows"]:
        value = row["value"] if row["value"] is not None else rows.get(row["form"], {}).get("value")
        rows[row["form"]] = {**row, "value": value}
    return {**new, "rows": list(rows.values())}
