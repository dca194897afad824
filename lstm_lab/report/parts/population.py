"""Population-based training: which trial continued from which, and the hyperparameters that changed."""

from __future__ import annotations

from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLORS, Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, number_cell
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

MAX_TRIALS = 40
"""Trials that are drawn."""


def lineage(sweep: SweepRecord) -> tuple[Figure, Table] | None:
    """One line per trial over its epochs with an arrow at each exploit, and a table of the changes.

    Returns:
        None where no trial continued from another.
    """
    exploits = [(trial, row) for trial in sweep.trials for row in trial.lineage]
    if not exploits:
        return None
    all_trials = [trial for trial in sweep.trials if trial.record]
    trials = all_trials[:MAX_TRIALS]
    levels = {trial.id: level for level, trial in enumerate(trials)}
    colors = {trial.id: COLORS[level % len(COLORS)] for trial, level in zip(trials, levels.values(), strict=True)}
    traces = [trace for trial in trials for trace in _line(trial, levels[trial.id], colors)]
    arrows = [
        {
            "x": row["epoch"], "y": levels[trial.id],
            "ax": row.get("from_epoch", row["epoch"]), "ay": levels[row["source"]],
            "xref": "x", "yref": "y", "axref": "x", "ayref": "y", "text": "", "showarrow": True, "arrowhead": 2,
            "arrowsize": 1.2, "arrowwidth": 1.2, "arrowcolor": "--muted", "standoff": 7, "startstandoff": 3,
        }
        for trial, row in exploits
        if trial.id in levels and row["source"] in levels
    ]  # fmt: skip
    height = 110 + max(26 * len(trials), 90)
    ticks = {"tickvals": list(range(len(trials))), "ticktext": [plain_text(trial.id) for trial in trials]}
    layout = base_layout(
        height, xaxis=axis("epoch", rangemode="tozero"), annotations=arrows,
        yaxis=axis("", **ticks, range=[len(trials) - 0.4, -0.6], ticks="", tickfont={"color": "--text"}),
    )  # fmt: skip
    count = fmt.plural(len(exploits), "time")
    caption = (
        f"One line per trial of the population. {fmt.capitalized(count)} a trial was replaced by a copy of another one "
        "with perturbed hyperparameters (arrow; the line takes the colour of the source)."
    )
    if len(all_trials) > MAX_TRIALS:
        caption += f" The first {MAX_TRIALS} trials are drawn."
    sources = [row["source"] for _, row in exploits]
    most = max(dict.fromkeys(sources), key=sources.count)
    alt = f"Lineage of {len(trials)} trials over epochs; {count} a trial was replaced, most often by a copy of {most}."
    return Figure("lineage", "lineage", caption, alt, to_json(traces, layout), height), _changes(exploits)


def _line(trial: Trial, level: int, colors: dict[str, str]) -> list[Row]:
    """A trial's line in pieces, each in the colour of the trial whose weights it continued from."""
    last = trial.epochs
    starts = [(0, trial.id), *((row["epoch"], row["source"]) for row in trial.lineage)]
    ends = [*(start for start, _ in starts[1:]), max(last, starts[-1][0])]
    return [
        {
            "type": "scatter", "mode": "lines", "x": [start, end], "y": [level, level], "showlegend": False,
            "line": {"color": colors.get(source, "--faint"), "width": 5},
            "hovertemplate": f"{plain_text(trial.id)}, epochs {start} to {end}, weights of {plain_text(source)}"
                             "<extra></extra>",
        }
        for (start, source), end in zip(starts, ends, strict=True)
    ]  # fmt: skip


def _changes(exploits: list[tuple[Trial, Row]]) -> Table:
    """Each exploit: the value of the source, and the new one."""
    exploits = sorted(exploits, key=lambda pair: (pair[1].get("at") or "", pair[1]["epoch"]))
    keys = list(dict.fromkeys(key for _, row in exploits for key in row.get("changes") or {}))
    names = fmt.short_names(keys)

    def change(row: Row, key: str) -> Cell:
        values = (row.get("changes") or {}).get(key)
        return Cell(f"{fmt.value(values['source'])} → {fmt.value(values['new'])}" if values else fmt.MISSING)

    return Table.of_columns(
        f"{fmt.plural(len(exploits), 'exploit')} of the population",
        [
            Column("trial"), Column("epoch", True), Column("source", title="the trial it continued from"),
            *(Column(names[key], False, f"{key}: value of the source → new value") for key in keys),
        ],
        [
            [Cell(trial.id, trial.id, "ids") for trial, _ in exploits],
            [number_cell(row["epoch"]) for _, row in exploits],
            [Cell(f"{row['source']} at epoch {row.get('from_epoch', fmt.MISSING)}", row["source"], "ids")
             for _, row in exploits],
            *([change(row, key) for _, row in exploits] for key in keys),
        ],
    )  # fmt: skip
