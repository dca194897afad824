"""Pages as Chromium lays them out: what overlaps, what is empty, what lacks contrast, what is loaded."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hung import HUNG

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=20000",
]  # fmt: skip
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium")

# Runs inside the page, measures what was drawn, and sends it to the page around it.
PROBE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")


def inspect_pages(
    folder: Path, pages: dict[str, Path], widths: tuple[int, ...] = (1280, 390), dark: bool = False
) -> dict:
    """Each page at each width, as the browser lays it out: `name@width` -> measurements of the probe."""
    frames = []
    for name, path in pages.items():
        text = path.read_text(encoding="utf-8")
        copy = folder / f"{name}.html"
        copy.write_text(text.replace("<head>", f"<head><script>{PROBE}</script>", 1), encoding="utf-8")
        frames += [(f"{name}@{width}", copy.name, width) for width in widths]
    around = folder / "around.html"
    around.write_text(
        "<!doctype html><meta charset=utf-8><pre id=found></pre><script>const found = {};"
        "addEventListener('message', (event) => { found[event.data.name] = event.data;"
        "document.getElementById('found').textContent = JSON.stringify(found); });</script>"
        + "".join(
            f'<iframe name="{name}" src="{file}" style="width:{width}px;height:900px;border:0"></iframe>'
            for name, file, width in frames
        )
    )
    output = run(folder, around, *(["--blink-settings=preferredColorScheme=0"] if dark else []), "--dump-dom")
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', output, re.S)[1]) or "{}")
    assert set(found) == {name for name, _, _ in frames}, "a page was not drawn in time"
    return found


def run(folder: Path, page: Path, *flags: str) -> str:
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "--window-size=1400,1000",
         page.resolve().as_uri()],
        capture_output=True, text=True, timeout=HUNG, check=True,
    ).stdout  # fmt: skip
