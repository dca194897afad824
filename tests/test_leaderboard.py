"""The leaderboard: configurations ranked by the mean over seeds."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_lab.records.run_record import RunRecord
from lstm_lab.sweeps.store.leaderboard import Trial, best_trial, leaderboard


def trial(configuration, seed, value, state="finished"):
    rows = [{"epoch": 1, "m": value, "seconds": 1.0}]
    record = RunRecord(Path(), {"monitor": "m", "mode": "min", "parameters": 10}, state, None, rows)
    return Trial(f"t{configuration}{seed}", configuration, seed, {"k": configuration}, state, None, record)


values = st.floats(-100, 100)


@settings(max_examples=50)
@given(st.lists(st.lists(values, min_size=2, max_size=2), min_size=1, max_size=8), st.sampled_from(["min", "max"]))
def test_the_leaderboard_is_sorted_by_the_mean_over_seeds(table, mode):
    trials = [trial(p, s, value) for p, row in enumerate(table) for s, value in enumerate(row)]
    ranked = leaderboard(trials, mode)
    means = [row.mean for row in ranked]
    assert means == sorted(means, reverse=mode == "max")
    for row in ranked:
        assert (row.mean, row.std, row.n) == (mean(table[row.number]), stdev(table[row.number]), 2)
    best = best_trial(ranked, mode)
    assert best.value == (max if mode == "max" else min)(table[ranked[0].number])


def test_configurations_stopped_early_or_failed_rank_behind_completed_ones():
    trials = [
        trial(0, 0, 0.1, "stopped"), trial(0, 1, 0.1),
        trial(1, 0, 0.5), trial(1, 1, 0.5),
        trial(2, 0, None, "failed"), trial(2, 1, None, "failed"),
    ]  # fmt: skip
    ranked = leaderboard(trials, "min")
    assert [row.number for row in ranked] == [1, 0, 2]
    assert ranked[2].mean is None
    assert best_trial(ranked, "min").configuration == 1
    assert best_trial(leaderboard(trials[4:], "min"), "min") is None


def test_one_seed_has_no_std():
    assert leaderboard([trial(0, 0, 0.3)], "min")[0].std is None
