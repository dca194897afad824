"""Windows of a series: within one split, and the published electricity demand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_lab.config import DataError
from lstm_lab.data.kinds.series import Series
from lstm_lab.data.kinds.split_series import SeriesDataset
from lstm_lab.data.sources.taylor import Taylor

small = st.integers(1, 12)


class Ramp(SeriesDataset):
    """Row r is (r, -r), so that values tell their row; not registered."""

    def __init__(self, rows, spoil=(), **choices):
        choices = {"window": 3, "horizon": 2, "seasons": (), "validation": 0.2, "test": 0.2, "stride": 1, **choices}
        super().__init__(**choices)
        self.rows, self.spoil = rows, list(spoil)

    def read(self):
        line = np.arange(float(self.rows))
        line[self.spoil] += 1000.0
        return Series(np.stack([line, -line], 1), ("up", "down"), 1, "ramp")


def rows_of(data, part):
    """Row numbers of input and target of each window: (n, window), (n, horizon)."""
    batch = part.take(torch.arange(len(part)))
    mean, std = data.info.mean[0], data.info.std[0]
    assert batch.lengths.tolist() == [data.window] * len(part)
    assert batch.y.shape[2] == 1
    unscaled = [(values[..., 0].double() * std + mean).round().long() for values in (batch.x, batch.y)]
    assert torch.equal(unscaled[1], part.target_rows())
    return unscaled


fractions = st.floats(0.05, 0.45)


@settings(max_examples=150)
@given(rows=st.integers(8, 80), window=small, horizon=small, stride=small, validation=fractions, test=fractions)
def test_horizons_of_windows_are_within_one_split(rows, window, horizon, stride, validation, test):
    data = Ramp(rows, window=window, horizon=horizon, stride=stride, validation=validation, test=test)
    try:
        _ = data.series
    except DataError as error:
        fault = str(error)
        assert len(fault.splitlines()) == 1
        assert fault.startswith("ramp:")
        return
    first, second, end = data._split_ends(rows)
    parts = [(data.train, 0, first), (data.validation, first, second), (data.test_split(), second, end)]
    for part, begin, stop in parts:
        back, ahead = rows_of(data, part)
        assert torch.equal(torch.cat([back, ahead], 1), back[:, :1] + torch.arange(window + horizon))
        assert begin <= ahead.min() <= ahead.max() < stop
        if part is not data.train:
            # The first window starts `window` rows before the split; then none is left out.
            assert back[:, 0].tolist() == list(range(begin - window, stop - window - horizon + 1))
    assert rows_of(data, data.train)[0][:, 0].tolist() == list(range(0, first - window - horizon + 1, stride))


def test_a_later_split_never_changes_an_earlier_one():
    plain, spoiled = Ramp(50), Ramp(50, spoil=range(40, 50))
    for name in ("train", "validation"):
        whole = torch.arange(len(getattr(plain, name)))
        for ours, theirs in zip(
            getattr(plain, name).take(whole)[:3], getattr(spoiled, name).take(whole)[:3], strict=True
        ):
            assert torch.equal(ours, theirs)
        assert getattr(plain, name).values.shape[0] <= 40
    assert plain.info == spoiled.info == Ramp(50, spoil=range(30, 50)).info != Ramp(50, spoil=[29]).info
    assert len({Ramp(50).digest, Ramp(50, spoil=[49]).digest, Ramp(50, test=0.3).digest}) == 3


@pytest.mark.parametrize(("rows", "part"), [(9, "training"), (24, "validation"), (24, "test")])
def test_a_series_that_is_too_short_is_refused_in_one_line(rows, part):
    fractions = {"training": (0.3, 0.3), "validation": (0.05, 0.3), "test": (0.3, 0.02)}[part]
    with pytest.raises(
        DataError, match=f"^ramp: {rows} rows leave . for the {part} split.*shorten data.window"
    ) as fault:
        _ = Ramp(rows, validation=fractions[0], test=fractions[1]).info
    assert len(str(fault.value).splitlines()) == 1


def test_taylor_is_as_published():
    data = Taylor.Config().build()
    assert data.series.values.shape == (4032, 1)
    # Monday 5 June 2000, 00:00; megawatts.
    assert data.series.values[:3, 0].tolist() == [22262, 21756, 22247]
    assert data.series.values[-1, 0] == 23132
    train = data.series.values[: data._split_ends(4032)[0]]
    assert data.info.mean == pytest.approx(train.mean(0))
    assert data.info.naive_mae == pytest.approx(np.abs(train[48:] - train[:-48]).mean(0))
    assert len(data.test_split()) == 4032 - int(4032 * 0.8) - 48 + 1
