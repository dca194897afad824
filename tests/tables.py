"""CSV files that the tests write, and the data sets that read them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from hypothesis import settings

from lstm_lab.data.kinds.series import Series
from lstm_lab.data.sources.csv_series import CSV

FILES = settings(max_examples=60)


def data(path, **choices) -> CSV:
    choices = {"time": "t", "targets": ("y",), "window": 3, "horizon": 2, **choices}
    return CSV.Config(path=str(path), **choices).build()


def series(path: Path, content: str | bytes, **choices) -> Series:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return data(path, **choices).read()


def table(times, values=None, header="t,y", end="\n") -> str:
    values = range(len(times)) if values is None else values
    return end.join([header, *(f"{t},{v}" for t, v in zip(times, values, strict=True)), ""])


CALENDARS = {
    "hours": pd.date_range("2020-01-01", periods=60, freq="h"),
    "quarter hours": pd.date_range("2020-01-01 00:05", periods=60, freq="15min"),
    "days": pd.date_range("2020-01-25", periods=60, freq="D"),
    "weeks": pd.date_range("2020-01-25", periods=60, freq="W"),
    "months": pd.date_range("1999-11-01", periods=60, freq="MS"),
    "month ends": pd.date_range("1999-11-01", periods=60, freq="ME"),
    "29ths": [
        pd.Timestamp(1999 + i // 12, i % 12 + 1, 29 - (i % 12 == 1 and (1999 + i // 12) % 4 > 0)) for i in range(60)
    ],
    "quarters": pd.date_range("1999-11-01", periods=60, freq="QS"),
    "quarter ends": pd.date_range("1999-11-01", periods=60, freq="QE"),
    "years": pd.date_range("1900-01-01", periods=60, freq="YS"),
    "leap Februaries": pd.date_range("1900-02-01", periods=60, freq="12ME"),
    "business days": pd.bdate_range("2020-01-01", periods=60),
    "hours over a change of clocks": pd.date_range("2020-10-24", periods=60, freq="h", tz="Europe/Berlin"),
    "local days over a change of clocks": pd.date_range("2020-10-01", periods=60, freq="D", tz="Europe/Berlin"),
    "local months": pd.date_range("2020-01-01", periods=60, freq="MS", tz="Asia/Tokyo"),
    "local business days": pd.bdate_range("2020-01-01", periods=60, tz="Asia/Tokyo"),
    "steps": range(60),
    "tens": range(1000, 1600, 10),
    "epoch seconds": range(1577836800, 1577836800 + 60 * 3600, 3600),
    "compact dates": pd.date_range("2020-01-01", periods=60, freq="D").strftime("%Y%m%d"),
    "year and month": pd.date_range("1949-01-01", periods=60, freq="MS").strftime("%Y-%m"),
    "rounded fractions of years": [f"{1749 + (i + 0.5) / 12:.3f}" for i in range(60)],
    "day first": pd.date_range("2020-01-01", periods=60, freq="D").strftime("%d.%m.%Y %H:%M"),
    "month first": pd.date_range("2020-01-01", periods=60, freq="D").strftime("%m/%d/%Y"),
    "short American": [f"{d.month}/{d.day}/{d:%y}" for d in pd.date_range("2020-01-22", periods=60, freq="D")],
    "names of months": pd.date_range("2020-01-01", periods=60, freq="D").strftime("%d-%b-%Y"),
    "half days": pd.date_range("2020-01-01", periods=60, freq="h").strftime("%Y-%m-%d %H:%M:%S.%f"),
}
