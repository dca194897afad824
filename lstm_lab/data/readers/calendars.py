"""The calendar that times follow, and the times that follow them or are missing between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.data.readers.calendar_kinds import (
    BusinessDays,
    Calendar,
    EqualLocalSteps,
    EqualSteps,
    Months,
    NearlyEqualSteps,
    Sessions,
    Times,
    local_times,
    median,
)

if TYPE_CHECKING:  # Importing pandas takes half a second, which only a reader of time series should wait for.
    import pandas as pd


def calendars(times: Times) -> Iterator[Calendar]:
    """The calendars that at least two rows may follow."""
    equal = EqualSteps(times)
    yield equal
    if times.local is None:
        return
    yield EqualLocalSteps(times)
    local = times.local
    k = max(median(np.diff(local.year.to_numpy() * 12 + local.month.to_numpy())), 1)
    for day in (median(local.day.to_numpy()), 31):  # The same day of every month, or its last.
        yield Months(int(k), int(day))
    yield BusinessDays()
    if equal.step > np.timedelta64(0):  # Times are not in order otherwise.
        sessions = Sessions(times)
        if sessions.is_possible:
            yield sessions
        yield NearlyEqualSteps(times)


def calendar_of(times: Times, name: str = "") -> Calendar:
    """The calendar in which most rows are neighbours, and among those the one that counts most of the other distances.

    Args:
        times: of at least two rows.
        name: of the calendar that is taken where several count the same neighbours, as from Monday to Friday.
    """
    equal = EqualSteps(times)
    if name in ("", equal.name) and (equal.steps(times) == 1).all():  # No other fits better, and most times are so.
        return equal
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

    utc, local = pd.DatetimeIndex(times.ticks), local_times(times)
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


def with_inserted_rows(times: Times, calendar: Calendar, steps: np.ndarray) -> Times:
    """Local times of the rows of a timeline, those that are missing inserted.

    Args:
        times: of N rows.
        steps: (N,) number of steps from the first row to each.
    """
    import pandas as pd

    pieces, start = [], 0
    local = local_times(times)
    for row in np.flatnonzero(np.diff(steps) > 1):
        one = times.rows(np.array([row]))
        following = calendar.after(one, int(steps[row + 1] - steps[row] - 1))
        if not calendar.is_local:
            following = following + (local[[row]] - pd.DatetimeIndex(one.ticks)).to_numpy()
        pieces += [local[start : row + 1].to_numpy(), following]
        start = row + 1
    regular = np.concatenate([*pieces, local[start:].to_numpy()])
    return times._replace(ticks=regular, local=pd.DatetimeIndex(regular))
