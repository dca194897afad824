"""The next `horizon` rows of a series from the last `window`, all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.base import Batch
from lstm_lab.data.series import SeriesFacts, Windowed, Windows
from lstm_lab.tasks.base import Task, score

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}


class ForecastMetrics(Metric):
    """Errors over every predicted value.

    `mse` and `mae` are in the units of the data, `scaled_*` after standardising with the training part (what papers
    print), `mase` is the MAE divided by that of the seasonal naive over the training part, averaged over targets.
    """

    deviation: Tensor
    naive_mae: Tensor
    squared: Tensor
    absolute: Tensor
    count: Tensor

    def __init__(self, facts: SeriesFacts) -> None:
        super().__init__()
        targets = len(facts.targets)
        self.register_buffer("deviation", torch.tensor(facts.deviation[:targets], dtype=torch.float64))
        self.register_buffer("naive_mae", torch.tensor(facts.naive_mae, dtype=torch.float64))
        self.shape = (facts.horizon, targets)
        for name in ("squared", "absolute"):
            self.add_state(name, torch.zeros(targets, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, output: Tensor, batch: Batch) -> None:
        error = (output.view(-1, *self.shape) - batch.y).double()
        self.squared += error.square().sum((0, 1))
        self.absolute += error.abs().sum((0, 1))
        self.count += error.shape[0] * error.shape[1]

    def compute(self) -> dict[str, Tensor]:
        squared, absolute = self.squared / self.count, self.absolute / self.count  # (targets,) standardised
        mae = absolute * self.deviation
        return {
            "mse": (squared * self.deviation**2).mean(),
            "mae": mae.mean(),
            "mase": (mae / self.naive_mae).mean(),
            "scaled_mse": squared.mean(),
            "scaled_mae": absolute.mean(),
        }


class Forecast(Task, name="forecast"):
    """A direct head: every step of the horizon at once."""

    accepts = Windowed

    class Config(Task.Config):
        decides: Literal["scaled_mse", "scaled_mae", "mase", "mse", "mae", "loss"] = "scaled_mse"
        """Metric that compares epochs and trials."""
        loss: Literal["mse", "mae", "huber"] = "mse"
        """What training minimises, on standardised values."""
        anchor: Literal["none", "last", "season"] = "none"
        """Naive forecast that the model reads differences to and corrects: none, the last value, or one season before,
        the longest of data.seasons that is shorter than the window."""

    Facts: ClassVar = SeriesFacts

    def __init__(self, facts: SeriesFacts, decides: str, loss: str, anchor: str = "none") -> None:
        self.facts, self.decides, self._loss, self.anchor = facts, decides, LOSSES[loss], anchor
        self.shape = (facts.horizon, len(facts.targets))
        self.output_size = facts.horizon * len(facts.targets)

    @classmethod
    def check(cls, task: Any, data: Any) -> None:
        if task.anchor == "season" and not any(season < data.window for season in data.seasons):
            raise ValueError(
                f"task.anchor: season needs one of data.seasons {list(data.seasons)} shorter than "
                f"data.window={data.window}; name a season, widen the window, or anchor on the last value"
            )

    @classmethod
    def reads(cls, task: Any, data: Any) -> int:
        """Steps that a model is handed of each window."""
        if task.anchor != "season":
            return data.window
        return data.window - max(season for season in data.seasons if season < data.window)

    @property
    def _season(self) -> int:
        return max(season for season in self.facts.seasons if season < self.facts.window)

    def prepare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Differences to the anchor: a window of T rows leaves T of them, or T - season for the seasonal ones."""
        x = batch.x
        if self.anchor == "last":
            x = x - x[:, -1:]
        elif self.anchor == "season":
            x = x[:, self._season :] - x[:, : -self._season]
        return x, batch.lengths - (batch.x.shape[1] - x.shape[1])

    def complete(self, output: Tensor, batch: Batch) -> Tensor:
        """The model's correction added to its anchor, which is taken from the window alone."""
        if self.anchor == "none":
            return output
        period = self._season if self.anchor == "season" else 1
        back = torch.arange(self.facts.horizon) % period - period  # -period .. -1, the last one known, again and again
        return output + batch.x[:, back, : self.shape[1]].flatten(1)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return self._loss(output.view(-1, *self.shape), batch.y)

    def metrics(self) -> ForecastMetrics:
        return ForecastMetrics(self.facts)

    def answers(self, output: Tensor) -> list[Any]:
        """In the units of the data: one list of rows for each sequence."""
        targets = len(self.facts.targets)
        mean, deviation = torch.tensor(self.facts.mean[:targets]), torch.tensor(self.facts.deviation[:targets])
        return (output.cpu().view(-1, *self.shape) * deviation + mean).tolist()

    def baselines(self, train: Windows, split: Windows) -> dict[str, dict[str, float]]:
        """The last value, and the value one season before for each season."""
        batch = split.take(torch.arange(len(split)))
        ahead, targets = split.ahead(), split.values[:, : self.shape[1]]
        origin = split.starts + split.window - 1
        scores = {}
        for name, rows in {
            "last value": origin.unsqueeze(1).expand_as(ahead),
            # Past one season ahead, the same season again: nothing newer is known at the origin.
            **{
                f"seasonal naive ({season})": ahead
                - season * torch.ceil(torch.arange(1, self.shape[0] + 1) / season).long()
                for season in self.facts.seasons
            },
        }.items():
            if rows.min() >= 0:
                scores[name] = score(self.metrics(), targets[rows].flatten(1), batch)
        return scores
