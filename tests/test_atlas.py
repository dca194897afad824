"""The greedy portfolio is as good as its theorem says, and the atlas leads a search or a person from it."""

from __future__ import annotations

import itertools
import json
import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from test_sweep_budget import make

from lstm_lab.atlas import Atlas, fitting, greedy, read_atlas, relative_regret, suggestions
from lstm_lab.atlas.portfolio import reached_regret
from lstm_lab.atlas.table import FILE
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.searchers import from_atlas
from lstm_lab.sweeps.spec import load_sweep

SPACE = {"optimizer.lr": {"loguniform": [1e-3, 1e-2]}, "model.hidden_size": {"choice": [8, 24, 100]},
         "model.cell": {"grid": ["lstm", "gru"]}}  # fmt: skip
TABLES = hnp.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 7)), elements=st.integers(0, 4).map(float))


@settings(max_examples=60, deadline=None)
@given(TABLES)
def test_the_first_k_take_off_63_percent_of_what_the_best_k_would(costs):
    regret = relative_regret(costs)
    order = greedy(regret)
    assert sorted(order) == list(range(regret.shape[1]))
    for size in range(1, len(order) + 1):
        assert greedy(regret, size) == order[:size], "a shorter list is the beginning of a longer one"
        best = min(reached_regret(regret, chosen).mean() for chosen in itertools.combinations(order, size))
        taken = 1 - reached_regret(regret, order[:size]).mean()
        assert taken >= (1 - 1 / math.e) * (1 - best) - 1e-12
    assert regret[:, order[0]].mean() == pytest.approx(regret.mean(0).min())
    # Submodular: what one more adds is never more than it added before.
    reached = [1.0, *(reached_regret(regret, order[:size]).mean() for size in range(1, len(order) + 1))]
    gains = -np.diff(reached)
    assert (gains >= -1e-12).all()
    assert (np.diff(gains) <= 1e-12).all()


@settings(max_examples=40, deadline=None)
@given(TABLES, st.floats(0.5, 20), st.floats(-5, 5))
def test_regret_is_between_the_best_and_the_median_in_any_unit(costs, scale, shift):
    regret = relative_regret(costs)
    assert ((regret >= 0) & (regret <= 1)).all()
    assert (regret[costs <= costs.min(1, keepdims=True)] == 0).all()
    assert (regret[costs > np.median(costs, 1, keepdims=True)] == 1).all()
    assert np.allclose(regret, relative_regret(scale * costs + shift), atol=1e-6)
    failed = np.concatenate([costs, np.full((len(costs), 1), np.nan)], 1)
    assert (relative_regret(failed)[:, -1] == 1).all()


def test_the_shipped_atlas_is_small_complete_and_valid(demand):
    atlas = read_atlas()
    assert FILE.stat().st_size < 3 * 2**20
    assert atlas.costs.shape == (len(atlas.sets), len(atlas.configurations))
    assert len(atlas.sets) >= 10
    assert all(fitting(demand, each) == each for each in atlas.configurations[:8])
    assert atlas.without(atlas.sets[0]).costs.shape[0] == len(atlas.sets) - 1


def test_what_is_shipped_is_not_trained_again():
    import atlas as generator

    rows = generator.shipped()
    assert len(rows) >= len(read_atlas().sets) * len(read_atlas().configurations)
    assert generator.table(rows).equals(generator.table(json.loads(json.dumps(rows))))
    again = generator.table(rows)
    for key in ("set", "configuration", "overrides", "commit", "data"):
        assert again[key].tolist() == pd.read_parquet(FILE)[key].tolist()


def test_suggestions_are_the_portfolio_as_far_as_an_experiment_takes_it(demand):
    atlas = read_atlas()
    found = suggestions(demand, atlas, 5)
    assert [each.overrides for each in found] == [atlas.configurations[n] for n in greedy(atlas.regret, 5)]
    other = Atlas(("a",), ("tag",), ({"model.nonsense": 1}, {"optimizer.lr": 0.01, "model.nonsense": 2}),
                  np.array([[1.0, 2.0]]))  # fmt: skip
    (only,) = suggestions(demand, other, 5)
    assert (only.overrides, only.left_out) == ({"optimizer.lr": 0.01}, ("model.nonsense",))
    with pytest.raises(ConfigError, match="takes none"):
        suggestions(demand, Atlas(("a",), ("tag",), ({"model.nonsense": 1},), np.array([[1.0]])), 5)


def test_the_portfolio_is_moved_into_the_space_and_then_drawn_at_random(tmp_path, demand):
    folder = make(tmp_path, demand, space=SPACE, num_samples=200, searcher="portfolio")
    sweep = folder.sweep
    searcher, again = sweep.start_searcher(), sweep.start_searcher()
    asked = [searcher.ask(number) for number in range(400)]
    assert asked == [again.ask(number) for number in range(400)]
    assert all(sweep.search_space.contains(each) for each in asked)
    best = read_atlas().configurations[greedy(read_atlas().regret, 1)[0]]
    first, second = asked[:2]
    assert first["optimizer.lr"] == min(max(best["optimizer.lr"], 1e-3), 1e-2)
    assert [first["model.cell"], second["model.cell"]] == ["lstm", "gru"]
    assert {**first, "model.cell": "gru"} == second, "each value of a grid gets the same ones"
    random = make(tmp_path, demand, "random", space=SPACE, num_samples=200).sweep.start_searcher()
    assert asked[-1] == random.ask(399)


@pytest.mark.parametrize("searcher", [{"name": "optuna", "n_startup_trials": 2}, "bohb"])
def test_a_searcher_that_learns_begins_with_the_atlas(tmp_path, demand, searcher):
    space = {key: value for key, value in SPACE.items() if key != "model.cell"}
    sweep = make(tmp_path, demand, space=space, num_samples=20, searcher=searcher, warm_start="atlas").sweep
    assert sweep.warm_start == ("atlas",)
    known, search = from_atlas.portfolio(sweep.search_space, sweep.seed, {})[: from_atlas.FIRST], sweep.start_searcher()
    for number in range(12):
        overrides = search.ask(number)
        if number < len(known):
            assert overrides == known[number]
        search.tell(number, overrides, float(number))
    replayed = sweep.start_searcher()
    for number, overrides in enumerate(known):
        replayed.replay(number, overrides)
        replayed.tell(number, overrides, float(number))
    assert replayed.ask(len(known)) is not None


@pytest.mark.parametrize(("more", "told"), [
    ({"searcher": "portfolio", "space": {"data.batch_size": {"choice": [8, 16]}}}, "portfolio: the atlas varies"),
    ({"warm_start": "atlas"}, "warm_start: atlas: searcher 'random'.*searcher: portfolio"),
    ({"warm_start": ["atlas"], "searcher": "hyperopt", "space": {"optimizer.lr": {"uniform": [0, 1]}}}, "hyperopt"),
])  # fmt: skip
def test_what_the_atlas_says_nothing_of_is_refused(tmp_path, demand, more, told):
    with pytest.raises(ConfigError, match=told) as error:
        make(tmp_path, demand, **more)
    assert "\n" not in str(error.value)


def test_suggest_takes_an_experiment_and_data_of_ones_own(tmp_path, monkeypatch, lab):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"2026-01-{1 + n // 24:02} {n % 24:02}:00,{math.sin(n / 4):.3f}\n" for n in range(600))
    (tmp_path / "load.csv").write_text(f"time,load\n{rows}")
    code, out, err = lab("suggest", "load.csv", "--json", "-n", "3")
    assert (code, err) == (0, "")
    assert [set(each) for each in json.loads(out)] == [{"overrides", "left_out", "mean_regret"}] * 3
    code, out, _ = lab("suggest", "load.csv", "--write", "sweeps/first.yaml", "-n", "4")
    assert code == 0
    sweep = load_sweep("sweeps/first.yaml")
    assert sweep.num_configurations == 4
    searcher = sweep.start_searcher()
    told = [line for line in out.splitlines() if line.lstrip()[:1].isdigit()]
    for number, line in enumerate(told):
        assert f"optimizer.lr={searcher.ask(number)['optimizer.lr']:g}" in line
    for words, code in ((("nowhere.csv",), 3), (("nowhere.yaml",), 2), (("load.csv", "-n", "0"), 2),
                        (("load.csv", "--write", "sweeps/first.yaml"), 2), (("load.csv", "--force"), 2)):  # fmt: skip
        ended, out, err = lab("suggest", *words)
        assert (ended, out, err.count("\n")) == (code, "", 1), (words, err)
