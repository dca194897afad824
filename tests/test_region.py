"""Conditions and constraints of a sweep's space: what is drawn keeps them, what cannot keep them is refused."""

from __future__ import annotations

import ast
import math
import operator
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweep.constraints import Constraint
from lstm_lab.sweep.region import Region, in_order, same
from lstm_lab.sweep.searchers import Searcher
from lstm_lab.sweep.space import InYaml
from lstm_lab.sweep.spec import Sweep, build_corners, load_sweep


def region(space, constraints=(), base=None):
    return Region(
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
    assert Constraint(text).holds(NESTED) == by_python(text)


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
    at = {"model": {"cell": {"name": "lstm", "bias": True}, "depth": 2}, "trainer": {"gradient_clip": None}}
    assert Constraint("model.cell == 'lstm' and model.depth > 1").holds(at)
    assert not Constraint("model.cell != 'lstm' or model.depth > 2").holds(at)
    assert Constraint("trainer.gradient_clip < 1").holds(at)
    assert Constraint("model.width > 10").holds(at)
    assert not Constraint("1 / (model.depth - 2) > 0").holds(at)
    for text in ("model.cell + 1 > 2", "model.cell < 3", "-model.cell < 1", "'x' * model.depth == 'xx'"):
        with pytest.raises(ValueError, match=r"number|not supported"):
            Constraint(text).holds(at)


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
    found = region(NESTED_SPACE)
    point = found.draw({}, (0, seed))
    assert set(point) == there(point)
    assert found.holds(point)
    assert not found.holds({**point, "size": 5})
    assert not found.holds({key: value for key, value in point.items() if key != "size"})
    assert point == in_order(point)
    if "cell.bias" in point:
        assert not found.holds({key: value for key, value in point.items() if key != "cell.bias"})
    else:
        assert not found.holds({**point, "cell.bias": 1})


@pytest.mark.parametrize("most", [512, 1])
def test_corners_stand_with_and_without_every_conditional_key(most):
    seen = list(region(NESTED_SPACE).corners(most))
    assert len({same(point) for point in seen}) == len(seen)
    for point in seen:
        assert set(point) == there(point)
    for key in NESTED_SPACE:
        assert any(key in point for point in seen)
    for key in ("opt.momentum", "cell.bias", "cell.bias.scale"):
        assert any(key not in point for point in seen)
    assert {point["cell.bias.scale"] for point in seen if "cell.bias.scale" in point} == {-3.0, 3.0}


def test_a_grid_has_no_doubles_where_a_key_is_not_there():
    found = region({"a": {"grid": ["x", "y"]}, "a.b": {"grid": [1, 2, 3], "when": {"a": "x"}}})
    assert sorted(map(same, found.grid())) == sorted(
        map(same, [{"a": "x", "a.b": 1}, {"a": "x", "a.b": 2}, {"a": "x", "a.b": 3}, {"a": "y"}])
    )


def test_arms_differ_only_in_what_makes_them_arms():
    space = {
        "cell": {"grid": ["lstm", "gru"]},
        "cell.bias": {"uniform": [0, 1], "when": {"cell": "lstm"}},
        "lr": {"loguniform": [0.1, 1]},
    }
    found = region(space)
    for seed in range(20):
        lstm, gru = (found.draw({"cell": cell}, (0, seed)) for cell in ("lstm", "gru"))
        assert lstm["lr"] == gru["lr"]
        assert "cell.bias" in lstm
        assert "cell.bias" not in gru


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 6.0))
def test_every_draw_keeps_the_constraints(seed, limit):
    space = {"a": {"uniform": [0.0, 3.0]}, "b": {"randint": [1, 4]}, "c": {"choice": [0.5, 1]}}
    found = region(space, [f"a * b < {limit} * c", "base.d + a <= 3"], {"base": {"d": 1}})
    point = found.draw({}, (3, seed))
    assert point["a"] * point["b"] < limit * point["c"]
    assert point["a"] <= 2
    assert point == found.draw({}, (3, seed))


def test_what_can_never_hold_ends_in_bounded_time():
    found = region({"a": {"uniform": [0.0, 1.0]}}, ["a > 1"])
    began = time.monotonic()
    with pytest.raises(ConfigError, match="widen the space"):
        found.draw({}, (0, 0))
    assert time.monotonic() - began < 5
    with pytest.raises(ValueError, match="no combination of the grid"):
        region({"a": {"grid": [1, 2]}}, ["a > 2"]).grid()


# --- in a sweep -------------------------------------------------------------------------------------------------------

SPACE = {
    "model.cell": {"choice": ["lstm", "gru"]},
    "model.cell.forget_bias": {"uniform": [0.0, 2.0], "when": {"model.cell": "lstm"}},
    "model.hidden_size": {"qloguniform": [4, 16, 4]},
    "optimizer": {"choice": [{"name": "adam", "lr": 0.01}, {"name": "sgd", "lr": 0.1, "momentum": 0.9}]},
    "optimizer.momentum": {"quniform": [0.1, 0.9, 0.2], "when": {"optimizer": "sgd"}},
}


@pytest.fixture
def write(tmp_path, vowels):
    def written(**more):
        path = tmp_path / "sweep.yaml"
        content = {"experiment": vowels.dump(), "space": SPACE, "samples": 6, **more}
        path.write_text(f"# Which?\n{config.to_yaml(content)}")
        return path

    return written


@pytest.mark.parametrize(
    "searcher",
    ["random", {"name": "hyperopt", "startup": 3}]
    + [{"name": "optuna", "sampler": s, "startup": 3} for s in ("tpe", "gp")],
)
def test_every_searcher_keeps_conditions_and_constraints_and_every_point_builds(write, searcher):
    found = load_sweep(write(searcher=searcher, constraints=["model.hidden_size * model.depth <= 12"], samples=12))
    build_corners(found, "here")
    again = config.validate(Sweep, config.load(write(**{**found.dump(), "experiment": found.experiment})), "again")
    assert again == found
    source = found.searcher.build()
    source.open(found.region, found.samples, 0, "min")
    told = []
    for number in range(found.points):
        point = source.ask(number)
        experiment = found.at(point, 0)
        assert ("model.cell.forget_bias" in point) == (point["model.cell"] == "lstm")
        assert ("optimizer.momentum" in point) == (point["optimizer"]["name"] == "sgd")
        assert experiment.optimizer.name == point["optimizer"]["name"]
        assert experiment.model.hidden_size <= 12
        assert experiment.model.hidden_size % 4 == 0
        source.tell(number, point, float(experiment.model.hidden_size))
        told.append((number, point, float(experiment.model.hidden_size)))
    later = found.searcher.build()
    later.open(found.region, found.samples, 0, "min")
    for row in told:
        later.tell(*row)
    assert found.region.holds(later.ask(0))


@pytest.mark.parametrize("searcher", ["optuna", "hyperopt"])
def test_a_model_that_insists_on_what_is_refused_is_helped_out(write, searcher):
    found = load_sweep(write(
        searcher={"name": searcher, "startup": 2}, samples=30, space={"optimizer.lr": {"uniform": [0.001, 1.0]}},
        constraints=["optimizer.lr > 0.5"],
    ))  # fmt: skip
    source = found.searcher.build()
    source.open(found.region, 30, 0, "min")
    for number in range(30):
        point = source.ask(number)
        assert point["optimizer.lr"] > 0.5
        source.tell(number, point, point["optimizer.lr"])


SOON = {"name": "pbt", "interval": 1}
BAD = {
    "unknown key of a constraint": ({"constraints": ["model.hidden_sise * model.cell.bias > 1"]}, "hidden_sise"),
    "no key of the space": ({"constraints": ["trainer.max_epochs > 1"]}, "speaks of no key of the space"),
    "no comparison": ({"constraints": ["model.hidden_size * 2"]}, "must be a comparison"),
    "a call": ({"constraints": ["abs(model.hidden_size) > 1"]}, "must be a dotted key"),
    "text and number": ({"constraints": ["model.cell < 3"]}, "not supported"),
    "impossible": ({"constraints": ["model.hidden_size > 99"]}, "constraints"),
    "condition on a range": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.hidden_size": 4}}}},
        "needs a key with choice or grid",
    ),
    "condition on what is not there": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.depth": 1}}}},
        "not in the space",
    ),
    "condition never true": (
        {"space": {**SPACE, "optimizer.lr": {"uniform": [0.1, 0.2], "when": {"model.cell": "rnn"}}}},
        "is never 'rnn'",
    ),
    "circle": (
        {
            "space": {
                "model.cell": {"choice": ["lstm"], "when": {"schedule": "cosine"}},
                "schedule": {"choice": ["cosine"], "when": {"model.cell": "lstm"}},
            }
        },
        "circle",
    ),
    "condition that is no mapping": (
        {"space": {"optimizer.lr": {"uniform": [0.1, 0.2], "when": "lstm"}}},
        "when must be a mapping",
    ),
    "field that the arm lacks": (
        {"space": {**SPACE, "model.cell.forget_bias": {"uniform": [0, 1], "when": {"model.cell": ["gru", "lstm"]}}}},
        "at the corner",
    ),
    "field that a section lacks": (
        {"space": {"optimizer": {"choice": [{"name": "adam", "momentum": 0.9}]}}},
        "at the corner optimizer=adam(momentum=0.9)",
    ),
    "step that does not fit": ({"space": {"optimizer.lr": {"quniform": [0.1, 1.0, 0.4]}}}, "whole number of steps"),
    "no spread": ({"space": {"optimizer.lr": {"normal": [0.1, 0.0]}}}, "deviation must be above 0"),
    "normal below its field": ({"space": {"optimizer.lr": {"normal": [0.01, 0.01]}}}, "greater than 0"),
    "CMA without its package": ({"searcher": {"name": "optuna", "sampler": "cmaes"}}, "pip install cmaes"),
    "startup without a model": ({"searcher": {"name": "optuna", "sampler": "random", "startup": 3}}, "startup"),
    "unknown sampler": ({"searcher": {"name": "optuna", "sampler": "bayes"}}, "sampler"),
    "warm start of what does not learn": ({"warm_start": ["runs/x"]}, "does not learn"),
    "empty budget": ({"budget": {}}, "give trials, epochs or minutes"),
    "budget below a point": ({"budget": {"trials": 1}, "seeds": [0, 1]}, "less than the 2 seeds"),
    "nothing to confirm": ({"confirm": {"top": 2, "seeds": [0]}}, "all trained through"),
    "confirm seed twice": ({"confirm": {"top": 2, "seeds": [1, 1]}}, "twice"),
    "pbt over a shape": ({"scheduler": SOON, "space": {"model.hidden_size": {"choice": [4, 8]}}},
                         "space.model.hidden_size: pbt"),
    "pbt over an optimiser": ({"scheduler": SOON, "space": {"optimizer": {"choice": ["adam"]}}},
                              "space.optimizer: pbt"),
    "pbt over seeds": ({"scheduler": "pbt", "seeds": [0, 1]}, "one population"),
    "pbt that never compares": ({"scheduler": {"name": "pbt", "interval": 9}}, "never before the last"),
    "pbt of one": ({"scheduler": {"name": "pbt", "interval": 1}, "samples": 1,
                    "space": {"optimizer.lr": {"loguniform": [0.001, 0.1]}}}, "population of at least 2"),
    "pbt and confirm": ({"scheduler": "pbt", "confirm": {"seeds": [1]}}, "confirm"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "said"), BAD.values(), ids=BAD)
def test_a_bad_sweep_is_refused_in_one_line(write, more, said):
    if "cmaes" in str(more):
        import importlib.util

        if importlib.util.find_spec("cmaes"):
            pytest.skip("cmaes is installed here")
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(**more))
    assert "\n" not in str(caught.value)
    assert said in str(caught.value)


# --- domains ----------------------------------------------------------------------------------------------------------


@given(st.integers(-50, 50), st.integers(1, 40), st.sampled_from([1, 2, 0.1, 0.25, 3]), st.integers(0, 99))
def test_steps_land_on_the_numbers_a_person_would_write(low, steps, step, seed):
    high = low + steps * step if isinstance(step, int) else float(f"{low + steps * step:.12g}")
    domain = InYaml.read({"quniform": [low, high, step]})
    value = domain.draw(np.random.default_rng(seed))
    assert isinstance(value, int) == isinstance(step, int)
    assert low <= value <= high
    assert len(repr(value)) <= 6
    assert math.isclose((value - low) / step, round((value - low) / step), abs_tol=1e-9)
    assert domain.holds(value)
    _, convert = domain.distribution()
    assert domain.value(convert(value)) == value


@given(st.floats(-5, 5), st.floats(0.01, 5), st.integers(0, 999))
def test_a_normal_value_survives_the_way_to_optuna_and_back(mean, deviation, seed):
    domain = InYaml.read({"normal": [mean, deviation]})
    value = domain.draw(np.random.default_rng(seed))
    _, share = domain.distribution()
    assert math.isclose(domain._at(share(value)), value, rel_tol=1e-6, abs_tol=1e-6)


def test_a_normal_is_normal():
    domain = InYaml.read({"normal": [2.0, 0.5]})
    drawn = [domain.draw(np.random.default_rng(seed)) for seed in range(3000)]
    assert abs(np.mean(drawn) - 2) < 0.03
    assert abs(np.std(drawn) - 0.5 * 0.9866) < 0.02  # cut at three deviations
    assert 0.65 < np.mean(np.abs(np.array(drawn) - 2) < 0.5) < 0.72


@pytest.mark.parametrize("searcher", Searcher.members)
def test_searchers_are_documented(searcher):
    assert (Searcher.members[searcher].__doc__ or "").strip()


@pytest.mark.parametrize(
    "domain",
    [{"loguniform": [0.1, 1]}, {"uniform": [0, 1]}, {"randint": [2, 5]}, {"choice": [1, 2, 4]},
     {"quniform": [0, 1, 0.25]}, {"qloguniform": [4, 16, 4]}, {"normal": [0, 1]}],
    ids=lambda domain: next(iter(domain)),
)  # fmt: skip
def test_near_moves_and_stays_inside(domain):
    found, random = InYaml.read(domain), np.random.default_rng(0)
    for start in [*found.corners(), found.draw(random)]:
        moved = [found.near(start, random) for _ in range(20)]
        assert all(found.holds(value) for value in moved)
        assert any(value != start for value in moved)
