"""One page as HTML, Markdown and JSON: the same content in each, and no unnoticed change of the JSON's fields."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from report_folders import page, write_run, write_sweep

from lstm_lab.report import write_report
from lstm_lab.report.parts.classification import confusion_matrix
from lstm_lab.report.parts.content import Page, Section, Subsection, Summary
from lstm_lab.report.parts.render import to_dict, to_markdown

GOLDEN = Path(__file__).parent / "golden" / "report.json"


def shortened(value):
    """Numbers to six digits; of a figure its traces without their points."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [shortened(inner) for inner in value]
    if isinstance(value, dict):
        if "content" in value and "alt" in value:
            traces = [[t["type"], t.get("mode"), t.get("name")] for t in value["content"]["data"]]
            others = {key: inner for key, inner in value.items() if key not in ("content", "data")}
            return {**shortened(others), "content": traces}
        return {key: shortened(inner) for key, inner in value.items()}
    return value


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_sweep(Path("runs/vowels_cells-1"), draws=2, most=8)


def test_the_json_is_the_golden_one(small):
    """To change it on purpose: delete tests/golden/report.json, run this test twice, and read the difference."""
    path = write_report(small, "json")
    assert path.name == "report.json"
    found = shortened(json.loads(path.read_text(encoding="utf-8")))
    if not GOLDEN.exists():
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.fail(f"{GOLDEN} was not there and is written anew: read it, then run again")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_all_formats_have_the_same_content(small):
    content = json.loads(write_report(small, "json").read_text(encoding="utf-8"))
    text = write_report(small, "markdown").read_text(encoding="utf-8")
    shown = page(small)
    plain = re.sub(r"\\([\\`*_<>\[\]|])", r"\1", text)
    for section in content["sections"]:
        assert f"## {section['title']}\n" in plain
        assert section["title"] in shown.text
        for inner in section["subsections"]:
            for table in inner["tables"]:
                assert f"{table['caption']}:" in plain
                for row in table["rows"]:
                    for cell in row:
                        assert cell["text"].strip() in shown.text.replace("\xa0", " ") or not cell["text"].strip()
            assert all(figure["alt"] in plain for figure in inner["figures"])
            assert all(figure["id"] in shown.figures for figure in inner["figures"])
            assert all(sentence in plain and sentence in shown.text for sentence in (*inner["text"], *inner["remarks"]))
    assert content["summary"]["headline"] in plain
    assert content["summary"]["headline"] in shown.text
    for _, command in content["commands"]:
        assert f"```\n{command}\n```" in text


def test_numbers_in_markdown_and_json_are_those_of_the_record(small):
    best = json.loads((small / "summary.json").read_text())["configurations"][0]["mean"]
    assert str(round(best, 6)) != str(best)
    assert f"| **{best!r}** |" in write_report(small, "markdown").read_text(encoding="utf-8")
    curves = [
        figure
        for section in json.loads(write_report(small, "json").read_text(encoding="utf-8"))["sections"]
        for inner in section["subsections"]
        for figure in inner["figures"]
        if figure["id"].startswith("curves")
    ]
    rows = [json.loads(line) for line in next(small.glob("trials/*/metrics.jsonl")).read_text().splitlines()]
    drawn = {(row[-2], row[-1]) for figure in curves for row in figure["data"]["rows"]}
    assert (rows[0]["epoch"], rows[0]["val/loss"]) in drawn


def test_counts_of_a_confusion_matrix_are_in_markdown_and_json(tmp_path):
    counts = [[7, 1, 0], [2, 9, 3], [0, 0, 5]]
    figure = confusion_matrix(["a|b", "2", "c"], counts, "test")
    shown = Page("p", "", "", Summary("h"), [], [Section("s", "S", [Subsection(figures=[figure])])])
    (found,) = to_dict(shown)["sections"][0]["subsections"][0]["figures"]
    assert found["data"] == {
        "columns": ["target \\ prediction", "a|b", "2", "c"],
        "rows": [["a|b", 7, 1, 0], ["2", 2, 9, 3], ["c", 0, 0, 5]],
    }
    text = to_markdown(shown)
    assert "| target \\\\ prediction | a\\|b | 2 | c |" in text
    assert "| 2 | 2 | 9 | 3 |" in text


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head(small):
    lines = write_report(small, "markdown").read_text(encoding="utf-8").splitlines()
    widths: list[list[int]] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            widths = [*widths, []] if not before.startswith("|") else widths
            widths[-1].append(len(re.findall(r"(?<!\\)\|", line)))
    assert len(widths) >= 5
    assert all(len(set(table)) == 1 for table in widths)


def test_markup_of_markdown_in_a_record_stays_text(tmp_path):
    folder = write_sweep(tmp_path / "nasty", draws=1, seeds=(0,), name="Is *this* | [a](http://x) `cell`?")
    text = write_report(folder, "markdown").read_text(encoding="utf-8")
    assert text.startswith("# Is \\*this\\* | \\[a\\](http://x) \\`cell\\`?\n")


def test_a_run_in_all_formats(tmp_path):
    write_run(tmp_path / "run-1")
    names = {write_report(tmp_path / "run-1", form).name for form in ("html", "markdown", "json")}
    assert names == {"report.html", "report.md", "report.json"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_have_contrast(scheme):
    """WCAG 2.1: 4.5 for text, 3 for what is drawn."""
    from importlib import resources

    style = resources.files("lstm_lab.report.parts").joinpath("style.css").read_text()
    first, second = style.split("@media screen and (prefers-color-scheme: dark)")
    colours = dict(
        re.findall(r"--([\w-]+): (#\w{6})", first if scheme == "light" else second.split("color-scheme: dark")[0])
    )

    def light(name):
        parts = [int(colours[name][place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one, other):
        high, low = sorted((light(one), light(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for text, behind in (("text", "background"), ("muted", "background"), ("text", "shade"), ("muted", "shade"),
                         ("alert", "background"), ("text", "alert-background"), ("text", "heat"),
                         ("c1", "background")):  # fmt: skip
        assert contrast(text, behind) >= 4.5, (text, behind)
    for line in ("c1", "c2", "c3", "faint", "best"):
        assert contrast(line, "background") >= 3, line


@pytest.mark.slow
def test_a_thousand_trials_of_a_hundred_epochs(tmp_path):
    folder = write_sweep(tmp_path / "large", draws=500, seeds=(0,), most=100)
    path = write_report(folder)
    assert path.stat().st_size < 20e6
    assert len(page(folder).tables[0]) == 1001
