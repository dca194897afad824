"""What `data inspect` proposes for tables as people have them: it is read, split and trained, and it is said why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.experiment import Experiment
from lstm_lab.workflow import read_splits

N = 240
Y = [f"{50 + 10 * np.sin(i / 4) + i % 3:.3f}" for i in range(N)]
DAYS = pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d").tolist()
HOURS = pd.date_range("2020-01-13", periods=N, freq="h")


def rows(*columns, mark=","):
    return "".join(mark.join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


BUSINESS = pd.bdate_range("2021-01-04", periods=N)
FLAG = [int(i % 7 == 0) for i in range(N)]

TABLES = {
    "date and time": (
        "a.csv", "Date;Time;Power\n" + rows(HOURS.strftime("%d/%m/%Y"), HOURS.strftime("%H:%M:%S"),
                                            ["?" if 30 < i < 34 else y for i, y in enumerate(Y)], mark=";"),
        {"separator": ";", "na_values": ["?"], "time": "Date+Time", "targets": ["Power"], "missing": "forward_fill",
         "seasons": [24]}, "'?' stands for a missing value"),
    "the same named txt": (
        "a.txt", "Date;Time;Power\n" + rows(HOURS.strftime("%d/%m/%Y"), HOURS.strftime("%H:%M:%S"), Y, mark=";"),
        {"separator": ";", "time": "Date+Time", "targets": ["Power"], "seasons": [24]}, ""),
    "year, month, day, hour": (
        "a.csv", "No,year,month,day,hour,pm2.5,wind\n"
        + rows(range(1, N + 1), HOURS.year, HOURS.month, HOURS.day, HOURS.hour, ["NA", *Y[1:]], ["NW"] * N),
        {"time": "year+month+day+hour", "targets": ["pm2.5"], "missing": "mask"}, ""),
    "date and hour": (
        "a.csv", "dteday,hr,cnt\n" + rows(HOURS.strftime("%Y-%m-%d"), HOURS.hour, Y),
        {"time": "dteday+hr", "targets": ["cnt"], "seasons": [24]}, ""),
    "hours that are numbered by their ends": (
        "a.csv", "Date,Hour Ending,Load\n" + rows(HOURS.strftime("%m/%d/%Y"), HOURS.hour + 1, Y),
        {"time": "Date+Hour Ending", "targets": ["Load"], "seasons": [24]}, ""),
    "an index of pandas without a name": (
        "a.csv", ",y\n" + rows(DAYS, Y), {"time": "Unnamed: 0", "targets": ["y"]}, ""),
    "row numbers without a name": (
        "a.csv", ",date,y\n" + rows(range(N), DAYS, Y), {"time": "date", "targets": ["y"]}, ""),
    "units": (
        "a.csv", "date,y,wind\n,degC,m/s\n" + rows(DAYS, Y, Y[::-1]),
        {"skiprows": [1], "time": "date", "targets": ["y"], "features": ["wind"]},
        "line 2 has neither numbers nor dates"),
    "a logger": (
        "a.dat", '"TOA5","north","CR1000","1234"\n"TIMESTAMP","RECORD","Temp"\n"TS","RN","Deg C"\n"","","Avg"\n'
        + rows([f'"{day}"' for day in DAYS], range(N), Y),
        {"skiprows": [0, 2, 3], "time": "TIMESTAMP", "targets": ["Temp"]}, "1 lines above the header are left out"),
    "two lines of names": (
        "a.csv", ",air,air\n,temp,dew\n" + rows(DAYS, Y, Y[::-1]),
        {"skiprows": [0], "time": "Unnamed: 0", "targets": ["temp", "dew"]}, "1 lines above the header are left out"),
    "quarters": (
        "a.csv", "quarter,gdp\n" + rows([f"{1960 + i // 4}Q{i % 4 + 1}" for i in range(N)], Y),
        {"time": "quarter", "targets": ["gdp"], "seasons": [4]}, ""),
    "newest first": (
        "a.csv", "Date,Close\n" + rows(BUSINESS[::-1].strftime("%m/%d/%Y"), [f"${y}" for y in Y]),
        {"time": "Date", "targets": ["Close"], "seasons": [5]}, "newest first"),
    "milliseconds": (
        "a.csv", "timestamp,v\n" + rows([1700000000000 + 3600000 * i for i in range(N)], Y),
        {"time": "timestamp", "targets": ["v"], "seasons": [24]}, ""),
    "thousands": (
        "a.csv", '"Date","Price","Vol.","Change %"\n' + rows(
            BUSINESS.strftime('"%b %d, %Y"'), [f'"1,1{y}"' for y in Y], [f'"3.0{i % 5}M"' for i in range(N)],
            [f'"0.5{i % 7}%"' for i in range(N)]),
        {"thousands": ",", "time": "Date", "targets": ["Price", "Vol.", "Change %"]}, "is read as 3000000"),
    "preamble": (
        "a.csv", "# station: North 12\n# units: mm\ndate,y\n" + rows(DAYS, Y),
        {"skiprows": 2, "time": "date", "targets": ["y"]}, "2 lines above the header are left out"),
    "title and blank line": (
        "a.csv", "Category: All categories\n\nDay,tea: (Worldwide)\n" + rows(DAYS, Y),
        {"skiprows": 2, "time": "Day", "targets": ["tea: (Worldwide)"]}, "skiprows"),
    "separator line": (
        "a.csv", "sep=;\ndate;y\n" + rows(DAYS, Y, mark=";"),
        {"separator": ";", "time": "date", "targets": ["y"]}, ""),
    "no header": (
        "a.csv", rows(DAYS, Y), {"header": False, "time": "0", "targets": ["1"]}, "has values and no names of columns"),
    "no header, numbers between blanks": (
        "a.txt", rows(np.repeat(range(1, 5), 60), [*range(1, 61)] * 4, Y, mark=" ").replace("\n", "  \n"),
        {"separator": " ", "header": False, "time": "1", "id": "0", "targets": ["2"]}, "header: false"),
    "totals": (
        "a.csv", "date,y\n" + rows(DAYS, Y) + "Total,12345\n",
        {"skipfooter": 1, "time": "date", "targets": ["y"]}, "1 rows at the end are totals"),
    "flags": (
        "a.csv", "date,y,promo,open\n" + rows(DAYS, Y, FLAG, [str(bool(flag)) for flag in FLAG]),
        {"time": "date", "targets": ["y"], "features": ["promo", "open"]}, ""),
    "words": (
        "a.csv", "date,sales,weather,promo,note\n" + rows(
            DAYS, Y, ["sun", "rain", "snow"] * 80, ["True", "False"] * 120, [f"n{i}" for i in range(N)]),
        {"time": "date", "targets": ["sales"], "features": ["promo", "weather"], "categorical": ["weather"]}, ""),
    "series without a name for them": (
        "a.csv", "date,shop,y\n" + rows(DAYS[:80] * 3, ["a"] * 80 + ["b"] * 80 + ["c"] * 80, Y),
        {"time": "date", "id": "shop", "targets": ["y"]}, ""),
    "two frequencies": (
        "a.csv", "unique_id,ds,y\n" + rows(["daily"] * 120 + ["weekly"] * 120, [
            *DAYS[:120], *pd.date_range("2015-01-04", periods=120, freq="W").strftime("%Y-%m-%d")], Y),
        {"time": "ds", "id": "unique_id", "targets": ["y"]},
        "series 'daily' has a step of 1 day, but series 'weekly' one of 7 days"),
    "a sentinel": (
        "a.csv", "date,y\n" + rows(DAYS, ["-200" if i in (5, 9, 11) else y[:5] for i, y in enumerate(Y)]),
        {"time": "date", "targets": ["y"], "na_values": ["-200"]}, "it is read as missing (na_values)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_recognised_and_trains(tmp_path, kind, monkeypatch):
    name, content, fields, said = TABLES[kind]
    (tmp_path / name).write_text(content)
    found = inspect(str(tmp_path / name))
    data = found.experiment["data"]
    format = (
        "separator",
        "na_values",
        "skiprows",
        "skipfooter",
        "header",
        "thousands",
        "decimal",
        "features",
        "id",
        "categorical",
    )
    assert {key: data[key] for key in data if key in {*fields, *format}} == fields
    assert said in " ".join(found.warnings)
    dataset = Experiment.of(found.experiment, name).data.build()
    read_splits(dataset)
    assert len(dataset.series.values) == (N if data.get("gaps") is None else len(dataset.series.values))


def test_step_and_time_zone_are_stated(tmp_path):
    for content, step, zone in (
        (rows([1700000000000 + 60000 * i for i in range(N)], Y), "00:01:00", "UTC (milliseconds since 1970)"),
        (rows(DAYS, Y), "1 day", "none written: local time"),
        (rows([f"{hour:%Y-%m-%dT%H:%M:%S}+01:00" for hour in HOURS], Y), "01:00:00", "UTC offsets of the file"),
    ):
        (tmp_path / "a.csv").write_text("t,y\n" + content)
        statistics = inspect(str(tmp_path / "a.csv")).statistics
        assert (statistics["step"], statistics["time zone"]) == (step, zone)


def test_columns_are_chosen_without_brackets(tmp_path):
    (tmp_path / "a.csv").write_text('date,y,promo,holiday,"p, mbar"\n' + rows(DAYS, Y, FLAG, FLAG[::-1], Y))
    data = inspect(str(tmp_path / "a.csv"), {"future": "promo,holiday"}).experiment["data"]
    assert Experiment.of({"data": data, "task": "forecast"}, "x").data.future == ("promo", "holiday")
    assert data["targets"] == ["y"]
    assert inspect(str(tmp_path / "a.csv"), {"targets": "p, mbar"}).experiment["data"]["targets"] == "p, mbar"
    with pytest.raises(ConfigError, match=r"future=hollyday: .* has no such column"):
        inspect(str(tmp_path / "a.csv"), {"future": "promo,hollyday"})


def test_a_novel_is_no_table(tmp_path):
    (tmp_path / "a.txt").write_text("It was, as it were, the 1st of May.\nOn 2 May, it was the 2nd.\n" * 40)
    assert inspect(str(tmp_path / "a.txt")).kind == "one long text"


def test_dates_of_which_no_row_decides_the_order_say_so(tmp_path):
    rows_ = rows([f"{1 + i:02d}.01.2009" for i in range(12)], Y[:12])  # Days of January, or first days of months.
    (tmp_path / "a.csv").write_text("Date Time,T (degC)\n" + rows_)
    with pytest.raises(DataError, match=r"column 'Date Time': .* may be 2009-.* and neither a row nor the steps"):
        inspect(str(tmp_path / "a.csv"))


def test_classes_that_differ_by_case_alone_are_named(tmp_path):
    cells = [f"some words of a film number {i},{('Good', 'good', 'BAD')[i % 3]}" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *cells]))
    assert "classes 'Good' and 'good' differ by their case alone" in " ".join(inspect(str(tmp_path / "a.csv")).warnings)


def test_air_quality_as_it_is_published(tmp_path):
    times = pd.date_range("2004-03-10 18:00", periods=N, freq="h")
    co, nox = ([f"{v:.1f}".replace(".", ",") for v in np.sin(np.arange(N) / k) + 2] for k in (4, 9))
    co = ["-200" if i % 50 == 9 else cell for i, cell in enumerate(co)]
    table = rows(times.strftime("%d/%m/%Y"), times.strftime("%H.%M.%S"), co, nox, [""] * N, [""] * N, mark=";")
    (tmp_path / "a.csv").write_text("Date;Time;CO(GT);NOx(GT);;\n" + table + ";;;;;\n" * 3)
    found = inspect(str(tmp_path / "a.csv"))
    assert "'CO(GT)' has values of -200" in " ".join(found.warnings)
    found = inspect(str(tmp_path / "a.csv"), {"na_values": -200})
    data = Experiment.of(found.experiment, "x").data.build()
    assert data.series.step == "01:00:00"
    assert found.experiment["data"]["targets"] == ["CO(GT)", "NOx(GT)"]
    assert found.statistics["empty cells"] == 5
    assert data.series.values[:, 0].min() >= 1


def test_stays_of_patients_are_sequences_with_groups(tmp_path):
    rows = [f"st{stay},{stay // 2},{hour},{80 + stay % 7 + hour}.5,{'sepsis' if stay % 4 < 2 else 'none'}"
            for stay in range(40) for hour in range(6)]  # fmt: skip
    (tmp_path / "icu.csv").write_text("\n".join(["stay_id,patient_id,hour,heart_rate,outcome", *rows]))
    data = inspect(str(tmp_path / "icu.csv")).experiment["data"]
    wanted = {"name": "csv_sequences", "id": "stay_id", "label": "outcome", "group": "patient_id"}
    assert data.items() >= {**wanted, "channels": ["heart_rate"]}.items()


def test_a_column_that_counts_the_rows_of_each_machine_is_the_time(tmp_path):
    rows = [f"{name},{cycle},{cycle % 7}.5" for name in ("lathe", "mill", "saw") for cycle in range(0, 160, 2)]
    (tmp_path / "machines.csv").write_text("\n".join(["machine,cycle,vibration", *rows]))
    data = inspect(str(tmp_path / "machines.csv")).experiment["data"]
    assert data.items() >= {"name": "csv", "id": "machine", "time": "cycle", "targets": ["vibration"]}.items()


def test_weeks_and_names_of_months_are_times(tmp_path):
    weeks = pd.date_range("2018-01-01", periods=150, freq="7D")
    written = {
        "%G-W%V": "7 days", "%GW%V-%u": "7 days", "%B %d, %Y": "7 days", "%d %B %Y": "7 days",
    }  # fmt: skip
    for form, step in written.items():
        rows = [f'"{week:{form}}",{i % 7}.5' for i, week in enumerate(weeks)]
        (tmp_path / "w.csv").write_text("\n".join(["week,cases", *rows]))
        found = inspect(str(tmp_path / "w.csv"))
        assert (found.experiment["data"]["time"], found.statistics["step"]) == ("week", step)
    (tmp_path / "w.csv").write_text("week,cases\n" + "".join(f"2019-W{week:02d},1\n" for week in (51, 52, 53)))
    with pytest.raises(DataError, match="'2019-W53' is not a time"):
        inspect(str(tmp_path / "w.csv"), {"time": "week", "targets": ["cases"]})


@pytest.mark.parametrize("mark", ["N/D", "n/v", "k.A.", "#DIV/0!", "无"])
def test_marks_of_missing_values_in_other_languages(tmp_path, mark):
    rows = [f"2020-{1 + i // 28:02d}-{1 + i % 28:02d};{mark if i in (7, 90) else f'{i % 9},5'}" for i in range(140)]
    (tmp_path / "a.csv").write_text("\n".join(["Tag;Wert", *rows]))
    data = inspect(str(tmp_path / "a.csv")).experiment["data"]
    assert (data["targets"], data["na_values"]) == (["Wert"], [mark])


def test_texts_without_a_header(tmp_path):
    rows = [f'{i % 2},"a {["dull", "fine"][i % 2]} film, number {i} of the year"' for i in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    data = inspect(str(tmp_path / "a.csv")).experiment["data"]
    assert data.items() >= {"name": "csv_text", "header": False, "text": "1", "label": "0"}.items()


def test_names_of_months_beside_years_and_totals_in_other_languages(tmp_path):
    months = pd.date_range("2000-01-01", periods=150, freq="MS")
    rows = [f"{month:%Y;%B},{i % 9}.5".replace(",", ";") for i, month in enumerate(months)]
    (tmp_path / "a.csv").write_text("\n".join(["Year;Month;Sales", *rows]))
    found = inspect(str(tmp_path / "a.csv"))
    assert (found.experiment["data"]["time"], found.statistics["step"]) == ("Year+Month", "1 month")
    rows = [f"{day:%d.%m.%Y};{i % 9}" for i, day in enumerate(pd.date_range("2020-01-01", periods=150))]
    for total in ("Итого", "合计", "Totaux"):
        (tmp_path / "a.csv").write_text("\n".join(["Дата;Сумма", *rows, f"{total};600"]))
        assert inspect(str(tmp_path / "a.csv")).experiment["data"]["skipfooter"] == 1


def test_one_column_of_few_numbers_beside_texts_has_the_classes(tmp_path):
    rows = [f"a {['dull', 'fine'][i % 2]} film number {i} of the year,{[1.0, 5.0][i % 2]}" for i in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["review,points", *rows]))
    assert inspect(str(tmp_path / "a.csv")).experiment["data"]["label"] == "points"


def test_rows_behind_the_last_target_are_the_future(tmp_path):
    sales = [*Y[:220], *[""] * 20]
    (tmp_path / "a.csv").write_text("date,sales,promo,rain\n" + rows(DAYS, sales, FLAG, [*Y[:220], *[""] * 20]))
    found = inspect(str(tmp_path / "a.csv"))
    data = found.experiment["data"]
    assert (data["targets"], data["future"], data.get("features")) == (["sales", "rain"], ["promo"], None)
    assert data["horizon"] == found.statistics["rows to come"] == 20
    assert "missing" not in data
    dataset = Experiment.of(found.experiment).data.build()
    read_splits(dataset)
    assert np.isfinite(dataset.series.values).all()
    assert len(dataset.series.values) == 220
    assert any("20 rows behind the last target are the future" in note for note in dataset.notes)
    assert dataset.latest().keys[0][0][0].isoformat() == f"{DAYS[220]}T00:00:00"
    # Filled forward, they would be scored as if they were true.
    filled = Experiment.of({**found.experiment, "data": {**data, "missing": "forward_fill"}}).data.build()
    assert np.array_equal(filled.series.values, dataset.series.values)


def test_ids_and_persons_are_no_classes_and_persons_are_groups(tmp_path):
    texts = [f"this is the text number {i} of all" for i in range(N)]
    persons = [f"p{i % 24}" for i in range(N)]
    (tmp_path / "r.csv").write_text("UserId,Points,text\n" + rows(persons, [i % 5 for i in range(N)], texts))
    assert inspect(str(tmp_path / "r.csv")).experiment["data"]["label"] == "Points"
    steps = "".join(f",x{t}" for t in range(8))
    lines = [f"{persons[i]},{'ab'[i // 24 % 2]}" + "".join(f",{np.sin(i + t):.3f}" for t in range(8)) for i in range(N)]
    (tmp_path / "w.csv").write_text(f"subject,label{steps}\n" + "\n".join(lines))
    assert inspect(str(tmp_path / "w.csv")).experiment["data"]["group"] == "subject"


def test_a_constant_time_is_not_that_of_the_rows(tmp_path):
    (tmp_path / "q.csv").write_text("_start,_time,_value\n" + rows(["2024-01-01T00:00:00Z"] * N, [
        f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in HOURS], Y))  # fmt: skip
    data = inspect(str(tmp_path / "q.csv")).experiment["data"]
    assert (data["time"], data["targets"]) == ("_time", ["_value"])


def test_a_table_alone_in_an_archive_and_one_in_utf16_are_read(tmp_path):
    import zipfile

    text = "date\tsales\n" + rows(DAYS, Y, mark="\t")
    (tmp_path / "a.tsv").write_text(text)
    (tmp_path / "u.tsv").write_bytes(text.encode("utf-16"))
    with zipfile.ZipFile(tmp_path / "z.tsv.zip", "w") as archive:
        archive.writestr("a.tsv", text)
        archive.writestr("__MACOSX/._a.tsv", "x")
    read = []
    for name in ("a.tsv", "u.tsv", "z.tsv.zip"):
        dataset = Experiment.of(inspect(str(tmp_path / name)).experiment).data.build()
        read.append(dataset.series.values)
    assert np.array_equal(read[0], read[1])
    assert np.array_equal(read[0], read[2])
