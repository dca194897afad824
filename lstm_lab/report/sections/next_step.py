"""What a model of the next step does, from its examples.json: where its loss lies, and stretches of what it was asked.

Tokens are told in bits, frames in nats, as they are published.
"""

from __future__ import annotations

import math

from lstm_lab.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, as_json, axis, layout_of, plain
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned

SEEN = str.maketrans({" ": "␣", "Ġ": "␣", "\n": "↵", "Ċ": "↵"})
NAMED = 9
"""Channels named beside a piano roll, about."""


def seen(token: str) -> str:
    """A token whose spaces can be seen."""
    return plain(token.translate(SEEN))


def summary(content: Row) -> str:
    nll = content["nll"]
    if content["form"] == "frames":
        return f"A step costs {fmt.number(nll)} nats on average, over {content['steps']:,} steps."
    unit = "character" if content["single"] else "token"
    return (
        f"A {unit} costs {fmt.number(nll / math.log(2))} bits on average, over {content['steps']:,} of them: a "
        f"perplexity of {fmt.number(math.exp(nll))}."
    )


def figures_of(content: Row) -> list[Figure]:
    draw = _roll if content["form"] == "frames" else _tokens
    places = _places(content)
    drawn = [draw(content, stretch, number) for number, stretch in enumerate(content["stretches"])]
    return [*drawn, *([places] if places else [])]


def _places(content: Row) -> Figure | None:
    """The loss over the places of a sequence: what the model gains from what it has read."""
    found = [(place, nats) for place, nats in enumerate(content["places"], 1) if nats is not None]
    if len(found) < 3:
        return None
    unit, per = ("bits", math.log(2)) if content["form"] == "tokens" else ("nats", 1.0)
    values = [nats / per for _, nats in found]
    trace = {
        "type": "scatter", "mode": "lines", "x": [place for place, _ in found], "y": values,
        "line": {"color": "--c1", "width": 2.4}, "hovertemplate": "step %{x}: %{y:.4g}<extra></extra>",
    }  # fmt: skip
    layout = layout_of(
        300, xaxis=axis("step of a sequence"), yaxis=axis(f"{unit} a step", rangemode="tozero"), showlegend=False
    )
    caption = (
        f"Loss by the place of a step in its sequence, averaged over sequences: {fmt.number(values[0])} {unit} at "
        f"step {found[0][0]}, {fmt.number(values[-1])} at step {found[-1][0]}."
    )
    alt = f"Line chart of the loss over {len(found)} steps. {caption}"
    return Figure("places", "loss by step", caption, alt, as_json([trace], layout), 300)


def _head(stretch: Row, drawn: int, per: float, unit: str) -> str:
    more = f", its first {drawn} of {stretch['length']:,} steps" if stretch["length"] > drawn else ""
    return f"{fmt.sentence(stretch['name'])} of the sequences{more}: {fmt.number(stretch['nll'] / per)} {unit} a step."


def _tokens(content: Row, stretch: Row, number: int) -> Figure:
    """A bar for what each token cost; below it the token, and what was held likeliest instead."""
    bits = [None if nats is None else nats / math.log(2) for nats in stretch["nats"]]
    came, said = [seen(token) for token in stretch["tokens"]], [seen(token) for token in stretch["expected"]]
    short = content["single"]
    labels = [f"{a}<br>{b if value is not None else ''}" for a, b, value in zip(came, said, bits, strict=True)]
    trace = {
        "type": "bar", "x": list(range(len(bits))), "y": bits, "marker": {"color": "--c1"},
        "customdata": [[a, b] for a, b in zip(came, said, strict=True)],
        "hovertemplate": "%{customdata[0]}: %{y:.3g} bits; likeliest was %{customdata[1]}<extra></extra>",
    }  # fmt: skip
    letters = {"family": "ui-monospace, DejaVu Sans Mono, monospace", "size": 11, "color": "--ink"}
    layout = layout_of(
        260, showlegend=False, bargap=0.25, yaxis=axis("bits", rangemode="tozero"),
        xaxis=axis("", tickvals=list(range(len(bits))), ticktext=labels if short else came, ticks="", showgrid=False,
                   tickfont=letters, tickangle=0 if short else -90, range=[-0.6, len(bits) - 0.4]),
    )  # fmt: skip
    caption = _head(stretch, len(bits), math.log(2), "bits") + " A bar is what the token below it cost" + (
        "; under it stands the one that was held likeliest." if short else "."
    )  # fmt: skip
    known = [(value, token) for value, token in zip(bits, came, strict=True) if value is not None]
    worst = max(known, default=(0.0, ""))
    alt = f"Bars of the surprise at {len(known)} tokens, the largest {worst[0]:.1f} bits at {worst[1]}. {caption}"
    wide = 0 if short else 15 * len(bits) + 80
    return Figure(f"stretch-{number}", stretch["name"], caption, alt, as_json([trace], layout), 260, wide)


def _roll(content: Row, stretch: Row, number: int) -> Figure:
    """Chance of each channel as colour, what was on as marks; below what each step cost."""
    names, chances = [plain(name) for name in stretch["channels"]], stretch["chances"]
    steps = list(range(1, len(chances) + 1))
    every = math.ceil(len(names) / NAMED)
    marks = list(range(0, len(names), every))
    z = [list(row) for row in zip(*chances, strict=True)]
    traces: list[Row] = [
        {"type": "heatmap", "x": steps, "y": list(range(len(names))), "z": z,
         "zmin": 0, "zmax": 1, "showscale": False, "colorscale": [[0, "--paper"], [1, "--c1"]],
         "customdata": [[name] * len(steps) for name in names],
         "hovertemplate": "step %{x}, %{customdata}: chance %{z:.0%}<extra></extra>"},
        {"type": "scatter", "mode": "markers", "x": [step + 1 for step, _ in stretch["played"]],
         "y": [key for _, key in stretch["played"]], "name": "was on", "hoverinfo": "skip",
         "marker": {"symbol": "circle-open", "size": 6, "color": "--ink", "line": {"width": 1.2, "color": "--ink"}}},
        {"type": "bar", "x": steps, "y": stretch["nats"], "yaxis": "y2", "marker": {"color": "--c2"},
         "showlegend": False, "hovertemplate": "step %{x}: %{y:.3g} nats<extra></extra>"},
    ]  # fmt: skip
    layout = layout_of(
        430, bargap=0.25, showlegend=False,
        xaxis=axis("step", range=[0.4, len(steps) + 0.6], showgrid=False, anchor="y2"),
        yaxis=axis("", domain=[0.3, 1], tickvals=marks, ticktext=[names[place] for place in marks], showgrid=False,
                   range=[-0.7, len(names) - 0.3]),
        yaxis2=axis("nats", domain=[0, 0.22], rangemode="tozero", nticks=4),
    )  # fmt: skip
    caption = (
        _head(stretch, len(steps), 1.0, "nats")
        + " The stronger the colour, the likelier the channel was held to be on; a "
        "circle where it was. Below, what each step cost."
    )
    alt = (
        f"Piano roll of {len(names)} channels over {len(steps)} steps with {len(stretch['played'])} of them on, and "
        f"bars of the loss. {caption}"
    )
    return Figure(f"stretch-{number}", stretch["name"], caption, alt, as_json(traces, layout), 430)


def tables_of(content: Row) -> list[Table]:
    return [table for table in (_parts(content), _continuations(content)) if table]


def _parts(content: Row) -> Table | None:
    """The tokens or channels that the loss lies with."""
    rows, tokens = content["parts"], content["form"] == "tokens"
    if not rows:
        return None

    def percent(value: float | None) -> str:
        return fmt.NONE if value is None else f"{100 * value:.1f} %"

    down = [
        [Cell(seen(row["name"]) if tokens else row["name"]) for row in rows],
        aligned((row["n"] / row["steps"] for row in rows), percent),
        aligned((row["loss"] for row in rows), percent),
        *([aligned((row["nats"] / math.log(2) for row in rows), "{:.2f}".format)] if tokens else []),
        aligned((row["found"] / row["n"] for row in rows), percent),
        aligned((row["found"] / row["said"] if row["said"] else None for row in rows), percent),
    ]
    columns = [
        Column("token" if tokens else "channel"),
        Column("share of the steps", True, "at which it came" if tokens else "at which it was on"),
        Column("share of the loss", True),
        *([Column("bits each", True, "what it cost on average where it came")] if tokens else []),
        Column("foreseen", True, "where it came, how often it was the answer: recall"),
        Column("right when said", True, "where it was the answer, how often it came: precision"),
    ]
    return Table("Where the loss lies", columns, [list(row) for row in zip(*down, strict=True)])


def _continuations(content: Row) -> Table | None:
    """What came and what was expected, from the middle of all steps to the most surprising one."""
    rows = content.get("continuations") or []
    if not rows:
        return None
    down = [
        [Cell(("…" if row["cut"] else "") + row["before"].translate({ord("Ġ"): " ", ord("Ċ"): " "}), None, "before")
         for row in rows],
        [Cell(seen(row["truth"])) for row in rows],
        aligned((-math.log2(max(row["chance"], 1e-30)) for row in rows), lambda value: f"{value:.2f}"),
        [Cell(" · ".join(f"{seen(name)} {100 * chance:.0f} %" for name, chance in row["expected"])) for row in rows],
        [Cell("the most of all" if row["share"] == 1 else f"{100 * row['share']:.4g} %", row["share"], "number")
         for row in rows],
    ]  # fmt: skip
    columns = [
        Column("what stood before"), Column("what came"), Column("its bits", True), Column("held likeliest"),
        Column("more surprising than", True, "share of all steps asked about"),
    ]  # fmt: skip
    return Table("Continuations", columns, [list(row) for row in zip(*down, strict=True)])
