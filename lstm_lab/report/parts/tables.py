"""Records -> the tables of a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lstm_lab.files import Row
from lstm_lab.records import finite
from lstm_lab.report import fmt, statistics
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

FIGURE_SPACE, POINT_SPACE = "\u2007", "\u2008"


@dataclass(frozen=True)
class Column:
    name: str
    numeric: bool = False
    title: str = ""
    """What the name leaves out, shown on hovering."""


@dataclass(frozen=True)
class Cell:
    text: str
    value: Any = None
    """By which a column is sorted, at full precision."""
    kind: str = ""
    """Class of its style."""


@dataclass(frozen=True)
class Table:
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    """The first cell of each row is its heading."""
    sortable: bool = False
    marked: frozenset[int] = field(default_factory=frozenset)
    """Rows that stand out."""
    id: str = ""


def aligned(values: Iterable[Any], show: Any = fmt.number) -> list[Cell]:
    """Cells whose decimal points stand below one another."""
    values = list(values)
    texts = [show(value) for value in values]
    tails = [text.partition(".")[2] if finite(value) else "" for text, value in zip(texts, values, strict=True)]
    widest = max(map(len, tails), default=0)
    cells = []
    for value, text, tail in zip(values, texts, tails, strict=True):
        padding = FIGURE_SPACE * (widest - len(tail)) + (POINT_SPACE if widest and not tail else "")
        padding = padding if finite(value) else ""
        cells.append(Cell(text + padding, value, "number"))
    return cells


def states(point: Configuration) -> str:
    counts = Counter(trial.state for trial in point.trials)
    text = ", ".join(state if len(counts) == 1 else f"{count} {state}" for state, count in counts.items())
    clones = [trial.lineage[-1]["source"] for trial in point.trials if trial.lineage]
    return f"{text}, went on from {' '.join(clones)}" if clones else text


def leaderboard(sweep: SweepRecord) -> Table:
    """Points, best first; hyperparameters that never change are left out."""
    keys = varying(sweep)
    names = fmt.short(keys)
    points = sweep.configurations
    records = [[trial.record for trial in point.trials if trial.record] for point in points]
    epochs = [[len(record.rows) for record in row] for row in records]
    sure = any(point.n > 2 for point in points)  # Of two seeds it is too wide to say anything.
    columns = [
        Column("rank", True),
        *(Column(names[key], all(finite(p.overrides.get(key, 0)) for p in points), key) for key in keys),
        Column(fmt.metric(sweep.metric), True, f"{sweep.metric}: mean over seeds of each trial's best epoch"),
        Column("spread", True, "standard deviation over seeds"),
        *([Column("95 % interval", True, "of the mean, over seeds")] if sure else []),
        Column("n", True, "seeds with a value"),
        Column("parameters", True, "numbers that training adjusts"),
        Column("epochs", True, "epochs trained, from the shortest to the longest trial"),
        Column("seconds", True, "summed over the seeds"),
        Column("state"),
        Column("trials"),
    ]
    down = [
        [Cell(str(rank), rank, "number") for rank in range(1, len(points) + 1)],
        *(_settings(points, key) for key in keys),
        aligned(point.mean for point in points),
        aligned(point.std for point in points),
        *([[_sure(point) for point in points]] if sure else []),
        [Cell(str(point.n), point.n, "number") for point in points],
        aligned(point.parameters for point in points),
        [Cell(fmt.span(row), max(row, default=None), "number") for row in epochs],
        aligned((sum(record.seconds for record in row) for row in records), lambda value: f"{value:,.1f}"),
        [Cell(states(point), states(point), point.trials[0].state) for point in points],
        [Cell(" ".join(t.id for t in point.trials), point.trials[0].id, "ids") for point in points],
    ]
    won = {place for place, point in enumerate(points) if sweep.winner in point.trials}
    return Table(
        caption=f"{fmt.plural(len(points), 'point')}, best first by {fmt.metric(sweep.metric)}",
        columns=columns,
        rows=[list(row) for row in zip(*down, strict=True)],
        sortable=True,
        marked=frozenset(won),
        id="leaderboard-table",
    )


def _sure(point: Configuration) -> Cell:
    values = [trial.value for trial in point.trials if trial.value is not None]
    low, high = statistics.interval(values) if len(values) > 2 else (None, None)
    return Cell(statistics.between(low, high), low, "number")


def _settings(points: list[Configuration], key: str) -> list[Cell]:
    """A column of values; a dash where a point has no such hyperparameter."""
    held = [point.overrides.get(key) for point in points]
    texts = [fmt.setting(point.overrides[key]) if key in point.overrides else fmt.NONE for point in points]
    if all(value is None or finite(value) for value in held):
        said = iter(texts)
        return aligned(held, lambda value: next(said))
    return [Cell(text, text) for text in texts]


def varying(sweep: SweepRecord) -> list[str]:
    """Hyperparameters that take more than one value, in the order of the space."""
    seen: dict[str, set[str]] = {}
    for trial in sweep.trials:
        for key, value in trial.overrides.items():
            seen.setdefault(key, set()).add(fmt.same(value))
    order = [*sweep.space, *(key for key in seen if key not in sweep.space)]
    everywhere = {key for key in seen if all(key in trial.overrides for trial in sweep.trials)}
    return [key for key in order if len(seen.get(key, ())) > 1 or (key in seen and key not in everywhere)]


def categories(sweep: SweepRecord) -> dict[str, list[Any]]:
    """Hyperparameters chosen from a list -> their values that were tried, in the order of the list."""
    found = {}
    for key in varying(sweep):
        kind, listed = sweep.space.get(key, ("", []))
        tried = {fmt.same(trial.overrides[key]) for trial in sweep.trials if key in trial.overrides}
        values = [value for value in listed if fmt.same(value) in tried] if kind in ("grid", "choice") else []
        if len(values) > 1:
            found[key] = values
    return found


def compared(model: Row, baselines: dict[str, Row], metric: str) -> str:
    """The metric in which model and baselines are compared: the deciding one, or the first where that is the loss."""
    name = metric.rpartition("/")[2]
    shared = {other for row in baselines.values() for other in row}
    if name in model and (name in shared or (not shared and name != "loss")):
        return name
    return next((other for other in model if other != "loss" and (not shared or other in shared)), name)


def scores(caption: str, ours: str, model: Row, baselines: dict[str, Row], skill: Row, compared: str) -> Table:
    """Model and baselines, one row each."""
    metrics = [name for name in model if not baselines or any(name in row for row in baselines.values())]
    rows = {ours: model, **baselines}
    columns = {name: aligned(row.get(name) for row in rows.values()) for name in metrics}
    down = [
        [Cell(name) for name in rows],
        *columns.values(),
        [Cell("", None, "number"), *aligned((skill.get(name) for name in baselines), fmt.signed)],
    ]
    heads = [
        Column(fmt.metric(name), True, "compared by this" if name == compared else "") for name in metrics
    ]  # fmt: skip
    gained = Column("skill against it", True, "share of the baseline's error that is gone; below 0 the baseline wins")
    return Table(caption, [Column(""), *heads, gained], [list(row) for row in zip(*down, strict=True)],
                 marked=frozenset({0}))  # fmt: skip


def failures(sweep: SweepRecord) -> Table:
    said = {row["trial"]: row.get("reason") for row in (sweep.summary or {}).get("failures", [])}
    names = fmt.short(varying(sweep))
    rows = [
        [
            Cell(trial.id, trial.id, "ids"),
            Cell(fmt.settings({**trial.overrides, "seed": trial.seed}, names)),
            Cell(str(len(trial.record.rows) if trial.record else 0), None, "number"),
            Cell(said.get(trial.id) or trial.reason or "no reason was recorded", None, "reason"),
        ]
        for trial in sweep.trials
        if trial.state == "failed"
    ]
    columns = [Column("trial"), Column("tried"), Column("epochs", True), Column("reason")]
    return Table(fmt.plural(len(rows), "failed trial"), columns, rows)
