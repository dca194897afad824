"""What is printed: names from files are text, whatever is in them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.table import Table

from lstm_lab.__main__ import main
from lstm_lab.display.console import PlainConsole
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.view.progress import SweepProgress
from lstm_lab.verbs import terminal

CONF = Path(__file__).parent.parent / "conf" / "vowels_lstm.yaml"
NAMES = ["[red]a[/]", "[link=https://x.org]a[/link]", "a[/]", "[bold", ":smile:", r"\[a]", "[[a]]", "[@click=f]a[/]"]
RAW = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202eb"


def printed(*renderables, terminal=False):
    out = io.StringIO()
    console = PlainConsole(file=out, width=200, force_terminal=terminal)
    for renderable in renderables:
        console.print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_markup_in_a_name_is_text(name):
    table = Table(name, title=name)
    table.add_row(name)
    text = printed(name, table, terminal=True)
    assert text.count(name) == 4
    assert "\x1b]8" not in text  # A link.


def test_control_characters_do_not_reach_the_terminal():
    table = Table(RAW, title=RAW)
    table.add_row(RAW)
    text = printed(RAW, table)
    assert text.count(r"a\x1b]0;title\x07\x1b[2J\x9b31m\u202eb") == 4
    assert not set(text) & set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize("name", [*NAMES, RAW])
def test_tables_of_scores_and_of_a_sweep_show_names_as_they_are(name):
    content = {"scores": {name: 0.5}, "baselines": {name: {name: 0.4}}, "skill": {name: 0.1}, "split": "test",
               "metric": name}  # fmt: skip
    row = {"overrides": {f"model.{name}": name}, "mean": 0.1, "std": None, "n": 1, "parameters": 3, "states": [name]}
    summary = {"title": name, "metric": name, "configurations": [row]}
    shown = name.replace("\x1b", r"\x1b").replace("\x07", r"\x07").replace("\x9b", r"\x9b").replace("\u202e", r"\u202e")
    text = printed(terminal.scores(content, name), terminal.leaderboard(summary))
    assert text.count(shown) >= 7


def test_the_progress_of_a_sweep_shows_values_as_they_are():
    out = io.StringIO()
    view = SweepProgress("val/[b]", "min", 2, 3, PlainConsole(file=out, width=200, force_terminal=True))
    view.start_trial("t0000", {"data.path": "[red]a[/]\x1b[2J"}, Repeat(0))
    view.console.print(view.table())
    text = out.getvalue()
    assert r"path=[red]a[/]\x1b[2J" in text
    assert "val/[b]" in text
    assert "\x1b[2J" not in text


@pytest.mark.parametrize("name", ["[red]load[/]", "lo\x1b[31mad", ":smile:"])
def test_an_inspection_shows_the_header_as_it_is(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"2024-01-{1 + n // 24:02d} {n % 24:02d}:00,{n % 24}\n" for n in range(400))
    (tmp_path / "t.csv").write_text(f"time,{name}\n{rows}")
    monkeypatch.setattr(sys, "argv", ["lstm-lab", "data", "inspect", "t.csv"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    text = capsys.readouterr().out
    assert name.replace("\x1b", r"\x1b") in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "words",
    [
        ["train", "[red]\x1b[31m.yaml"], ["evaluate", "\x1b[31m"], ["sweep", "--\x1b[31m"], ["\x1b[31m[/]"],
        ["train", str(CONF), "\x1b=1"],
    ],
)  # fmt: skip
def test_an_error_shows_what_was_typed_as_it_is(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lstm-lab", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    found = capsys.readouterr()
    assert r"\x1b" in found.err
    assert "\x1b" not in found.err + found.out
