"""Errors of forecasts: by value, by step ahead, and of the intervals around them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.tasks import conformal
from lstm_lab.tasks.outputs import LEVELS, Output, Scale
from lstm_lab.tasks.rescale import scale_of

ERRORS = ("squared", "absolute", "scaled_squared", "scaled_absolute", "naive")
SPREAD = ("crps", "inside_80", "inside_90", "width_80", "width_90")
CALIBRATED = ("calibrated_inside_80", "calibrated_inside_90", "calibrated_width_80", "calibrated_width_90")
MANY = ("smape", "season_smape", "season_mase")


class ForecastMetrics(Metric):
    """Errors over every predicted value that is there.

    `mse` and `mae` are in the units of the data, `scaled_*` after standardising with the training part (what papers
    print), `mase` is the MAE divided by that of the seasonal naive over the training part. Of distributions also the
    CRPS, the share of values inside the central 80 and 90 % interval, and the intervals' mean width, in the units of
    the data; with `margins` (`conformal`), share and width of the calibrated intervals too. Of many series also M4's
    sMAPE (in percent), and OWA against the seasonal naive of the window (Makridakis et al., 2020): the mean of the two
    ratios of sMAPE and MASE.

    Args:
        spread: whether to score more than one number for each value.
    """

    sums: Tensor
    count: Tensor

    def __init__(self, info: SeriesInfo, output: Output, spread: bool, margins: Tensor | None = None) -> None:
        super().__init__()
        self.info, self.output, self.spread, self.margins = info, output, spread, margins
        self.shape = (info.horizon, len(info.targets), -1)
        self.many = info.num_series > 1
        self.season = next((season for season in info.seasons if season <= info.window), 1)
        self.names = (*ERRORS, *(SPREAD if spread else ()), *(MANY if self.many else ()))
        self.names += CALIBRATED if margins is not None else ()
        shape = (len(self.names), info.horizon, len(info.targets))
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(shape[1:], dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, output: Tensor, batch: Any) -> None:
        """Add the head's numbers (B, ...) for a batch with y (B, horizon, targets), scaled, NaN where it is unknown."""
        z, y = output.view(len(output), *self.shape), batch.y
        scale, naive = scale_of(self.info, batch)
        there = ~y.isnan()
        y = y.nan_to_num(0.0)
        point = self.output.point(z, scale)
        error = (point - y).double()
        found = [(error * scale.deviation).square(), (error * scale.deviation).abs(), error.square(), error.abs()]
        found.append(found[1] / naive)
        if self.spread:
            found += self._spread(z, y, scale)
        if self.many:
            season = self._seasonal(batch).double()
            off = (season - y).abs() * scale.deviation
            found += [_smape(point, y, scale), _smape(season, y, scale), off / naive]
        if self.margins is not None:
            said = conformal.quantiles(self.output, z, self.margins, scale)
            found += self._inside(said, batch.y.nan_to_num(0.0), scale)
        self.sums += torch.stack([(part.double() * there).sum(0) for part in found])
        self.count += there.sum(0)

    def _spread(self, z: Tensor, y: Tensor, scale: Scale) -> list[Tensor]:
        said = self.output.quantiles(z, LEVELS, scale)
        return [self.output.crps(z, y, scale) * scale.deviation, *self._inside(said, y, scale)]

    def _inside(self, said: Tensor, y: Tensor, scale: Scale) -> list[Tensor]:
        """Whether y lies within the 80 and 90 % interval of said (B, horizon, K, levels), and their widths."""
        low_90, low_80, _, high_80, high_90 = said.unbind(-1)
        return [
            (low_80 <= y) & (y <= high_80),
            (low_90 <= y) & (y <= high_90),
            (high_80 - low_80) * scale.deviation,
            (high_90 - low_90) * scale.deviation,
        ]

    def _seasonal(self, batch: Any) -> Tensor:
        """The last season of the window, again and again: (B, horizon, K)."""
        back = torch.arange(self.info.horizon, device=batch.x.device) % self.season - self.season
        return batch.x[:, self.info.window + back, : self.shape[1]]

    def _means(self) -> tuple[dict[str, Tensor], Tensor]:
        """Of each sum (horizon, K), averaged over steps ahead, then over targets; and MSE of each step ahead."""
        per_target = self.sums.sum(1) / self.count.sum(0)  # (names, K)
        return dict(zip(self.names, per_target.mean(1), strict=True)), self.sums / self.count

    def compute(self) -> dict[str, Tensor]:
        mean, _ = self._means()
        errors = {
            "mse": mean["squared"],
            "mae": mean["absolute"],
            "mase": mean["naive"],
            "scaled_mse": mean["scaled_squared"],
            "scaled_mae": mean["scaled_absolute"],
        }
        if self.many:
            owa = 0.5 * (mean["smape"] / mean["season_smape"] + mean["naive"] / mean["season_mase"])
            errors = {"smape": mean["smape"], **errors, "owa": owa}
        said = (*(SPREAD if self.spread else ()), *(CALIBRATED if self.margins is not None else ()))
        shares = {name.replace("inside", "coverage"): mean[name] for name in said}
        return {**shares, **errors}

    def details(self) -> dict[str, Any]:
        """What a record of an evaluation keeps beside the scores."""
        return {"steps": self.by_step()}

    def by_step(self) -> list[dict[str, float]]:
        """The scores of each step ahead, averaged over targets."""
        steps = self._means()[1].mean(2)  # (names, horizon)
        shown = {"mae": "absolute", "scaled_mse": "scaled_squared", "scaled_mae": "scaled_absolute"}
        if self.spread:
            shown |= {"crps": "crps", "coverage_80": "inside_80", "coverage_90": "inside_90"}
        if self.margins is not None:
            shown |= {name.replace("inside", "coverage"): name for name in CALIBRATED[:2]}
        return [
            {name: float(steps[self.names.index(of), step]) for name, of in shown.items()}
            for step in range(self.info.horizon)
        ]


def _smape(point: Tensor, y: Tensor, scale: Scale) -> Tensor:
    """200 |y - f| / (|y| + |f|), in the units of the data; 0 where both are."""
    f, truth = (part.double() * scale.deviation + scale.mean for part in (point, y))
    size = f.abs() + truth.abs()
    return 200 * (f - truth).abs() / size.clamp(min=1e-12)
