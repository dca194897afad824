"""What a budget buys: the best value that is to be expected after so many seconds of training."""

from __future__ import annotations

from statistics import quantiles

from lstm_lab.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLOURS, Figure, as_json, axis, layout_of, plain, scale_of
from lstm_lab.report.parts.tables import categories
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

ORDERS, STEPS, FEWEST = 200, 60, 4
"""Random orders that are averaged over, points of a curve, and fewest trials of an arm."""


def equal_budget(sweep: SweepRecord) -> Figure | None:
    """A curve for each value of the first hyperparameter chosen from a list; one for all trials where none is.

    Trials of an arm are drawn in random order; after each the best so far is kept (Dodge et al., 2019, "Show Your
    Work"). What a failed or stopped trial cost is counted.
    """
    arms = {name: trials for name, trials in _arms(sweep).items() if sum(t.value is not None for t in trials) >= FEWEST}
    arms = {name: trials for name, trials in arms.items() if sum(_seconds(trial) for trial in trials) > 0}
    if not arms:
        return None
    curves = {name: _expected(trials, sweep.mode) for name, trials in arms.items()}
    if not any(curves.values()):
        return None
    traces: list[Row] = []
    for (name, rows), colour in zip(curves.items(), COLOURS, strict=False):
        x, y = [row[0] for row in rows], [row[1] for row in rows]
        traces.append({
            "type": "scatter", "mode": "lines", "x": x + x[::-1],
            "y": [row[3] for row in rows] + [row[2] for row in rows][::-1], "fill": "toself", "fillcolor": colour,
            "opacity": 0.14, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "legendgroup": name,
        })  # fmt: skip
        traces.append({
            "type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"color": colour, "width": 2.4},
            "name": plain(name), "legendgroup": name, "showlegend": len(curves) > 1,
            "hovertemplate": f"{plain(name)}: %{{y:.4g}} after %{{x:.0f}} s<extra></extra>",
        })  # fmt: skip
    held = [value for rows in curves.values() for row in rows for value in row[1:]]
    scale, _ = scale_of(held, sweep.mode)
    metric = fmt.metric(sweep.metric)
    layout = layout_of(
        340, xaxis=axis("seconds of training, summed", rangemode="tozero"), yaxis=axis(f"best {metric}", **scale)
    )
    caption = (
        f"Best {metric} to be expected after so much training, over {ORDERS} random orders of the trials; the band "
        "holds four in five of them. What stopped and failed trials cost is counted."
    )
    ends = [f"{name} ends at {fmt.number(rows[-1][1])}" for name, rows in curves.items() if rows]
    alt = f"Best {metric} against seconds of training; {fmt.listed(ends)}."
    return Figure("budget", "at equal budget", caption, alt, as_json(traces, layout), 340)


def _arms(sweep: SweepRecord) -> dict[str, list[Trial]]:
    for key, values in categories(sweep).items():
        if len(values) <= len(COLOURS):
            wanted = {fmt.same(value): fmt.setting(value) for value in values}
            arms: dict[str, list[Trial]] = {name: [] for name in wanted.values()}
            for trial in sweep.trials:
                if key in trial.overrides and fmt.same(trial.overrides[key]) in wanted:
                    arms[wanted[fmt.same(trial.overrides[key])]].append(trial)
            return arms
    return {"all trials": list(sweep.trials)}


def _seconds(trial: Trial) -> float:
    return trial.record.seconds if trial.record else 0.0


def _expected(trials: list[Trial], mode: str) -> list[tuple[float, float, float, float]]:
    """Seconds, mean, and the 10 and 90 % points of the best so far."""
    import random

    dice = random.Random(0)
    best = max if mode == "max" else min
    ran = [(_seconds(trial), trial.value) for trial in trials if trial.record]
    total = sum(seconds for seconds, _ in ran)
    grid = [total * place / STEPS for place in range(1, STEPS + 1)]
    reached: list[list[float]] = [[] for _ in grid]
    for _ in range(ORDERS):
        order = dice.sample(ran, len(ran))
        spent, so_far, place = 0.0, None, 0
        for seconds, value in [*order, (float("inf"), None)]:
            while place < len(grid) and grid[place] < spent + seconds - 1e-9 * total:
                if so_far is not None:
                    reached[place].append(so_far)
                place += 1
            spent += seconds
            if value is not None:
                so_far = value if so_far is None else best(so_far, value)
    # Before every order has a value the mean would be over the quick ones alone.
    return [
        (seconds, sum(values) / len(values), cuts[0], cuts[-1])
        for seconds, values in zip(grid, reached, strict=True)
        if len(values) == ORDERS
        for cuts in [quantiles(values, n=10)]
    ]
