"""Pages as Debian's Chromium lays them out: what overlaps, what is empty, what cannot be read, what goes out."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=20000",
]  # fmt: skip
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium")

# Runs inside the page, looks at what was drawn, and tells the page around it.
PROBE = r"""
addEventListener("securitypolicyviolation", (event) => { (window.refused ??= []).push(event.blockedURI); });
addEventListener("load", () => setTimeout(() => {
  const light = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return {l: 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b), a};
  };
  const contrast = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = light(getComputedStyle(at).backgroundColor);
      if (found.a > 0.5) return found.l;
    }
    return 1;
  };
  const seen = (element) => { const box = element.getBoundingClientRect(); return box.width > 1 && box.height > 1; };
  const faint = [];
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  for (const element of document.querySelectorAll("body *")) {
    if (!own(element) || !seen(element) || element.closest("script, style, noscript, canvas")) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    if (svg && (element.closest(".annotation") || Number(style.fillOpacity) === 0)) continue;
    const ratio = contrast(light(svg ? style.fill : style.color).l, behind(svg ? element.closest(".plot") : element));
    if (ratio < 4.5) faint.push([element.textContent.trim().slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  const laid = [...document.querySelectorAll(".part, section > h2, header, .lede, .stats, .verdict, figure, .scroll, p")];
  const crossed = [];
  for (const one of laid) for (const other of laid) {
    if (one === other || one.contains(other) || other.contains(one)) continue;
    const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    const over = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
    if (over[0] > 2 && over[1] > 2 && seen(one) && seen(other)) crossed.push([one.className || one.tagName, other.className || other.tagName]);
  }
  const plots = [...document.querySelectorAll(".plot")].map((plot) => {
    const marks = plot.querySelectorAll(".point, .js-line, .js-fill, .heatmaplayer image, .hm image, .parcoords .y-axis, .scatterlayer path, .barlayer path");
    const labels = [...plot.querySelectorAll(".xtick text, .ytick text, .xtitle, .ytitle, .legendtext, .annotation text, .axis-title text, .axis-heading text")]
      .filter((text) => seen(text) && text.textContent.trim() && getComputedStyle(text).opacity !== "0");
    const over = [];
    for (let i = 0; i < labels.length; i++) for (let j = i + 1; j < labels.length; j++) {
      const [a, b] = [labels[i].getBoundingClientRect(), labels[j].getBoundingClientRect()];
      const [x, y] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      if (x > 2 && y > 4) over.push([labels[i].textContent, labels[j].textContent]);
    }
    const box = plot.getBoundingClientRect();
    const main = plot.querySelector(".main-svg")?.getBoundingClientRect();
    const out = labels.filter((text) => { const l = text.getBoundingClientRect(); return main && (l.left < main.left - 2 || l.right > main.right + 2); });
    return {id: plot.id, marks: marks.length, width: box.width, height: box.height, over, out: out.map((text) => text.textContent)};
  });
  const table = document.querySelector("#leaderboard-table");
  let filtered = null;
  const input = document.querySelector(".filter input");
  if (table && input) {
    const count = (words) => {
      input.value = words;
      input.dispatchEvent(new Event("input"));
      return [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
    };
    filtered = {gru: count("gru"), small: count("cell=lstm hiddensize<=32"), none: count("nothing-like-this"), all: count("")};
  }
  const sorted = table ? (() => {
    const head = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === "lr");
    table.tHead.rows[0].cells[head]?.querySelector("button").click();
    return [...table.tBodies[0].rows].map((row) => Number(row.cells[head]?.dataset.value));
  })() : null;
  parent.postMessage({
    name: window.name, paper: getComputedStyle(document.body).backgroundColor, wide: document.documentElement.scrollWidth - innerWidth,
    height: document.documentElement.scrollHeight, faint, crossed, plots, filtered, sorted, refused: window.refused ?? [],
    loaded: performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
  }, "*");
}, 1500));
"""


def looked_at(folder: Path, pages: dict[str, Path], widths: tuple[int, ...] = (1280, 390), dark: bool = False) -> dict:
    """Each page at each width, as the browser lays it out: `name@width` -> what the probe saw."""
    frames = []
    for name, path in pages.items():
        text = path.read_text(encoding="utf-8")
        copy = folder / f"{name}.html"
        copy.write_text(text.replace("<head>", f"<head><script>{PROBE}</script>", 1), encoding="utf-8")
        frames += [(f"{name}@{width}", copy.name, width) for width in widths]
    around = folder / "around.html"
    around.write_text(
        "<!doctype html><meta charset=utf-8><pre id=said></pre><script>const said = {}; addEventListener('message', (event) =>"
        " { said[event.data.name] = event.data; document.getElementById('said').textContent = JSON.stringify(said); });</script>"
        + "".join(
            f'<iframe name="{name}" src="{file}" style="width:{width}px;height:900px;border:0"></iframe>'
            for name, file, width in frames
        )
    )
    said = run(folder, around, *(["--blink-settings=preferredColorScheme=0"] if dark else []), "--dump-dom")
    found = json.loads(html.unescape(re.search(r'<pre id="said">(.*?)</pre>', said, re.S)[1]) or "{}")
    assert set(found) == {name for name, _, _ in frames}, "a page was not drawn in time"
    return found


def run(folder: Path, page: Path, *flags: str) -> str:
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "--window-size=1400,1000", page.resolve().as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
