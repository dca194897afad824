"""A sweep over several data sets: the same sweep on each, and mean ranks over all of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata
from sweeping import ended_sweep

from lstm_lab import config
from lstm_lab.config import ConfigError, DataError
from lstm_lab.report import statistics
from lstm_lab.sweeps.corners import build_corners
from lstm_lab.sweeps.data_grid import label_data, load_sweeps, on_data
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.verbs import terminal

ADDING = {"data": {"name": "adding", "length": 20, "train_size": 64}, "task": "regress"}


def sweep_file(tmp_path, data, **more):
    path = tmp_path / "cells.yaml"
    content = {"experiment": ADDING, "space": {"model.cell": {"grid": ["lstm", "gru"]}}, "data": data, **more}
    path.write_text(f"# Which cell?\n{config.to_yaml(content)}")
    return path


def test_a_file_over_data_sets_is_the_same_sweep_on_each(tmp_path):
    other = {"name": "adding", "length": 30}
    path = sweep_file(tmp_path, {"grid": ["adding", other]}, overrides={"data.batch_size": 8})
    found = load_sweeps(path)
    assert list(found) == ["adding", "adding-2"]
    assert [sweep.title for sweep in found.values()] == ["Which cell? (adding)", "Which cell? (adding-2)"]
    assert [sweep.base.data.length for sweep in found.values()] == [20, 30]
    assert {sweep.base.data.batch_size for sweep in found.values()} == {8}
    assert len({str(sweep.space) for sweep in found.values()}) == 1
    assert load_sweeps(path, ["data.length=40", "data=adding"])[""].title == "Which cell?"
    with pytest.raises(ConfigError, match=r"several data sets make several sweeps: .* or choose one, as data=NAME"):
        load_sweep(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"grid": ["adding"]}, "must be a grid of at least two data sets"),
        (["adding", "copy"], "must be a grid of at least two data sets"),
        ({"choice": ["adding", "copy"]}, "must be a grid of at least two data sets"),
        ({"grid": ["adding", "adding"]}, "has adding twice: leave one of them out"),
        ({"grid": ["adding", "jsb_chorales"]}, "cells.yaml: on data jsb_chorales: .*does not go with data"),
        ({"grid": ["adding", "addding"]}, "cells.yaml: on data addding: .*did you mean 'adding'"),
    ],
)
def test_what_does_not_go_with_one_of_them_is_refused_by_its_name(tmp_path, data, message):
    with pytest.raises(ConfigError, match=message):
        load_sweeps(sweep_file(tmp_path, data))


def test_a_hyperparameter_that_one_of_them_ignores_is_refused_by_its_name(tmp_path):
    space = {"data.length": {"choice": [10, 20]}}
    path = sweep_file(tmp_path, {"grid": ["adding", {"name": "jsb_chorales"}]}, space=space)
    with pytest.raises(ConfigError, match="on data jsb_chorales: "):
        load_sweeps(path)


def test_data_that_are_missing_are_reported_by_their_name(tmp_path, monkeypatch):
    monkeypatch.delenv("LSTM_LAB_DATA", raising=False)
    experiment = {"data": "jsb_chorales", "task": "next_step"}
    path = sweep_file(tmp_path, {"grid": ["jsb_chorales", "nottingham"]}, experiment=experiment)
    sweep = load_sweeps(path)["nottingham"]
    with (
        pytest.raises(DataError, match=r"cells.yaml: on data nottingham: .*LSTM_LAB_DATA"),
        on_data(path, "nottingham"),
    ):
        build_corners(sweep, str(path))


def test_files_of_one_kind_are_told_apart_by_their_names():
    sets = [{"name": "csv_sequences", "path": "a/one.csv"}, {"name": "csv_sequences", "path": "b/two.csv"}, "fsdd"]
    assert list(label_data({"grid": sets}, "x")) == ["csv_sequences-one", "csv_sequences-two", "fsdd"]


def test_mean_ranks_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 5, (4, 6)).astype(float)
    assert statistics.mean_ranks(blocks.tolist()) == pytest.approx(rankdata(blocks, axis=1).mean(0).tolist())


def test_the_table_over_data_sets_has_the_best_of_each_value_and_mean_ranks(tmp_path, demand, vowels):
    values = {"lstm": (0.3, 0.9), "gru": (0.2, 0.8), "rnn": (0.4, 0.85)}
    folders = []
    for number, experiment in enumerate((demand, vowels)):
        rates = {0.01 * (i + 1): row[number] for i, row in enumerate(values.values())}
        folder = ended_sweep(tmp_path / f"s{number}", experiment, rates)
        for trial in folder.trials():
            folder.run(trial.id).describe(data={"digest": str(number), "info": {}, "notes": []})
        folders.append(folder.path)
    (table, *_) = terminal.over_data_sets(folders)
    cells = [list(column.cells) for column in table.columns]
    assert table.columns[-1].header == "mean rank"
    assert dict(zip(cells[0], cells[-1], strict=True)) == {"0.01": "2.50", "0.02": "1.00", "0.03": "2.50"}
