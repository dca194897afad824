"""What the tests share: small experiments on data that installed packages ship."""

from __future__ import annotations

import json
import os
import sys

import pytest
import torch
from hypothesis import HealthCheck, settings
from texts import corpus
from wandb_stub import KEY, Stub

from lstm_lab import kernels
from lstm_lab.config import DataError
from lstm_lab.experiment import Experiment
from lstm_lab.kernels import build

torch.set_num_threads(1)  # The tensors are tiny: threads would only wait for each other.
# A busy machine is no error: nothing is said of an example that took long.
settings.register_profile(
    "lab",
    parent=settings.get_profile("ci" if os.environ.get("CI") else "default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("lab")

VOWELS = {
    "data": {"name": "japanese_vowels", "batch_size": 32},
    "task": {"name": "classify", "monitor": "loss"},
    "model": {"hidden_size": 6, "pooling": "mean", "dropout": {"input": 0.1, "output": 0.3}},
    "optimizer": {"lr": 0.01},
    "trainer": {"max_epochs": 4, "patience": None},
}
DEMAND = {
    "data": {"name": "taylor", "window": 48, "horizon": 8, "batch_size": 256, "stride": 8},
    "task": "forecast",
    "model": {"hidden_size": 6},
    "optimizer": {"lr": 0.01},
    "trainer": {"max_epochs": 2, "patience": None},
}
REBER = {
    "data": {"name": "embedded_reber", "batch_size": 50, "train_size": 200, "eval_size": 60},
    "task": "next_step",
    "model": {"hidden_size": 6, "embedding": {"dim": 4}},
    "optimizer": {"lr": 0.03},
    "trainer": {"max_epochs": 2, "patience": None},
}


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """Every test has its own folders of runs and of what is kept, no W&B account, no data but what it sets."""
    monkeypatch.setenv("LSTM_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LSTM_LAB_CACHE", str(tmp_path / "cache"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "runs"


@pytest.fixture
def readable():
    """A data set as it is, or a skip that says what is not there and where it comes from."""

    def check(dataset):
        try:
            _ = dataset.info
        except DataError as error:
            if "LSTM_LAB_DATA" not in str(error) and "needs the package" not in str(error):
                raise
            pytest.skip(str(error))
        return dataset

    return check


@pytest.fixture
def lab(monkeypatch, capsys, tmp_path):
    """`lab("train", ...)` -> exit code, standard output, standard error; in the test's folder."""
    import lstm_lab.__main__ as cli

    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["lstm-lab", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return call


@pytest.fixture(scope="session")
def engine():
    """The compiled engine, built if there is a compiler."""
    if not kernels.status().active and "LSTM_LAB_KERNELS" not in os.environ:
        try:
            build.build()
        except build.BuildError:
            return
        kernels.reload()


@pytest.fixture
def needs_engine(engine):
    if not kernels.status().active:
        pytest.skip(kernels.status().reason)


@pytest.fixture
def no_client_is_left():
    """W&B's clients that wait for another run are closed after the test."""
    from lstm_lab.tracking import client

    yield
    client.close_idle_clients()


@pytest.fixture
def stub(monkeypatch, no_client_is_left):
    """A server of W&B on this machine, with a key."""
    with Stub() as found:
        monkeypatch.setenv("WANDB_BASE_URL", found.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield found
        assert found.unknown == []


@pytest.fixture
def own_texts(tmp_path, monkeypatch):
    """A file of one's own with texts, and the experiment that reads it: `own_texts(tokenizer="bpe")`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.jsonl").write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in corpus()))

    def experiment(**choices):
        return Experiment.of({
            "data": {"name": "csv_text", "path": "own.jsonl", "batch_size": 8, **choices},
            "task": "classify",
            "model": {"hidden_size": 6, "embedding": {"dim": 8}, "pooling": "max"},
            "optimizer": {"lr": 0.03},
            "trainer": {"max_epochs": 3, "patience": None},
        })  # fmt: skip

    return experiment


@pytest.fixture
def vowels() -> Experiment:
    return Experiment.of(VOWELS)


@pytest.fixture
def demand() -> Experiment:
    return Experiment.of(DEMAND)


@pytest.fixture
def reber() -> Experiment:
    return Experiment.of(REBER)
