"""A sweep grows: by samples, as if it had been started with them, and by seeds for its best configurations."""

from __future__ import annotations

import pytest
from test_ordered_phase import EPOCHS, SPACE, SWEEPS, Workers
from test_sweep_budget import make

from lstm_lab.config import ConfigError, to_yaml
from lstm_lab.records import files
from lstm_lab.records.files import read_json, write_atomic
from lstm_lab.sweeps.store.dataframe import trials_dataframe
from lstm_lab.sweeps.store.extension import Addition, describe_changes, extend
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.repair import repair
from lstm_lab.sweeps.store.summary import ranking
from lstm_lab.verbs import terminal


def sweep_of(tmp_path, demand, name, sweep="tpe", **more):
    experiment = demand.with_overrides({"trainer.max_epochs": EPOCHS})
    return make(tmp_path, experiment, name, **{"space": SPACE, **SWEEPS[sweep], **more})


def rows(folder):
    """What was tried and how it ended, without the version that tried it."""
    tried = [{key: value for key, value in row.items() if key != "version"} for row in folder.trial_rows()]
    return tried, [(trial.id, trial.state, trial.epochs) for trial in folder.trials()]


def test_a_sweep_extended_by_samples_is_the_one_that_was_started_with_them(tmp_path, demand):
    whole = rows(Workers(sweep_of(tmp_path, demand, "whole", num_samples=7), 2, 0, 0).run())
    folder = Workers(sweep_of(tmp_path, demand, "grown", num_samples=4), 3, 0, 0).run()
    row = extend(folder, Addition(samples=3), "lstm-lab extend")
    assert describe_changes(row) == "num_samples 4 -> 7"
    # A kill in the middle of the extension is resumed as any other.
    folder = Workers(SweepFolder.open(folder.path), 2, 1, 2).run()
    assert rows(folder) == whole
    assert [trial.version for trial in folder.trials()] == [0] * 4 + [1] * 3
    assert list(trials_dataframe(folder.path)["version"]) == [0] * 4 + [1] * 3
    table = terminal.leaderboard(ranking(folder))
    assert "version" in [column.header for column in table.columns]
    assert "Version 1: num_samples 4 -> 7." in table.caption


def test_seeds_for_the_best_are_a_confirmation(tmp_path, demand):
    folder = sweep_of(tmp_path, demand, "seeds", "asha")
    extend(folder, Addition(seeds=[2, 3], top=2))
    confirm = folder.sweep.confirm
    assert (confirm.top, confirm.seeds) == (2, (0, 1, 2, 3))
    assert folder.about["extensions"][0]["changes"]["confirm"]["old"] is None
    extend(folder, Addition(seeds=[3, 4]))
    assert (folder.sweep.confirm.top, folder.sweep.confirm.seeds) == (2, (0, 1, 2, 3, 4))
    assert (folder.version, repair(folder.path)) == (2, [])


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (Addition(), "nothing is added: give --samples 20, or --seeds 3,4,5 for the best configurations"),
        (
            Addition(changes={"trainer.max_epochs": 9}),
            "trainer.max_epochs: an extension changes budget, patience_tri",
        ),
        (Addition(top=2), "--top 2: has no effect without --seeds"),
        (Addition(samples=2), r"the search ended early \(patience_trials: .*\), and would end at once: give a higher"),
    ],
)
def test_an_extension_that_would_do_nothing_is_refused(tmp_path, demand, added, message):
    folder = sweep_of(tmp_path, demand, "refused")
    folder.describe(ended="patience_trials: 3 trials were not better")
    before = (folder.path / files.SWEEP).read_bytes(), folder.about
    with pytest.raises(ConfigError, match=message):
        extend(folder, added)
    assert ((folder.path / files.SWEEP).read_bytes(), folder.about) == before


def test_a_higher_limit_lets_an_ended_search_go_on(tmp_path, demand):
    folder = sweep_of(tmp_path, demand, "patience", "patience")
    folder.describe(ended="patience_trials: 3 trials were not better", confirmed=[0])
    extend(folder, Addition(samples=2, changes={"patience_trials": 9}))
    assert folder.sweep.patience_trials == 9
    assert not {"ended", "confirmed"} & folder.about.keys()


def test_a_population_does_not_grow(tmp_path, demand):
    more = {"space": {"optimizer.lr": {"uniform": [0.001, 0.1]}}, "num_samples": 4}
    scheduler = {"name": "pbt", "perturbation_interval": 2}
    experiment = demand.with_overrides({"trainer.max_epochs": EPOCHS})
    folder = make(tmp_path, experiment, "population", scheduler=scheduler, **more)
    with pytest.raises(ConfigError, match="are one population, which cannot grow"):
        extend(folder, Addition(samples=2))


def test_an_extension_that_was_killed_between_its_two_files_is_completed(tmp_path, demand):
    folder = sweep_of(tmp_path, demand, "killed")
    before = folder.sweep.dump()
    extend(folder, Addition(seeds=[5]))
    after = folder.sweep.dump()
    write_atomic(folder.path / files.SWEEP, to_yaml(before))
    assert repair(folder.path) == ["sweep.yaml: an extension was interrupted; completed from about.json"]
    assert folder.sweep.dump() == after == read_json(folder.path / files.ABOUT)["sweep"]
