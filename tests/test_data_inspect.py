"""`lstm-lab data inspect`: its statistics are correct, and the experiment that it writes can be trained."""

from __future__ import annotations

import json
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from lstm_lab import __main__ as cli
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.data.inspection.copies import similar_sequences, similar_texts
from lstm_lab.experiment import load_experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

NAMES = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau"
WORDS = NAMES.split()


def texts(n=60, seed=0):
    rng = np.random.default_rng(seed)
    rows = [(" ".join(rng.choice(WORDS, 9)) + f" {i}", "spam" if i % 8 == 0 else "ham") for i in range(n)]
    return pd.DataFrame([(f"{text} {'buy now' if label == 'spam' else 'see you'}", label) for text, label in rows],
                        columns=["message", "kind"])  # fmt: skip


def hours(n=400):
    t = np.arange(n)
    return pd.DataFrame({
        "when": pd.date_range("2024-01-01", periods=n, freq="h"), "load": np.sin(t / 24 * 2 * np.pi).round(4),
        "wind": np.cos(t / 11).round(4), "site": "north",
    })  # fmt: skip


def long(n=36, seed=0):
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        for t in range(5 + i % 4):
            rows.append((f"r{i}", t, round(float(np.sin((1 + i % 2) * t) + 0.1 * rng.normal()), 4), "ab"[i % 2]))
    return pd.DataFrame(rows, columns=["recording", "step", "x", "activity"])


def ts(seed=0, n=24) -> str:
    rng = np.random.default_rng(seed)
    rows = [
        ",".join(f"{v:.3f}" for v in np.sin((1 + i % 2) * np.arange(8)) + 0.1 * rng.normal(size=8)) for i in range(n)
    ]
    return "@classLabel true a b\n@data\n" + "".join(f"{row}:{'ab'[i % 2]}\n" for i, row in enumerate(rows))


def make(folder, name):
    """Writes one of each kind of file; returns what is inspected."""
    path = folder / name
    if name == "texts":
        for i, row in texts().iterrows():
            (path / row.kind).mkdir(parents=True, exist_ok=True)
            (path / row.kind / f"{i}.txt").write_text(row.message)
    elif name in ("book.txt", "books"):
        path = path / "1.txt" if name == "books" else path
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(texts().message))
    elif name.endswith(".ts"):
        path.write_text(ts())
        (folder / name.replace("TRAIN", "TEST")).write_text(ts(seed=1))
    else:
        frame = {"mail": texts, "load": hours, "steps": long, "gaps": lambda: hours().drop(index=[99, 200, 201])}[
            path.stem
        ]()
        if name.endswith(".csv"):
            frame.to_csv(path, index=False)
        elif name.endswith(".tsv"):
            frame.to_csv(path, index=False, sep="\t")
        elif name.endswith(".parquet"):
            frame.to_parquet(path)
        else:
            frame.to_json(path, orient="records", lines=True, date_format="iso")
    return name


def lab(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["lstm-lab", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


TEXTS, SERIES = "Classification of texts into 2 classes", "Forecast of load, wind: the next 24 steps from the last 96"
SEQUENCES, STREAM = "Classification of sequences into 2 classes", "Language model: the next character"
TITLES = {
    "gaps.csv": SERIES, "book.txt": STREAM, "books": STREAM, "mail.csv": TEXTS, "mail.tsv": TEXTS, "mail.jsonl": TEXTS,
    "mail.parquet": TEXTS, "texts": TEXTS, "load.csv": SERIES, "load.jsonl": SERIES, "load.parquet": SERIES,
    "steps.csv": SEQUENCES, "steps.parquet": SEQUENCES, "waves_TRAIN.ts": SEQUENCES,
}  # fmt: skip


@pytest.mark.parametrize("name", TITLES)
def test_the_experiment_that_is_written_can_be_trained(monkeypatch, capsys, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, name)
    code, out, err = lab(monkeypatch, capsys, "data", "inspect", name, "--write", "conf/mine.yaml")
    assert code == 0, err
    assert "The data can be read, split and trained on." in out
    lines = (tmp_path / "conf/mine.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[0] == f"# {TITLES[name]}"
    assert len(lines) <= 20
    assert all(line in out for line in lines)
    overrides = ["trainer.max_epochs=1", "model.hidden_size=4"]
    overrides += ["model.embedding.dim=4"] if name.startswith("book") else []
    experiment = load_experiment("conf/mine.yaml", overrides)
    result = train(experiment, Run.create(tmp_path / "run", experiment.dump()))
    assert result.state == "finished"
    code, _, err = lab(monkeypatch, capsys, "data", "inspect", name, "--write", "conf/mine.yaml")
    assert code == 2
    assert "conf/mine.yaml: exists already" in err
    assert (tmp_path / "conf/mine.yaml").read_text().splitlines() == lines


def test_json_equals_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, _ = lab(monkeypatch, capsys, "data", "inspect", make(tmp_path, "load.csv"), "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["error"] is None
    assert printed["statistics"]["rows"] == 400
    assert printed["statistics"]["step"] == "01:00:00"
    assert {column["name"]: column["used"] for column in printed["columns"]} == {
        "when": "time", "load": "target", "wind": "target", "site": "not used",
    }  # fmt: skip
    assert printed["experiment"]["data"]["seasons"] == [24]


def look(tmp_path, frame, name="a.csv", **choices):
    frame.to_csv(tmp_path / name, index=False)
    return inspect(str(tmp_path / name), choices)


def test_gaps_empty_cells_and_sentinels_are_counted(tmp_path):
    frame = hours().drop(index=[100, 101, 250]).reset_index(drop=True)
    frame.loc[10:12, "load"] = np.nan
    frame.loc[20, "wind"] = -9999
    frame["still"] = 1
    found = look(tmp_path, frame)
    assert found.statistics["gaps"] == 2
    assert found.statistics["missing rows"] == 3
    assert found.statistics["empty cells"] == 4  # That of -9999 is one.
    assert found.statistics["longest run of empty cells"] == 3
    assert found.experiment["data"]["missing"] == "forward_fill"
    warnings = "\n".join(found.warnings)
    for part in ("2 gaps with 3 missing rows", "'wind' has values of -9999", "'still' is constant"):
        assert part in warnings
    assert found.experiment["data"]["na_values"] == ["-9999"]
    frame["count"] = np.where(np.arange(len(frame)) % 50 == 0, -9999, -np.arange(len(frame)) * 40)
    found = look(tmp_path, frame)  # Another column has the number among its values.
    assert "na_values" not in found.experiment["data"]
    assert any("set na_values=-9999" in warning for warning in found.warnings)


def test_rows_with_the_time_of_another_row_are_counted(tmp_path):
    frame = hours(300)
    found = look(tmp_path, pd.concat([frame[:200], frame[195:]]))
    assert any("5 rows have the time of another row" in warning for warning in found.warnings)


def test_many_series_are_recognised_by_their_column(tmp_path):
    both = pd.concat([hours(300).assign(site=name) for name in ("north", "south")])
    found = look(tmp_path, both.rename(columns={"site": "series"}))
    assert found.experiment["data"]["id"] == "series"
    assert found.statistics["series"] == 2
    assert found.statistics["gaps"] == 0
    assert any("1 series equal another" in warning for warning in found.warnings)


def test_a_chosen_field_replaces_the_automatic_one(tmp_path):
    found = look(tmp_path, hours(), targets=["wind"], features=["load"], horizon=7)
    assert found.experiment["data"]["targets"] == ["wind"]
    assert found.experiment["data"]["features"] == ["load"]
    assert found.experiment["data"]["horizon"] == 7
    with pytest.raises(ConfigError, match=r"targets=lod: .* has no such column; it has 'when', 'load'"):
        look(tmp_path, hours(), targets=["lod"])


def test_copied_lines_of_a_long_text_are_counted(tmp_path):
    lines = texts().message.tolist()
    (tmp_path / "a.txt").write_text("\n".join([*lines, *lines[:20], "short", "short"]))
    found = inspect(str(tmp_path / "a.txt"))
    assert found.statistics["copies of earlier lines of 40 characters or more"] == sum(len(s) >= 40 for s in lines[:20])
    assert found.statistics["characters"] == len((tmp_path / "a.txt").read_text())
    assert any("long lines are copies" in warning for warning in found.warnings)


def test_semicolons_and_decimal_commas_are_recognised(tmp_path):
    hours().to_csv(tmp_path / "a.csv", index=False, sep=";", decimal=",")
    found = inspect(str(tmp_path / "a.csv"))
    assert found.experiment["data"]["separator"] == ";"
    assert found.experiment["data"]["decimal"] == ","
    assert found.columns[1].kind == "number"


def test_copies_and_leaks_between_splits_are_counted(tmp_path):
    frame = texts(60)
    frame["split"] = ["train"] * 40 + ["test"] * 20
    frame.loc[45, ["message", "kind"]] = frame.loc[3, ["message", "kind"]].tolist()  # a copy in another split
    frame.loc[50, "message"] = frame.loc[5, "message"] + " indeed"  # similar
    frame.loc[9, "message"] = frame.loc[8, "message"].upper()  # a copy inside train, of another class
    found = look(tmp_path, frame)
    assert found.experiment["data"]["split"] == "split"
    assert found.statistics["copies of other texts"] == 2
    assert found.statistics["test texts in train"] == 1
    assert found.statistics["test texts similar to train"] == 1
    warnings = "\n".join(found.warnings)
    assert "leak: 1 of the 20 test texts are in train too, 1 are similar" in warnings
    assert "1 texts occur with two classes" in warnings
    assert "class 'spam' has" in warnings
    assert found.experiment["task"] == {"name": "classify", "monitor": "macro_f1", "class_weights": "balanced"}


def test_similar_texts_share_words_and_pairs_of_words():
    rng = np.random.default_rng(0)
    made = [" ".join(rng.choice(WORDS, 20)) + f" {i}" for i in range(300)]
    made += [made[7] + " more", made[9].replace("7", "8"), made[11], "???", "!"]
    near = similar_texts(made)
    assert (7, 300) in near
    assert (11, 302) not in near  # equal, not similar

    def shared(a, b):
        sets = [set(words) | set(pairwise(words)) for words in (made[a].split(), made[b].split())]
        return len(sets[0] & sets[1]) / len(sets[0] | sets[1])

    assert all(shared(a, b) >= 0.7 for a, b in near)


def test_similar_sequences_differ_by_little():
    rng = np.random.default_rng(0)
    made = [rng.normal(size=(8 + i % 3, 2)) for i in range(20)]
    made += [made[4] + 1e-4, made[5].copy(), made[6] + 1.0]
    assert similar_sequences(made) == [(4, 20)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "2,2\n1,4\n", "no column of times was found"),
        ("a.csv", "a,b\nx,y\n", "has neither numbers nor texts"),
        ("a.csv", "a,b\n3,1\n2,5\n", "no column of times was found"),
        ("a.csv", "t\n1\n2\n3\n", "no column of numbers is left to predict"),
        ("a.txt", "", "is empty: it needs a text to learn"),
        ("a.jsonl", '{"text": "one text a line"}\n{"text": "and another one"}\n', "no column of classes was found"),
        ("a.jsonl", "{]\n", "line 1: not JSON"),
        ("a.parquet", "PAR1", "not a complete Parquet file"),
        ("a.ts", "@data\n", "has no sequences below @data"),
        ("none.csv", None, "no such file"),
    ],
)
def test_what_cannot_be_determined_is_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as fault:
        inspect(str(tmp_path / name))
    assert message in str(fault.value)


def test_an_experiment_that_cannot_be_trained_is_not_written(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    pd.concat([hours()[:100], hours()[98:]]).to_csv("a.csv", index=False)
    code, out, err = lab(monkeypatch, capsys, "data", "inspect", "a.csv", "--write", "mine.yaml")
    assert code == 3
    assert "Cannot be trained on yet: a.csv: line 102" in out
    assert "is also the time of line" in err
    assert not (tmp_path / "mine.yaml").exists()
