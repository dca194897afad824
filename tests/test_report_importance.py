"""Hyperparameter importance where the truth is known, with stopped trials too; the expected best only improves."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import kendalltau

from lstm_lab.records.run_record import RunRecord
from lstm_lab.report.parts import importance, importance_view
from lstm_lab.report.parts.expected_best import expected_best
from lstm_lab.sweeps.store.leaderboard import Configuration, Trial
from lstm_lab.sweeps.store.record import SweepRecord

# --- importance ------------------------------------------------------------------------------------------------------


def synthetic(count, stop=False, seed=0, noise=0.02):
    """A sweep whose truth is known: `a` decides most, then the cell, then `b`; `c` does nothing.

    Stopped trials are the worse half, cut after 4 of 20 epochs: at their end they stand far above the others.
    """
    rng = random.Random(seed)
    drawn = []
    for number in range(count):
        over = {
            "a": 10 ** rng.uniform(-4, -1), "cell": rng.choice(["lstm", "gru"]), "b": rng.uniform(0, 1),
            "c": rng.uniform(0, 1),
        }  # fmt: skip
        level = 1.6 * (math.log10(over["a"]) + 2.5) ** 2 / 1.5**2 + 0.6 * (over["cell"] == "gru") + 0.5 * over["b"]
        drawn.append((level + rng.gauss(0, noise), number, over))
    middle = sorted(level for level, _, _ in drawn)[count // 2]
    trials = []
    for level, number, over in drawn:
        cut = stop and level > middle
        rows = [
            {"epoch": epoch, "val/loss": level + 3 * math.exp(-epoch / 3), "seconds": float(epoch + 1)}
            for epoch in range(4 if cut else 20)
        ]
        record = RunRecord(Path(f"t{number:04}"), {"monitor": "val/loss", "mode": "min"}, "finished", None, rows)
        state = "stopped" if cut else "finished"
        trials.append(Trial(f"t{number:04}", number, 0, over, state, None, record))
    space = {"a": {"loguniform": [1e-4, 0.1]}, "cell": {"grid": ["lstm", "gru"]}, "b": {"uniform": [0, 1]},
             "c": {"uniform": [0, 1]}}  # fmt: skip
    ranked = [Configuration(t.configuration, t.overrides, (t,), t.value, None, 1) for t in trials]
    ranked.sort(key=lambda row: (not row.completed, row.mean))
    return SweepRecord(
        Path("s"), {"space": space}, {}, "val/loss", "min", trials, ranked, ranked[0].trials[0], None, None
    )


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "seed"), [(False, 0), (True, 1), (True, 2)])
def test_importance_recovers_the_order_of_what_mattered(stop, seed):
    found = importance.importance(synthetic(120, stop, seed))
    assert list(found.shares) == ["a", "cell", "b", "c"]
    assert sum(found.shares.values()) == pytest.approx(1)
    # What each part of the sum varies by is known: u^2 of u in -1..1 by 4/45, a coin by 1/4, u of u in 0..1 by 1/12.
    known = [1.6**2 * 4 / 45, 0.6**2 / 4, 0.5**2 / 12, 0.0]
    for share, truth in zip(found.shares.values(), known, strict=True):
        assert share == pytest.approx(truth / sum(known), abs=0.16)
    assert (found.trials, found.epochs) == (120, 4 if stop else 20)


RUNGS = (4, 12, 36)


def raced(count, seed):
    """A sweep as asynchronous halving leaves it; `strong` decides most, `weak` some, `none` nothing.

    Every trial learns at a speed of its own, so that curves cross: some that would have ended well are stopped.
    Returned beside it: where each would have ended.
    """
    rng = random.Random(seed)
    trials, ends, seen = [], [], {rung: [] for rung in RUNGS[:-1]}
    for number in range(count):
        over = {"strong": 10 ** rng.uniform(-4, -1), "weak": rng.choice(["lstm", "gru"]), "none": rng.uniform(0, 1)}
        end = 2.0 * (math.log10(over["strong"]) + 2.5) ** 2 / 1.5**2 + 0.6 * (over["weak"] == "gru")
        speed = math.exp(rng.uniform(math.log(1.5), math.log(6.0)))
        losses = [end + 2 * math.exp(-(epoch + 1) / speed) + rng.gauss(0, 0.03) for epoch in range(RUNGS[-1])]
        length = RUNGS[-1]
        for rung, others in seen.items():
            others.append(min(losses[:rung]))
            if len(others) > 2 and others[-1] > sorted(others)[max(len(others) // 3 - 1, 0)]:
                length = rung
                break
        rows = [{"epoch": epoch, "val/loss": losses[epoch], "seconds": epoch + 1.0} for epoch in range(length)]
        state = "finished" if length == RUNGS[-1] else "stopped"
        record = RunRecord(Path(f"t{number:04}"), {"monitor": "val/loss", "mode": "min"}, state, None, rows)
        trials.append(Trial(f"t{number:04}", number, 0, over, state, None, record))
        ends.append(end)
    space = {"strong": {"loguniform": [1e-4, 0.1]}, "weak": {"grid": ["lstm", "gru"]}, "none": {"uniform": [0, 1]}}
    ranked = [Configuration(t.configuration, t.overrides, (t,), t.value, None, 1) for t in trials]
    ranked.sort(key=lambda row: (not row.completed, row.mean))
    best = ranked[0].trials[0]
    return SweepRecord(Path("s"), {"space": space}, {}, "val/loss", "min", trials, ranked, best, None, None), ends


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_importance_recovers_the_order_where_curves_cross_and_halving_stopped_the_worse(seed):
    """Of 20 such sweeps 19 come out so; in the other one the weak and the useless one are level."""
    sweep, ends = raced(120, seed)
    lengths = [len(trial.record.rows) for trial in sweep.trials]
    assert [lengths.count(rung) > 0 for rung in RUNGS] == [True, True, True]
    assert lengths.count(RUNGS[0]) > 60, "most were stopped at the first rung"
    # The curves cross: some that were stopped would have ended better than some that were trained through.
    through = [end for end, length in zip(ends, lengths, strict=True) if length == RUNGS[-1]]
    assert sum(end < max(through) for end, length in zip(ends, lengths, strict=True) if length == RUNGS[0]) > 5
    early = [trial.record.best_within(RUNGS[0]) for trial in sweep.trials]
    assert kendalltau(early, ends).statistic < 0.8
    found = importance.importance(sweep)
    assert list(found.shares) == ["strong", "weak", "none"]
    assert found.shares["strong"] > 2 * found.shares["weak"]
    assert (found.trials, found.epochs, found.max_epochs) == (120, 4, 36)
    assert (
        "hyperparameters that speed up training count" in importance_view.importance_figure(found, "val/loss").caption
    )


def two_arms(count):
    """Two cells: what `lr` decides of one, `b` decides of the other."""
    rng = random.Random(3)
    trials = []
    for number in range(count):
        over = {"cell": ("lstm", "gru")[number % 2], "lr": rng.uniform(0, 1), "b": rng.uniform(0, 1)}
        level = over["lr" if over["cell"] == "lstm" else "b"] + rng.gauss(0, 0.02)
        rows = [{"epoch": 0, "val/loss": level, "seconds": 1.0}]
        record = RunRecord(Path(f"t{number:04}"), {"monitor": "val/loss", "mode": "min"}, "finished", None, rows)
        trials.append(Trial(f"t{number:04}", number, 0, over, "finished", None, record))
    space = {"cell": {"grid": ["lstm", "gru"]}, "lr": {"uniform": [0, 1]}, "b": {"uniform": [0, 1]}}
    ranked = [Configuration(t.configuration, t.overrides, (t,), t.value, None, 1) for t in trials]
    return SweepRecord(
        Path("s"), {"space": space}, {}, "val/loss", "min", trials, ranked, ranked[0].trials[0], None, None
    )


def test_each_arm_of_a_grid_has_an_importance_of_its_own():
    key, found = importance.importance_by_value(two_arms(80))
    assert (key, set(found)) == ("cell", {"lstm", "gru"})
    assert found["lstm"].shares["lr"] > 0.9
    assert found["gru"].shares["b"] > 0.9
    shown = importance_view.importance_by_value_table(key, found)
    assert [column.name for column in shown.columns][:2] == ["cell", "trials"]
    assert len(shown.rows) == 2
    assert importance.importance_by_value(two_arms(2 * importance.MIN_TRIALS - 1)) is None


def test_importance_with_few_trials_names_the_first_and_the_last_and_says_how_sure():
    found = importance.importance(synthetic(24, stop=True))
    assert set(list(found.shares)[:2]) == {"a", "cell"}
    assert all(std >= 0 for std in found.stds.values())


def test_one_trial_that_went_wrong_does_not_explain_everything():
    sweep = synthetic(60)
    before = importance.importance(sweep)
    for row in sweep.trials[7].record.rows:
        row["val/loss"] = 1e6
    after = importance.importance(sweep)
    assert list(after.shares)[:2] == list(before.shares)[:2]
    assert all(abs(after.shares[key] - before.shares[key]) < 0.15 for key in before.shares)


def test_values_at_the_end_would_name_the_wrong_one_where_trials_were_stopped():
    """Why a common rung is needed: where stopped trials ended says when they were stopped, not how good they are."""
    sweep = synthetic(60, stop=True)
    assert importance.shared_epochs(sweep.trials) == 4
    for trial in sweep.trials:
        assert len(trial.record.rows[:4]) == 4
        assert trial.record.best_within(4) == pytest.approx(min(row["val/loss"] for row in trial.record.rows[:4]))
    stopped = [trial for trial in sweep.trials if trial.state == "stopped"]
    finished = [trial for trial in sweep.trials if trial.state == "finished"]
    assert min(t.value for t in stopped) > max(t.value for t in finished), "the ends are two worlds"
    assert min(t.record.best_within(4) for t in stopped) > min(t.record.best_within(4) for t in finished)


def test_importance_is_shown_from_four_configurations_on_and_never_of_a_population():
    assert importance.importance(synthetic(3)) is None
    few = importance.importance(synthetic(4))
    assert not any(map(few.is_known, few.shares))
    assert importance_view.importance_text(few).endswith("not known yet: there are too few configurations.")
    sweep = synthetic(30)
    sweep.trials[3] = replace(sweep.trials[3], lineage=({"source": "t0001", "epoch": 4},))
    assert importance.importance(sweep) is None


def test_importance_that_may_be_believed():
    """What decides is known; of noise nothing is, although a forest always finds something in it."""
    found = importance.importance(raced(120, seed=1)[0])
    text = importance_view.importance_text(found)
    assert text == "What matters most is strong: its interval overlaps with no other one."
    for key, (low, high) in found.intervals.items():
        assert 0 <= low <= found.shares[key] <= high <= 1
    assert importance_view.importance_table(found).rows[0][-1].text == "1"
    # The true shares are 0.67 and 0.27; the forests of these trials put the second one first.
    level = importance.importance(synthetic(60))
    text = "What matters most is not known yet: the intervals of cell and a overlap."
    assert importance_view.importance_text(level) == text
    assert importance_view.importance_table(level).rows[0][-1].text == "not known yet"
    noise = synthetic(60)
    rng = random.Random(1)
    for trial in noise.trials:
        shift = rng.gauss(0, 1)
        for row in trial.record.rows:
            row["val/loss"] = shift + 1 / (row["epoch"] + 1)
    found = importance.importance(noise)
    assert not any(map(found.is_known, found.shares))
    assert "is not known yet" in importance_view.importance_text(found)


def test_what_only_some_trials_have_is_left_out_and_named():
    sweep = synthetic(40)
    for trial in sweep.trials[::2]:
        trial.overrides["d"] = trial.configuration
    found = importance.importance(sweep)
    assert found.left_out == ["d"]
    assert (
        "Left out, because not every trial has them: d." in importance_view.importance_figure(found, "val/loss").caption
    )


# --- expected best ----------------------------------------------------------------------------------------------------


def test_the_best_to_be_expected_only_gets_better_and_ends_at_the_best():
    sweep = synthetic(30)
    traces = json.loads(expected_best(sweep).content)["data"]
    lines = {trace["name"]: trace for trace in traces if "fill" not in trace}
    assert set(lines) == {"lstm", "gru"}
    for cell, line in lines.items():
        trials = [trial for trial in sweep.trials if trial.overrides["cell"] == cell]
        assert all(after <= before + 1e-12 for before, after in zip(line["y"], line["y"][1:], strict=False))
        assert line["y"][-1] == pytest.approx(min(trial.value for trial in trials))
        assert line["x"][-1] == pytest.approx(sum(trial.record.seconds for trial in trials))
