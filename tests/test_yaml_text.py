"""YAML text: nothing is resolved, what is written is read back, and what is not plain content is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_lab import config
from lstm_lab.config import ConfigError, yaml_text
from lstm_lab.data.inspection import inspect
from lstm_lab.experiment import load_experiment
from lstm_lab.sweeps.spec import load_sweep

LITERAL = ["${oc.env:SECRET}", "${", "${unclosed", "$${a}", "${a.b}", r"\${a}", "a ${oc.env:SECRET} b", "???"]


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")


@pytest.mark.parametrize("text", LITERAL)
def test_a_reference_stays_the_text_that_it_is(text, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(config.to_yaml({"a": text, "b": [text], text: {"c": text}}))
    assert config.load(path) == {"a": text, "b": [text], text: {"c": text}}
    path.write_text(f"a: '{text}'\n")
    assert config.load(path) == {"a": text}
    assert config.parse_overrides([f"a='{text}'"]) == [("a", text)]


def test_no_file_or_override_shows_a_variable_of_the_environment(tmp_path, vowels):
    path = tmp_path / "a.yaml"
    path.write_text("data: ${oc.env:SECRET}\ntask: classify\n")
    with pytest.raises(ConfigError) as of_file:
        load_experiment(path)
    with pytest.raises(ConfigError) as of_override:
        vowels.with_overrides(dict(config.parse_overrides(["model.cell=${oc.env:SECRET}"])))
    sweep = config.to_yaml(
        {"experiment": vowels.dump(), "space": {"model.cell": {"grid": ["gru"]}}, "title": "${oc.env:SECRET}"}
    )
    (tmp_path / "s.yaml").write_text(sweep)
    assert load_sweep(tmp_path / "s.yaml").title == "${oc.env:SECRET}"
    with pytest.raises(ConfigError) as of_sweep:
        load_sweep(tmp_path / "s.yaml", ["searcher=${oc.env:SECRET}"])
    for fault in (of_file, of_override, of_sweep):
        assert "${oc.env:SECRET}" in str(fault.value)
        assert "hunter2" not in str(fault.value)


@pytest.mark.parametrize("name", ["${oc.env:SECRET}", "${", "price in ${"])
def test_a_header_like_a_reference_is_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"2024-01-{1 + n // 24:02d} {n % 24:02d}:00,{n % 24}\n" for n in range(400))
    (tmp_path / "t.csv").write_text(f"time,{name}\n{rows}")
    found = inspect("t.csv")
    (tmp_path / "t.yaml").write_text(found.yaml())
    experiment = load_experiment("t.yaml")
    assert experiment.dump()["data"]["targets"] == [name]
    assert "hunter2" not in found.yaml()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001), ("1E5", 1e5), ("-.5", -0.5), ("1.", 1.0), ("1_000", 1000), ("0x1f", 31), ("yes", True),
        ("'1e-3'", "1e-3"), ("2024-01-01", "2024-01-01"), ("~", None), ("e3", "e3"), (".", "."), ("-", [None]),
    ],
)  # fmt: skip
def test_numbers_are_those_of_yaml_1_2(text, expected):
    assert yaml_text.parse(f"a:\n {text}") == {"a": expected}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_what_is_written_is_read_back_equal(content):
    text = yaml_text.write(content)
    found = yaml_text.parse(text)
    assert found == content
    assert yaml_text.write(found) == text


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: " + "[" * 150_000, "nested deeper than 100 levels"),
        ("a: " + "{b: " * 5_000 + "1" + "}" * 5_000, "nested deeper"),
        (BOMB, "aliases make more of it"),
        ("a: &a [*a]", "aliases make more of it"),
        ("a: 1\na: 2", "duplicate key a"),
        ("a: !!binary aGk=", "not bytes"),
        ("a: !!set {b}", "not set"),
        ("? [1]\n: 2", "unhashable"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: !!int x", "invalid literal"),
    ],
    ids=["lists", "mappings", "bomb", "recursive", "twice", "binary", "set", "list as key", "python", "int"],
)  # fmt: skip
def test_what_is_not_plain_content_is_refused_in_one_line(text, says, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says) as fault:
        config.load(tmp_path / "a.yaml")
    assert len(str(fault.value).replace(str(tmp_path), "")) < 300
