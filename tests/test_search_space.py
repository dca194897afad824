"""Conditions and constraints of a search space: samples satisfy them, unsatisfiable ones are refused."""

from __future__ import annotations

import ast
import operator
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_lab import config
from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.sweeps.space.constraints import Constraint
from lstm_lab.sweeps.space.search_space import SearchSpace, sections_first
from lstm_lab.sweeps.space.yaml import DomainInYaml


def search_space(space, constraints=(), base=None):
    return SearchSpace(
        {key: DomainInYaml.read(domain) for key, domain in space.items()},
        [Constraint(text) for text in constraints],
        lambda overrides: config.merge(base or {}, overrides),
    )


# --- constraints ------------------------------------------------------------------------------------------------------

KEYS = {"a": 3, "b.c": 0.5, "b.d": 7, "e_1.f.g": -2}
NESTED = config.merge({}, KEYS)
COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
numbers = st.one_of(st.sampled_from(sorted(KEYS)), st.integers(0, 20).map(str), st.floats(0, 9).map(repr))
sums = st.recursive(
    numbers, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner), max_leaves=6
)
comparisons = st.builds("{} {} {}".format, sums, st.sampled_from(sorted(COMPARE)), sums)
rules = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("(not ({}))".format, inner),
    ),
    max_leaves=4,
)


def by_python(text):
    """The same expression with the values inserted, evaluated by Python."""
    for key in sorted(KEYS, key=len, reverse=True):
        text = text.replace(key, f"({KEYS[key]!r})") if "." in key else text
    tree = ast.parse(text, mode="eval")
    return eval(compile(tree, "", "eval"), {"__builtins__": {}}, {"a": KEYS["a"]})


@settings(max_examples=150)
@given(rules)
def test_a_constraint_means_what_python_means_by_it(text):
    text = f"({text}) and a > 2"  # so that there is a key in it
    assert Constraint(text).is_satisfied(NESTED) == by_python(text)


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_any_text_is_a_constraint_or_a_one_line_error(text):
    try:
        found = Constraint(text)
    except ValueError as error:
        lines, keys = str(error).splitlines(), {"none"}
    else:
        lines, keys = [""], found.keys
    assert len(lines) == 1
    assert keys


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') == 0", "a.__class__() == 1", "[x for x in a] == 1", "(lambda: a)() > 1",
        "a ** 9 ** 9 > 1", "a[0] > 1", "f'{a}' == 'x'", "a if a else a", "(a := 3) > 1", "a in [1]", "a is None",
        "a << 3 > 1", "a and b", "a + 1", "'x' * 3 == a and a", "1 < 2", "", "a <", "a > 1; b > 1", "x" * 600 + " > 1",
        "-" * 400 + "a > 1" + " + 1" * 100, "a > 1j", "a > None", "a > ...", "not a", "a.b().c > 1",
    ],
)  # fmt: skip
def test_other_expressions_are_refused(text):
    with pytest.raises(ValueError, match=r"must be|not an expression|contains no key") as caught:
        Constraint(text)
    assert "\n" not in str(caught.value)


def test_strings_names_and_missing_keys():
    at = {"model": {"cell": {"name": "lstm", "bias": True}, "num_layers": 2}, "trainer": {"gradient_clip_val": None}}
    assert Constraint("model.cell == 'lstm' and model.num_layers > 1").is_satisfied(at)
    assert not Constraint("model.cell != 'lstm' or model.num_layers > 2").is_satisfied(at)
    assert Constraint("trainer.gradient_clip_val < 1").is_satisfied(at)
    assert Constraint("model.width > 10").is_satisfied(at)
    assert not Constraint("1 / (model.num_layers - 2) > 0").is_satisfied(at)
    for text in ("model.cell + 1 > 2", "model.cell < 3", "-model.cell < 1", "'x' * model.num_layers == 'xx'"):
        with pytest.raises(ValueError, match=r"number|not supported"):
            Constraint(text).is_satisfied(at)


# --- conditions -------------------------------------------------------------------------------------------------------

NESTED_SPACE = {
    "opt": {"choice": [{"name": "adam", "lr": 1}, {"name": "sgd", "lr": 2}]},
    "opt.momentum": {"uniform": [0.0, 0.9], "when": {"opt": "sgd"}},
    "cell": {"choice": ["lstm", "gru", "rnn"]},
    "cell.bias": {"choice": [0, 1], "when": {"cell": ["lstm", "gru"]}},
    "cell.bias.scale": {"normal": [0.0, 1.0], "when": {"cell.bias": 1, "opt": "adam"}},
    "size": {"quniform": [4, 16, 4]},
}


def active_keys(overrides):
    """The conditions, evaluated by hand."""
    active = {"opt", "cell", "size"}
    active |= {"opt.momentum"} if overrides["opt"]["name"] == "sgd" else set()
    active |= {"cell.bias"} if overrides["cell"] != "rnn" else set()
    return active | (
        {"cell.bias.scale"} if overrides.get("cell.bias") == 1 and overrides["opt"]["name"] == "adam" else set()
    )


@given(st.integers(0, 10_000))
def test_a_key_is_active_where_its_condition_is_true(seed):
    found = search_space(NESTED_SPACE)
    overrides = found.sample((0, seed))
    assert set(overrides) == active_keys(overrides)
    assert found.contains(overrides)
    assert not found.contains({**overrides, "size": 5})
    assert not found.contains({key: value for key, value in overrides.items() if key != "size"})
    assert overrides == sections_first(overrides)
    if "cell.bias" in overrides:
        assert not found.contains({key: value for key, value in overrides.items() if key != "cell.bias"})
    else:
        assert not found.contains({**overrides, "cell.bias": 1})


@pytest.mark.parametrize("max_combinations", [512, 1])
def test_corners_are_active_and_inactive_in_every_conditional_key(max_combinations):
    seen = list(search_space(NESTED_SPACE).corners(max_combinations))
    assert len({canonical_json(overrides) for overrides in seen}) == len(seen)
    for overrides in seen:
        assert set(overrides) == active_keys(overrides)
    for key in NESTED_SPACE:
        assert any(key in overrides for overrides in seen)
    for key in ("opt.momentum", "cell.bias", "cell.bias.scale"):
        assert any(key not in overrides for overrides in seen)
    assert {overrides["cell.bias.scale"] for overrides in seen if "cell.bias.scale" in overrides} == {-3.0, 3.0}


def test_a_grid_has_no_duplicates_where_a_key_is_inactive():
    found = search_space({"a": {"grid": ["x", "y"]}, "a.b": {"grid": [1, 2, 3], "when": {"a": "x"}}})
    assert sorted(map(canonical_json, found.grid())) == sorted(
        map(canonical_json, [{"a": "x", "a.b": 1}, {"a": "x", "a.b": 2}, {"a": "x", "a.b": 3}, {"a": "y"}])
    )


def test_configurations_of_a_grid_differ_only_in_the_grid():
    space = {
        "cell": {"grid": ["lstm", "gru"]},
        "cell.bias": {"uniform": [0, 1], "when": {"cell": "lstm"}},
        "lr": {"loguniform": [0.1, 1]},
    }
    found = search_space(space)
    for seed in range(20):
        lstm, gru = (found.sample((0, seed), {"cell": cell}) for cell in ("lstm", "gru"))
        assert lstm["lr"] == gru["lr"]
        assert "cell.bias" in lstm
        assert "cell.bias" not in gru


@settings(max_examples=60)
@given(st.integers(0, 1000), st.floats(0.3, 6.0))
def test_every_sample_satisfies_the_constraints(seed, limit):
    space = {"a": {"uniform": [0.0, 3.0]}, "b": {"randint": [1, 4]}, "c": {"choice": [0.5, 1]}}
    found = search_space(space, [f"a * b < {limit} * c", "base.d + a <= 3"], {"base": {"d": 1}})
    overrides = found.sample((3, seed))
    assert overrides["a"] * overrides["b"] < limit * overrides["c"]
    assert overrides["a"] <= 2
    assert overrides == found.sample((3, seed))


def test_unsatisfiable_constraints_end_in_bounded_time():
    found = search_space({"a": {"uniform": [0.0, 1.0]}}, ["a > 1"])
    started = time.process_time()
    with pytest.raises(ConfigError, match="widen the space"):
        found.sample((0, 0))
    assert time.process_time() - started < 5
    with pytest.raises(ValueError, match="no combination of the grid"):
        search_space({"a": {"grid": [1, 2]}}, ["a > 2"]).grid()
