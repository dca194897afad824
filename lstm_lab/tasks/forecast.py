"""The next `horizon` rows of a series from the last `window`, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import SeriesInfo, WindowedDataset, Windows
from lstm_lab.registry import Choice, Named
from lstm_lab.tasks import conformal, forecast_baselines
from lstm_lab.tasks.base import Task
from lstm_lab.tasks.forecast_metrics import ForecastMetrics, scale_of
from lstm_lab.tasks.outputs import LEVELS, Output, Point, Scale, build

CHUNK = 1024
"""Windows scored at once."""
LOSSES: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}


class Forecast(Task, name="forecast"):
    """A direct head: every step of the horizon at once."""

    accepts = WindowedDataset

    class Config(Task.Config):
        monitor: Literal["scaled_mse", "scaled_mae", "mase", "mse", "mae", "loss"] = "scaled_mse"
        """Metric that compares epochs and trials; for quantiles and distributions `loss` is a proper score."""
        loss: Literal["mse", "mae", "huber"] = "mse"
        """What training minimises, on standardised values, where the output is a point."""
        anchor: Literal["none", "last", "season"] = "none"
        """Naive forecast that the model reads differences to and corrects: none, the last value, or one season before,
        the longest of data.seasons that is shorter than the window."""
        output: Annotated[Named, Choice(Output, default="point")] = Point.Config()  # type: ignore[call-arg]
        """What it says of each value: one number, quantiles, or a distribution."""
        conformal: bool = False
        """Widen or narrow the 80 and 90 % intervals until that share of the validation part lies inside, for each step
        ahead and target; of a point they are made of its errors there. Scored on the test part, and predicted."""
        classical: Annotated[int, Field(ge=0)] = 0
        """Fits at most of AutoETS, and of AutoTheta, as baselines beside a score; 0: none."""

        @model_validator(mode="after")
        def _one_loss(self) -> Forecast.Config:
            if self.output.name != Point.name and self.loss != "mse":
                raise ValueError(
                    f"loss={self.loss} would do nothing: output {self.output.name} has a loss of its own; leave it out"
                )
            return self

    Info: ClassVar = SeriesInfo

    def __init__(
        self,
        info: SeriesInfo,
        monitor: str,
        loss: str,
        anchor: str = "none",
        output: Named | None = None,
        conformal: bool = False,
        classical: int = 0,
    ) -> None:
        self.info, self.monitor, self.anchor, self.classical = info, monitor, anchor, classical
        self.output = build(output or Point.Config(), LOSSES[loss])  # type: ignore[call-arg]
        self.spread = not isinstance(self.output, Point)
        self.conformal = conformal
        self.margins: Tensor | None = None
        self.shape = (info.horizon, len(info.targets))
        self.output_size = info.horizon * len(info.targets) * self.output.numbers

    @classmethod
    def check(cls, task: Any, data: Any) -> None:
        if task.anchor == "season" and not any(season < data.window for season in data.seasons):
            raise ValueError(
                f"task.anchor: season needs one of data.seasons {list(data.seasons)} shorter than "
                f"data.window={data.window}; name a season, widen the window, or anchor on the last value"
            )

        gaps = getattr(data, "missing", "error") == "mask"
        known = [name for name in ("static", "future", "calendar") if getattr(data, name, ())]
        if task.anchor != "none" and gaps:
            raise ValueError(
                f"task.anchor={task.anchor} needs a value in every row: set data.missing to forward_fill, or leave the "
                "anchor out"
            )
        if task.anchor == "season" and known:
            raise ValueError(
                f"task.anchor: season cannot be taken of data.{known[0]}, which is known ahead; anchor on the last "
                "value"
            )

    @classmethod
    def reads(cls, task: Any, data: Any) -> int:
        """Steps that a model is handed of each window."""
        if task.anchor != "season":
            return data.window
        return data.window - max(season for season in data.seasons if season < data.window)

    @property
    def _season(self) -> int:
        return max(season for season in self.info.seasons if season < self.info.window)

    def prepare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Differences to the anchor: a window of T rows leaves T of them, or T - season for the seasonal ones.

        What is known ahead, and what says that something is missing, is handed over as it is.
        """
        x, T = batch.x, self.info.window
        if self.anchor == "last":
            seen = len(self.info.columns) - len(self.info.known)  # Columns of which the rows ahead are blank.
            if x.shape[1] == T and seen == x.shape[2]:
                x = x - x[:, -1:]
            else:
                x = x.clone()
                x[:, :T, :seen] -= batch.x[:, T - 1 : T, :seen]
        elif self.anchor == "season":
            x = x[:, self._season :] - x[:, : -self._season]
        return x, batch.lengths - (batch.x.shape[1] - x.shape[1])

    def complete(self, output: Tensor, batch: Batch) -> Tensor:
        """The model's correction added to its anchor, which is taken from the window alone."""
        if self.anchor == "none":
            return output
        period = self._season if self.anchor == "season" else 1
        back = torch.arange(self.info.horizon) % period - period  # -period .. -1, the last one known, again and again
        known = batch.x[:, self.info.window + back, : self.shape[1]]
        return self.output.shift(self._shaped(output), known).flatten(1)

    def _shaped(self, output: Tensor) -> Tensor:
        return output.view(len(output), *self.shape, self.output.numbers)

    def num_targets(self, batch: Batch) -> int | Tensor:
        there = ~batch.y.isnan()
        return len(batch.y) if there.all() else there.sum() / there[0].numel()

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        there = ~batch.y.isnan()
        scale, _ = scale_of(self.info, batch)
        losses = self.output.loss(self._shaped(output), batch.y.nan_to_num(0.0), scale)
        return (losses * there).sum() / there.sum().clamp(min=1)

    def metrics(self) -> ForecastMetrics:
        return ForecastMetrics(self.info, self.output, self.spread, self.margins)

    def calibrate(self, answered: Iterable[tuple[Tensor, Batch]]) -> Any:
        if not self.conformal:
            return None
        scores = conformal.scores(self.output, ((self._shaped(z), batch) for z, batch in answered), self.info)
        return conformal.margins(scores).tolist()

    def load_calibration(self, calibration: Any) -> None:
        self.margins = torch.tensor(calibration)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        """What the numbers of a row of `answers` are."""
        if not self.spread and self.margins is None:
            return self.info.targets
        said = ("", *(f" {level:.0%}" for level in LEVELS if level != 0.5))
        return tuple(f"{target}{part}" for target in self.info.targets for part in said)

    def predictions(self, output: Tensor, batch: Any = None) -> list[Any]:
        """In the units of the data: one list of rows for each sequence; of distributions, for each target the median
        and the ends of its 90 and 80 % intervals, as `columns` names them.

        Args:
            batch: what it answers, where many series have a scale each.
        """
        K = len(self.info.targets)
        scale = Scale(*(torch.tensor(part[:K]) for part in (self.info.mean, self.info.std)))
        if batch is not None and batch.scale is not None:
            scale = Scale(*(part.unsqueeze(1).float().cpu() for part in batch.scale.unbind(1)[:2]))
        z = self._shaped(output.cpu())
        if self.margins is not None:
            said = conformal.quantiles(self.output, z, self.margins, scale)
            said = said[..., [LEVELS.index(0.5), *(i for i, level in enumerate(LEVELS) if level != 0.5)]]
            return (said * scale.deviation.unsqueeze(-1) + scale.mean.unsqueeze(-1)).flatten(2).tolist()
        levels = (0.5, *(level for level in LEVELS if level != 0.5)) if self.spread else (0.5,)
        said = self.output.quantiles(z, LEVELS if self.spread else levels, scale)  # (B, horizon, K, levels)
        said = said[..., [LEVELS.index(level) for level in levels]] if self.spread else said
        return (said * scale.deviation.unsqueeze(-1) + scale.mean.unsqueeze(-1)).flatten(2).tolist()

    def baselines(self, train: Windows, split: Windows) -> dict[str, dict[str, float]]:
        """The last value, a season before, a linear map of the window; on `task.classical` also ETS and Theta."""
        metrics, scores = ForecastMetrics(self.info, Point(), self.spread), {}
        for name, index, output in forecast_baselines.all_of(self.info, train, split, self.classical):
            metrics.reset()
            for rows, part in zip(index.split(CHUNK), output.split(CHUNK), strict=True):
                metrics.update(part.flatten(1), split.take(rows))
            scores[name] = {key: float(value) for key, value in metrics.compute().items()}
        return scores
