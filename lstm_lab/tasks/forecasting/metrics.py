"""Errors of forecasts: by value, by step ahead, and of the intervals around them."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.tasks.base import TaskMetrics
from lstm_lab.tasks.forecasting import conformal
from lstm_lab.tasks.forecasting.outputs import LEVELS, ForecastOutput
from lstm_lab.tasks.forecasting.scale import Scale, known_targets, scale_of

ERRORS = ("squared", "absolute", "scaled_squared", "scaled_absolute", "naive")
DISTRIBUTION = ("crps", "inside_80", "inside_90", "width_80", "width_90")
CALIBRATED = ("calibrated_inside_80", "calibrated_inside_90", "calibrated_width_80", "calibrated_width_90")
MANY_SERIES = ("smape", "season_smape", "season_mase")
RELATIVE = ("naive", "season_mase")
"""Those divided by the error of the seasonal naive forecast in training."""
SINGLE_PRECISION = 2.0**-22
"""Relative rounding of a standardised value and its restoration."""


class ForecastMetrics(Metric, TaskMetrics):
    """Errors over every predicted value whose target is known.

    `mse` and `mae` are in the units of the data, `scaled_*` after standardising with the training split (what papers
    report), `mase` is the MAE divided by that of the seasonal naive forecast over the training split. Of distributions
    also the CRPS, the share of values inside the central 80 and 90 % interval, and the intervals' mean width, in the
    units of the data; with `margins`, share and width of the calibrated intervals too. Of many series also M4's sMAPE
    (in percent), and OWA against the seasonal naive of the window (Makridakis et al., 2020): the mean of the two ratios
    of sMAPE and MASE. Targets and series for which a metric is not defined are left out of its mean, and `notes` say
    so: those whose seasonal naive forecast has no error in training (`mase`, `owa`), and targets without a value.

    Args:
        distribution: whether to score quantiles too, not a point forecast alone.
        margins: of calibrated intervals, as `conformal.margins` returns them.
    """

    sums: Tensor
    count: Tensor

    def __init__(
        self, info: SeriesInfo, output: ForecastOutput, distribution: bool, margins: Tensor | None = None
    ) -> None:
        super().__init__()
        self.info, self.output, self.distribution, self.margins = info, output, distribution, margins
        self.shape = (info.horizon, len(info.targets), -1)
        self.many_series = info.num_series > 1
        self.season = next((season for season in info.seasons if season <= info.window), 1)
        self.names = (*ERRORS, *(DISTRIBUTION if distribution else ()), *(MANY_SERIES if self.many_series else ()))
        self.names += CALIBRATED if margins is not None else ()
        shape = (len(self.names), info.horizon, len(info.targets))
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add the head's numbers (B, ...) for a batch with y (B, horizon, targets), scaled, NaN where it is unknown."""
        z, y = logits.view(len(logits), *self.shape), batch.y
        scale, naive = scale_of(self.info, batch)
        known, defined = known_targets(self.info, batch), naive > 0
        y, naive = y.nan_to_num(0.0), naive.where(defined, 1.0)
        point = self.output.point(z, scale)
        error = (point - y).double()
        found = [(error * scale.std).square(), (error * scale.std).abs(), error.square(), error.abs()]
        found.append(found[1] / naive)
        if self.distribution:
            quantiles = self.output.quantiles(z, LEVELS, scale)
            found += [self.output.crps(z, y, scale) * scale.std, *_intervals(quantiles, y, scale)]
        if self.many_series:
            season = self._seasonal_naive(batch).double()
            season_error = (season - y).abs() * scale.std
            found += [_smape(point, y, scale), _smape(season, y, scale), season_error / naive]
        if self.margins is not None:
            found += _intervals(conformal.quantiles(self.output, z, self.margins, scale), y, scale)
        relative = known & defined
        masks = [relative if name in RELATIVE else known for name in self.names]
        self.sums += torch.stack([(each.double() * mask).sum(0) for each, mask in zip(found, masks, strict=True)])
        self.count += torch.stack([mask.sum(0) for mask in masks])

    def _seasonal_naive(self, batch: Batch) -> Tensor:
        """The last season of the window, repeated: (B, horizon, K)."""
        back = torch.arange(self.info.horizon, device=batch.x.device) % self.season - self.season
        return batch.x[:, self.info.window + back, : self.shape[1]]

    def compute(self) -> dict[str, Tensor]:
        """Metric -> value, averaged over steps ahead, then over targets."""
        per_target = self.sums.sum(1) / self.count.sum(1)  # (names, K)
        mean = dict(zip(self.names, per_target.nanmean(1), strict=True))
        errors = {
            "mse": mean["squared"],
            "mae": mean["absolute"],
            "mase": mean["naive"],
            "scaled_mse": mean["scaled_squared"],
            "scaled_mae": mean["scaled_absolute"],
        }
        if self.many_series:
            owa = 0.5 * (mean["smape"] / mean["season_smape"] + mean["naive"] / mean["season_mase"])
            errors = {"smape": mean["smape"], **errors, "owa": owa}
        names = (*(DISTRIBUTION if self.distribution else ()), *(CALIBRATED if self.margins is not None else ()))
        return {**{name.replace("inside", "coverage"): mean[name] for name in names}, **errors}

    def details(self) -> dict[str, object]:
        """`steps`: the scores of each step ahead."""
        return {"steps": self.by_step()}

    def notes(self) -> list[str]:
        """What was left out of which metric, a sentence each."""
        found, info = [], self.info
        counts = self.count[self.names.index("absolute")].sum(0).tolist()  # (K,)
        for name, count in zip(info.targets, counts, strict=True):
            if not count:
                where = "the training split" if name in info.untrained else "this split"
                found.append(f"{name} is not scored: it has no value in {where}")
        metrics = "mase and owa leave" if self.many_series else "mase leaves"
        for name, unscaled in zip(info.targets, info.num_unscaled, strict=False):
            if unscaled and name not in info.untrained:
                of = f"{unscaled} of {info.num_series} series of {name}" if self.many_series else name
                found.append(
                    f"{metrics} out {of}: the seasonal naive forecast has no error in the training split (constant or "
                    "exactly periodic)"
                )
        return found

    def by_step(self) -> list[dict[str, float]]:
        """The scores of each step ahead, averaged over targets."""
        steps = (self.sums / self.count).nanmean(2)  # (names, horizon)
        columns = {"mae": "absolute", "scaled_mse": "scaled_squared", "scaled_mae": "scaled_absolute"}
        if self.distribution:
            columns |= {"crps": "crps", "coverage_80": "inside_80", "coverage_90": "inside_90"}
        if self.margins is not None:
            columns |= {name.replace("inside", "coverage"): name for name in CALIBRATED[:2]}
        return [
            {name: float(steps[self.names.index(source), step]) for name, source in columns.items()}
            for step in range(self.info.horizon)
        ]


def _intervals(quantiles: Tensor, y: Tensor, scale: Scale) -> list[Tensor]:
    """Whether y is within the 80 and 90 % interval of quantiles (B, horizon, K, levels), and the widths of both."""
    low_90, low_80, _, high_80, high_90 = quantiles.unbind(-1)
    return [
        (low_80 <= y) & (y <= high_80),
        (low_90 <= y) & (y <= high_90),
        (high_80 - low_80) * scale.std,
        (high_90 - low_90) * scale.std,
    ]


def _smape(point: Tensor, y: Tensor, scale: Scale) -> Tensor:
    """200 |y - f| / (|y| + |f|), in the units of the data; 0 where both are, to the precision of scaled values."""
    f, target = (scale.restore(values.double()) for values in (point, y))
    size = f.abs() + target.abs()
    is_zero = size <= SINGLE_PRECISION * (scale.mean.abs() + scale.std)
    return (200 * (f - target).abs() / size.where(~is_zero, 1.0)).where(~is_zero, 0.0)
