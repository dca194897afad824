"""What the tests share: small experiments on data that installed packages ship."""

from __future__ import annotations

import pytest
import torch

from lstm_lab.config import DataError
from lstm_lab.experiment import Experiment

torch.set_num_threads(1)  # The tensors are tiny: threads would only wait for each other.

VOWELS = {
    "data": {"name": "japanese_vowels", "batch_size": 32},
    "task": {"name": "classify", "decides": "loss"},
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


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """Every test has its own folder of runs, no W&B account, and no data folder but the one it sets."""
    monkeypatch.setenv("LSTM_LAB_RUNS", str(tmp_path / "runs"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "runs"


@pytest.fixture
def readable():
    """A data set as it is, or a skip that says what is not there and where it comes from."""

    def check(dataset):
        try:
            _ = dataset.facts
        except DataError as error:
            if "LSTM_LAB_DATA" not in str(error):
                raise
            pytest.skip(str(error))
        return dataset

    return check


@pytest.fixture
def vowels() -> Experiment:
    return Experiment.of(VOWELS)


@pytest.fixture
def demand() -> Experiment:
    return Experiment.of(DEMAND)
