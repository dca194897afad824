"""README, docs/ and the site made of them: links, renamed keys, and a page that loads nothing from a network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_lab.config import legacy

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MKDOCS = importlib.util.find_spec("mkdocs") and importlib.util.find_spec("latex2mathml")


def anchors(text):
    """Anchors of the headings of a page, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(place.read_text()), f"{page.name}: {target}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 160


def test_the_changelog_lists_every_renamed_key():
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    renamed = [
        (f"{section}.{old}".lstrip("."), f"{section}.{new}".lstrip("."))
        for table in (legacy.EXPERIMENT, legacy.SWEEP)
        for section, names in table.items()
        for old, new in names.items()
    ]
    named = [(f"{s}: {old}", f"{s}: {new}") for s, names in legacy.NAMES.items() for old, new in names.items()]
    assert sorted(rows) == sorted(renamed + named)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not MKDOCS:
        pytest.skip("mkdocs is not installed: `make docs` installs it")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_strictly_and_holds_every_page(site):
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]:
        folder = "benchmarks/" if page.parent.name == "benchmarks" else ""
        assert (site / f"{folder}{page.stem}.html").is_file(), page.name
    for name in ("train", "sweep", "Experiment", "TrainedRun"):
        assert f'id="lstm_lab.{name}"' in (site / "api.html").read_text(), name


def test_the_site_loads_nothing_from_a_network(site):
    loading = re.compile(
        r'<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//[^"]+|<link[^>]+href="(?:https?:)?//[^"]+'
    )
    for page in site.rglob("*.html"):
        found = [tag for tag in loading.findall(page.read_text()) if 'rel="canonical"' not in tag]
        assert not found, f"{page.name}: {found}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()[\"' ]*(?:https?:)?//", style.read_text()), style.name


def test_formulas_become_mathml(site):
    page = (site / "lstm.html").read_text()
    assert page.count('<math xmlns="http://www.w3.org/1998/Math/MathML"') > 150
    text = re.sub(
        r"<(code|pre|math)\b.*?</\1>", "", page[page.index("<article") : page.index("</article>")], flags=re.S
    )
    assert "$" not in re.sub(r"<[^>]+>", "", text)


def test_the_architecture_names_what_exists():
    package = ROOT / "lstm_lab"
    text = re.sub(r"^```.*?^```", "", (ROOT / "docs" / "architecture.md").read_text(), flags=re.M | re.S)
    source = "\n".join(path.read_text() for path in package.rglob("*.py"))
    rooms = [path for path in package.rglob("*") if path.is_dir()]
    checked = 0
    for name in re.findall(r"`([^`\s]+)`", text):
        if re.fullmatch(r"[\w/]+/|[\w/]+\.py", name):
            assert any((room / name).exists() for room in [package, ROOT, *rooms]), name
        elif found := re.fullmatch(r"(?:\w+\.)*(\w+)\(\w*(?:, \w+)*\)", name):
            assert re.search(rf"def {found[1]}\(", source), name
        elif re.fullmatch(r"[A-Z][a-z]\w+", name) and name not in ("Config", "Tuner", "Trainer"):
            assert re.search(rf"^class {name}\b", source, re.M), name
        else:
            continue
        checked += 1
    assert checked > 80
    top = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert not {room for room in top if f"{room}.py`" not in text and f"{room}/`" not in text}
