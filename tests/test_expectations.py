"""docs/expectations.md names commands, options, targets and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import typer

import lstm_lab
from lstm_lab.__main__ import app

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "expectations.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`]+)`", PAGE)
COMMANDS = sorted({text.removeprefix("NO_COLOR=1 ") for text in CODE if "lstm-lab " in text})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_of_ours(command):
    """Parsed by our own parser, and not run."""
    words = command.split()[1:]
    while words[0].startswith("--"):
        if words[0] == "--install-completion":
            return
        assert words[0] == "--debug"
        words = words[1:]
    group = typer.main.get_command(app)
    while isinstance(group, click.Group):
        name, *words = words
        group = group.commands[name]
    group.make_context(command, list(words))
    for path in (word for word in words if re.match(r"(conf|sweeps)/", word) and word != "conf/load.yaml"):
        assert (ROOT / path).is_file()


def test_targets_and_names_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {text.split()[1] for text in CODE if text.startswith("make ")} <= targets
    for name in re.findall(r"`lab\.(\w+)", PAGE):
        assert name in lstm_lab.__all__
    for path in (text for text in CODE if re.fullmatch(r"(sweeps|examples|conf)/[\w./]*", text)):
        assert (ROOT / path).exists()


def test_what_is_missing_is_said():
    assert PAGE.count("not yet") >= 4
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| expectation")]
    assert len(rows) >= 45
    assert all("`" in row or "not yet" in row or "](" in row for row in rows)
