"""Events of a user: a table with a row for each, from the file to predictions of new ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lstm_lab as lab
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.data.sources.csv_events import CSVEvents
from lstm_lab.experiment import Experiment


def table(num=60, seed=0):
    """Sessions whose class is whether they have "add to cart" before "search"."""
    rng, rows = np.random.default_rng(seed), []
    for session in range(num):
        events = [*rng.choice(["view", "home", "help"], rng.integers(2, 6)), "add to cart", "search"]
        rng.shuffle(events)
        bought = events.index("add to cart") < events.index("search")
        rows += [(f"s{session}", t, event, ["left", "bought"][bought]) for t, event in enumerate(events)]
    return pd.DataFrame(rows, columns=["session", "step", "event", "outcome"])


@pytest.fixture
def path(tmp_path):
    table().to_csv(tmp_path / "clicks.csv", index=False)
    return tmp_path / "clicks.csv"


def config(path, **more):
    return CSVEvents.Config(**{"path": str(path), "id": "session", "events": "event", "label": "outcome", **more})


def test_events_are_those_of_each_sequence_in_their_order(path):
    data, frame = config(path).build(), table()
    texts = data.read()
    expected = frame.groupby("session", sort=False)["event"].apply(
        lambda own: " ".join(own).replace("add to", "add_to")
    )
    assert [text.replace("add_to_cart", "add_to cart") for text in texts.texts] == expected.tolist()
    assert texts.labels.tolist() == frame.groupby("session", sort=False)["outcome"].first().tolist()
    assert {*data.info.vocabulary.tokens} >= {"view", "home", "help", "add_to_cart", "search"}
    assert len(data.train) + len(data.validation) + len(data.test_split()) == 60


def test_several_columns_are_one_token_and_an_empty_cell_is_one_too(tmp_path):
    frame = table().assign(page=lambda rows: np.where(rows["step"] % 2, "p 1", ""))
    frame.to_csv(tmp_path / "a.csv", index=False)
    text = config(tmp_path / "a.csv", events=["event", "page"]).build().read().texts[0]
    own = frame[frame["session"] == "s0"]
    assert text.split() == [
        f"{'_'.join(event.split())}|{'p_1' if page else '-'}"
        for event, page in zip(own["event"], own["page"], strict=True)
    ]


def test_a_table_of_events_is_recognised(path):
    found = inspect(str(path)).experiment
    data = {"name": "csv_events", "path": str(path), "id": "session", "events": ["event"], "label": "outcome"}
    assert data.items() <= found["data"].items()
    assert found["task"]["name"] == "classify"
    table().assign(amount=np.random.default_rng(0).normal(size=len(table()))).to_csv(path, index=False)
    assert inspect(str(path), {"id": "session", "label": "outcome"}).experiment["data"]["name"] == "csv_sequences"


def test_new_events_are_predicted_by_session_from_a_file_and_a_frame_alike(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = Experiment.of({"data": config(path).model_dump() | {"name": "csv_events"}, "task": "classify",
                                "trainer": {"max_epochs": 1}})  # fmt: skip
    run = lab.train(experiment, name="run", wandb="disabled")
    new = table(5, seed=1).drop(columns="outcome").sample(frac=1, random_state=0).sort_values("step", kind="stable")
    new.to_csv(tmp_path / "new.csv", index=False)
    frame = run.predict(new)
    assert frame["session"].tolist() == [*dict.fromkeys(new["session"])]
    pd.testing.assert_frame_equal(frame, run.predict(tmp_path / "new.csv"))
    with pytest.raises(DataError, match="no column 'event'"):
        run.predict(new.drop(columns="event"))


def test_what_does_not_fit_is_one_line(path):
    frame = table()
    frame.loc[1, "outcome"] = "left" if frame.loc[0, "outcome"] == "bought" else "bought"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"line 3, column 'outcome': .* differs from line 2 of the same sequence 's0'"):
        config(path).build().read()
    for changes, message in (({"events": []}, "name at least one column"), ({"events": "outcome"}, "outcome")):
        with pytest.raises((ConfigError, ValueError), match=message):
            config(path, **changes)
