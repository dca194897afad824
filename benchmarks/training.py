"""How fast small forecasters train here, in bare torch loops, in plain Lightning, and in other libraries.

    python benchmarks/training.py --write

Every contestant is a process of its own that trains epoch after epoch of the same windows with one thread, Adam and
clipping; they take turns, an epoch each. Compared are windows trained in a second of the process's CPU time, which
other load on the machine disturbs least, and the peak memory. `lstm_lab` validates, writes its record and its
checkpoints in every epoch; the others only train.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROWS = 6000


class Shape(NamedTuple):
    """What is trained."""

    window: int
    horizon: int
    batch: int
    hidden: int

    @property
    def windows(self) -> int:
        """In an epoch."""
        return ROWS - self.window - self.horizon + 1


SHAPES = {"small": Shape(24, 1, 32, 16), "large": Shape(96, 24, 64, 64)}
Turn = Callable[[], None]
"""Called at the end of each epoch; returns when the next one may begin."""


class Finished(Exception):
    """No further epoch is wanted."""


def series() -> np.ndarray:
    """(ROWS,) float32: two seasons and noise."""
    t, noise = np.arange(ROWS), np.random.default_rng(0).normal(0, 0.2, ROWS)
    return (np.sin(t / 24 * 6.283) + 0.5 * np.sin(t / 168 * 6.283) + noise).astype(np.float32)


def windows(shape: Shape) -> tuple[Any, Any]:
    """x (N, window, 1) and y (N, horizon)."""
    import torch

    rows = torch.from_numpy(series()).unfold(0, shape.window + shape.horizon, 1)
    return rows[:, : shape.window].unsqueeze(-1).contiguous(), rows[:, shape.window :].contiguous()


def lab(shape: Shape, turn: Turn) -> None:
    """This library, with validation, record and checkpoints."""
    import pandas as pd

    import lstm_lab
    from lstm_lab.run import Run
    from lstm_lab.training import train

    rows = series()
    table = pd.DataFrame({"y": np.concatenate([rows, rows[: ROWS // 8]])})  # Training has as many windows as elsewhere.
    data = lstm_lab.data.frame(table, targets="y", window=shape.window, horizon=shape.horizon, batch_size=shape.batch,
                               split={"validation_from": ROWS}, folder=".")  # fmt: skip
    experiment = lstm_lab.Experiment(
        data=data, task="forecast", model={"hidden_size": shape.hidden}, optimizer={"lr": 1e-3},
        trainer={"max_epochs": 10**6, "patience": None, "gradient_clip_val": 1.0, "accelerator": "cpu"},
    )  # fmt: skip
    run = Run.create("run", experiment.dump(), command="", job_type="train")
    train(experiment, run, on_epoch=lambda row: turn())


def bare(shape: Shape, turn: Turn, fused: bool = False) -> None:
    """A loop of one page over torch, or over this library's kernel."""
    import torch
    from torch import nn

    x, y = windows(shape)
    lstm, head = nn.LSTM(1, shape.hidden, batch_first=True), nn.Linear(shape.hidden, shape.horizon)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True)
    if fused:
        from lstm_lab import kernels

        kernels.tune_memory()
        weights = list(lstm.parameters())
    while True:
        for index in torch.randperm(len(x)).split(shape.batch):
            batch = x[index]
            if fused:
                lengths = torch.full((len(index),), shape.window)
                _, h, _ = kernels.lstm(batch, lengths, None, None, *weights)
            else:
                h = lstm(batch)[1][0][0]
            loss = nn.functional.mse_loss(head(h), y[index])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        turn()


def bare_fused(shape: Shape, turn: Turn) -> None:
    """The same loop over this library's kernel."""
    bare(shape, turn, fused=True)


def lightning(shape: Shape, turn: Turn) -> None:
    """Plain Lightning, as its guide has it: a DataLoader, and `self.log` of the loss."""
    import pytorch_lightning as pl
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, shape.hidden, batch_first=True)
            self.head = nn.Linear(shape.hidden, shape.horizon)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            loss = nn.functional.mse_loss(self.head(self.lstm(x)[1][0][0]), y)
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

        def on_train_epoch_end(self) -> None:
            turn()

    loader = DataLoader(TensorDataset(*windows(shape)), shape.batch, shuffle=True)
    trainer = pl.Trainer(max_epochs=10**6, accelerator="cpu", gradient_clip_val=1.0, enable_progress_bar=False,
                         enable_model_summary=False, logger=False, enable_checkpointing=False)  # fmt: skip
    trainer.fit(Module(), loader)


def each_epoch(turn: Turn) -> Any:
    """A callback of Lightning that takes turns."""
    callbacks = importlib.import_module("pytorch_lightning.callbacks")

    class Turns(callbacks.Callback):  # type: ignore[name-defined, misc]
        def on_train_epoch_end(self, *_: object) -> None:
            turn()

    return Turns()


QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False,
         "gradient_clip_val": 1.0}  # fmt: skip


def darts(shape: Shape, turn: Turn) -> None:
    """darts: BlockRNNModel."""
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    model = BlockRNNModel(
        shape.window, shape.horizon, model="LSTM", hidden_dim=shape.hidden, batch_size=shape.batch, n_epochs=10**6,
        pl_trainer_kwargs={**QUIET, "callbacks": [each_epoch(turn)]},
    )  # fmt: skip
    model.fit(TimeSeries.from_values(series()))


def neuralforecast(shape: Shape, turn: Turn) -> None:
    """neuralforecast: LSTM, a batch of windows in each step; an epoch is as many steps as elsewhere."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    callbacks = importlib.import_module("pytorch_lightning.callbacks")
    steps = -(-shape.windows // shape.batch)

    class Turns(callbacks.Callback):  # type: ignore[name-defined, misc]
        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            if trainer.global_step % steps == 0:
                turn()

    model = LSTM(
        h=shape.horizon, input_size=shape.window, encoder_n_layers=1, encoder_hidden_size=shape.hidden,
        max_steps=10**8, windows_batch_size=shape.batch, callbacks=[Turns()], **QUIET,
    )  # fmt: skip
    table = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020", periods=ROWS, freq="h"), "y": series()})
    NeuralForecast([model], freq="h").fit(table)


CONTESTANTS: dict[str, tuple[Callable[[Shape, Turn], None], str]] = {
    "lstm_lab, with validation, record, checkpoints": (lab, "lstm_lab"),
    "bare loop, kernel of lstm_lab": (bare_fused, "lstm_lab"),
    "bare loop, torch nn.LSTM": (bare, "torch"),
    "Lightning": (lightning, "pytorch_lightning"),
    "darts": (darts, "darts"),
    "neuralforecast": (neuralforecast, "neuralforecast"),
}
"""Name -> what trains, and the package that it needs."""


def work(name: str, shape: Shape) -> None:
    """The process of one contestant: an epoch for each line that it reads, a line of figures for each epoch."""
    import torch

    torch.set_num_threads(1)
    out, started = sys.stdout, [0.0, 0.0]
    sys.stdout = sys.stderr  # Lines of the libraries.

    def turn() -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {"cpu": time.process_time() - started[0], "wall": time.perf_counter() - started[1], "mib": peak}
        print(json.dumps(figures), file=out, flush=True)
        if not sys.stdin.readline():
            raise Finished
        started[:] = time.process_time(), time.perf_counter()

    CONTESTANTS[name][0](shape, turn)


class Contestant:
    """A process that trains an epoch when told to."""

    def __init__(self, name: str, shape: str) -> None:
        self.name, self.folder = name, tempfile.TemporaryDirectory()
        self.errors = (Path(self.folder.name) / "errors").open("w+")
        command = [sys.executable, str(Path(__file__).resolve()), "--work", name, "--shape", shape]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            cwd=self.folder.name,
        )  # fmt: skip
        self.rows: list[dict[str, float]] = []

    def epoch(self, first: bool = False) -> dict[str, float]:
        """Train one; the first has no start to be told."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if not first:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise SystemExit(f"{self.name}: {self.errors.read()[-2000:]}")
        found: dict[str, float] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.errors.close()
        self.folder.cleanup()


def missing(package: str) -> str | None:
    """Why a package cannot be imported; None where it can."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        return str(error)
    return None


def compare(shape: str, rounds: int) -> list[str]:
    """A table of one shape."""
    skipped = {name: missing(package) for name, (_, package) in CONTESTANTS.items()}
    running = [Contestant(name, shape) for name, reason in skipped.items() if reason is None]
    try:
        for each in running:
            each.epoch(first=True)  # It warms caches and imports.
        for _ in range(rounds):
            for each in running:
                each.rows.append(each.epoch())
    finally:
        for each in running:
            each.close()
    return table(SHAPES[shape], running, {name: reason for name, reason in skipped.items() if reason})


def table(shape: Shape, running: list[Contestant], skipped: dict[str, str]) -> list[str]:
    """Lines of Markdown."""
    head = ["trained by", "windows/s of CPU time", "windows/s", "CPU time of lstm_lab's, same round", "peak MiB"]
    of = f"Window {shape.window}, horizon {shape.horizon}, B {shape.batch}, H {shape.hidden}:"
    lines = [of, "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]  # fmt: skip
    ours = [row["cpu"] for row in running[0].rows]
    for each in running:
        rates = [statistics.median(shape.windows / row[key] for row in each.rows) for key in ("cpu", "wall")]
        ratios = sorted(row["cpu"] / own for row, own in zip(each.rows, ours, strict=True))
        spread = f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        peak = max(row["mib"] for row in each.rows)
        lines.append(f"| {each.name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {spread} | {peak:.0f} |")
    return [*lines, "", *(f"{name}: skipped, {reason}." for name, reason in skipped.items()), ""]


def main() -> int:
    parser = argparse.ArgumentParser(description="Training speed beside other ways to train the same model.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--shape", choices=sorted(SHAPES), action="append")
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/training.md")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.work, SHAPES[chosen.shape[0]])
        return 0
    command = shlex.join(["python", "benchmarks/training.py", *sys.argv[1:]])
    report = [
        "# Training beside other ways to train the same model",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {platform.machine()}, one thread each, {chosen.rounds} rounds in "
        "which each trains an epoch in turn. The machine had other load: compare the ratios, which are of the same "
        "round, and not the absolute figures.",
        "",
        "Medians; in brackets the least and the greatest ratio. Above 1x: slower than `lstm_lab`.",
        "",
    ]
    for shape in chosen.shape or SHAPES:
        found = compare(shape, chosen.rounds)
        print("\n".join(found), flush=True)
        report += found
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text("\n".join(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
