"""Tables as spreadsheets, sensors and statistical offices write them, read as pandas reads them by the same fields."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tables import data, series

from lstm_lab.config import ConfigError, DataError, Notice
from lstm_lab.config.validation import validate
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.formats import read_number_rows, table_names
from lstm_lab.data.sources.csv_sequences import CSVSequences
from lstm_lab.data.sources.csv_series import CSV

ROWS = "0,1.5\n1,-2\n2,3\n"
PLAIN = "t,y\n" + ROWS


@pytest.mark.parametrize(
    ("content", "choices", "by_pandas"),
    [
        ("# station 12\n# units: mm, h\n" + PLAIN, {"skiprows": 2}, {}),
        ("Category: all\n\n" + PLAIN, {"skiprows": 2}, {}),
        ("t,y\n,mm\n" + ROWS, {"skiprows": [1]}, {}),
        ("title\nt,y\ns,mm\n,Avg\n" + ROWS, {"skiprows": [2, 0, 3]}, {}),
        (PLAIN + "Total,2.5\n", {"skipfooter": 1}, {"engine": "python"}),
        (PLAIN + "Total,2.5\nDownloaded by me\n", {"skipfooter": 2}, {"engine": "python"}),
        (ROWS, {"header": False, "time": "0", "targets": ("1",)}, {"header": None}),
        (ROWS, {"header": False, "time": 0, "targets": 1}, {"header": None}),
        (ROWS.replace(",", "  "), {"header": False, "time": 0, "targets": [1], "separator": " "}, {}),
        ('t,y\n0,"1,186.5"\n1,987\n2,"-2,012,345"\n', {"thousands": ","}, {}),
        ("t;y\n0;1.186,5\n1;987\n2;-2.012.345\n", {"separator": ";", "decimal": ",", "thousands": "."}, {}),
        ("t,y\n0,1.5\n1,?\n2,3\n", {"na_values": "?", "missing": "mask"}, {}),
        ("t,y\n0,1.5\n1,-200.0\n2,-\n3,4\n", {"na_values": [-200, "-"], "missing": "mask"}, {}),
        ('t,y,n\n0,1.5,"a\n1,-2,b"c\n2,3,d\n', {"quoting": False}, {"quoting": 3}),
        ("t,y\n0,True\n1,FALSE\n2,true\n", {}, {}),
    ],
)  # fmt: skip
def test_a_field_means_what_it_means_to_pandas(tmp_path, content, choices, by_pandas):
    ours = series(tmp_path / "a.csv", content, **choices).values[:, 0]
    words = {key: choices[key] for key in ("skiprows", "skipfooter", "thousands", "decimal", "na_values")
             if key in choices} | by_pandas  # fmt: skip
    if not choices.get("header", True):
        words["header"] = None
    separator = {" ": r"\s+"}.get(choices.get("separator"), choices.get("separator", ","))
    theirs = pd.read_csv(io.StringIO(content), sep=separator, **words).iloc[:, 1].to_numpy(float)
    np.testing.assert_array_equal(ours, theirs)


def test_lines_that_are_left_out_are_counted_and_missed(tmp_path):
    with pytest.raises(DataError, match=r"line 5, column 'y': 'x' is not a number"):
        series(tmp_path / "a.csv", "title\nt,y\ns,mm\n0,1\n1,x\n2,3\n", skiprows=[0, 2])
    units = r"line 2, column 'y': 'mm' is not a number .*; if the line has units, set data.skiprows=\[1\]"
    with pytest.raises(DataError, match=units):
        series(tmp_path / "a.csv", "t,y\n0,mm\n" + ROWS)
    with pytest.warns(Notice, match=r"line 2 is written as the rows beside it, but data.skiprows leaves it out"):
        series(tmp_path / "a.csv", PLAIN, skiprows=[1])
    for wrong in (-1, [-1], "two", [0.5]):
        with pytest.raises(ConfigError, match="a: skiprows: must be a number of lines, as 1, or a list"):
            validate(CSV.Config, {"path": "a.csv", "time": "t", "targets": ["y"], "skiprows": wrong}, "a")


def test_fields_of_nested_json_have_the_names_of_json_normalize(tmp_path):
    rows = [{"t": i, "at": {"x": 0.5 * i, "inner": {"y": -i}}, "empty": {}, "list": [1]} for i in range(5)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame = pd.json_normalize(rows)
    assert {*table_names(path, CSVFormat())} - {"empty"} == {*frame.columns}
    table = read_number_rows(path, ["at.x", "at.inner.y"], CSVFormat())
    assert [[*map(float, cells)] for cells in table.columns.values()] == frame[["at.x", "at.inner.y"]].T.values.tolist()
    path.write_text('{"a.b": 1, "a": {"b": 2}}\n')
    with pytest.raises(DataError, match=r"line 1: two fields are named 'a\.b': rename one"):
        read_number_rows(path, ["a.b"], CSVFormat())


@pytest.mark.parametrize("ending", ["feather", "arrow"])
def test_arrow_files_are_read_as_parquet_is(tmp_path, ending):
    frame = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=30, freq="h"), "y": np.arange(30.0)})
    frame.to_parquet(tmp_path / "a.parquet")
    table = pa.Table.from_pandas(frame)
    path = tmp_path / f"a.{ending}"
    with pa.ipc.new_stream(path, table.schema) if ending == "arrow" else pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    names = table_names(path, CSVFormat())
    assert names == table_names(tmp_path / "a.parquet", CSVFormat()) == ["t", "y"]
    tables = [read_number_rows(each, names, CSVFormat()) for each in (path, tmp_path / "a.parquet")]
    assert tables[0].columns == tables[1].columns
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=f"not a complete {ending.title()} file"):
        read_number_rows(path, names, CSVFormat())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1] * 99), "a pickle, which runs code"),
        (b"MATLAB 5.0 MAT-file", "loadmat"),
        (b"@relation x\n", "ARFF"),
    ],
)
def test_files_of_other_programs_are_named_with_a_way_out(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_number_rows(tmp_path / "a.csv", ["y"], CSVFormat())


def test_a_first_line_that_names_the_separator_is_no_header(tmp_path):
    content = "sep=;\n" + PLAIN.replace(",", ";")
    assert series(tmp_path / "a.csv", content, separator=";").values[:, 0].tolist() == [1.5, -2, 3]
    with pytest.raises(DataError, match=r"line 1: says that fields are separated by ';': set data.separator=';'"):
        series(tmp_path / "a.csv", content)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv"])
def test_a_compressed_file_is_read_whatever_its_name(tmp_path, compress, name):
    assert series(tmp_path / name, compress(PLAIN.encode())).values[:, 0].tolist() == [1.5, -2, 3]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("$1263.67", 1263.67), ("-$5", -5), ("$-5", -5), ("5 €", 5), ("0.57%", 0.57), ("3.01M", 3.01e6), ("2k", 2000)],
)
def test_units_of_a_number_are_read(tmp_path, cell, value):
    assert series(tmp_path / "a.csv", f"t,y\n0,1\n1,{cell}\n").values[1, 0] == pytest.approx(value)


def test_lines_are_counted_in_the_file_and_the_way_out_is_a_field(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(DataError, match="line 5, column 'y': 'x' is not a number"):
        series(path, "# one\n# two\nt,y\n0,1\n1,x\n", skiprows=2)
    with pytest.raises(DataError, match=r"line 1: has no column .*line 3 has: set data.skiprows=2"):
        series(path, "# one\n# two\nt,y\n0,1\n1,2\n")
    with pytest.raises(DataError, match=r"line 3: a quote is not closed .*data.quoting=false"):
        series(path, 't,y\n0,1\n1,"2\n')
    with pytest.raises(DataError, match=r"line 4, .*'\?' is not a number \(2 in total\): .*data.na_values=\['\?'\]"):
        series(path, "t,y\n0,1\n1,2\n2,?\n3,?\n")
    with pytest.raises(DataError, match=r"line 2, .*'1,186.88' is not a number .*data.thousands=','"):
        series(path, 't,y\n0,"1,186.88"\n')
    with pytest.raises(DataError, match=r"line 4, .*'Total' is not a .*data.skipfooter=1"):
        series(path, "t,y\n0,1\n1,2\nTotal,3\n")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "a.parquet", "thousands": ","}, "thousands would have no effect"),
        ({"path": "a.jsonl", "skiprows": 1, "header": False}, "header and skiprows would have no effect"),
        ({"thousands": "."}, "thousands='.' cannot separate thousands where decimal='.'"),
        ({"separator": "ab"}, "separator 'ab' cannot separate fields"),
    ],
)
def test_a_format_that_cannot_be_is_refused(fields, message):
    for config, columns in ((CSV.Config, {"time": "t", "targets": "y"}),
                            (CSVSequences.Config, {"id": "i", "label": "l", "channels": "c"})):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            validate(config, {"path": "a.csv", **columns, **fields}, "x.yaml")


def test_sequences_have_the_same_fields(tmp_path):
    (tmp_path / "a.csv").write_text("# a\nr;c;k\n1;1.000,5;x\nSum;?;x\n")
    fields = {"path": str(tmp_path / "a.csv"), "id": "r", "label": "k", "channels": "c", "skiprows": 1,
              "separator": ";", "decimal": ",", "thousands": ".", "skipfooter": 1}  # fmt: skip
    read = validate(CSVSequences.Config, fields, "x.yaml").build()
    assert [sequence.tolist() for sequence in read.sequences] == [[[1000.5]]]


# Times

QUARTERS = [f"{1960 + i // 4}Q{i % 4 + 1}" for i in range(12)]


@pytest.mark.parametrize(
    ("header", "rows", "time", "step"),
    [
        ("Date,Time", [f"{16 + i // 24}/12/2006,{i % 24:02d}:00:00" for i in range(30)], "Date+Time", "01:00:00"),
        ("Date,Time", [f"{16 + i // 24}/12/2006,{i % 24:02d}.00.00" for i in range(30)], ["Date", "Time"], "01:00:00"),
        ("day,hour", [f"2024-01-{1 + i // 24:02d},{i % 24}" for i in range(30)], "day,hour", "01:00:00"),
        ("hour,year,month,day", [f"{i % 24},2010,1,{1 + i // 24}" for i in range(30)],
         ["year", "month", "day", "hour"], "01:00:00"),
        ("year,month", [f"{1949 + i // 12},{i % 12 + 1}" for i in range(30)], "year+month", "1 month"),
        ("Year,Quarter", [f"{1960 + i // 4},{i % 4 + 1}" for i in range(12)], ["Year", "Quarter"], "3 months"),
        ("q", QUARTERS, "q", "3 months"),
        ("q", [f"Q{i % 4 + 1} {1960 + i // 4}" for i in range(12)], "q", "3 months"),
        ("m", [f"{1960 + i // 12}M{i % 12 + 1:02d}" for i in range(24)], "m", "1 month"),
        ("t", [1700000000 + 60 * i for i in range(12)], "t", "00:01:00"),
        ("t", [1700000000000 + 60000 * i for i in range(12)], "t", "00:01:00"),
        ("a+b", range(12), "a+b", "1"),
    ],
)  # fmt: skip
def test_the_step_of_a_time(tmp_path, header, rows, time, step):
    content = "\n".join([f"{header},y", *(f"{row},{i}" for i, row in enumerate(rows))])
    read = series(tmp_path / "a.csv", content, time=time)
    assert read.step == step
    assert read.values[:, 0].tolist() == list(range(len(rows)))
    without = "\n".join([f"{header},y", *(f"{row},{i}" for i, row in enumerate(rows) if i != 7)])
    with pytest.raises(DataError, match="rows missing: 1"):
        series(tmp_path / "a.csv", without, time=time)


def test_parts_of_a_time_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="line 3, column 'month': 'Mai' is not a month: write a whole number"):
        series(tmp_path / "a.csv", "year,month,y\n2010,4,1\n2010,Mai,2\n", time="year+month")
    with pytest.raises(DataError, match="no column 'mnth'; did you mean 'month'"):
        series(tmp_path / "a.csv", "year,month,y\n2010,4,1\n", time="year+mnth")


def test_milliseconds_are_times_in_utc(tmp_path):
    rows = "".join(f"{1700000000000 + 60000 * i},{i % 7}\n" for i in range(40))
    (tmp_path / "a.csv").write_text("t,y\n" + rows)
    dataset = data(tmp_path / "a.csv", calendar=["hour"])
    new = dataset.read_new(str(tmp_path / "a.csv"), dataset.info)
    assert str(new.keys[0][0][0]) == "2023-11-14 22:53:20+00:00"


def test_newest_first_is_turned_and_said(tmp_path):
    days = pd.date_range("2024-01-01", periods=40).strftime("%m/%d/%Y").tolist()
    rows = [f"{day},{i}" for i, day in enumerate(days)]
    series(tmp_path / "old.csv", "\n".join(["t,y", *rows]))
    series(tmp_path / "new.csv", "\n".join(["t,y", *rows[::-1]]))
    old, new = data(tmp_path / "old.csv"), data(tmp_path / "new.csv")
    assert new.series.values.tolist() == old.series.values.tolist()
    assert old.notes == ()
    assert "rows are newest first" in new.notes[0]
    forecasts = [dataset.read_new(dataset.path, dataset.info) for dataset in (old, new)]
    assert forecasts[0].keys == forecasts[1].keys


@pytest.mark.parametrize("future", ["promo,holiday", ["promo", "holiday"]])
def test_columns_need_no_brackets(tmp_path, future):
    assert data(tmp_path / "a.csv", future=future).roles.future == ("promo", "holiday")
    assert data(tmp_path / "a.csv", future="T (degC), mean").roles.future == ("T (degC), mean",)


# Sessions, holidays and clocks that are read late


def bars(days=8, slots=78):
    """5-minute bars from 9:30 of business days."""
    return [day + pd.Timedelta("9h30min") + i * pd.Timedelta("5min")
            for day in pd.bdate_range("2024-01-08", periods=days) for i in range(slots)]  # fmt: skip


def text(times):
    return "\n".join(["t,y", *(f"{time},{i % 11}" for i, time in enumerate(times)), ""])


def test_sessions_of_trade_are_regular_and_continue_on_the_next_day(tmp_path):
    times = bars()
    dataset = data(tmp_path / "a.csv", window=20, horizon=3)
    (tmp_path / "a.csv").write_text(text(times[:-1]))
    assert dataset.series.step == "00:05:00 in sessions of 78 rows"
    assert len(dataset.series.values) == len(times) - 1
    ahead = [str(key[0]) for key in dataset.read_new(dataset.path, dataset.info).keys[0]]
    assert ahead == ["2024-01-17 15:55:00", "2024-01-18 09:30:00", "2024-01-18 09:35:00"]


@pytest.mark.parametrize(("gaps", "rows"), [("fill", 624), ("ignore", 624 - 78)])
def test_a_holiday_between_sessions(tmp_path, gaps, rows):
    times = [time for time in bars() if time.day != 11]
    with pytest.raises(DataError, match="rows missing: 78"):
        series(tmp_path / "a.csv", text(times))
    read = series(tmp_path / "a.csv", text(times), gaps=gaps, missing="mask", calendar=["hour", "weekday"])
    assert len(read.values) == rows
    if gaps == "fill":  # The calendar knows the rows that are inserted.
        whole = series(tmp_path / "b.csv", text(bars()), calendar=["hour", "weekday"])
        np.testing.assert_allclose(read.values[:, 1:], whole.values[:, 1:], atol=1e-12)


@pytest.mark.parametrize("freq", ["h", "D", "MS", "ME", "B", "2h"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_the_calendar_of_inserted_rows(tmp_path, freq, zone):
    times = pd.date_range("2020-01-31", periods=60, freq=freq, tz=zone)
    kept = [time for i, time in enumerate(times) if i not in (7, 8, 30)]
    cycles = ["hour", "weekday", "month", "year"]
    filled = series(tmp_path / "a.csv", text(kept), gaps="fill", missing="mask", calendar=cycles)
    whole = series(tmp_path / "b.csv", text(times), calendar=cycles)
    np.testing.assert_allclose(filled.values[:, 1:], whole.values[:, 1:], atol=1e-12)
    assert np.flatnonzero(np.isnan(filled.values[:, 0])).tolist() == [7, 8, 30]


def test_a_clock_that_is_read_late_is_said(tmp_path):
    late = [1700000000000 + 60000 * i + [4, 0, 0, 9, 2][i % 5] for i in range(300)]
    (tmp_path / "a.csv").write_text(text(late))
    dataset = data(tmp_path / "a.csv")
    assert dataset.series.step == "00:01:00"
    assert "seconds off a step of 00:01:00: they are read as equal steps" in dataset.notes[0]
    with pytest.raises(DataError, match="rows missing: 2"):
        series(tmp_path / "a.csv", text(late[:40] + late[42:]))
    with pytest.raises(DataError, match="not a whole number of steps"):
        series(tmp_path / "a.csv", text([*late[:40], late[40] + 30000, *late[41:]]))


def test_two_steps_in_one_file_are_said(tmp_path):
    times = {"d": pd.date_range("2020", periods=60), "w": pd.date_range("2020", periods=60, freq="W")}
    rows = [f"{time},{name},{k % 7}\n" for name in times for k, time in enumerate(times[name])]
    (tmp_path / "a.csv").write_text("t,i,y\n" + "".join(rows))
    note = data(tmp_path / "a.csv", id="i").notes[0]
    assert "series 'd' has a step of 1 day, but series 'w' one of 7 days (2 steps in total)" in note
