"""Times of a forecast: each calendar is continued, with the zone that all rows agree with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tables import CALENDARS, data, table

from lstm_lab.data.readers.calendars import calendar_of, times_after
from lstm_lab.data.readers.coming_rows import texts_of_times
from lstm_lab.data.readers.timeline import read_times


@pytest.mark.parametrize(("times", "name"), [(times, name) for name, times in CALENDARS.items()], ids=CALENDARS)
def test_each_calendar_is_continued(times, name, tmp_path):
    (tmp_path / "a.csv").write_text(table(times))
    read = data(tmp_path / "a.csv")._new_table(str(tmp_path / "a.csv"), ("t",))
    whole = read_times(read, "t", ".")
    some = whole.rows(np.arange(50))
    after = times_after(some, calendar_of(some), 10)
    expected = whole.rows(np.arange(50, 60))
    if whole.local is None:
        np.testing.assert_allclose(after.ticks, expected.ticks, atol=0.002 if "rounded" in name else 1e-9)
    else:
        assert after.local.equals(pd.DatetimeIndex(expected.local).as_unit(after.local.unit))
        assert (after.ticks == expected.ticks).all()


def offsets(first, periods, freq, zone="Europe/Berlin"):
    return pd.date_range(first, periods=periods, freq=freq, tz=zone)


@pytest.mark.parametrize(
    ("times", "last"),
    [
        (offsets("2024-03-01", 238, "D"), "2024-11-03 00:00:00+01:00"),
        (offsets("2024-03-25", 5182, "h"), "2024-10-27 07:00:00+01:00"),
        # From winter alone nobody knows whether this is Berlin or Lagos: the offset stays.
        (offsets("2024-03-25", 120, "h"), "2024-03-30 09:00:00+01:00"),
        (offsets("2024-03-29", 48, "h"), "2024-03-31 09:00:00+01:00"),
        (offsets("2024-03-29", 48, "h", "UTC"), "2024-03-31 09:00:00+00:00"),
    ],
    ids=["days", "hours", "no change", "unknown change", "UTC"],
)
def test_offsets_follow_the_zone_that_all_rows_agree_with(times, last, tmp_path):
    (tmp_path / "a.csv").write_text(table(times))
    read = data(tmp_path / "a.csv")._new_table(str(tmp_path / "a.csv"), ("t",))
    found = read_times(read, "t", ".")
    after = texts_of_times(times_after(found, calendar_of(found), 10))
    assert after[-1] == last


def test_five_days_follow_the_calendar_of_the_training_data(tmp_path):
    days = pd.bdate_range("2024-01-01", periods=60)
    (tmp_path / "a.csv").write_text(table(days))
    (tmp_path / "new.csv").write_text(table(days[:5]))  # From Monday to Friday: a week has seven days, or five.
    trained = data(tmp_path / "a.csv")
    assert trained.info.step == "1 business day"
    keys = trained.read_new(str(tmp_path / "new.csv"), trained.info).keys
    assert [str(time) for time, _ in keys[0]] == ["2024-01-08 00:00:00", "2024-01-09 00:00:00"]
