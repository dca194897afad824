"""A sweep is extended by a new search: another space or searcher, in the same folder, told what was found before."""

from __future__ import annotations

import json
import threading

import pytest
from test_extend import sweep_of
from test_ordered_phase import Workers

from lstm_lab.config import ConfigError
from lstm_lab.records.files import TRIALS, read_jsonl
from lstm_lab.sweeps.execution.confirm_phase import ConfirmPhase
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.store.dataframe import trials_dataframe
from lstm_lab.sweeps.store.extension import Addition, describe_changes, extend
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.record import read_sweep
from lstm_lab.sweeps.store.spaces import joined_space

WIDER = {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}, "model.hidden_size": {"randint": [12, 60]}}
JOINED = {
    **dict.fromkeys(("choice", "grid", "uniform", "loguniform", "normal"), ([0.25, 0.5], [0.125, 1.0])),
    **dict.fromkeys(("quniform", "qloguniform"), ([1.0, 2.0, 0.5], [0.5, 3.0, 0.5])),
    "randint": ([4, 8], [2, 5]),
}
"""Domain -> arguments of two."""
TPE = {"name": "optuna", "n_startup_trials": 1}


def renumbered(folder, first):
    """What was tried from a configuration on, as if it had been the first; each had one trial."""
    found = []
    for row in read_jsonl(folder.path / TRIALS)[first:]:
        row = {key: value for key, value in row.items() if key != "version"}
        row["configuration"] -= first
        row["trial"] = f"t{int(row['trial'].removeprefix('t')) - first:04d}"
        row["told"] = [number - first for number in row.get("told", ())]
        found.append(row)
    ends = [(trial.state, trial.epochs) for trial in folder.trials()[first:]]
    return json.loads(json.dumps(found)), ends


def test_a_new_search_has_the_rows_of_a_sweep_with_the_old_one_as_warm_start(tmp_path, demand):
    """Whatever workers do, and after kills."""
    folder = Workers(sweep_of(tmp_path, demand, "old", "asha", num_samples=5, seeds=[0]), 2, 0, 0).run()
    inside = sum(row["overrides"]["model.hidden_size"] >= 12 for row in folder.trial_rows())
    assert 0 < inside < 5
    more = {"space": WIDER, "searcher": TPE, "scheduler": "fifo", "num_samples": 3, "seed": 1}
    fresh = sweep_of(tmp_path, demand, "new", "asha", seeds=[0], warm_start=[str(folder.path)], **more)
    changes = {"space.model.hidden_size": WIDER["model.hidden_size"], "searcher": TPE, "scheduler": "fifo"}
    row = extend(folder, Addition(samples=3, changes=changes), "lstm-lab extend")
    assert row["search"] == {"configuration": 5, "told": fresh.about["warm_start"]["told"],
                             "outside": fresh.about["warm_start"]["outside"]}  # fmt: skip
    assert folder.sweep.dump() == {**fresh.sweep.dump(), "warm_start": [], "title": folder.sweep.title}
    assert "model.hidden_size randint [2, 30] -> randint [12, 60]" in describe_changes(row)
    assert "a new search, told " in describe_changes(row)
    sections = {
        "searcher": {"old": {"name": "random"}, "new": {"name": "optuna", "sampler": "gp", "n_startup_trials": None}}
    }
    assert describe_changes({"changes": sections}) == "searcher random -> optuna (sampler gp)"
    folder = Workers(SweepFolder.open(folder.path), 2, 1, kills=2).run()
    assert renumbered(folder, 5) == renumbered(Workers(fresh, 3, 0, 0).run(), 0)
    assert [trial.version for trial in folder.trials()] == [0] * 5 + [1] * 3
    # All searches are in leaderboard, table and page.
    assert len(folder.leaderboard()) == 8
    assert read_sweep(folder.path).space["model.hidden_size"] == ("randint", [2, 60])
    assert list(trials_dataframe(folder.path)["version"]) == [0] * 5 + [1] * 3


def test_a_new_search_grows_as_the_first_one_did(tmp_path, demand):
    folder = Workers(sweep_of(tmp_path, demand, "grown", "asha", num_samples=2, seeds=[0]), 2, 0, 0).run()
    extend(folder, Addition(samples=2, changes={"space.model.hidden_size": {"randint": [12, 60]}}))
    assert (folder.sweep.num_samples, folder.sweep.seed) == (2, 1)
    Workers(SweepFolder.open(folder.path), 2, 0, 0).run()
    row = extend(folder, Addition(samples=1))
    assert (folder.sweep.num_samples, "search" in row) == (3, False)
    Workers(SweepFolder.open(folder.path), 2, 0, 0).run()
    assert [trial.version for trial in folder.trials()] == [0] * 2 + [1] * 2 + [2]
    assert folder.search["version"] == 1


def test_the_best_of_all_searches_are_confirmed(tmp_path, demand):
    folder = Workers(sweep_of(tmp_path, demand, "all", "asha", num_samples=2, seeds=[0]), 2, 0, 0).run()
    changes = {"space.optimizer.lr": {"loguniform": [0.5, 0.9]}, "space.model.hidden_size": None}
    extend(folder, Addition(samples=1, seeds=[7], top=3, changes=changes))
    assert list(folder.sweep.space) == ["optimizer.lr"]
    Workers(folder, 2, 0, 0).run()
    for _ in range(2):  # The second one reads what the first one has recorded.
        confirm = ConfirmPhase(folder, "disabled", threading.Event(), lambda: 0.0)
        assert {len(trial.overrides) for trial in confirm.pending} == {1, 2}


def test_a_new_value_of_a_grid_is_compared_in_pairs(tmp_path, demand):
    space = {"model.cell": {"grid": ["lstm", "gru"]}, "optimizer.lr": {"loguniform": [1e-3, 1e-1]}}
    folder = Workers(sweep_of(tmp_path, demand, "grid", "asha", space=space, num_samples=2, seeds=[0]), 2, 0, 0).run()
    extend(folder, Addition(samples=2, changes={"space.model.cell": {"grid": ["rnn"]}}))
    Workers(SweepFolder.open(folder.path), 2, 0, 0).run()
    rates = {}
    for row in folder.trial_rows():
        rates.setdefault(row["overrides"]["model.cell"], []).append(row["overrides"]["optimizer.lr"])
    assert rates["rnn"] == rates["gru"] == rates["lstm"]
    assert read_sweep(folder.path).space["model.cell"] == ("grid", ["lstm", "gru", "rnn"])


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (Addition(changes={"searcher": "optuna"}), "searcher: begins a new search: give --samples"),
        (Addition(samples=2, changes={"space.model.hiden_size": {"choice": [8]}}), "hiden_size: no such field"),
        (Addition(samples=2, changes={"space.model.hidden_size": {"chioce": [8]}}), "must be one domain"),
        (Addition(samples=4, changes={"scheduler": "pbt"}), "pbt"),
        (Addition(samples=2, changes={"seeds": [1]}), "seeds: an extension changes budget, .*, samples and seeds; for"),
    ],
)
def test_a_search_that_cannot_begin_is_refused(tmp_path, demand, added, message):
    folder = Workers(sweep_of(tmp_path, demand, "refused", "asha", num_samples=1, seeds=[0]), 2, 0, 0).run()
    before = folder.sweep.dump(), folder.about
    with pytest.raises(ConfigError, match=message):
        extend(folder, added)
    assert (folder.sweep.dump(), folder.about) == before


def test_a_search_begins_once_the_one_before_it_has_ended(tmp_path, demand):
    folder = sweep_of(tmp_path, demand, "early", "asha", num_samples=2, seeds=[0])
    with pytest.raises(ConfigError, match="has not ended: complete it first with: lstm-lab resume"):
        extend(folder, Addition(samples=2, changes={"searcher": "optuna"}))


def test_spaces_of_all_searches_are_joined():
    old = {"lr": {"loguniform": [0.01, 0.1]}, "cell": {"grid": ["lstm"]}, "gone": {"choice": [1, 2]}}
    new = {"lr": {"loguniform": [0.001, 0.05]}, "cell": {"grid": ["gru", "lstm"]}, "size": {"randint": [1, 9]}}
    extensions = [{"changes": {"num_samples": {"old": 1, "new": 2}}}, {"changes": {"space": {"old": old, "new": new}}}]
    assert joined_space(new, extensions) == {
        "lr": ("loguniform", [0.001, 0.1]), "cell": ("grid", ["lstm", "gru"]), "size": ("randint", [1, 9]),
        "gone": ("choice", [1, 2]),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(Domain.members))
def test_a_joined_domain_has_the_values_of_both(name):
    one, other = (Domain.members[name](arguments) for arguments in JOINED[name])
    joined = one.joined(other)
    assert all(joined.contains(value) for value in (*one.corner_values(), *other.corner_values()))


def test_a_record_that_holds_no_domain_is_joined_to_nothing():
    extensions = [{"changes": {"space": {"old": {"lr": {"uniform": "?"}}, "new": {}}}}]
    assert joined_space({"lr": {"uniform": [0.0, 1.0]}}, extensions) == {"lr": ("uniform", [0.0, 1.0])}
