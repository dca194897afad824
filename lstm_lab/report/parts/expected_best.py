"""The expected best value after a given training time (Dodge et al., 2019, "Show Your Work")."""

from __future__ import annotations

import random
from statistics import mean, quantiles

from lstm_lab.config import canonical_json
from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLORS, Figure, axis, base_layout, plain_text, to_json, value_axis
from lstm_lab.report.records.hyperparameters import categorical
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

NUM_ORDERS, NUM_STEPS, MIN_TRIALS = 200, 60, 4
"""Random orders of the trials, points of a curve, and fewest trials of a curve."""


def expected_best(sweep: SweepRecord) -> Figure | None:
    """One curve per value of the first categorical hyperparameter; one for all trials where there is none.

    The trials are put into random orders; at each training time the best value so far is averaged over the orders.
    The time of failed and of stopped trials counts.
    """
    groups = {
        name: trials
        for name, trials in _groups(sweep).items()
        if sum(trial.value is not None for trial in trials) >= MIN_TRIALS and sum(trial.seconds for trial in trials) > 0
    }
    curves = {name: _expected(trials, sweep.mode) for name, trials in groups.items()}
    if not any(curves.values()):
        return None
    traces: list[Row] = []
    for (name, rows), color in zip(curves.items(), COLORS, strict=False):
        x, y = [row[0] for row in rows], [row[1] for row in rows]
        traces.append({
            "type": "scatter", "mode": "lines", "x": x + x[::-1],
            "y": [row[3] for row in rows] + [row[2] for row in rows][::-1], "fill": "toself", "fillcolor": color,
            "opacity": 0.14, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "legendgroup": name,
        })  # fmt: skip
        traces.append({
            "type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"color": color, "width": 2.4},
            "name": plain_text(name), "legendgroup": name, "showlegend": len(curves) > 1,
            "hovertemplate": f"{plain_text(name)}: %{{y:.4g}} after %{{x:.0f}} s<extra></extra>",
        })  # fmt: skip
    scale, _ = value_axis([value for rows in curves.values() for row in rows for value in row[1:]], sweep.mode)
    metric = fmt.metric(sweep.metric)
    layout = base_layout(
        340, xaxis=axis("training time (s)", rangemode="tozero"),
        yaxis=axis(f"best {metric}", **scale),
    )  # fmt: skip
    caption = (
        f"Expected best {metric} by training time, summed over trials: mean over {NUM_ORDERS} random orders of the "
        "trials; the band holds 80 % of them. The time of stopped and failed trials counts (Dodge et al., 2019)."
    )
    ends = [f"{name} ends at {fmt.number(rows[-1][1])}" for name, rows in curves.items() if rows]
    alt = f"Expected best {metric} over seconds of training; {fmt.join(ends)}."
    return Figure("budget", "expected best value", caption, alt, to_json(traces, layout), 340)


def _groups(sweep: SweepRecord) -> dict[str, list[Trial]]:
    for key, values in categorical(sweep).items():
        if len(values) <= len(COLORS):
            names = {canonical_json(value): fmt.value(value) for value in values}
            groups: dict[str, list[Trial]] = {name: [] for name in names.values()}
            for trial in sweep.trials:
                if key in trial.overrides and (same := canonical_json(trial.overrides[key])) in names:
                    groups[names[same]].append(trial)
            return groups
    return {"all trials": list(sweep.trials)}


def _expected(trials: list[Trial], mode: str) -> list[tuple[float, float, float, float]]:
    """Seconds, mean, 10 % and 90 % quantile of the best value so far."""
    rng = random.Random(0)
    best = max if mode == "max" else min
    trained = [(trial.seconds, trial.value) for trial in trials if trial.record]
    total = sum(seconds for seconds, _ in trained)
    grid = [total * step / NUM_STEPS for step in range(1, NUM_STEPS + 1)]
    reached: list[list[float]] = [[] for _ in grid]
    for _ in range(NUM_ORDERS):
        order = rng.sample(trained, len(trained))
        spent, so_far, step = 0.0, None, 0
        for seconds, value in [*order, (float("inf"), None)]:
            while step < len(grid) and grid[step] < spent + seconds - 1e-9 * total:
                if so_far is not None:
                    reached[step].append(so_far)
                step += 1
            spent += seconds
            if value is not None:
                so_far = value if so_far is None else best(so_far, value)
    # Before every order has a value, the mean would be over orders with short trials only.
    return [
        (seconds, mean(values), cuts[0], cuts[-1])
        for seconds, values in zip(grid, reached, strict=True)
        if len(values) == NUM_ORDERS
        for cuts in [quantiles(values, n=10)]
    ]
