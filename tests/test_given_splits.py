"""Splits as people have them: files of their own, a column of splits, groups that stay together. A table over all
readers; docs/data.md has it for people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Dataset
from lstm_lab.data.inspection import inspect
from lstm_lab.data.kinds.user_files import UserFiles
from lstm_lab.experiment import Experiment
from lstm_lab.workflow import read_splits

N = 24
WAYS = {
    # reader: files for splits, a column of splits, groups; None: it has no place there, and docs/data.md says why.
    "csv": ("files", "column", None), "csv_graph": ("files", "column", None), "csv_wide_series": (None, None, None),
    "csv_sequences": ("files", "column", "column"), "csv_wide": ("files", "column", "column"),
    "list_columns": ("files", "column", "column"), "csv_folder": ("files", "table", "table"),
    "arrays": ("files", "array", "array"), "ts": ("files", "table", "table"),
    "csv_events": ("files", "column", "column"),
    "csv_text": ("files", "column", "column"), "csv_text_pairs": ("files", "column", "column"),
    "aligned_texts": ("files", "table", "table"), "text_folder": ("files", "table", "table"),
    "images": ("files", "array", "array"), "clips": ("files", "array", "array"),
    "text_stream": ("files", None, None), "conll": ("files", "table", "table"),
}  # fmt: skip
TASKS = {"csv_text_pairs": "translate", "aligned_texts": "translate", "conll": "tag"}
SPLIT = np.array(["train"] * 12 + ["dev"] * 6 + ["test"] * 6)
PERSON = np.array([f"p{i % 8}" for i in range(N)])
CLASS = np.array(["up", "down"])[np.arange(N) % 2]
rng = np.random.default_rng(0)
X = np.round(rng.normal(size=(N, 7)) + (np.arange(N) % 2)[:, None], 3)
TEXTS = [f"text number {i} is {CLASS[i]} and w{i}" for i in range(N)]
HEAD = "@classLabel true up down\n@data\n"


def write(reader, folder):
    """All samples for a reader; fields of its configuration."""
    heads = {"label": CLASS, "part": SPLIT, "person": PERSON}
    folder.mkdir(exist_ok=True)
    (folder / "samples.csv").write_text(
        pd.DataFrame({"file": [f"{i:02}" for i in range(N)], **heads}).to_csv(index=False)
    )
    path, fields = folder / "data.csv", {}
    if reader == "csv_sequences":
        long = pd.DataFrame([(f"s{i:02}", x, CLASS[i], SPLIT[i], PERSON[i]) for i in range(N) for x in X[i]])
        long.set_axis(["id", "x", "label", "part", "person"], axis=1).to_csv(path, index=False)
        fields = {"id": "id", "channels": "x", "label": "label"}
    elif reader == "csv_events":
        long = pd.DataFrame([(i, w, CLASS[i], SPLIT[i], PERSON[i]) for i in range(N) for w in TEXTS[i].split()])
        long.set_axis(["id", "event", "label", "part", "person"], axis=1).to_csv(path, index=False)
        fields = {"id": "id", "events": "event"}
    elif reader == "csv_wide":
        pd.DataFrame({**heads, **{f"x{t}": X[:, t] for t in range(7)}}).to_csv(path, index=False)
        fields = {"label": "label", "channels": ["x"]}
    elif reader == "list_columns":
        path = folder / "data.jsonl"
        rows = [{"x": X[i].tolist(), **{name: str(own[i]) for name, own in heads.items()}} for i in range(N)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        fields = {"label": "label", "channels": ["x"]}
    elif reader == "csv_folder":
        path, fields = folder / "files", {"labels": str(folder / "samples.csv"), "channels": "x", "id": "file"}
        path.mkdir()
        for i in range(N):
            pd.DataFrame({"x": X[i]}).to_csv(path / f"{i:02}.csv", index=False)
    elif reader == "ts":
        path = folder / "data.ts"
        path.write_text(HEAD + "".join(f"{','.join(map(str, X[i]))}:{CLASS[i]}\n" for i in range(N)))
    elif reader == "csv_text":
        pd.DataFrame({"text": TEXTS, **heads}).to_csv(path, index=False)
    elif reader == "csv_text_pairs":
        pd.DataFrame({"source": TEXTS, "target": TEXTS[::-1], **heads}).to_csv(path, index=False)
    elif reader == "aligned_texts":
        path, other = folder / "data.en", folder / "data.de"
        path.write_text("".join(f"{text}\n" for text in TEXTS))
        other.write_text("".join(f"{text}\n" for text in TEXTS[::-1]))
        fields = {"target_path": str(other)}
    elif reader == "text_folder":
        path = folder / "files"
        for i in range(N):
            (path / CLASS[i]).mkdir(parents=True, exist_ok=True)
            (path / CLASS[i] / f"{i:02}.txt").write_text(TEXTS[i])
    elif reader == "conll":
        path = folder / "data.conll"
        path.write_text("\n".join("".join(f"{w} {len(w)}\n" for w in text.split()) for text in TEXTS))
    elif reader in ("arrays", "images", "clips"):
        path = folder / "data.npz"
        own = X[:, :, None, None] if reader == "clips" else X[:, :, None]
        splits = np.where(SPLIT == "dev", "validation", SPLIT)
        np.savez(path, X=own, y=CLASS, **({"splits": splits} if folder.name == "split" else {"groups": PERSON}))
    return {"name": reader, "path": str(path), **fields}


def splits_of(data, order):
    """Samples of each split, by their numbers."""
    task = TASKS.get(data["name"], "classify")
    model = {"model": "encoder_decoder"} if task == "translate" else {}
    dataset = Experiment.of({"data": data, "task": task, **model}).data.build()
    read_splits(dataset)
    if isinstance(dataset, UserFiles):
        found = dataset.assigned(np.zeros(N, int)) if TASKS.get(data["name"]) == "tag" else dataset.splits
    else:
        found = dataset._prepared.arrays["splits"]
    return [{order[row] for row in np.flatnonzero(found == split)} for split in range(3)]


def order_of(reader):
    """Numbers of the samples as a reader finds them."""
    return [*np.argsort(CLASS, kind="stable")] if reader == "text_folder" else [*range(N)]


def with_columns(reader, way, folder, **columns):
    table = {"samples": str(folder / "samples.csv")} if way == "table" and reader != "csv_folder" else {}
    return {} if way == "array" else {**table, **columns}


@pytest.mark.parametrize("reader", [name for name, ways in WAYS.items() if ways[1] and ways[2]])
def test_a_column_of_splits(tmp_path, reader):
    data = write(reader, tmp_path / "split")
    data |= with_columns(reader, WAYS[reader][1], tmp_path / "split", split="part")
    assert splits_of(data, order_of(reader)) == [{*range(12)}, {*range(12, 18)}, {*range(18, 24)}]


@pytest.mark.parametrize("reader", [name for name, ways in WAYS.items() if ways[2]])
def test_groups_stay_in_one_split(tmp_path, reader):
    data = write(reader, tmp_path / "group")
    data |= with_columns(reader, WAYS[reader][2], tmp_path / "group", group="person")
    found = splits_of(data, order_of(reader))
    assert all(found)
    assert set.union(*found) == {*range(N)}
    persons = [{PERSON[row] for row in rows} for rows in found]
    assert not any(persons[a] & persons[b] for a, b in ((0, 1), (1, 2), (0, 2)))


def test_every_reader_of_files_is_in_the_table():
    readers = {name for name, kind in Dataset.members.items() if "path" in kind.Config.model_fields}
    # The splits of a published data set are its own; recordings, which have a table of texts, have tests of their own.
    assert readers - {"huggingface", "recordings"} == set(WAYS)
    for name, (files, split, group) in WAYS.items():
        fields = set(Dataset.members[name].Config.model_fields)
        assert ("test_path" in fields) == (files is not None), name
        assert ("group" in fields) == (group in ("column", "table")), name
        assert {"split", "samples"} & fields >= ({"split"} if split in ("column", "table") else set()), name
    lines = Path("docs/data.md").read_text().split("\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    start = next(i for i, row in enumerate(rows) if row[:2] == ["reader", "files of their own"]) + 2
    shown = {name.strip("`"): tuple(cells) for name, *cells in rows[start : start + len(WAYS)]}
    words = {"files": "yes", "column": "column", "table": "`samples`", "array": "array", None: "–"}
    assert shown == {name: tuple(words[way] for way in ways) for name, ways in WAYS.items()} | {
        "csv_folder": ("yes", "column of `labels`", "column of `labels`")
    }


def test_tables_of_samples_that_do_not_fit_are_one_line(tmp_path):
    data = write("ts", tmp_path / "a")
    samples = tmp_path / "a" / "samples.csv"
    with pytest.raises(ConfigError, match="split and group would have no effect without samples"):
        Experiment.of({"data": {**data, "group": "person"}, "task": "classify"})
    with pytest.raises(ConfigError, match="samples would have no effect without split or group"):
        Experiment.of({"data": {**data, "samples": str(samples)}, "task": "classify"})
    with pytest.raises(ConfigError, match="known of the samples at path alone"):
        Experiment.of({"data": {**data, "samples": str(samples), "group": "person", "test_path": data["path"]},
                       "task": "classify"})  # fmt: skip
    samples.write_text("\n".join(samples.read_text().split("\n")[:9]) + "\n")
    with pytest.raises(DataError, match=r"has 8 rows, but .* has 24 samples"):
        splits_of({**data, "samples": str(samples), "group": "person"}, range(N))
    folder = write("text_folder", tmp_path / "b")
    with pytest.raises(DataError, match="has no row for it in column 'file'"):
        splits_of({**folder, "samples": str(samples), "group": "person"}, range(N))


@pytest.mark.parametrize("form", ["rows", "wide", "lists"])
def test_columns_of_0_and_1_are_proposed_as_labels_of_sequences(tmp_path, form):
    flags = {"walks": (np.arange(N) % 2), "talks": (np.arange(N) % 3 == 0).astype(int)}
    if form == "rows":
        long = [(f"s{i:02}", t, x, flags["walks"][i], flags["talks"][i]) for i in range(N) for t, x in enumerate(X[i])]
        pd.DataFrame(long, columns=["id", "t", "x", "walks", "talks"]).to_csv(tmp_path / "a.csv", index=False)
    elif form == "wide":
        pd.DataFrame({f"x{t}": X[:, t] for t in range(7)} | flags).to_csv(tmp_path / "a.csv", index=False)
    else:
        frame = pd.DataFrame({"x": X.tolist(), **flags})
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    found = inspect(str(tmp_path / ("a.jsonl" if form == "lists" else "a.csv")))
    data = found.experiment["data"]
    assert (data["label"], data["target"], found.experiment["task"]["name"]) == ([*flags], "labels", "multi_label")
    dataset = Experiment.of(found.experiment).data.build()
    assert dataset.coded.targets.astype(int).tolist() == np.stack([*flags.values()], 1).tolist()
