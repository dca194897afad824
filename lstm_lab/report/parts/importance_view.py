"""Hyperparameter importance on the page: what may be believed of it, as a sentence, a figure and tables."""

from __future__ import annotations

from statistics import mean

from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.importance import NUM_RESAMPLES, Importance
from lstm_lab.report.parts.tables import Cell, Column, Table, number_cell, percentages


def importance_figure(found: Importance, metric: str) -> Figure:
    """Bars with their intervals, the largest on top."""
    names = fmt.short_names(found.shares)
    keys = list(found.shares)[::-1]
    height = 96 + 34 * len(keys)
    trace = {
        "type": "bar", "orientation": "h", "y": [plain_text(names[key]) for key in keys],
        "x": [found.shares[key] for key in keys], "marker": {"color": "--c1"},
        "error_x": {
            "type": "data", "symmetric": False, "color": "--text", "thickness": 1.4,
            "array": [found.intervals[key][1] - found.shares[key] for key in keys],
            "arrayminus": [found.shares[key] - found.intervals[key][0] for key in keys],
        },
        "hovertemplate": "%{y}: %{x:.0%}<extra></extra>",
    }  # fmt: skip
    layout = base_layout(
        height, xaxis=axis("share of the variance explained", range=[0, 1.02], tickformat=".0%"),
        yaxis=axis("", ticks="", showgrid=False, tickfont={"color": "--text"}), bargap=0.45,
    )  # fmt: skip
    of = f" of {found.configurations} configurations" if found.configurations < found.trials else ""
    caption = (
        f"Share of the variance of {fmt.metric(metric)} that each hyperparameter explains by itself (fANOVA), from "
        f"{found.trials} trials{of}, each with the best of its first {fmt.plural(found.epochs, 'epoch')}, which all "
        f"were given. The lines span the middle 90 % over {NUM_RESAMPLES} resamples of the configurations."
    )
    if found.epochs < found.max_epochs:
        caption += " So hyperparameters that speed up training count as well as those that improve its result."
    if found.left_out:
        caption += f" Left out, because not every trial has them: {fmt.join(found.left_out)}."
    shares = [f"{names[key]} {100 * share:.0f} %" for key, share in found.shares.items()]
    alt = f"Bar chart of hyperparameter importance for {fmt.metric(metric)}: {fmt.join(shares)}."
    return Figure("importance", "hyperparameter importance", caption, alt, to_json([trace], layout), height)


def importance_text(found: Importance) -> str:
    """What may be believed of it, in one sentence."""
    names = fmt.short_names(found.shares)
    first, *others = found.shares
    if found.predicts is None or found.predicts <= 0:
        why = (
            "there are too few configurations"
            if found.predicts is None
            else ("a forest that is fitted to some configurations does not predict the others")
        )
        return f"Which hyperparameter matters is not known yet: {why}."
    if found.is_known(first):
        return f"What matters most is {names[first]}: its interval overlaps with no other one."
    low = found.intervals[first][0]
    level = [names[key] for key in (first, *others) if found.intervals[key][1] >= low]
    return f"What matters most is not known yet: the intervals of {fmt.join(level)} overlap."


def importance_table(found: Importance) -> Table:
    """The same as numbers."""
    names = fmt.short_names(found.shares)
    return Table.of_columns(
        "Hyperparameter importance",
        [
            Column("hyperparameter"),
            Column("share", True, "of the variance"),
            Column("from", True, "5 % of the resamples are below"),
            Column("to", True, "5 % of the resamples are above"),
            Column("place", title="not known yet where its interval overlaps with another one"),
        ],
        [
            [Cell(names[key]) for key in found.shares],
            percentages(found.shares.values()),
            percentages(low for low, _ in found.intervals.values()),
            percentages(high for _, high in found.intervals.values()),
            [Cell(str(place) if found.is_known(key) else "not known yet") for place, key in enumerate(found.shares, 1)],
        ],
    )


def importance_by_value_table(key: str, found: dict[str, Importance]) -> Table:
    """A row per value of the grid, a column per hyperparameter, the most important ones on average first."""
    keys = {other for one in found.values() for other in one.shares}
    order = sorted(keys, key=lambda other: (-mean(one.shares.get(other, 0.0) for one in found.values()), other))
    names = fmt.short_names([key, *order])
    return Table.of_columns(
        f"Share of the variance that each hyperparameter explains for each {names[key]}",
        [Column(names[key]), Column("trials", True), *(Column(names[other], True) for other in order)],
        [
            [Cell(value) for value in found],
            [number_cell(one.trials) for one in found.values()],
            *(percentages((one.shares.get(other) for one in found.values()), 0) for other in order),
        ],
    )
