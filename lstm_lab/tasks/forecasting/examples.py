"""Examples of forecasts: windows from the median to the worst error, error by step ahead, and coverage of intervals.

The plain values become the typed records of `lstm_lab.records.examples`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lstm_lab.data.base import Batch, NewSamples
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, plain_values
from lstm_lab.tasks.forecasting.outputs import LEVELS
from lstm_lab.tasks.forecasting.scale import scale_of

if TYPE_CHECKING:
    from lstm_lab.tasks.forecast import Forecast


def forecast_examples(task: Forecast, outputs: Outputs) -> Row:
    """`ForecastExamples` without what the run adds."""
    horizon, K = task.shape
    rows, targets, pasts = [], [], []
    for logits, batch in outputs:
        scale, _ = scale_of(task.info, batch)
        rows += task.predictions(logits, batch)
        targets.append(scale.restore(batch.y))
        pasts.append(scale.restore(batch.x[:, : task.info.window, :K]))
    target, past = torch.cat(targets), torch.cat(pasts)  # (N, horizon, K), (N, window, K)
    predictions = torch.tensor(rows, dtype=torch.float64)  # (N, horizon, K * columns)
    columns = predictions.shape[-1] // K
    error = (predictions[..., ::columns] - target).abs()  # Of the point forecast.
    of_window = error.nanmean((1, 2)).nan_to_num(0.0)
    order, N = of_window.argsort(), len(of_window)
    ranks = {"median": N // 2, "90th percentile": (9 * N) // 10, "worst": N - 1}
    windows = [
        {
            "name": name, "error": float(of_window[order[rank]]),
            "past": plain_values(past[order[rank], -3 * horizon :, 0]),
            "target": plain_values(target[order[rank], :, 0]),
            "predictions": [plain_values(column) for column in predictions[order[rank], :, :columns].T],
        }
        for name, rank in ranks.items()
    ]  # fmt: skip
    return {
        "kind": "forecasts", "target_name": task.info.targets[0], "num_targets": K, "windows": windows,
        "error_by_step": plain_values(error.nanmean((0, 2))), "columns": list(task.prediction_columns[:columns]),
        "coverage": _coverage(predictions, target, columns) if columns > 1 else [],
    }  # fmt: skip


def future_example(task: Forecast, logits: Tensor, batch: Batch, samples: NewSamples) -> Row:
    """`FutureForecast`: the first target of the first series, after its last observation."""
    rows = torch.tensor(task.predictions(logits[:1], batch.select(slice(0, 1)))[0], dtype=torch.float64)
    columns = len(task.prediction_columns) // task.shape[1]
    history = list(samples.history)[-max(3 * task.shape[0], 24) :]
    keys = samples.keys[0]
    return {
        "series": str(keys[0][0]) if len(keys[0]) > 2 else "", "num_series": len(samples.keys),
        "times": [_plain_time(time) for time, _ in history],
        "past": plain_values(torch.tensor([value for _, value in history], dtype=torch.float64)),
        "times_ahead": [_plain_time(key[-2]) for key in keys],
        "predictions": [plain_values(column) for column in rows[:, :columns].T],
    }  # fmt: skip


def _plain_time(time: object) -> str | float:
    return float(time) if isinstance(time, int | float) else str(time)


def _coverage(predictions: Tensor, target: Tensor, columns: int) -> list[Row]:
    """Share of targets (N, horizon, K) inside each interval; every `columns`-th prediction is a point forecast."""
    levels = [level for level in LEVELS if level != 0.5]
    ends = {level: predictions[..., 1 + number :: columns] for number, level in enumerate(levels)}
    known = ~target.isnan()
    return [
        {
            "level": round(high - low, 3),
            "coverage": float(((target >= ends[low]) & (target <= ends[high]))[known].float().mean()),
        }
        for low, high in zip(levels[: len(levels) // 2], levels[::-1], strict=False)
    ]
