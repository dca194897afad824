"""Tables of texts as people have them: raw lines, quotes behind backslashes, labels that are numbers or booleans."""

from __future__ import annotations

import pandas as pd
import pytest
from texts import corpus

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.experiment import Experiment


def opened(path):
    """What is proposed for a file, and the data set that reads it."""
    found = inspect(str(path))
    return found, Experiment.of(found.experiment).data.build()


def all_texts(data):
    return {*data.train.texts(), *data.validation.texts(), *data.test_split().texts()}


@pytest.mark.parametrize("name", ["SMSCollection.txt", "SMSSpamCollection", "sms.tsv", "sms.csv"])
def test_lines_of_a_class_and_a_text(tmp_path, name):
    rows = [(f'"{text}' if i % 7 == 3 else text, label) for i, (text, label) in enumerate(corpus(40))]
    (tmp_path / name).write_text("".join(f"{label}\t{text}\n" for text, label in rows))
    found, data = opened(tmp_path / name)
    assert found.experiment["data"]["header"] is False
    assert data.info.classes == ("no", "yes")
    assert all_texts(data) == {text for text, _ in rows}
    assert len(data.read_new(tmp_path / name, data.info).keys) == 40
    (tmp_path / "new.txt").write_text("one text\nanother text\n")
    assert len(data.read_new(tmp_path / "new.txt", data.info).keys) == 2


def test_a_letter_with_tabs_is_no_table(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"word{i}\tof a long letter, line {i}\n" for i in range(300)))
    assert inspect(str(tmp_path / "a.txt")).kind == "one long text"


def test_quotes_behind_backslashes(tmp_path):
    rows = [(f'{text} "so" it is', label) for text, label in corpus(40)]
    lines = [f'"{text}",{label}'.replace(' "so" ', r" \"so\" ") for text, label in rows]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *lines]))
    found, data = opened(tmp_path / "a.csv")
    assert found.experiment["data"]["escapechar"] == "\\"
    assert all_texts(data) == {text for text, _ in rows}


def test_a_quote_that_begins_a_cell_takes_no_further_rows(tmp_path):
    rows = corpus(40)
    cells = [f"{label}\t{text}" for text, label in rows]
    cells[5], cells[9] = f'no\t"{rows[5][0]}', f'no\t{rows[9][0]}"'  # A CSV with quotes would read rows 5 to 9 as one.
    (tmp_path / "a.tsv").write_text("\n".join(["label\ttext", *cells]) + "\n")
    found, data = opened(tmp_path / "a.tsv")
    assert found.experiment["data"]["quoting"] is False
    assert len(all_texts(data)) == 40


def test_lines_above_the_header_and_totals_below(tmp_path):
    rows = [f"{text},{label}" for text, label in corpus(40)]
    (tmp_path / "a.csv").write_text("\n".join(["# survey of 2020", "text,label", *rows]))
    found, data = opened(tmp_path / "a.csv")
    assert found.experiment["data"]["skiprows"] == 1
    assert len(all_texts(data)) == 40


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_labels_may_be_floats_and_booleans(tmp_path, ending):
    def read(labels, name):
        frame = pd.DataFrame({"text": [text for text, _ in corpus(40)], "label": labels})
        path = tmp_path / f"{name}.{ending}"
        write = {"parquet": frame.to_parquet, "csv": lambda path: frame.to_csv(path, index=False),
                 "jsonl": lambda path: frame.to_json(path, orient="records", lines=True)}  # fmt: skip
        write[ending](path)
        return opened(path)[1].info.classes

    assert read([0.0, 1.0] * 20, "floats") == ("0.0", "1.0")
    assert read([True, False] * 20, "booleans") == ("False", "True")
    assert read(["true", "False", "TRUE", "false"] * 10, "words") == ("false", "true")
    with pytest.raises(DataError, match="the label is empty"):
        read([0.0, None] * 20, "missing")


def test_fields_of_a_csv_are_refused_for_other_files():
    def data(path, **fields):
        return Experiment.of({"data": {"name": "csv_text", "path": path, **fields}, "task": "classify"})

    with pytest.raises(ConfigError, match=r"skiprows would have no effect: a\.jsonl is not a CSV"):
        data("a.jsonl", skiprows=1)
    with pytest.raises(ConfigError, match=r"header would have no effect: a\.txt is not a CSV; remove it, or set sep"):
        data("a.txt", header=False)
    with pytest.raises(ConfigError, match="escapechar='x' cannot escape a quote"):
        data("a.csv", escapechar="x", quoting=False)
    assert data("a.txt", header=False, separator="\\t").data.format.separator == "\t"
