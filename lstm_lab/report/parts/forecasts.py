"""Figures and tables of forecasts and regressions: windows, error by step ahead, interval coverage, values."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_lab.records.examples import ForecastExamples, ForecastWindow, FutureForecast, ValueExamples
from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, percentages

INTERVALS = ((1, 4, "90 % interval", 0.16), (2, 3, "80 % interval", 0.24))
"""Indices of the lower and the upper end among the five predictions of a window, name and opacity."""


def forecast_figures(examples: ForecastExamples) -> list[Figure]:
    """The forecast after the end of the data, chosen windows, and the error by step ahead."""
    windows = [forecast_window(examples, window, number) for number, window in enumerate(examples.windows)]
    of = ", mean over all targets" if examples.num_targets > 1 else ""
    errors = error_by_step(examples.error_by_step, of, "error-by-step")
    future = [future_forecast(examples, examples.future)] if examples.future else []
    return [*future, *windows, *([errors] if errors else [])]


def forecast_window(examples: ForecastExamples, window: ForecastWindow, number: int) -> Figure:
    """Past, target and forecast of one window, with prediction intervals where there are any."""
    past, target, predictions = window.past, window.target, window.predictions
    before, ahead = list(range(1 - len(past), 1)), list(range(1, len(target) + 1))
    traces: list[Row] = [
        *_bands(ahead, predictions),
        {"type": "scatter", "mode": "lines", "x": before, "y": past, "name": "past",
         "line": {"color": "--faint", "width": 1.6}, "hovertemplate": "%{x}: %{y}<extra></extra>"},
        {"type": "scatter", "mode": "lines", "x": ahead, "y": target, "name": "target",
         "line": {"color": "--text", "width": 2}, "hovertemplate": "%{x}: %{y}<extra>target</extra>"},
        _point_forecast(ahead, predictions),
    ]  # fmt: skip
    name = plain_text(examples.target_name)
    layout = base_layout(300, xaxis=axis("steps ahead"), yaxis=axis(name))
    caption = (
        f"{fmt.capitalized(window.name)} of {examples.samples:,} windows by their error: mean absolute error "
        f"{fmt.number(window.error)}"
        + (f", mean over {examples.num_targets} targets; shown is {name}." if examples.num_targets > 1 else ".")
    )
    alt = f"Line chart of {name}: past values, target and forecast. {caption}"
    return Figure(f"window-{number}", f"{window.name} window", caption, alt, to_json(traces, layout), 300)


def _bands(ahead: Sequence[float | str], predictions: Sequence[list[float | None]]) -> list[Row]:
    """Prediction intervals, where there are any."""
    return [
        {
            "type": "scatter", "mode": "lines", "x": [*ahead, *ahead[::-1]],
            "y": predictions[high] + predictions[low][::-1], "fill": "toself", "fillcolor": "--c1",
            "opacity": opacity, "line": {"width": 0}, "name": name, "hoverinfo": "skip",
        }
        for low, high, name, opacity in (INTERVALS if len(predictions) == 5 else ())
    ]  # fmt: skip


def _point_forecast(ahead: Sequence[float | str], predictions: Sequence[list[float | None]]) -> Row:
    return {
        "type": "scatter", "mode": "lines" if len(ahead) > 1 else "markers", "x": list(ahead), "y": predictions[0],
        "name": "forecast", "line": {"color": "--c1", "width": 2.4, "dash": "dot"},
        "hovertemplate": "%{x}: %{y}<extra>forecast</extra>",
    }  # fmt: skip


def future_forecast(examples: ForecastExamples, future: FutureForecast) -> Figure:
    """The last observations with their times, and the forecast for the rows that follow them."""
    traces: list[Row] = [
        *_bands(future.times_ahead, future.predictions),
        {"type": "scatter", "mode": "lines", "x": future.times, "y": future.past, "name": "observed",
         "line": {"color": "--text", "width": 1.8}, "hovertemplate": "%{x}: %{y}<extra>observed</extra>"},
        _point_forecast(future.times_ahead, future.predictions),
    ]  # fmt: skip
    name = plain_text(examples.target_name)
    whose = f" of {plain_text(future.series)}, the first of {future.num_series:,} series," if future.series else ""
    dates = {"type": "date"} if isinstance(future.times_ahead[0], str) else {}
    observed, first, last = _times([future.times[-1], future.times_ahead[0], future.times_ahead[-1]])
    caption = f"Forecast{whose} after the last observation ({observed}): {first}"
    caption += f" to {last}" if len(future.times_ahead) > 1 else ""
    caption += ". It reads the last rows of the data, those of the test split too; nothing is scored on it."
    caption += "" if len(future.predictions) == 5 else (
        " The model gives no intervals: train with task.conformal=true, or task.output=quantile."
    )  # fmt: skip
    alt = f"Line chart of {name}: {len(future.past)} observed values and the forecast. {caption}"
    layout = base_layout(320, xaxis=axis("time", **dates), yaxis=axis(name))
    return Figure("future", "forecast", caption, alt, to_json(traces, layout), 320)


def _times(times: Sequence[float | str]) -> list[str]:
    """Times as text: dates alone where all are midnight, no seconds where all are 0."""
    texts = [time if isinstance(time, str) else f"{time:g}" for time in times]
    for zero in (" 00:00:00", ":00"):
        if all(len(text) == 19 and text.endswith(zero) for text in texts):
            return [text.removesuffix(zero) for text in texts]
    return texts


def error_by_step(errors: Sequence[float | None], of: str, id: str) -> Figure | None:
    """Mean absolute error over the steps ahead, None where there was nothing to score; None for a single step."""
    known = [(step, error) for step, error in enumerate(errors, 1) if error is not None]
    if len(known) < 2:
        return None
    (first, nearest), (last, farthest) = known[0], known[-1]
    trace = {
        "type": "scatter", "mode": "lines", "x": list(range(1, len(errors) + 1)), "y": list(errors),
        "line": {"color": "--c1", "width": 2.4}, "hovertemplate": "%{x} ahead: %{y:.4g}<extra></extra>",
    }  # fmt: skip
    layout = base_layout(
        300, xaxis=axis("steps ahead"), yaxis=axis("mean absolute error", rangemode="tozero"), showlegend=False
    )
    caption = (
        f"Mean absolute error by step ahead{of}: {fmt.number(nearest)} at step {first}, {fmt.number(farthest)} at "
        f"step {last}."
    )
    alt = f"Line chart of the error over {len(errors)} steps ahead. {caption}"
    return Figure(id, "error by step ahead", caption, alt, to_json([trace], layout), 300)


def interval_coverage(examples: ForecastExamples) -> Table | None:
    """Share of targets inside each prediction interval."""
    rows = examples.coverage
    if not rows:
        return None
    return Table.of_columns(
        "Coverage of the prediction intervals",
        [Column("nominal level"), Column("targets inside", True)],
        [[Cell(f"{100 * row.level:.0f} %") for row in rows], percentages(row.coverage for row in rows)],
    )


def value_figures(examples: ValueExamples) -> list[Figure]:
    """Predicted against target values."""
    pairs = zip(examples.target, examples.prediction, strict=True)
    known = [(target, prediction) for target, prediction in pairs if target is not None and prediction is not None]
    if not known:
        return []
    low, high = min(map(min, known)), max(map(max, known))
    traces: list[Row] = [
        {"type": "scatter", "mode": "lines", "x": [low, high], "y": [low, high], "name": "prediction = target",
         "line": {"color": "--faint", "width": 1.4, "dash": "dash"}, "hoverinfo": "skip"},
        {"type": "scatter", "mode": "markers", "x": [x for x, _ in known], "y": [y for _, y in known],
         "name": "samples", "marker": {"color": "--c1", "size": 6, "opacity": 0.6},
         "hovertemplate": "target %{x}, prediction %{y}<extra></extra>"},
    ]  # fmt: skip
    name = plain_text(examples.target_name)
    layout = base_layout(360, xaxis=axis(f"target: {name}"), yaxis=axis("prediction"))
    caption = f"Predictions of {name} over their targets, one marker per sample; on the dashed line both are equal."
    alt = f"Scatter plot of {len(known)} predictions over targets, from {fmt.number(low)} to {fmt.number(high)}."
    return [Figure("values", "predictions and targets", caption, alt, to_json(traces, layout), 360)]
