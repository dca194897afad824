"""A small page with one line chart, without a script: figures of commands that make no report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 720, 420, 64

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>body {{ font: 15px system-ui, sans-serif; margin: 2rem auto; max-width: 760px; padding: 0 1rem }}
svg {{ width: 100%; height: auto }} text {{ fill: currentColor; font-size: 13px }}
.line {{ fill: none; stroke: #2a6fdb; stroke-width: 2 }} .axis {{ stroke: currentColor; opacity: .35 }}
.mark {{ stroke: #d2691e; stroke-dasharray: 5 4; stroke-width: 1.5 }}</style></head>
<body><h1>{title}</h1><svg viewBox="0 0 {width} {height}" role="img" aria-label="{alt}">{content}</svg></body></html>
"""


def line_chart(
    points: Sequence[tuple[float, float]], *, title: str, x: str, y: str, marks: Mapping[str, float] | None = None
) -> str:
    """HTML with a line over a logarithmic x axis.

    Args:
        points: finite, x above 0.
        x, y: titles of the axes.
        marks: label -> value of x, drawn as vertical lines.
    """
    marks = {name: value for name, value in (marks or {}).items() if value > 0}
    logs = [math.log10(value) for value in (*(x for x, _ in points), *marks.values())]
    left, right = math.floor(min(logs)), math.ceil(max(logs))
    right = right if right > left else left + 1
    low, high = min(value for _, value in points), max(value for _, value in points)
    high = high if high > low else low + 1.0

    def across(value: float) -> float:
        return MARGIN + (math.log10(value) - left) / (right - left) * (WIDTH - 2 * MARGIN)

    def down(value: float) -> float:
        return HEIGHT - MARGIN - (value - low) / (high - low) * (HEIGHT - 2 * MARGIN)

    parts = []
    for power in range(left, right + 1):
        at = across(10.0**power)
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{MARGIN}" y2="{HEIGHT - MARGIN}"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - MARGIN + 20}" text-anchor="middle">1e{power}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * (high - low)
        parts.append(f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{down(value):.1f}" '
                     f'y2="{down(value):.1f}"/>')  # fmt: skip
        parts.append(f'<text x="{MARGIN - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for row, (name, value) in enumerate(marks.items()):
        at = across(value)
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{MARGIN}" y2="{HEIGHT - MARGIN}"/>')
        parts.append(f'<text x="{at + 5:.1f}" y="{MARGIN - 8 - 18 * row}">{escape(name)} {value:.3g}</text>')
    line = " ".join(f"{across(value):.1f},{down(height):.1f}" for value, height in points)
    parts.append(f'<polyline class="line" points="{line}"/>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x)}</text>')
    parts.append(f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">'
                 f"{escape(y)}</text>")  # fmt: skip
    alt = f"{y} over {x}, from {points[0][1]:.3g} to {points[-1][1]:.3g}"
    return PAGE.format(title=escape(title), width=WIDTH, height=HEIGHT, alt=escape(alt), content="".join(parts))
