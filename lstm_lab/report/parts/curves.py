"""Metrics and learning rates by epoch, of the trials of a sweep or of one run."""

from __future__ import annotations

from lstm_lab.config import canonical_json
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import (
    COLORS,
    CUT_OFF,
    Figure,
    axis,
    base_layout,
    downsample,
    epoch_axis,
    plain_text,
    to_json,
    value_axis,
)
from lstm_lab.report.records.hyperparameters import categorical, varying
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

NUM_BEST, NUM_DRAWN = 20, 60
"""Trials whose curves are drawn in any case, and in all."""
NUM_LEARNING_RATES = 12
"""Trials whose learning rate is drawn."""
ENDS = {
    "stopped": ("circle-open", "stopped early"),
    "failed": ("x-thin-open", "failed"),
    "interrupted": ("diamond-open", "interrupted"),
}
"""State of a trial -> marker at its last epoch, and label."""


def drawn_trials(sweep: SweepRecord) -> list[Trial]:
    """Trials whose curves are drawn: the best ones, and of the others some evenly spread over their ranks."""
    ranked = [trial for row in sweep.configurations for trial in row.trials if trial.record and trial.record.rows]
    if sweep.winner in ranked:
        ranked.sort(key=lambda trial: trial is not sweep.winner)
    if len(ranked) <= NUM_DRAWN:
        return ranked
    rest, wanted = ranked[NUM_BEST:], NUM_DRAWN - NUM_BEST
    return ranked[:NUM_BEST] + [rest[round(n * (len(rest) - 1) / (wanted - 1))] for n in range(wanted)]


def trial_curves(sweep: SweepRecord) -> list[Figure]:
    """Monitored metric and training loss by epoch, one line per trial."""
    trials = drawn_trials(sweep)
    figures = (
        _trial_curves(sweep, trials, name, column)
        for name, column in (("monitor", sweep.metric), ("train", "train/loss"))
    )
    return [figure for figure in figures if figure]


def _trial_curves(sweep: SweepRecord, trials: list[Trial], name: str, column: str) -> Figure | None:
    drawn = [(trial, rows) for trial in trials if (rows := _points(trial, column))]
    if not drawn:
        return None
    mode = sweep.mode if column == sweep.metric else "min"
    scale, cut = value_axis((row[column] for _, rows in drawn for row in rows), mode)
    traces = [*_lines(sweep, drawn, column), *_end_markers(drawn, column)]
    best = next((trial for trial, _ in drawn if trial is sweep.winner), None)
    if best is not None and best.record and best.record.best and finite(best.record.best.get(column)):
        traces.append(_best_epoch(best.id, best.record, column))
    metric = fmt.metric(column)
    caption = f"{fmt.capitalized(metric)} by epoch, one line per trial."
    trained = sum(bool(trial.record and trial.record.rows) for trial in sweep.trials)
    if trained > len(drawn):
        caption += f" {len(drawn)} of {trained} trials are drawn: the best {NUM_BEST}, and others evenly over the rest."
    caption += CUT_OFF if cut else ""
    result = f"the best trial, {best.id}, reaches {fmt.number(best.value)}" if best else "there is no best trial yet"
    alt = f"Line chart of {metric} over epochs for {fmt.plural(len(drawn), 'trial')}; {result}."
    last = max(row["epoch"] for _, rows in drawn for row in rows)
    layout = base_layout(400, xaxis=epoch_axis(last), yaxis=axis(metric, **scale))
    return Figure(f"curves-{name}", metric, caption, alt, to_json(traces, layout), 400)


def _points(trial: Trial, column: str) -> list[Row]:
    if trial.record is None:
        return []
    return downsample([row for row in trial.record.rows if finite(row.get(column))], trial.record.best)


def _colors(sweep: SweepRecord) -> tuple[str | None, dict[str, str]]:
    """The first hyperparameter chosen from a short list, and the colour of each of its values."""
    for key, values in categorical(sweep).items():
        if len(values) <= len(COLORS):
            return key, dict(zip(map(canonical_json, values), COLORS, strict=False))
    return None, {}


def _lines(sweep: SweepRecord, drawn: list[tuple[Trial, list[Row]]], column: str) -> list[Row]:
    """One line per trial; that of the best trial last, so that it is on top."""
    key, colors = _colors(sweep)
    names = fmt.short_names(varying(sweep))
    traces, labels = [], set()
    for trial, rows in sorted(drawn, key=lambda pair: pair[0] is sweep.winner):
        value = trial.overrides.get(key) if key else None
        color = colors.get(canonical_json(value), "--faint") if key else "--faint"
        best = trial is sweep.winner
        label = "best trial" if best else fmt.value(value) if key in trial.overrides else "other trials"
        hover = plain_text(f"{trial.id}: {fmt.configuration({**trial.overrides, 'seed': str(trial.repeat)}, names)}")
        traces.append({
            "type": "scatter",
            "mode": "lines" if len(rows) > 1 else "markers",
            "x": [row["epoch"] for row in rows],
            "y": [row[column] for row in rows],
            "line": {"color": (color if key else "--c1") if best else color, "width": 3.5 if best else 1.4},
            "marker": {"color": color, "size": 5},
            "opacity": 1 if best else 0.55,
            "name": plain_text(label),
            "legendgroup": label,
            "showlegend": label not in labels,
            "hovertemplate": f"{hover}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
        })  # fmt: skip
        labels.add(label)
    return traces


def _end_markers(drawn: list[tuple[Trial, list[Row]]], column: str) -> list[Row]:
    """A marker at the last epoch of each trial that was not trained to completion."""
    traces = []
    for state, (symbol, label) in ENDS.items():
        last = [(trial, rows[-1]) for trial, rows in drawn if trial.state == state]
        if last:
            traces.append({
                "type": "scatter",
                "mode": "markers",
                "x": [row["epoch"] for _, row in last],
                "y": [row[column] for _, row in last],
                "text": [plain_text(trial.id) for trial, _ in last],
                "marker": {"symbol": symbol, "size": 8, "color": "--text", "line": {"width": 1.4, "color": "--text"}},
                "name": label,
                "hovertemplate": f"%{{text}} {label} after epoch %{{x}}<extra></extra>",
            })  # fmt: skip
    return traces


def _best_epoch(name: str, record: RunRecord, column: str) -> Row:
    """A mark at the epoch that counts."""
    best = record.best or {}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [best["epoch"]],
        "y": [best[column]],
        "marker": {"symbol": "star", "size": 15, "color": "--star", "line": {"width": 1, "color": "--text"}},
        "name": f"{record.select} epoch",
        "hovertemplate": f"{plain_text(name)}, {record.select} epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def _roll_backs(rows: list[Row], column: str) -> Row:
    """A mark where weights and optimizer returned to the best epoch."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [row["epoch"] for row in rows],
        "y": [row[column] for row in rows],
        "text": [str(row["rolled_back_to"]) for row in rows],
        "marker": {"symbol": "triangle-left", "size": 11, "color": "--text"},
        "name": "rolled back",
        "hovertemplate": "after epoch %{x} back to epoch %{text}<extra></extra>",
    }


def learning_rates(sweep: SweepRecord) -> Figure | None:
    """Learning rate by epoch of the best trials; None where it is constant in all of them."""
    drawn = [(trial, rows) for trial in drawn_trials(sweep)[:NUM_LEARNING_RATES] if (rows := _points(trial, "lr"))]
    if not any(len({row["lr"] for row in rows}) > 1 for _, rows in drawn):
        return None
    scale, _ = value_axis((row["lr"] for _, rows in drawn for row in rows), "min")
    first_other = next((trial for trial, _ in drawn if trial is not sweep.winner), None)
    traces = []
    for trial, rows in reversed(drawn):
        best = trial is sweep.winner
        traces.append({
            "type": "scatter", "mode": "lines" if len(rows) > 1 else "markers",
            "x": [row["epoch"] for row in rows], "y": [row["lr"] for row in rows],
            "line": {"color": "--c1" if best else "--faint", "width": 3 if best else 1.4},
            "marker": {"color": "--c1" if best else "--faint"},
            "name": "best trial" if best else "other trials", "legendgroup": "best" if best else "other",
            "showlegend": best or trial is first_other,
            "hovertemplate": f"{plain_text(trial.id)}, epoch %{{x}}: %{{y:.3g}}<extra></extra>",
        })  # fmt: skip
    last = max(row["epoch"] for _, rows in drawn for row in rows)
    layout = base_layout(320, xaxis=epoch_axis(last), yaxis=axis("learning rate", **scale))
    which = "the best " if len(drawn) == NUM_LEARNING_RATES else ""
    caption = f"Learning rate by epoch of {which}{fmt.plural(len(drawn), 'trial')}."
    trial, rows = drawn[0]
    alt = f"{caption} {trial.id} starts at {fmt.number(rows[0]['lr'])} and ends at {fmt.number(rows[-1]['lr'])}."
    return Figure("learning-rates", "learning rate", caption, alt, to_json(traces, layout), 320)


def run_curves(record: RunRecord) -> list[Figure]:
    """Monitored metric, losses and learning rate of one run by epoch."""
    metric = record.monitor or "val/loss"
    panels = [
        ("loss", "loss", ["train/loss", "val/loss"], "min"),
        # A learning rate that decays to zero would show only its end on a logarithmic axis.
        ("learning-rate", "learning rate", ["lr"], "linear"),
    ]
    if metric != "val/loss":
        panels.insert(0, ("monitor", fmt.metric(metric), [metric], record.mode))
    figures = []
    for name, title, columns, scale in panels:
        lines = {c: [row for row in record.rows if finite(row.get(c))] for c in columns}
        lines = {column: downsample(rows, record.best) for column, rows in lines.items() if rows}
        if lines:
            figures.append(_run_curves(record, name, title, lines, scale))
    return figures


def _run_curves(record: RunRecord, name: str, title: str, lines: dict[str, list[Row]], mode: str) -> Figure:
    scale, cut = value_axis((row[column] for column, rows in lines.items() for row in rows), mode)
    colors = ("--c2", "--c1") if len(lines) > 1 else ("--c1",)
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(rows) < 2 else "lines",
            "x": [row["epoch"] for row in rows],
            "y": [row[column] for row in rows],
            "line": {"color": color, "width": 2.2},
            "name": fmt.metric(column),
            "hovertemplate": "epoch %{x}: %{y:.4g}<extra></extra>",
        }
        for (column, rows), color in zip(lines.items(), colors, strict=True)
    ]
    if record.best and record.monitor in lines:
        traces.append(_best_epoch(record.name, record, record.monitor))
    column = next(iter(lines))
    returns = [row for row in record.rows if finite(row.get("rolled_back_to")) and finite(row.get(column))]
    if returns:
        traces.append(_roll_backs(returns, column))
    last = max(row["epoch"] for rows in lines.values() for row in rows)
    layout = base_layout(340, xaxis=epoch_axis(last), yaxis=axis(title, **scale), showlegend=len(traces) > 1)
    caption = f"{fmt.capitalized(title)} by epoch." + (CUT_OFF if cut else "")
    ends = [f"{fmt.metric(column)} ends at {fmt.number(rows[-1][column])}" for column, rows in lines.items()]
    alt = f"Line chart of {title} over {fmt.plural(len(record.rows), 'epoch')}; {fmt.join(ends)}."
    return Figure(f"curves-{name}", title, caption, alt, to_json(traces, layout), 340)
