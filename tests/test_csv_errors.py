"""Errors of the CSV reader, each one line with place and way out; and missing rows."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import CALENDARS, FILES, data, series, table

from lstm_lab.config import ConfigError, DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.sources.csv_series import CSV


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("LSTM_LAB_DATA", raising=False)


def hours(n: int, start: str = "2020-01-01") -> list[str]:
    return [str(time) for time in pd.date_range(start, periods=n, freq="h")]


def with_row(line: int, row: str) -> str:
    lines = table(hours(30)).splitlines()
    lines[line - 1] = row
    return "\n".join(lines)


def without(times: list[str], *gone: int) -> list[str]:
    return [time for i, time in enumerate(times) if i not in gone]


H = hours(30)
AMBIGUOUS = [f"0{i + 1}/04/2020" for i in range(9)]
FAULTS = {
    "empty file": (b"", {}, "is empty"),
    "blank file": ("\n \n", {}, "is empty"),
    "header only": ("t,y\n\n", {}, "has a header but no rows"),
    "latin-1": (table(H).replace("t,y", "t,y,é").encode("latin-1"), {}, "line 1: not UTF-8.*byte 4 is 0xe9, 'é'"),
    "late latin-1": (table(H).encode() + b"\xff", {}, "line 32: not UTF-8"),
    "half of UTF-16": (table(H).encode("utf-16")[:-1], {}, "UTF-16 text that is damaged.*save it as UTF-8"),
    "Excel": (b"PK\x03\x04" + bytes(30), {}, "Excel"),
    "Parquet": (b"PAR1" + bytes(30), {}, "Parquet"),
    "missing time": (table(H), {"time": "date"}, "line 1: no column 'date'; the header has 't', 'y'"),
    "near name": (table(H, header="t,Load"), {"targets": ("load",)}, "line 1: no column 'load'; did you mean 'Load'"),
    "no header": ("\n".join(table(H).splitlines()[1:]), {}, "line 1: no column 't'; the header has '2020-01-01"),
    "semicolons": ("t;y\n0;1\n", {}, "the header contains ';': set data.separator=';'"),
    "tabs": ("t\ty\n0\t1\n", {}, r"the header contains '\\t': set data.separator='\\t'"),
    "twin columns": ("t,y,y\n0,1,2\n", {}, "line 1: 2 columns are named 'y'"),
    "long row": (with_row(9, f"{H[7]},7,8"), {}, "line 9, column 'y': the row has 3 fields, but the header has 2"),
    "short row": (with_row(9, H[7]), {}, "line 9, column 't': the row has 1 fields, but the header has 2"),
    "unquoted decimal comma": (with_row(9, f"{H[7]},7,5"), {}, "line 9.*quote what contains a ','"),
    "open quote": (with_row(9, f'{H[7]},"7'), {}, "line 9: a quote is not closed"),
    "text": (with_row(9, f"{H[7]},seven"), {}, "line 9, column 'y': 'seven' is not a number"),
    "long text": (with_row(9, f"{H[7]},{'7' * 999}x"), {}, "line 9, column 'y': '7{37}...' is not a number"),
    "underscore": (with_row(9, f"{H[7]},1_000"), {}, "line 9, column 'y': '1_000' is not a number"),
    "decimal comma": (with_row(9, f'{H[7]},"7,5"'), {}, "line 9, column 'y': '7,5' is not a number.*data.decimal=','"),
    "decimal point": (
        "t;y\n0;1,5\n1;1.500\n",
        {"separator": ";", "decimal": ","},
        "line 3, column 'y': '1.500' is not a number.*1234,5",
    ),
    "empty cell": (with_row(9, f"{H[7]},"), {}, r"line 9, column 'y': the cell is empty \(1 in total\): fill it in"),
    "nan": (
        table(H, ["nan" if i % 7 == 6 else i for i in range(30)]),
        {},
        r"line 8, .*'nan' is not a fin.*\(4 in",
    ),
    "inf": (with_row(9, f"{H[7]},-inf"), {}, "line 9, column 'y': '-inf' is not a finite number"),
    "overflow": (with_row(9, f"{H[7]},1e999"), {}, "line 9, column 'y': '1e999' is not a finite number"),
    "NA": (with_row(9, f"{H[7]},NA"), {}, "line 9, column 'y': 'NA' is not a finite number"),
    "empty time": (with_row(9, ",7"), {}, "line 9, column 't': the cell is empty"),
    "bad time": (with_row(9, "2020-13-01,7"), {}, "line 9, column 't': '2020-13-01' is not a time.*ISO 8601"),
    "now": (with_row(9, "now,7"), {}, "line 9, column 't': 'now' is not a time"),
    "no times at all": (table(["spring", "summer"]), {}, "line 2, column 't': 'spring' is not a time"),
    "step is no number": (table([0, 1, "x"]), {}, "line 4, column 't': 'x' is not a number, but '0' in line 2 is"),
    "ambiguous dates": (table(AMBIGUOUS), {}, "line 2, .*'01/04/2020' may be .*(2020-04-01|2020-01-04) or .*ISO 8601"),
    "two forms": (
        table(["13/04/2020", "14/04/2020", "04/15/2020"]),
        {},
        "line 4, column 't': '04/15/2020' is not a time",
    ),
    "unsorted": (
        table([*H[:9], *H[20:], *H[9:20]]),
        {},
        r"line 21, column 't': .* earlier than the row before.*\(1 in total",
    ),
    "backwards but for one row": (
        table([*H[:0:-1], str(pd.Timestamp(H[-1]) + pd.Timedelta("1h"))]),
        {},
        r"line 3, column 't': .*\(28 in total\): sort the rows by time, oldest first",
    ),
    "twice": (table([*H[:9], H[8], *H[9:]]), {}, r"line 11, column 't': .* time of line 10 \(1 in total\)"),
    "two series in one file": (table(H + H), {}, r"line 32, column 't': .* time of line 2 \(30 in total.*data.id"),
    "gap": (table(without(H, 5, 6, 20)), {}, r"line 7, .*a step is 01:00:00: rows missing: 2 \(gaps in total: 2\)"),
    "off beat": (with_row(9, "2020-01-01 07:30:00,7"), {}, "line 9, column 't': .*not a whole number of steps"),
    "missing step": (table([0, 1, 2, 4, 5]), {}, "line 5, column 't': '4' follows '2', but a step is 1: rows missing"),
    "missing month": (
        table(["2020-01", "2020-02", "2020-04", "2020-05"]),
        {},
        "line 4, column 't': '2020-04' follows '2020-02', but a step is 1 month: rows missing: 1",
    ),
    "holiday": (
        table(without([str(day.date()) for day in pd.bdate_range("2020-01-01", periods=30)], 8)),
        {},
        "line 10, column 't': .* a step is 1 business day: rows missing: 1",
    ),
    "behind a quoted line end": ('t,n,y\n0,"a\nb",1\n1,,x\n', {}, "line 4, column 'y': 'x' is not a number"),
}


def check(fault: DataError, path: Path, pattern: str = "") -> None:
    text = str(fault)
    assert len(text.splitlines()) == 1
    assert text.startswith(f"{path}: ")
    assert re.search(pattern, text), text
    assert fault.exit_code == 3


@pytest.mark.parametrize("kind", FAULTS)
def test_an_error_is_one_line_with_place_and_way_out(tmp_path, kind):
    content, choices, pattern = FAULTS[kind]
    with pytest.raises(DataError) as caught:
        series(tmp_path / "a.csv", content, **choices)
    check(caught.value, tmp_path / "a.csv", pattern)


def test_errors_of_the_file_itself(tmp_path):
    series(tmp_path / "load.csv", table(H))
    for path, pattern in (
        (tmp_path / "lod.csv", r"no such file; did you mean '.*/load\.csv'\?"),
        (tmp_path / "nowhere" / "load.csv", "no such file: set data.path"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(DataError) as caught:
            data(path).read()
        check(caught.value, path, pattern)


def test_a_file_without_read_permission(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    series(tmp_path / "a.csv", table(H))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError) as caught:
        data(tmp_path / "a.csv").read()
    check(caught.value, tmp_path / "a.csv", "cannot be read.*Permission denied")


def test_too_short_for_window_and_horizon(tmp_path):
    series(tmp_path / "a.csv", table(H))
    with pytest.raises(DataError) as caught:
        _ = data(tmp_path / "a.csv", window=30, horizon=2).train
    check(caught.value, tmp_path / "a.csv", "30 rows leave 21 for the training split.*shorten data.window")


@pytest.mark.parametrize(
    ("choices", "pattern"),
    [
        ({"targets": []}, "targets is empty: name at least one"),
        ({"targets": ["y", "y"]}, "'y' is named twice"),
        ({"targets": ["y"], "features": ["y"]}, "'y' is named twice"),
        ({"targets": ["t"]}, "'t' is named twice in time, targets"),
        ({"targets": ["y"], "separator": ",,"}, "separator ',,' cannot separate fields"),
        ({"targets": ["y"], "decimal": ","}, "separator ',' cannot separate fields"),
        ({"targets": ["y"], "path": ""}, "path"),
    ],
)
def test_errors_of_the_configuration(choices, pattern):
    with pytest.raises(ConfigError, match=pattern):
        validate(CSV.Config, {"path": "a.csv", "time": "t", **choices}, "x.yaml")


def test_one_target_needs_no_list_and_a_dumped_config_is_equal():
    config = validate(CSV.Config, {"path": "a.csv", "time": "t", "targets": "y", "separator": r"\t"}, "x.yaml")
    assert config.targets == ("y",)
    assert CSV.Config.model_validate(config.model_dump(mode="json")) == config


@settings(FILES, max_examples=100)
@given(st.data())
def test_damage_gives_a_series_or_one_line(data_):
    calendar = data_.draw(st.sampled_from(sorted(CALENDARS)))
    times = list(CALENDARS[calendar])[:25]
    content = table([f'"{time}"' for time in times], [f"{i}.5,w" for i in range(25)], header="t,y,note").encode()
    for _ in range(data_.draw(st.integers(1, 2))):
        content = damage(data_, content)
    with tempfile.TemporaryDirectory() as folder:
        try:
            read = series(Path(folder, "a.csv"), content)
        except DataError as fault:
            check(fault, Path(folder, "a.csv"))
        else:
            assert np.isfinite(read.values).all()


def damage(data_, content: bytes) -> bytes:
    at = data_.draw(st.integers(0, max(0, len(content) - 1)))
    lines = content.splitlines(keepends=True) or [b""]
    i, j = (data_.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    match data_.draw(st.sampled_from(["delete", "insert", "drop", "double", "swap", "truncate", "byte"])):
        case "delete":
            return content[:at] + content[at + 1 :]
        case "insert":
            return (
                content[:at]
                + data_.draw(st.text(max_size=5) | st.sampled_from('",;\n\r\0-.e_')).encode()
                + content[at:]
            )
        case "drop":
            return b"".join(lines[:i] + lines[i + 1 :])
        case "double":
            return b"".join(lines[: i + 1] + lines[i:])
        case "swap":
            lines[i], lines[j] = lines[j], lines[i]
            return b"".join(lines)
        case "truncate":
            return content[:at]
        case _:
            return (
                content[:at] + data_.draw(st.sampled_from([b"\xff", b"\xc3", b"\xe9", b"\xed\xa0\x80"])) + content[at:]
            )


def test_missing_rows_are_inserted_as_empty_ones(tmp_path):
    days = [str(day.date()) for day in pd.date_range("2020-01-01", periods=60)]
    kept = [i for i in range(60) if i not in (7, 20, 21, 22)]
    text = table([days[i] for i in kept], kept)
    values = series(tmp_path / "a.csv", text, gaps="fill", missing="mask").values[:, 0]
    assert np.flatnonzero(np.isnan(values)).tolist() == [7, 20, 21, 22]
    assert [int(values[i]) for i in kept] == kept
    filled = series(tmp_path / "a.csv", text, gaps="fill", missing="forward_fill").values[:, 0]
    assert filled.tolist() == [6 if i == 7 else 19 if i in (20, 21, 22) else i for i in range(60)]
    whole = table(days)
    plain, filled = (series(tmp_path / "b.csv", whole, missing="mask", gaps=gaps) for gaps in ("error", "fill"))
    assert np.array_equal(plain.values, filled.values)
    with pytest.raises(
        DataError, match=r"rows missing: 1 \(gaps in total: 2\): fill them in, set data.gaps=fill \(inserts"
    ):
        series(tmp_path / "a.csv", text, missing="mask")
    with pytest.raises(DataError, match="not a whole number of steps"):
        series(tmp_path / "c.csv", text + "2020-03-01T07:00,1\n", gaps="fill", missing="mask")
    with pytest.raises(DataError, match="filling the gaps would insert"):
        series(tmp_path / "c.csv", text + "2820-03-01,1\n", gaps="fill", missing="mask")
    with pytest.raises(ConfigError, match="missing=error refuses"):
        validate(CSV.Config, {"path": "a.csv", "time": "t", "targets": ["y"], "gaps": "fill"}, "x")


def test_gaps_are_filled_in_each_series_and_static_columns_are_known_in_them(tmp_path):
    rows = [f"{t},{name},{t},{size}" for name, size, gone in (("a", 3, 5), ("b", 9, 11))
            for t in range(40) if t != gone]  # fmt: skip
    read = series(tmp_path / "a.csv", "\n".join(["t,who,y,size", *rows]), id="who", static=("size",), gaps="fill",
                  missing="mask")  # fmt: skip
    assert read.rows == (40, 40)
    assert np.flatnonzero(np.isnan(read.values[:, 0])).tolist() == [5, 51]
    assert read.values[:, 1].tolist() == [3.0] * 40 + [9.0] * 40
