"""Ways to count the steps of a timeline: equal steps, months, business days, sessions of a day."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

if TYPE_CHECKING:  # Importing pandas takes half a second, which only a reader of time series should wait for.
    import pandas as pd


class Times(NamedTuple):
    """The times of N rows."""

    ticks: np.ndarray
    """(N,) float64 numbers, or datetime64 in UTC: what orders the rows."""
    local: pd.DatetimeIndex | None
    """The local times, in which days and months are counted; None for numbers."""
    tolerance: float
    """Fraction of a step by which rounding may have shifted a time."""
    has_offset: bool = False
    """Whether the times are written with an offset from UTC."""

    def rows(self, index: np.ndarray) -> Times:
        """The times of some of the rows."""
        local = None if self.local is None else self.local[index]
        return self._replace(ticks=self.ticks[index], local=local)


class Calendar(ABC):
    """Counts the steps between rows, and names the times of further rows."""

    name: str
    """What a step is, for messages: "01:00:00", "1 month"."""
    is_local: ClassVar[bool] = True
    """Whether steps are counted in local time."""

    @abstractmethod
    def steps(self, times: Times) -> np.ndarray:
        """(N - 1,) steps from each row to the next, NaN where they are not a whole number."""

    @abstractmethod
    def after(self, times: Times, count: int) -> np.ndarray:
        """(count,) ticks, or local times, of the rows that follow the last."""

    def note(self, times: Times) -> str:
        """What to know of how times are read, a sentence; empty where there is nothing."""
        return ""


class EqualSteps(Calendar):
    """Steps of equal length: of numbers, or of dates in UTC."""

    is_local = False

    def __init__(self, times: Times) -> None:
        ticks = self._ticks(times)
        self.step = median(np.diff(ticks))
        dates = np.issubdtype(ticks.dtype, np.datetime64)
        self.name = _name_of(self.step) if dates else f"{self.step:g}"

    def _ticks(self, times: Times) -> np.ndarray:
        return times.ticks

    def steps(self, times: Times) -> np.ndarray:
        ticks = self._ticks(times)
        with np.errstate(divide="ignore", invalid="ignore"):  # Times may be equal.
            steps = np.diff(ticks) / self.step
        return _whole_steps(steps, np.ones(len(ticks), bool), times.tolerance)

    def after(self, times: Times, count: int) -> np.ndarray:
        ticks, step = self._ticks(times), self.step
        if np.issubdtype(ticks.dtype, np.floating):  # A step of 1/12 is 0.083 between times that are rounded.
            step = (ticks[-1] - ticks[0]) / np.nansum(self.steps(times))
        following: np.ndarray = ticks[-1] + step * np.arange(1, count + 1)
        return following


class EqualLocalSteps(EqualSteps):
    """Steps of equal length on the clock: where it goes forward, two midnights are 23 hours apart."""

    is_local = True

    def _ticks(self, times: Times) -> np.ndarray:
        return local_times(times).to_numpy()


class Months(Calendar):
    """Every k-th month, on the same day or, in a shorter month, on its last."""

    def __init__(self, k: int, day: int) -> None:
        self.k, self.day = k, day
        self.name = f"{k} month{'s' if k > 1 else ''}"

    def steps(self, times: Times) -> np.ndarray:
        local = local_times(times)
        months = np.diff(local.year.to_numpy() * 12 + local.month.to_numpy())
        regular = _on_time(local) & (local.day == np.minimum(self.day, local.days_in_month))
        return _whole_steps(months / self.k, regular)

    def after(self, times: Times, count: int) -> np.ndarray:
        last = local_times(times)[-1]
        months = last.year * 12 + last.month - 1 + self.k * np.arange(1, count + 1)
        first = (months - 1970 * 12).astype("datetime64[M]")
        length = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(int)
        day = first.astype("datetime64[D]") + (np.minimum(self.day, length) - 1)
        return _at_clock(day, last)


class BusinessDays(Calendar):
    """From Monday to Friday."""

    name = "1 business day"

    def steps(self, times: Times) -> np.ndarray:
        local = local_times(times)
        dates = local.to_numpy().astype("datetime64[D]")
        business_days = np.diff(np.busday_count(dates[0], dates))
        return _whole_steps(business_days, _on_time(local) & (local.weekday < 5))

    def after(self, times: Times, count: int) -> np.ndarray:
        last = local_times(times)[-1]
        date = last.to_numpy().astype("datetime64[D]")
        return _at_clock(np.busday_offset(date, np.arange(1, count + 1), roll="forward"), last)


class Sessions(Calendar):
    """Rows at the same times of every day, or of every business day, as bars of the hours of trade."""

    def __init__(self, times: Times) -> None:
        local = local_times(times)
        clock, days = _clock(local), len(set(_dates(local).tolist()))
        found, counts = np.unique(clock, return_counts=True)
        self.slots = found[counts * 2 >= days]
        """(S,) times of the day of at least half of all days."""
        self.business_days = bool((local.weekday < 5).all())
        step = EqualSteps(times)
        self.name = f"{step.name} in sessions of {len(self.slots)} rows"
        self.is_possible = bool(days >= 3 and 1 < len(self.slots) < np.timedelta64(1, "D") / step.step)

    def steps(self, times: Times) -> np.ndarray:
        local = local_times(times)
        clock = _clock(local)
        slot = np.searchsorted(self.slots, clock).clip(max=len(self.slots) - 1)
        days = _dates(local)
        day = np.busday_count(days[0], days) if self.business_days else (days - days[0]).astype(int)
        regular: np.ndarray = np.equal(self.slots[slot], clock)
        return _whole_steps(np.diff(day * len(self.slots) + slot), regular)

    def after(self, times: Times, count: int) -> np.ndarray:
        last = local_times(times)[-1:]
        slot = np.searchsorted(self.slots, _clock(last))[0] + np.arange(1, count + 1)
        ahead, date = slot // len(self.slots), _dates(last)[0]
        days = np.busday_offset(date, ahead, roll="forward") if self.business_days else date + ahead
        following: np.ndarray = days.astype("datetime64[ns]") + self.slots[slot % len(self.slots)]
        return following


class NearlyEqualSteps(EqualSteps):
    """Equal steps that times miss by up to a tenth of a step, as a clock that is read late does."""

    def __init__(self, times: Times) -> None:
        super().__init__(times)
        for unit in ("D", "h", "m", "s", "ms"):
            one = np.timedelta64(1, unit)
            rounded = np.rint(self.step / one) * one.astype("timedelta64[ns]")
            if rounded and abs(rounded - self.step) <= self.step / 50:
                self.step = rounded
                break
        self.name = _name_of(self.step)

    def _positions(self, times: Times) -> np.ndarray:
        """(N,) times in steps, so that most are close to whole numbers."""
        steps: np.ndarray = (times.ticks - times.ticks[0]) / self.step
        positions: np.ndarray = steps - np.median(steps - np.rint(steps))
        return positions

    def steps(self, times: Times) -> np.ndarray:
        positions = self._positions(times)
        near = np.abs(positions - np.rint(positions)) <= 0.1
        return _whole_steps(np.diff(np.rint(positions)), near)

    def note(self, times: Times) -> str:
        positions = self._positions(times)
        off = np.abs(positions - np.rint(positions)).max() * (self.step / np.timedelta64(1, "s"))
        return f"times are up to {off:.3g} seconds off a step of {self.name}: they are read as equal steps"


def _name_of(step: np.timedelta64) -> str:
    import pandas as pd

    return re.sub("^0 days | 00:00:00$|(?<=^1 day)s", "", str(pd.Timedelta(step)))


def _clock(local: pd.DatetimeIndex) -> np.ndarray:
    """(N,) time of the day."""
    found: np.ndarray = (local - local.normalize()).to_numpy()
    return found


def _dates(local: pd.DatetimeIndex) -> np.ndarray:
    """(N,) dates."""
    return local.to_numpy().astype("datetime64[D]")


def local_times(times: Times) -> pd.DatetimeIndex:
    if times.local is None:
        raise ValueError("numbers have no calendar")
    return times.local


def _on_time(local: pd.DatetimeIndex) -> np.ndarray:
    """(N,) whether a time is at the same time of the day as most."""
    clock = _clock(local)
    found: np.ndarray = clock == median(clock)
    return found


def _at_clock(dates: np.ndarray, last: pd.Timestamp) -> np.ndarray:
    """Dates (N,) at the time of the day of the last row."""
    following: np.ndarray = dates.astype("datetime64[ns]") + (last - last.normalize()).to_timedelta64()
    return following


def _whole_steps(steps: np.ndarray, regular: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """Whole numbers of steps between rows that both fit the calendar, NaN elsewhere."""
    whole = np.abs(steps - np.rint(steps)) <= tolerance
    return np.where(whole & regular[1:] & regular[:-1], np.rint(steps), math.nan)


def median(values: np.ndarray) -> Any:
    """The lower median: one of the values."""
    return np.sort(values)[(len(values) - 1) // 2]
