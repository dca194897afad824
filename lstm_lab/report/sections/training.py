"""How trials learned beside their curves: learning rates, and who went on from whom in a population."""

from __future__ import annotations

from lstm_lab.files import Row
from lstm_lab.records import RunRecord, finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLOURS, Figure, as_json, axis, chosen, layout_of, plain, scale_of, thin
from lstm_lab.report.parts.tables import Cell, Column, Table
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

RATES, MEMBERS = 12, 40
"""Trials of which the learning rate is drawn, and members of a population that are."""


def rates(sweep: SweepRecord) -> Figure | None:
    """Learning rate over the epochs of the best trials, where it moves in any of them."""
    drawn = [(trial, _rate(trial.record)) for trial in chosen(sweep)[:RATES] if trial.record]
    drawn = [(trial, rows) for trial, rows in drawn if rows]
    if not any(len({row["lr"] for row in rows}) > 1 for _, rows in drawn):
        return None
    scale, _ = scale_of((row["lr"] for _, rows in drawn for row in rows), "min")
    traces = [
        {
            "type": "scatter", "mode": "lines" if len(rows) > 1 else "markers",
            "x": [row["epoch"] for row in rows], "y": [row["lr"] for row in rows],
            "line": {"color": "--c1" if trial is sweep.winner else "--faint",
                     "width": 3 if trial is sweep.winner else 1.4},
            "marker": {"color": "--c1" if trial is sweep.winner else "--faint"},
            "name": "winner" if trial is sweep.winner else "other trials",
            "legendgroup": "winner" if trial is sweep.winner else "other",
            "showlegend": trial is sweep.winner or place == next(
                (p for p, (t, _) in enumerate(drawn) if t is not sweep.winner), None),
            "hovertemplate": f"{plain(trial.id)}, epoch %{{x}}: %{{y:.3g}}<extra></extra>",
        }
        for place, (trial, rows) in reversed(list(enumerate(drawn)))
    ]  # fmt: skip
    layout = layout_of(320, xaxis=axis("epoch", rangemode="tozero"), yaxis=axis("learning rate", **scale))
    caption = (
        f"Learning rate over epochs of {'the best ' if len(drawn) == RATES else ''}{fmt.plural(len(drawn), 'trial')}."
    )
    trial, rows = drawn[0]
    alt = f"{caption} {trial.id} begins at {fmt.number(rows[0]['lr'])} and ends at {fmt.number(rows[-1]['lr'])}."
    return Figure("rates", "learning rates", caption, alt, as_json(traces, layout), 320)


def _rate(record: RunRecord) -> list[Row]:
    return thin([row for row in record.rows if finite(row.get("lr"))], record.best)


def lineage(sweep: SweepRecord) -> tuple[Figure, Table] | None:
    """Members of a population as lines over their epochs, and an arrow where one went on as a clone of another."""
    rows = [(trial, row) for trial in sweep.trials for row in trial.lineage]
    if not rows:
        return None
    members = [trial for trial in sweep.trials if trial.record][:MEMBERS]
    places = {trial.id: place for place, trial in enumerate(members)}
    colours = {trial.id: COLOURS[place % len(COLOURS)] for place, trial in enumerate(members)}
    traces = [trace for trial in members for trace in _line(trial, places[trial.id], colours)]
    arrows = [
        {
            "x": row["epoch"], "y": places[trial.id],
            "ax": row.get("from_epoch", row["epoch"]), "ay": places[row["source"]],
            "xref": "x", "yref": "y", "axref": "x", "ayref": "y", "text": "", "showarrow": True, "arrowhead": 2,
            "arrowsize": 1.2, "arrowwidth": 1.2, "arrowcolor": "--muted", "standoff": 7, "startstandoff": 3,
        }
        for trial, row in rows
        if trial.id in places and row["source"] in places
    ]  # fmt: skip
    height = 110 + max(26 * len(members), 90)
    marks = {"tickvals": list(range(len(members))), "ticktext": [plain(trial.id) for trial in members]}
    layout = layout_of(
        height, xaxis=axis("epoch", rangemode="tozero"), annotations=arrows,
        yaxis=axis("", **marks, range=[len(members) - 0.4, -0.6], ticks="", tickfont={"color": "--ink"}),
    )  # fmt: skip
    changes = fmt.plural(len(rows), "time")
    caption = (
        f"A line for each member of the population; {changes} one dropped what it had and went on as a clone of "
        "another (arrow, and that member's colour from there), with changed numbers."
    )
    if len([t for t in sweep.trials if t.record]) > MEMBERS:
        caption += f" The first {MEMBERS} members are drawn."
    most = max({row["source"] for _, row in rows}, key=lambda name: sum(row["source"] == name for _, row in rows))
    alt = f"Lineage of {len(members)} trials over epochs; {changes} a trial was replaced, most often by {most}."
    return Figure("lineage", "lineage", caption, alt, as_json(traces, layout), height), _changes(sweep, rows)


def _line(trial: Trial, place: int, colours: dict[str, str]) -> list[Row]:
    """A member's line in pieces, each in the colour of the trial whose weights it went on with."""
    assert trial.record is not None
    last = trial.record.rows[-1]["epoch"] + 1 if trial.record.rows else 0
    starts = [(0, trial.id), *((row["epoch"], row["source"]) for row in trial.lineage)]
    ends = [*(start for start, _ in starts[1:]), max(last, starts[-1][0])]
    return [
        {
            "type": "scatter", "mode": "lines", "x": [start, end], "y": [place, place], "showlegend": False,
            "line": {"color": colours.get(origin, "--faint"), "width": 5},
            "hovertemplate": f"{plain(trial.id)}, epochs {start} to {end}, weights of {plain(origin)}<extra></extra>",
        }
        for (start, origin), end in zip(starts, ends, strict=True)
    ]  # fmt: skip


def _changes(sweep: SweepRecord, rows: list[tuple[Trial, Row]]) -> Table:
    """What was changed at each clone: the donor's value and the new one."""
    rows = sorted(rows, key=lambda pair: (pair[1].get("at") or "", pair[1]["epoch"]))
    keys = list(dict.fromkeys(key for _, row in rows for key in row.get("changes") or {}))
    names = fmt.short(keys)
    body = []
    for trial, row in rows:
        cells = [
            Cell(trial.id, trial.id, "ids"), Cell(str(row["epoch"]), row["epoch"], "number"),
            Cell(f"{row['source']} at epoch {row.get('from_epoch', fmt.NONE)}", row["source"], "ids"),
        ]  # fmt: skip
        for key in keys:
            change = (row.get("changes") or {}).get(key)
            told = fmt.NONE if change is None else f"{fmt.setting(change['source'])} → {fmt.setting(change['new'])}"
            cells.append(Cell(told))
        body.append(cells)
    columns = [
        Column("trial"), Column("epoch", True), Column("went on from"),
        *(Column(names[key], False, f"{key}: the donor's value, and what became of it") for key in keys),
    ]  # fmt: skip
    return Table(f"{fmt.plural(len(body), 'change')} of the population", columns, body)
