"""Text of others in messages: one line, cut, and without control characters."""

from __future__ import annotations

import pytest

from lstm_lab.config import ConfigError, DataError
from lstm_lab.display import printable


@pytest.mark.parametrize(
    "value",
    ["x" * 5_000, "long text " * 500, "it's " * 1_000, "/a/folder" * 500, "'" * 5_000, "\\'" * 3_000, "日本" * 3_000],
)
@pytest.mark.parametrize("form", ["t.csv: column {!r}: is empty: fill it in", "t.csv: '{}': is empty: fill it in"])
def test_a_long_value_is_cut_and_the_rest_of_the_message_stays(value, form):
    line = str(DataError(form.format(value)))
    assert line.startswith("t.csv: ")
    assert line.endswith("is empty: fill it in")
    assert len(line) <= printable.MAX_VALUE + len(form) + 20


def test_many_long_values_make_no_endless_message():
    line = str(ConfigError(f"there are: {', '.join(repr('n' * 199) for _ in range(500))}; choose one"))
    assert len(line) <= printable.MAX_MESSAGE
    assert line.startswith("there are: ")
    assert line.endswith("; choose one")


def test_a_short_message_is_left_alone():
    line = "a.yaml: data.path: 'it's here', [red]x[/], 日本 é 👍🏽 ${a}: don't"
    assert str(ConfigError(line)) == line


def test_control_characters_are_written_as_escapes():
    line = str(ConfigError("a\x1b[31m\r\x07\u202eb\x9b2J\udcffc\nd\u2028e"))
    assert line == r"a\x1b[31m \x07\u202eb\x9b2J\udcffc d e"
    line.encode()
    assert printable.printable("a\tb\nc") == "a\tb\nc"
