"""Ways to count the steps of a timeline, and the times that follow it: equal steps, months, business days."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
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


class EqualSteps(Calendar):
    """Steps of equal length: of numbers, or of dates in UTC."""

    is_local = False

    def __init__(self, times: Times) -> None:
        import pandas as pd

        ticks = self._ticks(times)
        self.step = _median(np.diff(ticks))
        dates = np.issubdtype(ticks.dtype, np.datetime64)
        text = str(pd.Timedelta(self.step)) if dates else f"{self.step:g}"
        self.name = re.sub("^0 days | 00:00:00$|(?<=^1 day)s", "", text)

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
        return _local(times).to_numpy()


class Months(Calendar):
    """Every k-th month, on the same day or, in a shorter month, on its last."""

    def __init__(self, k: int, day: int) -> None:
        self.k, self.day = k, day
        self.name = f"{k} month{'s' if k > 1 else ''}"

    def steps(self, times: Times) -> np.ndarray:
        local = _local(times)
        months = np.diff(local.year.to_numpy() * 12 + local.month.to_numpy())
        regular = _on_time(local) & (local.day == np.minimum(self.day, local.days_in_month))
        return _whole_steps(months / self.k, regular)

    def after(self, times: Times, count: int) -> np.ndarray:
        last = _local(times)[-1]
        months = last.year * 12 + last.month - 1 + self.k * np.arange(1, count + 1)
        first = (months - 1970 * 12).astype("datetime64[M]")
        length = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(int)
        day = first.astype("datetime64[D]") + (np.minimum(self.day, length) - 1)
        return _at_clock(day, last)


class BusinessDays(Calendar):
    """From Monday to Friday."""

    name = "1 business day"

    def steps(self, times: Times) -> np.ndarray:
        local = _local(times)
        dates = local.to_numpy().astype("datetime64[D]")
        business_days = np.diff(np.busday_count(dates[0], dates))
        return _whole_steps(business_days, _on_time(local) & (local.weekday < 5))

    def after(self, times: Times, count: int) -> np.ndarray:
        last = _local(times)[-1]
        date = last.to_numpy().astype("datetime64[D]")
        return _at_clock(np.busday_offset(date, np.arange(1, count + 1), roll="forward"), last)


def calendars(times: Times) -> Iterator[Calendar]:
    """The calendars that at least two rows may follow."""
    yield EqualSteps(times)
    if times.local is None:
        return
    yield EqualLocalSteps(times)
    local = times.local
    k = max(_median(np.diff(local.year.to_numpy() * 12 + local.month.to_numpy())), 1)
    for day in (_median(local.day.to_numpy()), 31):  # The same day of every month, or its last.
        yield Months(int(k), int(day))
    yield BusinessDays()


def calendar_of(times: Times, name: str = "") -> Calendar:
    """The calendar in which most rows are neighbours, and among those the one that counts most of the other distances.

    Args:
        times: of at least two rows.
        name: of the calendar that is taken where several count the same neighbours, as from Monday to Friday.
    """
    return max(calendars(times), key=lambda calendar: _fit(calendar, times, name))


def _fit(calendar: Calendar, times: Times, name: str) -> tuple[int, bool, int]:
    ahead = calendar.steps(times)
    return int((ahead == 1).sum()), calendar.name == name, int(np.isfinite(ahead).sum())


def times_after(times: Times, calendar: Calendar, count: int) -> Times:
    """The times of the rows that follow the last.

    Where times have an offset from UTC and clocks change, the offsets are those of the time zones that all rows agree
    with, or that of the last row where such zones differ.
    """
    import pandas as pd

    following = calendar.after(times, count)
    if times.local is None:
        return times._replace(ticks=following)
    dates = pd.DatetimeIndex(following)
    if not times.has_offset:
        return times._replace(ticks=dates.to_numpy(), local=dates)
    readings = {(tuple(utc), tuple(local)): (utc, local) for utc, local in _readings(dates, times, calendar.is_local)}
    if len(readings) == 1:
        utc, local = next(iter(readings.values()))
    else:
        offset = times.local[-1] - pd.Timestamp(times.ticks[-1])
        utc, local = (dates - offset, dates) if calendar.is_local else (dates, dates + offset)
    return times._replace(ticks=utc.to_numpy(), local=local)


def _readings(
    dates: pd.DatetimeIndex, times: Times, is_local: bool
) -> Iterator[tuple[pd.DatetimeIndex, pd.DatetimeIndex]]:
    """Dates that are local, or UTC, as both, in each time zone that has the offsets of all times."""
    for zone in _zones(times):
        if is_local:
            aware = dates.tz_localize(zone, ambiguous=np.ones(len(dates), bool), nonexistent="shift_forward")
            yield aware.tz_convert("UTC").tz_localize(None), dates
        else:
            yield dates, dates.tz_localize("UTC").tz_convert(zone).tz_localize(None)


def _zones(times: Times) -> Iterator[str]:
    """Names of the time zones that have the offsets of all times."""
    import zoneinfo

    import pandas as pd

    utc, local = pd.DatetimeIndex(times.ticks), _local(times)
    offsets = (local - utc).to_numpy()
    changes = np.flatnonzero(offsets[1:] != offsets[:-1])
    if not len(changes):  # One offset is that of many zones, of some for good.
        return
    some = np.linspace(0, len(utc) - 1, min(len(utc), 24)).astype(int)
    rows = np.unique(np.concatenate([changes, changes + 1, some]))
    aware, wanted = utc[rows].tz_localize("UTC"), local[rows]
    first, offset = aware[0].to_pydatetime(), (wanted[0] - utc[rows][0]).to_pytimedelta()
    for zone in sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}):
        if zoneinfo.ZoneInfo(zone).utcoffset(first.astimezone(zoneinfo.ZoneInfo(zone))) != offset:
            continue
        if aware.tz_convert(zone).tz_localize(None).equals(wanted):
            yield zone


def _local(times: Times) -> pd.DatetimeIndex:
    if times.local is None:
        raise ValueError("numbers have no calendar")
    return times.local


def _on_time(local: pd.DatetimeIndex) -> np.ndarray:
    """(N,) whether a time is at the same time of the day as most."""
    clock = (local - local.normalize()).to_numpy()
    found: np.ndarray = clock == _median(clock)
    return found


def _at_clock(dates: np.ndarray, last: pd.Timestamp) -> np.ndarray:
    """Dates (N,) at the time of the day of the last row."""
    following: np.ndarray = dates.astype("datetime64[ns]") + (last - last.normalize()).to_timedelta64()
    return following


def _whole_steps(steps: np.ndarray, regular: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """Whole numbers of steps between rows that both fit the calendar, NaN elsewhere."""
    whole = np.abs(steps - np.rint(steps)) <= tolerance
    return np.where(whole & regular[1:] & regular[:-1], np.rint(steps), math.nan)


def _median(values: np.ndarray) -> Any:
    """The lower median: one of the values."""
    return np.sort(values)[(len(values) - 1) // 2]
