"""Conditions and constraints of a sweep's space: what is drawn keeps them, what can never hold is refused."""

from __future__ import annotations

import ast
import operator
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.space.constraints import Constraint
from lstm_lab.sweeps.space.search_space import SearchSpace, parents_first, same
from lstm_lab.sweeps.space.yaml import InYaml


def search_space(space, constraints=(), base=None):
    return SearchSpace(
        {key: InYaml.read(domain) for key, domain in space.items()},
        [Constraint(text) for text in constraints],
        lambda point: config.merge(base or {}, point),
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
    """The same expression with the values written in, reckoned by Python itself."""
    for key in sorted(KEYS, key=len, reverse=True):
        text = text.replace(key, f"({KEYS[key]!r})") if "." in key else text
    tree = ast.parse(text, mode="eval")
    return eval(compile(tree, "", "eval"), {"__builtins__": {}}, {"a": KEYS["a"]})


@settings(max_examples=150, deadline=None)
@given(rules)
def test_a_constraint_means_what_python_means_by_it(text):
    text = f"({text}) and a > 2"  # so that there is a key in it
    assert Constraint(text).is_satisfied(NESTED) == by_python(text)


@settings(max_examples=200, deadline=None)
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
def test_nothing_else_is_let_in(text):
    with pytest.raises(ValueError, match=r"must be|not an expression|names no key") as caught:
        Constraint(text)
    assert "\n" not in str(caught.value)


def test_texts_names_and_what_is_not_there():
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


def there(point):
    """The conditions again, by hand."""
    wanted = {"opt", "cell", "size"}
    wanted |= {"opt.momentum"} if point["opt"]["name"] == "sgd" else set()
    wanted |= {"cell.bias"} if point["cell"] != "rnn" else set()
    return wanted | ({"cell.bias.scale"} if point.get("cell.bias") == 1 and point["opt"]["name"] == "adam" else set())


@given(st.integers(0, 10_000))
def test_a_key_is_there_just_where_its_condition_is_true(seed):
    found = search_space(NESTED_SPACE)
    point = found.sample({}, (0, seed))
    assert set(point) == there(point)
    assert found.contains(point)
    assert not found.contains({**point, "size": 5})
    assert not found.contains({key: value for key, value in point.items() if key != "size"})
    assert point == parents_first(point)
    if "cell.bias" in point:
        assert not found.contains({key: value for key, value in point.items() if key != "cell.bias"})
    else:
        assert not found.contains({**point, "cell.bias": 1})


@pytest.mark.parametrize("most", [512, 1])
def test_corners_stand_with_and_without_every_conditional_key(most):
    seen = list(search_space(NESTED_SPACE).corners(most))
    assert len({same(point) for point in seen}) == len(seen)
    for point in seen:
        assert set(point) == there(point)
    for key in NESTED_SPACE:
        assert any(key in point for point in seen)
    for key in ("opt.momentum", "cell.bias", "cell.bias.scale"):
        assert any(key not in point for point in seen)
    assert {point["cell.bias.scale"] for point in seen if "cell.bias.scale" in point} == {-3.0, 3.0}


def test_a_grid_has_no_doubles_where_a_key_is_not_there():
    found = search_space({"a": {"grid": ["x", "y"]}, "a.b": {"grid": [1, 2, 3], "when": {"a": "x"}}})
    assert sorted(map(same, found.grid())) == sorted(
        map(same, [{"a": "x", "a.b": 1}, {"a": "x", "a.b": 2}, {"a": "x", "a.b": 3}, {"a": "y"}])
    )


def test_arms_differ_only_in_what_makes_them_arms():
    space = {
        "cell": {"grid": ["lstm", "gru"]},
        "cell.bias": {"uniform": [0, 1], "when": {"cell": "lstm"}},
        "lr": {"loguniform": [0.1, 1]},
    }
    found = search_space(space)
    for seed in range(20):
        lstm, gru = (found.sample({"cell": cell}, (0, seed)) for cell in ("lstm", "gru"))
        assert lstm["lr"] == gru["lr"]
        assert "cell.bias" in lstm
        assert "cell.bias" not in gru


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 6.0))
def test_every_draw_keeps_the_constraints(seed, limit):
    space = {"a": {"uniform": [0.0, 3.0]}, "b": {"randint": [1, 4]}, "c": {"choice": [0.5, 1]}}
    found = search_space(space, [f"a * b < {limit} * c", "base.d + a <= 3"], {"base": {"d": 1}})
    point = found.sample({}, (3, seed))
    assert point["a"] * point["b"] < limit * point["c"]
    assert point["a"] <= 2
    assert point == found.sample({}, (3, seed))


def test_what_can_never_hold_ends_in_bounded_time():
    found = search_space({"a": {"uniform": [0.0, 1.0]}}, ["a > 1"])
    began = time.monotonic()
    with pytest.raises(ConfigError, match="widen the space"):
        found.sample({}, (0, 0))
    assert time.monotonic() - began < 5
    with pytest.raises(ValueError, match="no combination of the grid"):
        search_space({"a": {"grid": [1, 2]}}, ["a > 2"]).grid()
