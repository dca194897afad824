"""Experiments side by side: their leaderboard and tests, what they differ in, their curves, costs and sources."""

from __future__ import annotations

from pathlib import Path

from lstm_lab.files import Row
from lstm_lab.records import finite
from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.figures import COLOURS, Figure, as_json, axis, layout_of, plain, scale_of, thin
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned
from lstm_lab.report.records.entries import Arena, Entry
from lstm_lab.report.sections import critical_difference, provenance

MOST_COLUMNS = 8
"""Entries that stand side by side where their settings are compared."""


def table(arena: Arena, place: int) -> Table:
    entries = arena.entries
    test = arena.metric.rpartition("/")[2]
    tested = [entry.tested(test) for entry in entries]
    epochs = [[len(record.rows) for record in entry.records] for entry in entries]
    held = [list(entry.values.values()) for entry in entries]
    # Of two seeds it is too wide to say anything.
    intervals = [statistics.interval(values) if len(values) > 2 else (None, None) for values in held]
    down = [
        [Cell(str(rank), rank, "number") for rank in range(1, len(entries) + 1)],
        [Cell(entry.name, entry.name) for entry in entries],
        [Cell(entry.kind, entry.kind) for entry in entries],
        aligned(entry.mean for entry in entries),
        aligned(entry.spread for entry in entries),
        [Cell(statistics.between(low, high), low, "number") for low, high in intervals],
        [Cell(str(len(entry.values)), len(entry.values), "number") for entry in entries],
        aligned(_parameters(entry) for entry in entries),
        [Cell(fmt.span(row), max(row, default=None), "number") for row in epochs],
        aligned((entry.seconds for entry in entries), lambda value: f"{value:,.1f}"),
    ]
    columns = [
        Column("rank", True), Column("experiment"), Column("from"), Column(fmt.metric(arena.metric), True),
        Column("spread", True, "standard deviation over seeds"),
        Column("95 % interval", True, "of the mean, over seeds"), Column("n", True, "seeds with a value"),
        Column("parameters", True), Column("epochs", True), Column("seconds", True, "of training, summed over seeds"),
    ]  # fmt: skip
    if any(tested):
        down.append(aligned(sum(row) / len(row) if row else None for row in tested))
        columns.append(Column(f"test {fmt.metric(test)}", True, "mean over the seeds that opened the test part"))
    marked = frozenset({0}) if entries[0].mean is not None else frozenset()
    caption = f"{fmt.plural(len(entries), 'experiment')}, best first by {fmt.metric(arena.metric)}"
    rows = [list(row) for row in zip(*down, strict=True)]
    return Table(caption, columns, rows, sortable=True, marked=marked, id=f"experiments-{place}")


def _parameters(entry: Entry) -> int | None:
    return next((count for r in entry.records if isinstance(count := r.about.get("parameters"), int)), None)


def differ(arena: Arena, best: Entry, other: Entry) -> list[float]:
    """By how much `best` is better, for each seed that both have."""
    sign = -1 if arena.mode == "max" else 1
    return [sign * (other.values[seed] - value) for seed, value in best.values.items() if seed in other.values]


def tests(arena: Arena) -> list[str]:
    """Each against the best, over shared seeds, corrected for how many there are."""
    scored = [entry for entry in arena.entries if entry.mean is not None]
    if len(scored) < 3:
        return []
    best, told = scored[0], []
    found = [(entry, statistics.signed_rank(differ(arena, best, entry))) for entry in scored[1:]]
    known = [(entry, p) for entry, p in found if p is not None]
    for (entry, _), p in zip(known, statistics.holm([p for _, p in known]), strict=True):
        told.append(f"{entry.name} {statistics.chance(p)}")
    if not told:
        return [f"For tests against the best, {statistics.ENOUGH} shared seeds are needed."]
    return [
        f"Each against {best.name}, Wilcoxon's signed ranks over shared seeds, corrected (Holm): {fmt.listed(told)}."
    ]


def differences(arena: Arena) -> Table | None:
    """Settings that are not the same in all; a row for each, or a row for each experiment where there are many."""
    entries = arena.entries
    keys = critical_difference.differing(entries)
    if len(entries) < 2 or not keys:
        return None

    def cell(entry: Entry, key: str) -> Cell:
        text = fmt.setting(entry.settings[key]) if key in entry.settings else fmt.NONE
        return Cell(text, entry.settings[key] if finite(entry.settings.get(key)) else text)

    if len(entries) <= MOST_COLUMNS:
        columns = [Column("setting"), *(Column(entry.name) for entry in entries)]
        return Table("Settings that differ", columns, [[Cell(key), *(cell(e, key) for e in entries)] for key in keys])
    names = fmt.short(keys)
    columns = [Column("experiment"), *(Column(names[key], title=key) for key in keys)]
    rows = [[Cell(entry.name, entry.name), *(cell(entry, key) for key in keys)] for entry in entries]
    return Table("Settings that differ", columns, rows, sortable=True, id=f"settings-{arena.data}")


def curves(arena: Arena, name: str) -> Figure | None:
    """A line for each seed of each experiment, in one colour each; the best ones have colours of their own."""
    drawn = [
        (place, entry, record, [row for row in record.rows if finite(row.get(arena.metric))])
        for place, entry in enumerate(arena.entries[:30])
        for record in entry.records[:10]
    ]
    drawn = [each for each in drawn if each[3]]
    if not drawn:
        return None
    scale, cut = scale_of((row[arena.metric] for *_, rows in drawn for row in rows), arena.mode)
    traces: list[Row] = []
    told = set()
    for place, entry, record, rows in reversed(drawn):
        colour = COLOURS[place] if place < len(COLOURS) else "--faint"
        label = entry.name if place < len(COLOURS) else "others"
        rows = thin(rows, record.best)
        traces.append({
            "type": "scatter", "mode": "lines" if len(rows) > 1 else "markers", "x": [row["epoch"] for row in rows],
            "y": [row[arena.metric] for row in rows], "line": {"color": colour, "width": 2.4 if not place else 1.5},
            "marker": {"color": colour, "size": 6}, "name": plain(label), "legendgroup": label,
            "showlegend": label not in told, "opacity": 0.85, "legendrank": place + 1,
            "hovertemplate": f"{plain(entry.name)}, {plain(record.name)}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
        })  # fmt: skip
        told.add(label)
    metric = fmt.metric(arena.metric)
    layout = layout_of(400, xaxis=axis("epoch", rangemode="tozero"), yaxis=axis(metric, **scale))
    caption = f"{fmt.sentence(metric)} on {arena.data} over epochs, a line for each seed." + (
        " The largest values lie above the panel." if cut else ""
    )
    best = arena.entries[0]
    alt = f"Line chart of {metric} on {arena.data} for {fmt.plural(len(told), 'experiment')}; "
    alt += f"{best.name} reaches {fmt.number(best.mean)}."
    return Figure(name, metric, caption, alt, as_json(traces, layout), 400)


def costs(entries: list[Entry]) -> Table:
    spent = [entry.seconds for entry in entries]
    whole = [_search(entry) for entry in entries]
    down = [
        [Cell(entry.name, entry.name) for entry in entries],
        [Cell(str(len(entry.records)), len(entry.records), "number") for entry in entries],
        aligned(spent, lambda value: f"{value:,.1f}"),
        aligned((s / n if (n := sum(len(r.rows) for r in e.records)) else None
                 for s, e in zip(spent, entries, strict=True))),
    ]  # fmt: skip
    columns = [
        Column("experiment"), Column("runs", True), Column("seconds of training", True),
        Column("seconds an epoch", True),
    ]  # fmt: skip
    if any(whole):
        down.append(aligned(whole, lambda value: fmt.NONE if value is None else f"{value:,.1f}"))
        columns.append(Column("seconds of its sweep", True, "training of all trials that were tried to find it"))
    return Table(
        "What each cost", columns, [list(row) for row in zip(*down, strict=True)], sortable=True, id="costs-table"
    )


def _search(entry: Entry) -> float | None:
    return sum(t.record.seconds for t in entry.sweep.trials if t.record) if entry.sweep else None


def warnings(grounds: list[Arena]) -> list[str]:
    """What should be alike and is not."""
    said = []
    records = [record for arena in grounds for entry in arena.entries for record in entry.records]
    commits = {git["commit"][:12] for record in records if (git := record.about.get("git"))}
    if len(commits) > 1:
        said.append(f"Not all ran the same code: {fmt.listed(sorted(commits))}.")
    torches = {v["torch"] for record in records if (v := record.about.get("versions")) and "torch" in v}
    if len(torches) > 1:
        said.append(f"Not all ran the same torch: {fmt.listed(sorted(torches))}.")
    return said


def sources(entries: list[Entry]) -> Table:
    rows = []
    for entry in entries:
        first = entry.records[0]
        path = entry.sweep.path if entry.sweep else first.path
        git = first.about.get("git") or {}
        code = git["commit"][:12] + (" and changes" if git.get("dirty") else "") if git else fmt.NONE
        openings = sum(len(record.test_evaluations) for record in entry.records)
        rows.append([
            Cell(entry.name, entry.name), Cell(provenance.shown(Path(path)), None, "ids"),
            Cell(first.about.get("command") or fmt.NONE, None, "ids"), Cell(code, None, "ids"),
            Cell(entry.digest or "not known", None, "ids"),
            Cell(fmt.NONE if entry.kind == "W&B" else str(openings), openings, "number"),
            Cell(", ".join(dict.fromkeys(record.state for record in entry.records))),
        ])  # fmt: skip
    columns = [
        Column("experiment"), Column("from"), Column("command"), Column("code"), Column("data digest"),
        Column("test openings", True), Column("state"),
    ]  # fmt: skip
    return Table("Where each comes from", columns, rows)
