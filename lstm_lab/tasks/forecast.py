"""The next `horizon` rows of a series from the last `window`, all at once."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Batch, Dataset, NewSamples, PredictionRow
from lstm_lab.data.kinds.series import SeriesInfo, WindowedDataset
from lstm_lab.data.kinds.windows import Windows
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, Task
from lstm_lab.tasks.forecasting import conformal
from lstm_lab.tasks.forecasting.baselines import all_baselines
from lstm_lab.tasks.forecasting.examples import forecast_examples, future_example
from lstm_lab.tasks.forecasting.metrics import ForecastMetrics
from lstm_lab.tasks.forecasting.outputs import LEVELS, ForecastOutput, Point, build_output
from lstm_lab.tasks.forecasting.scale import Scale, known_targets, prediction_scale, scale_of
from lstm_lab.tasks.number_losses import DELTA, QUANTILE, NumberLossConfig, mean_gradient, number_loss

CHUNK = 1024
"""Windows scored at once."""
MEDIAN = LEVELS.index(0.5)
INTERVAL_ENDS = tuple(i for i in range(len(LEVELS)) if i != MEDIAN)


class Forecast(Task[Windows], name="forecast"):
    """A direct head: every step of the horizon at once."""

    accepts = WindowedDataset
    soft_targets = "values"

    class Config(NumberLossConfig):
        monitor: Literal["scaled_mse", "scaled_mae", "mase", "mse", "mae", "loss"] = "scaled_mse"
        """Metric that compares epochs and trials; for quantiles and distributions `loss` is a proper score."""
        anchor: Literal["none", "last", "season"] = "none"
        """Naive forecast that the model reads differences to and corrects: none, the last value, or one season before,
        the longest of data.seasons that is shorter than the window."""
        output: Annotated[Named, OneOf(ForecastOutput, default="point")] = Point.Config()
        """Form of the forecast of each value: one number, quantiles, or a distribution."""
        conformal: bool = False
        """Calibrate the 80 and 90 % intervals on the validation split, for each step ahead and target, so that they
        cover that share of it; a point forecast gets intervals of its errors there. For test scores and predictions."""
        classical: Annotated[int, Field(ge=0)] = 0
        """Fits at most of AutoETS, and of AutoTheta, as baselines; 0: none."""

        @model_validator(mode="after")
        def _one_loss(self) -> Forecast.Config:
            if self.output.name != Point.name and self.loss != "mse":
                raise ValueError(
                    f"loss={self.loss} would do nothing: output {self.output.name} has its own loss; leave it out"
                )
            return self

        def check(self, data: Dataset.Config) -> None:
            if not isinstance(data, WindowedDataset.Config):
                return
            if self.anchor == "season" and season_within(data.seasons, data.window) is None:
                raise ValueError(
                    f"task.anchor: season needs one of data.seasons {list(data.seasons)} shorter than "
                    f"data.window={data.window}; name a season, widen the window, or anchor on the last value"
                )
            if self.anchor != "none" and data.masks_missing:
                raise ValueError(
                    f"task.anchor={self.anchor} needs a value in every row: set data.missing to forward_fill, or leave "
                    "the anchor out"
                )

        def input_steps(self, data: Dataset.Config) -> int | None:
            if not isinstance(data, WindowedDataset.Config):
                return None
            season = season_within(data.seasons, data.window) if self.anchor == "season" else None
            return data.window - (season or 0)

    def __init__(
        self,
        info: SeriesInfo,
        monitor: str,
        loss: str,
        anchor: str = "none",
        output: Named | None = None,
        conformal: bool = False,
        classical: int = 0,
        delta: float = DELTA,
        quantile: float = QUANTILE,
    ) -> None:
        if monitor == "mase" and info.num_unscaled and min(info.num_unscaled) >= info.num_series:
            raise ConfigError(
                f"task.monitor=mase is not defined: the seasonal naive forecast of {', '.join(info.targets)} has no "
                "error in the training split, which is constant or exactly periodic; choose scaled_mse, mae or mse"
            )
        self.info, self.monitor, self.anchor, self.classical = info, monitor, anchor, classical
        self.form = output or Point.Config()
        self.output = build_output(self.form, number_loss(loss, delta, quantile))
        self.has_loss_gradient = isinstance(self.output, Point)
        self.conformal = conformal
        self.complete = info.num_mask_channels < len(info.columns) and not info.untrained
        """Whether every target is known: none may be missing, and each column has values in training."""
        self._scales: dict[torch.device, Scale] = {}
        self.margins: Tensor | None = None
        self.shape = (info.horizon, len(info.targets))
        self.output_size = info.horizon * len(info.targets) * self.output.num_parameters

    @property
    def _season(self) -> int:
        season = season_within(self.info.seasons, self.info.window)
        if season is None:
            raise ValueError(f"none of the seasons {self.info.seasons} is shorter than window={self.info.window}")
        return season

    def model_inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Differences to the anchor: of a window of T rows T, or T - season for the seasonal one.

        Columns that are known ahead, and the mask of missing values, are left as they are.
        """
        x, T = batch.x, self.info.window
        measured = len(self.info.columns) - len(self.info.known)  # Columns that are blank in the rows ahead.
        if self.anchor == "last":
            if x.shape[1] == T and measured == x.shape[2]:
                x = x - x[:, -1:]
            else:
                change = x[:, :T, :measured] - x[:, T - 1 : T, :measured]
                x = torch.cat([torch.cat([change, x[:, :T, measured:]], 2), x[:, T:]], 1)
        elif self.anchor == "season":
            season, before = self._season, x[:, : T - self._season, :measured]
            x = x[:, season:]
            if x.shape[1] == T - season and measured == x.shape[2]:
                x = x - before
            else:
                x = x.clone()
                x[:, : T - season, :measured] -= before
        return x, batch.lengths - (batch.x.shape[1] - x.shape[1])

    def postprocess(self, logits: Tensor, batch: Batch) -> Tensor:
        """The model's correction added to its anchor, which is computed from the window alone."""
        if self.anchor == "none":
            return logits
        period = self._season if self.anchor == "season" else 1
        back = torch.arange(self.info.horizon) % period - period  # -period .. -1, the last known one, repeated
        anchor = batch.x[:, self.info.window + back, : self.shape[1]]
        return self.output.shift(self._shaped(logits), anchor).flatten(1)

    def _shaped(self, logits: Tensor) -> Tensor:
        return torch.unflatten(logits, 1, (*self.shape, self.output.num_parameters))

    def num_targets(self, batch: Batch) -> int | Tensor:
        if self.complete:
            return len(batch.y)
        known = known_targets(self.info, batch)
        return known.sum() / known[0].numel()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.complete:
            return self.output.loss(self._shaped(logits), batch.y, self._scale(batch)).mean()
        known = known_targets(self.info, batch)
        losses = self.output.loss(self._shaped(logits), batch.y.nan_to_num(0.0), self._scale(batch))
        return (losses * known).sum() / known.sum().clamp(min=1)

    def loss_gradient(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        if not isinstance(self.output, Point):
            return super().loss_gradient(logits, batch)
        # An anchor is added to the logits, so the gradient of both is the same.
        error, z = self.output.error, self.postprocess(logits, batch).view(batch.y.shape)
        if self.complete:
            losses, gradient = error(z, batch.y), error.gradient(mean_gradient(z), z, batch.y)
            return losses.mean(), gradient.view(logits.shape)
        known, y = known_targets(self.info, batch), batch.y.nan_to_num(0.0)
        count = known.sum().clamp(min=1)
        gradient = error.gradient(known.to(z.dtype) / count, z, y)
        return (error(z, y) * known).sum() / count, gradient.view(logits.shape)

    def distillation_loss(self, logits: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
        """The mean of the squared differences of what the head predicts, of each value or parameter, standardised."""
        return (logits - teacher).square().mean()

    def _scale(self, batch: Batch) -> Scale:
        """Of `scale_of`; kept where it is the same for all batches."""
        if batch.scale is not None:
            return scale_of(self.info, batch)[0]
        device = batch.y.device
        if device not in self._scales:
            self._scales[device] = scale_of(self.info, batch)[0]
        return self._scales[device]

    def metrics(self) -> ForecastMetrics:
        return ForecastMetrics(self.info, self.output, not self.output.is_point, self.margins)

    def calibrate(self, outputs: Outputs) -> object:
        if not self.conformal:
            return None
        scores = conformal.scores(self.output, ((self._shaped(z), batch) for z, batch in outputs), self.info)
        return conformal.margins(scores).tolist()

    def load_calibration(self, calibration: object) -> None:
        self.margins = torch.tensor(calibration)

    @property
    def logits_form(self) -> object:
        return self.info.targets, self.info.horizon, self.form

    def mean_logits(self, samples: Tensor) -> Tensor:
        return self.output.mean(torch.stack([self._shaped(each) for each in samples])).flatten(1)

    def sampled_values(self, samples: Tensor, batch: Batch) -> tuple[Tensor, Tensor] | None:
        if not self.output.is_point:
            return None
        known = known_targets(self.info, batch).expand_as(batch.y).flatten()
        return samples.flatten(1)[:, known], batch.y.flatten()[known]

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        if self.output.is_point and self.margins is None:
            return self.info.targets
        suffixes = ("", *(f" {LEVELS[i]:.0%}" for i in INTERVAL_ENDS))
        return tuple(f"{target}{suffix}" for target in self.info.targets for suffix in suffixes)

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """A row for each step ahead, in the units of the data; of distributions, for each target the median and the
        ends of its 90 and 80 % intervals."""
        rows: list[list[PredictionRow]] = (
            self.values(logits.cpu(), prediction_scale(self.info, batch)).flatten(2).tolist()
        )
        return rows

    def values(self, logits: Tensor, scale: Scale) -> Tensor:
        """(B, horizon, K, numbers of each target in `prediction_columns`), float64, in the units of the data.

        Args:
            logits: of the task, (B, output_size).
            scale: of each sample's series.
        """
        # In float64: a target of 1e9 that varies by 1 has no digit left for it in float32.
        z, order = self._shaped(logits.double()), (MEDIAN, *INTERVAL_ENDS)
        if self.margins is not None:
            found = conformal.quantiles(self.output, z, self.margins, scale)[..., order]
        elif self.output.is_point:
            found = self.output.quantiles(z, (0.5,), scale)
        else:
            found = self.output.quantiles(z, LEVELS, scale)[..., order]  # (B, horizon, K, levels)
        return found * scale.std.unsqueeze(-1) + scale.mean.unsqueeze(-1)

    def baselines(self, train: Windows, split: Windows) -> dict[str, dict[str, float]]:
        """The last value, a season before, the training mean, a linear map of the window; with `task.classical` also
        ETS and Theta."""
        metrics = ForecastMetrics(self.info, Point(), not self.output.is_point)
        scores = {}
        for name, index, forecasts in all_baselines(self.info, train, split, self.classical):
            metrics.reset()
            for rows, chunk in zip(index.split(CHUNK), forecasts.split(CHUNK), strict=True):
                metrics.update(chunk.flatten(1), split.take(rows))
            scores[name] = {key: float(value) for key, value in metrics.compute().items()}
        return scores

    def examples(self, outputs: Outputs) -> Row:
        return forecast_examples(self, outputs)

    def future_example(self, logits: Tensor, batch: Batch, samples: NewSamples) -> Row:
        return future_example(self, logits, batch, samples)


def season_within(seasons: tuple[int, ...], window: int) -> int | None:
    """The longest season that is shorter than the window; None where none is."""
    return max((season for season in seasons if season < window), default=None)
