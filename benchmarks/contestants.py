"""Who trains in `training.py`: each validates, writes a line of a record and a checkpoint after every epoch."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROWS, VALIDATION = 6000, 750
Turn = Callable[[], None]
"""Called at the end of each epoch; returns when the next one may begin."""


class Shape(NamedTuple):
    """Windows over a series, and the size of the model."""

    window: int
    horizon: int
    batch: int
    hidden: int

    @property
    def windows(self) -> int:
        """In an epoch."""
        return ROWS - self.window - self.horizon + 1


def series() -> np.ndarray:
    """(ROWS + VALIDATION,) float32: two seasons and noise."""
    t, noise = np.arange(ROWS), np.random.default_rng(0).normal(0, 0.2, ROWS)
    rows = (np.sin(t / 24 * 6.283) + 0.5 * np.sin(t / 168 * 6.283) + noise).astype(np.float32)
    return np.concatenate([rows, rows[:VALIDATION]])


def windows(shape: Shape) -> tuple[Any, Any]:
    """x (N, window, 1) and y (N, horizon), those for validation at the end."""
    import torch

    rows = torch.from_numpy(series()).unfold(0, shape.window + shape.horizon, 1)
    return rows[:, : shape.window].unsqueeze(-1).contiguous(), rows[:, shape.window :].contiguous()


def train_experiment(experiment: Any, turn: Turn) -> None:
    """`lstm_lab.train`, an epoch at a time."""
    from lstm_lab.records.run import Run
    from lstm_lab.training.train import train

    run = Run.create("run", experiment.dump(), command="", job_type="train")
    train(experiment, run, on_epoch=lambda row: turn())


def lab(shape: Shape, turn: Turn) -> None:
    """This library."""
    import pandas as pd

    import lstm_lab

    data = lstm_lab.data.frame(pd.DataFrame({"y": series()}), targets="y", window=shape.window, horizon=shape.horizon,
                               batch_size=shape.batch, split={"validation_from": ROWS}, folder=".")  # fmt: skip
    experiment = lstm_lab.Experiment(
        data=data, task="forecast", model={"hidden_size": shape.hidden}, optimizer={"lr": 1e-3},
        trainer={"max_epochs": 10**6, "patience": None, "gradient_clip_val": 1.0, "accelerator": "cpu"},
    )  # fmt: skip
    train_experiment(experiment, turn)


def lab_conf(conf: str, turn: Turn) -> None:
    """This library on a shipped configuration, without an end."""
    from lstm_lab.experiment import load_experiment

    experiment = load_experiment(Path(__file__).parents[1] / conf)
    train_experiment(
        experiment.with_overrides({"trainer.max_epochs": 10**6, "trainer.patience": None, "trainer.num_threads": 1,
                                   "trainer.accelerator": "cpu", "schedule": "constant"}), turn)  # fmt: skip


def with_autograd(trains: Callable[[Any, Turn], None]) -> Callable[[Any, Turn], None]:
    """This library as it trains where a step needs autograd's graph."""

    def run(shape: Any, turn: Turn) -> None:
        block_learner = importlib.import_module("lstm_lab.training.block_learner")
        block_learner.obstacle = lambda model: "switched off"  # type: ignore[attr-defined]
        trains(shape, turn)

    return run


def with_torch_step(trains: Callable[[Any, Turn], None]) -> Callable[[Any, Turn], None]:
    """This library where torch clips gradients and takes the steps of Adam."""

    def run(shape: Any, turn: Turn) -> None:
        importlib.import_module("lstm_lab.kernels.optimizer_step").MAX_TENSORS = 0  # type: ignore[attr-defined]
        trains(shape, turn)

    return run


def bare(shape: Shape, turn: Turn, fused: bool = False) -> None:
    """A loop of one page over torch, or over this library's kernel."""
    import torch
    from torch import nn

    x, y = windows(shape)
    train = torch.arange(shape.windows)
    lstm, head = nn.LSTM(1, shape.hidden, batch_first=True), nn.Linear(shape.hidden, shape.horizon)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True)
    if fused:
        from lstm_lab import kernels

        kernels.tune_memory()
        weights = list(lstm.parameters())

    def loss_of(index: Any) -> Any:
        batch = x[index]
        if fused:
            _, h, _ = kernels.lstm(batch, torch.full((len(index),), shape.window), None, None, *weights)
        else:
            h = lstm(batch)[1][0][0]
        return nn.functional.mse_loss(head(h), y[index])

    while True:
        for index in train[torch.randperm(len(train))].split(shape.batch):
            loss = loss_of(index)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        with torch.no_grad():
            found = [float(loss_of(index)) for index in torch.arange(shape.windows, len(x)).split(4 * shape.batch)]
        with Path("metrics.jsonl").open("a") as record:
            record.write(json.dumps({"val_loss": sum(found) / len(found)}) + "\n")
        torch.save([lstm.state_dict(), head.state_dict(), optimizer.state_dict()], "last.ckpt")
        turn()


def bare_fused(shape: Shape, turn: Turn) -> None:
    """The same loop over this library's kernel."""
    bare(shape, turn, fused=True)


def each_epoch(turn: Turn) -> Any:
    """A callback of Lightning that takes turns, behind the checkpoint of the epoch."""
    callbacks = importlib.import_module("pytorch_lightning.callbacks")

    class Turns(callbacks.Callback):  # type: ignore[name-defined, misc]
        epochs = 0

        def on_train_epoch_start(self, *_: object) -> None:
            if self.epochs:
                turn()
            self.epochs += 1

    return Turns()


def options(turn: Turn) -> dict[str, Any]:
    """Of Lightning's Trainer: quiet, with a record and checkpoints in the current folder."""
    loggers = importlib.import_module("pytorch_lightning.loggers")
    checkpoint = importlib.import_module("pytorch_lightning.callbacks").ModelCheckpoint("checkpoints", save_last=True)
    return {"max_epochs": 10**6, "accelerator": "cpu", "gradient_clip_val": 1.0, "enable_progress_bar": False,
            "enable_model_summary": False, "logger": loggers.CSVLogger("."), "num_sanity_val_steps": 0,
            "enable_checkpointing": True, "callbacks": [checkpoint, each_epoch(turn)]}  # fmt: skip


def lightning(shape: Shape, turn: Turn) -> None:
    """Plain Lightning, as its guide has it: DataLoaders, and `self.log` of the losses."""
    import pytorch_lightning as pl
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, shape.hidden, batch_first=True)
            self.head = nn.Linear(shape.hidden, shape.horizon)

        def loss(self, batch: Any) -> Any:
            x, y = batch
            return nn.functional.mse_loss(self.head(self.lstm(x)[1][0][0]), y)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("train/loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val/loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    x, y = windows(shape)
    n = shape.windows
    loader = DataLoader(TensorDataset(x[:n], y[:n]), shape.batch, shuffle=True)
    validation = DataLoader(TensorDataset(x[n:], y[n:]), 4 * shape.batch)
    pl.Trainer(**options(turn)).fit(Module(), loader, validation)


def darts(shape: Shape, turn: Turn) -> None:
    """darts: BlockRNNModel."""
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    settings = options(turn)
    model = BlockRNNModel(
        shape.window, shape.horizon, model="LSTM", hidden_dim=shape.hidden, batch_size=shape.batch,
        n_epochs=settings.pop("max_epochs"), pl_trainer_kwargs=settings,
    )  # fmt: skip
    rows = series()
    model.fit(TimeSeries.from_values(rows[:ROWS]), val_series=TimeSeries.from_values(rows[ROWS - shape.window :]))


def neuralforecast(shape: Shape, turn: Turn) -> None:
    """neuralforecast: LSTM, a batch of windows in each step; an epoch is as many steps as elsewhere."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    callbacks = importlib.import_module("pytorch_lightning.callbacks")
    steps = -(-shape.windows // shape.batch)

    class Turns(callbacks.Callback):  # type: ignore[name-defined, misc]
        def on_train_batch_start(self, trainer: Any, *_: object) -> None:
            if trainer.global_step and trainer.global_step % steps == 0:
                turn()

        def __reduce__(self) -> tuple[Any, ...]:
            return str, ()  # Its checkpoints hold the arguments of the model, and would pickle it.

        def __deepcopy__(self, memo: object) -> Any:
            return self

    settings = options(turn)
    settings["callbacks"] = [settings["callbacks"][0], Turns()]
    del settings["max_epochs"]
    model = LSTM(
        h=shape.horizon, input_size=shape.window, encoder_n_layers=1, encoder_hidden_size=shape.hidden,
        max_steps=10**8, windows_batch_size=shape.batch, val_check_steps=steps, **settings,
    )  # fmt: skip
    rows = series()
    table = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020", periods=len(rows), freq="h"), "y": rows})
    NeuralForecast([model], freq="h").fit(table, val_size=VALIDATION)
