"""Forecasts without a network, standardised, for every window of a split or every n-th."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.data.kinds.windows import Windows

RIDGE = 1e-4
"""Penalty of the linear baseline, relative to the mean square of its inputs: enough for collinear columns."""
CHUNK = 4096
"""Windows whose products are summed at once."""

Forecasts = Iterator[tuple[str, Tensor, Tensor]]
"""Name, indices of the windows (n,), forecasts (n, horizon, K)."""


def all_baselines(info: SeriesInfo, train: Windows, split: Windows, max_fits: int) -> Forecasts:
    """Naive forecasts, the training mean, a linear map, and classical methods where `max_fits` allows any."""
    values = forward_filled(split)
    every = torch.arange(len(split))
    for name, output in naive(info, split, values):
        yield name, every, output
    # Standardised values have it at 0, each series its own.
    yield "training mean", every, torch.zeros(len(split), split.horizon, split.num_targets)
    mapped = linear(train, split, values)
    if mapped is not None:
        yield "linear", every, mapped
    if max_fits:
        yield from classical(info, split, values, max_fits)


def forward_filled(split: Windows) -> Tensor:
    """Targets (N, K), the last known value where one is missing; 0, the mean, before the first known."""
    values = split.values[:, : split.num_targets]
    known = ~values.isnan()
    known[split.origins.unique()] = True
    rows = torch.arange(len(values)).unsqueeze(1)
    return values.nan_to_num(0.0).gather(0, torch.where(known, rows, 0).cummax(0).values)


def naive(info: SeriesInfo, split: Windows, values: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The last value, and for each season the value one season before."""
    ahead = split.target_rows()
    origin = split.starts + split.window - 1
    steps = torch.arange(1, split.horizon + 1)
    for name, rows in {
        "last value": origin.unsqueeze(1).expand_as(ahead),
        # Past one season ahead the same season is repeated: nothing newer is known at the origin.
        **{f"seasonal naive ({season})": ahead - season * torch.ceil(steps / season).long() for season in info.seasons},
    }.items():
        if (rows >= split.origins.unsqueeze(1)).all():
            yield name, values[rows]


def linear(train: Windows, split: Windows, values: Tensor) -> Tensor | None:
    """Each target from its own window, both as differences to the window's last value, by least squares with a small
    ridge (NLinear of Zeng et al., 2023, in closed form), whatever the stride between the windows that a network trains
    on. None where no window of training is complete."""
    T, h, K = train.window, train.horizon, train.num_targets
    known = forward_filled(train)
    windows, every = torch.arange(T), train.every_start
    is_complete = torch.cat(
        [~train.values[train.rows_ahead(starts), :K].isnan().any(1) for starts in every.split(CHUNK)]
    )
    has_values = ~train.values[:, :K].isnan().all(0)  # Other targets are not scored.
    if not is_complete.any(0)[has_values].all():
        return None
    forecasts = torch.zeros(len(split), h, K)
    for k in torch.nonzero(has_values).flatten().tolist():
        ahead = every[is_complete[:, k]]
        A, b = torch.zeros(T + 1, T + 1, dtype=torch.float64), torch.zeros(T + 1, h, dtype=torch.float64)
        for starts in ahead.split(CHUNK):
            both = known[:, k].unfold(0, T + h, 1)[starts]
            X = _inputs(both[:, :T])  # (n, T + 1)
            A += (X.T @ X).double()
            b += (X.T @ (both[:, T:] - both[:, T - 1 : T])).double()
        A += RIDGE * A.diagonal()[:-1].mean() * torch.eye(T + 1, dtype=torch.float64)
        W = torch.linalg.solve(A + 1e-9 * torch.eye(T + 1, dtype=torch.float64), b).float()  # (T + 1, horizon)
        for at, starts in zip(torch.arange(len(split)).split(CHUNK), split.starts.split(CHUNK), strict=True):
            x = values[starts.unsqueeze(1) + windows, k]
            forecasts[at, :, k] = _inputs(x) @ W + x[:, -1:]
    return forecasts


def _inputs(x: Tensor) -> Tensor:
    """(n, T) -> (n, T + 1): differences to the last value, and a one."""
    return torch.cat([x - x[:, -1:], x.new_ones(len(x), 1)], 1)


def classical(info: SeriesInfo, split: Windows, values: Tensor, max_fits: int) -> Forecasts:
    """Exponential smoothing (ETS) and Theta, chosen and fitted anew on all that came before each window's end.

    Raises:
        ConfigError: statsforecast is not installed.
    """
    try:
        from statsforecast.models import AutoETS, AutoTheta
    except ImportError:
        raise ConfigError(
            "task.classical needs the package statsforecast: pip install statsforecast, or leave it out"
        ) from None
    K = values.shape[1]
    nth = -(-len(split) * K // max_fits)
    index = torch.arange(0, len(split), nth)
    season = next((season for season in info.seasons if 1 < season <= info.window), 1)
    for method in (AutoETS, AutoTheta):
        forecasts = torch.empty(len(index), split.horizon, K)
        for row, i in enumerate(index.tolist()):
            known = values[int(split.origins[i]) : int(split.starts[i]) + split.window].double().numpy()
            for k in range(K):
                forecast = method(season_length=season).forecast(y=known[:, k].copy(), h=split.horizon)["mean"]
                forecasts[row, :, k] = torch.from_numpy(forecast.copy()).float()
        yield f"{method.__name__}{f' (every {nth}th window)' if nth > 1 else ''}", index, forecasts.nan_to_num(0.0)
