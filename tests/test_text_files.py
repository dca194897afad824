"""Texts of a user: every file format gives the same data, and every error is one line."""

from __future__ import annotations

import json
import sys

import pytest
from texts import corpus, same, write

import lstm_lab.__main__ as cli
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment

ROWS = "".join(f"{text},{label}\n" for text, label in corpus(20))
LINES = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in corpus(20))
MALFORMED = {
    "no such file": ("none.csv", None, {}, "none.csv: no such file"),
    "empty": ("a.csv", "", {}, "is empty: it needs a header and one row for each text"),
    "header only": ("a.csv", "text,label\n", {}, "has a header but no rows"),
    "no text column": ("a.csv", "txt,label\na,b\n", {}, "line 1: no column 'text'; did you mean 'txt'?"),
    "two text columns": ("a.csv", "text,text,label\na,b,c\n", {}, "2 columns are named 'text'"),
    "ragged row": ("a.csv", "text,label\n" + ROWS + "oh, well,no\n", {}, "line 22, column 'label': the row has 3"),
    "open quote": ("a.csv", 'text,label\n"good,no\n', {}, "a quote is not closed"),
    "empty text": ("a.csv", "text,label\n" + ROWS + ",no\n", {}, "line 22, column 'text': the text is empty (1 in"),
    "empty label": ("a.csv", "text,label\ngood,\n" + ROWS, {}, "line 2, column 'label': the label is empty"),
    "one class": ("a.csv", "text,label\n" + ROWS.replace(",no", ",yes"), {}, "has 1 class ('yes')"),
    "texts as labels": ("a.csv", "text,label\n" + ROWS, {"text": "label", "label": "text"}, "has 20 classes for 20"),
    "too few": ("a.csv", "text,label\ngood,yes\nbad,no\n", {}, "2 texts leave none for the test"),
    "Latin-1": ("a.csv", b"text,label\ncaf\xe9,no\n", {}, "line 2: not UTF-8 text (byte 14 is 0xe9"),
    "Excel": ("a.csv", b"PK\x03\x04abc", {}, "a zip archive or an Excel sheet"),
    "no ending": ("a", "text,label\n" + ROWS, {}, "no ending is not a known format"),
    "text without labels": ("a.txt", "good\nbad\n", {}, "no column 'label'"),
    "no JSON": ("a.jsonl", LINES + "{'text': 1}\n", {}, "line 21: not JSON"),
    "JSON list": ("a.jsonl", LINES + '["a", "b"]\n', {}, "line 21: '[\"a\", \"b\"]' is not a JSON object"),
    "missing field": ("a.jsonl", LINES + '{"text": "a", "lab": 1}\n', {}, "line 21: no field 'label'; it has 'text'"),
    "null text": ("a.jsonl", LINES + '{"text": null, "label": 1}\n', {}, "line 21, column 'text': the text is empty"),
    "list for a text": ("a.jsonl", LINES + '{"text": ["a"], "label": 1}\n', {}, "is not a text or a whole number"),
    "half a character": ("a.jsonl", LINES + '{"text": "\\ud800", "label": "no"}\n', {}, "surrogate pair (\\ud800)"),
    "empty JSONL": ("a.jsonl", "\n\n", {}, "is empty: it needs one object on each line"),
    "torn Parquet": ("a.parquet", b"PAR1torn", {}, "not a complete Parquet file"),
    "odd part": ("a.csv", "text,label,s\ngood,y,train\nbad,n,tset\n", {"split": "s"}, "column 's': 'tset' is not a"),
    "dead share": ("a.csv", "text,label,s\na,x,train\nb,y,test\n", {"split": "s", "test": 0.5}, "data.test=0.5 has no"),
    "a folder": ("folder.csv", {}, {}, "is a folder"),
}  # fmt: skip


def message_of(monkeypatch, capsys, tmp_path, data):
    """The message of the command line: one line, exit code 3, and no file is written."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    words = ["data=" + json.dumps(data), "task=classify"]
    (conf := tmp_path / "x.yaml").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["lstm-lab", "train", "x.yaml", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    conf.unlink()
    message = capsys.readouterr()
    assert ended.value.code == 3, message.err
    assert message.out == ""
    assert len(message.err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    return message.err


@pytest.mark.parametrize(("name", "content", "choices", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_one_line_with_place_value_and_way_out(
    monkeypatch, capsys, tmp_path, name, content, choices, message
):
    write(tmp_path / name, content)
    fault = message_of(monkeypatch, capsys, tmp_path, {"name": "csv_text", "path": name, **choices})
    assert message in fault
    assert name in fault


FOLDERS = {
    "no such folder": (None, "texts: no such file or folder in "),
    "a file": ("good", "is a file"),
    "nothing inside": ({}, "has no folders"),
    "a class without texts": ({"no": {"1.txt": "bad"}, "yes": {}}, "yes: has no .txt file"),
    "an empty text": ({"no": {"1.txt": "bad"}, "yes": {"1.txt": " "}}, "1.txt: is empty: it needs the text"),
    "not UTF-8": ({"no": {"1.txt": b"\xe9"}, "yes": {"1.txt": "good"}}, "no/1.txt: line 1: not UTF-8"),
    "a test part alone": ({"test": {"no": {"1.txt": "bad"}, "yes": {"1.txt": "good"}}}, "none for train"),
}


@pytest.mark.parametrize(("content", "message"), FOLDERS.values(), ids=FOLDERS)
def test_a_malformed_folder_is_one_line(monkeypatch, capsys, tmp_path, content, message):
    write(tmp_path / "texts", content)
    assert message in message_of(monkeypatch, capsys, tmp_path, {"name": "text_folder", "path": "texts"})


def test_every_file_format_gives_the_same_texts(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    rows = corpus(40)
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.to_csv("a.csv", index=False)
    frame.to_csv("a.tsv", index=False, sep="\t")
    frame.to_csv("b.csv", index=False, sep=";")
    frame.to_json("a.jsonl", orient="records", lines=True)
    frame.to_parquet("a.parquet")
    build = lambda path, **choices: Dataset.members["csv_text"].Config(path=path, **choices).build()  # noqa: E731
    data = [build(path) for path in ("a.csv", "a.tsv", "a.jsonl", "a.parquet")] + [build("b.csv", separator=";")]
    for other in data[1:]:
        same(other, data[0])
    folder = {
        name: {f"{i:03}.txt": text for i, (text, label) in enumerate(rows) if label == name} for name in ("no", "yes")
    }
    write(tmp_path / "texts", folder)
    found = Dataset.members["text_folder"].Config(path="texts").build()
    assert found.info.classes == data[0].info.classes
    assert (len(found.train), len(found.validation)) == (len(data[0].train), len(data[0].validation))
    write(tmp_path / "parts", {"train": folder, "test": {"no": {"1.txt": "w1 awful"}, "yes": {"1.txt": "w1 great"}}})
    found = Dataset.members["text_folder"].Config(path="parts").build()
    assert (len(found.train), len(found.validation), len(found.test_split())) == (36, 4, 2)


def test_data_sets_of_hugging_face(tmp_path, monkeypatch):
    data = Dataset.members["huggingface"].Config(path=str(tmp_path / "set")).build()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "datasets", None)
        with pytest.raises(DataError, match="needs the package 'datasets': pip install datasets, or provide"):
            _ = data.info
    hub = pytest.importorskip("datasets", reason="the package 'datasets' of Hugging Face is not installed")
    hub.disable_progress_bars()
    texts, labels = zip(*corpus(40), strict=True)
    kinds = hub.Features({"text": hub.Value("string"), "label": hub.ClassLabel(names=["no", "yes"])})
    rows = {"text": list(texts), "label": [["no", "yes"].index(label) for label in labels]}
    train = hub.Dataset.from_dict(rows, features=kinds)
    hub.DatasetDict({"train": train, "test": train.select(range(6)), "extra": train}).save_to_disk(tmp_path / "set")
    data = Dataset.members["huggingface"].Config(path=str(tmp_path / "set")).build()
    assert (len(data.train), len(data.validation), len(data.test_split())) == (36, 4, 6)
    known = dict(corpus(40))
    names = [data.info.classes[label] for label in data.train.labels.tolist()]
    assert names == [known[text] for text in data.train.features()]
    train.save_to_disk(tmp_path / "alone")
    data = Dataset.members["huggingface"].Config(path=str(tmp_path / "alone")).build()
    assert (len(data.train), len(data.validation), len(data.test_split())) == (28, 4, 8)


DEAD = [
    ({"data": {"name": "csv_text", "path": "a.jsonl", "separator": ";"}}, "separator would have no effect"),
    ({"data": {"name": "csv_text", "path": "a.csv", "label": "text"}}, "'text' is named twice"),
    ({"data": {"name": "csv_text", "path": "a.csv", "test": 0.95}}, "leave nothing to train on"),
    ({"data": {"name": "csv_text", "path": "a.csv", "tokens_per_batch": 300}}, "no room for a text of max_length=400"),
    ({"data": {"name": "sst", "tokenizer": "wrod"}}, "did you mean 'word'?"),
    ({"data": {"name": "sst", "tokenizer": {"name": "bpe", "vocab_size": 100}}}, "greater than or equal to 258"),
    ({"data": {"name": "sst", "max_length": 1, "keep": "both"}}, "keep=both needs max_length"),
    ({"data": {"name": "sst"}, "task": "forecast"}, "does not go with data 'sst'"),
]


@pytest.mark.parametrize(("content", "message"), DEAD)
def test_fields_without_effect_are_refused(content, message):
    with pytest.raises(ConfigError) as fault:
        Experiment.of({"task": "classify", **content})
    assert message in str(fault.value)


def test_new_texts_may_be_the_files_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(20):
        (tmp_path / "mails" / "hs"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mails" / "hs"[i % 2] / f"{i}.txt").write_text(f"{'hi you' if i % 2 else 'buy now'} {i}")
    data = Dataset.members["text_folder"].Config(path="mails").build()
    (tmp_path / "new" / "sub").mkdir(parents=True)
    (tmp_path / "new" / "sub" / "b.txt").write_text("hi")
    (tmp_path / "new" / "a.txt").write_text("buy you")
    found = data.read_new("new", data.info)
    assert (found.columns, found.keys) == (("file",), [[("a.txt",)], [("sub/b.txt",)]])
    assert next(found.batches).lengths.tolist() == [2, 1]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none: has no .txt file: provide one for each text"):
        data.read_new("none", data.info)
    assert data.read_new(["hi you"], data.info).columns == ("text",)
