"""Labelled sequences of a user: what is read, how it is split, and the messages of errors."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_lab import __main__ as cli
from lstm_lab.config import ConfigError
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train


def waves(n=30, seed=0):
    """Sequences (T, 2) of two kinds, slow and fast, of any length, with values that text represents exactly."""
    rng = np.random.default_rng(seed)
    labels = ["slow" if i % 2 else "fast" for i in range(n)]
    made = []
    for label in labels:
        t = np.arange(rng.integers(8, 14))[:, None]
        speed = 0.3 if label == "slow" else 1.5
        made.append(np.round(np.sin(speed * t + [0, 1]) + 0.1 * rng.normal(size=(len(t), 2)), 3))
    return made, labels


def ts(sequences, labels, head="@classLabel true slow fast\n", equal="false") -> str:
    lines = [":".join([*(",".join(map(str, channel)) for channel in sequence.T), label])
             for sequence, label in zip(sequences, labels, strict=True)]  # fmt: skip
    return f"# waves\n@problemName w\n@univariate false\n@equalLength {equal}\n{head}@data\n" + "\n".join(lines) + "\n"


def long(sequences, labels) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"s{i}", label, *row) for i, (sequence, label) in enumerate(zip(sequences, labels, strict=True))
         for row in sequence.tolist()],
        columns=["who", "kind", "a", "b"],
    )  # fmt: skip


TABLE = {"name": "csv_sequences", "id": "who", "label": "kind", "channels": ["a", "b"]}


def data(**choices):
    return Experiment.of({"data": choices, "task": "classify"}).data.build()


def test_every_file_format_gives_the_same_sequences(tmp_path):
    sequences, labels = waves()
    frame = long(sequences, labels)
    (tmp_path / "a.ts").write_text(ts(sequences, labels))
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.csv", index=False, sep=";", decimal=",")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    found = [data(name="ts", path=str(tmp_path / "a.ts"))]
    found += [data(**TABLE, path=str(tmp_path / name)) for name in ("a.csv", "a.parquet", "a.jsonl")]
    found.append(data(**TABLE, path=str(tmp_path / "b.csv"), separator=";", decimal=","))
    assert len({one.digest for one in found}) == 1
    assert found[0].info.classes == ("fast", "slow")
    read = found[0].read()
    kept = {sequence.tobytes(): label for sequence, label in zip(sequences, labels, strict=True)}
    for part in (read.train, read.test):
        assert all(kept[sequence.tobytes()] == label for sequence, label in zip(*part, strict=True))


def test_series_come_from_jsonl_and_parquet_as_from_csv(tmp_path):
    rows = pd.DataFrame({"t": pd.date_range("2024", periods=80, freq="h"), "y": np.arange(80) / 7, "n": range(80)})
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.to_parquet(tmp_path / "a.parquet")
    rows.assign(t=rows["t"].astype(str)).to_json(
        tmp_path / "a.jsonl", orient="records", lines=True, double_precision=15
    )
    choices = {"name": "csv", "time": "t", "targets": ["y"], "features": ["n"], "window": 6, "horizon": 2}
    found = [
        Experiment.of({"data": {**choices, "path": str(tmp_path / f"a.{end}")}, "task": "forecast"}).data.build()
        for end in ("csv", "parquet", "jsonl")
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.read().values, found[0].read().values, rtol=1e-14)
    with pytest.raises(ConfigError, match=r"decimal would have no effect: \S*a.jsonl is not a CSV"):
        Experiment.of({"data": {**choices, "path": "a.jsonl", "decimal": ","}, "task": "forecast"})


def test_splits_are_disjoint_stratified_and_those_of_the_file_are_kept(tmp_path):
    sequences, labels = waves(40)
    frame = long(sequences, labels)
    frame.to_csv(tmp_path / "a.csv", index=False)
    cut = data(**TABLE, path=str(tmp_path / "a.csv"))
    sizes = [len(cut.train), len(cut.validation), len(cut.test_split())]
    assert sizes == [28, 4, 8]
    assert all(split.labels.bincount().diff().abs() <= 1 for split in (cut.train, cut.validation, cut.test_split()))
    message = frame.assign(part=["train" if int(name[1:]) < 30 else "test" for name in frame["who"]])
    message.to_csv(tmp_path / "b.csv", index=False)
    named = data(**TABLE, path=str(tmp_path / "b.csv"), split="part")
    assert len(named.test_split()) == 10
    kept = [sequence.tobytes() for sequence in named.read().test[0]]
    assert kept == [sequence.tobytes() for sequence in sequences[30:]]


def test_groups_and_copies_stay_in_one_split(tmp_path):
    sequences, labels = waves(40)
    frame = long([*sequences, *sequences], [*labels, *labels])
    frame.to_csv(tmp_path / "a.csv", index=False)
    both = data(**TABLE, path=str(tmp_path / "a.csv")).read()
    assert not {s.tobytes() for s in both.train[0]} & {s.tobytes() for s in both.test[0]}
    people = frame.assign(person=[int(name[1:]) % 20 // 2 for name in frame["who"]])
    people.to_csv(tmp_path / "b.csv", index=False)
    grouped = data(**TABLE, path=str(tmp_path / "b.csv"), group="person")
    parts = grouped.splits
    person = [i % 20 // 2 for i in range(80)]
    assert all(len({parts[i] for i in range(80) if person[i] == one}) == 1 for one in set(person))


def test_a_run_predicts_new_sequences_without_its_data(tmp_path):
    sequences, labels = waves(40)
    (tmp_path / "a.ts").write_text(ts(sequences, labels))
    experiment = Experiment.of({
        "data": {"name": "ts", "path": str(tmp_path / "a.ts")}, "task": "classify", "model": {"hidden_size": 8},
        "optimizer": {"lr": 0.03}, "trainer": {"max_epochs": 12},
    })  # fmt: skip
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    (tmp_path / "a.ts").unlink()
    new, truth = waves(12, seed=1)
    (tmp_path / "new.ts").write_text(ts(new, truth))
    header, rows = predict(run, tmp_path / "new.ts")
    assert header[:2] == ["sequence", "label"]
    assert sum(row[1] == label for row, label in zip(rows, truth, strict=True)) >= 10


# ---- malformed ----

ROWS = "1,2:3,4:slow\n2,3:4,5:fast\n"
HEAD = "@univariate false\n@equalLength false\n@classLabel true slow fast\n@data\n"
STEPS = "who,kind,a,b\n" + "".join(f"s{i},{'xy'[i % 2]},{i},{t}\n" for i in range(20) for t in range(2))
LINES = "".join(json.dumps({"who": f"s{i}", "kind": "xy"[i % 2], "a": i, "b": 0.5}) + "\n" for i in range(20))
MALFORMED = {
    "no such .ts": ("none.ts", None, {}, "none.ts: no such file"),
    "empty .ts": ("a.ts", "", {}, "is empty: it needs a header, @data"),
    "no @data": ("a.ts", "@univariate true\n", {}, "has no line @data"),
    "no header": ("a.ts", ROWS, {}, "line 1: '1,2:3,4:slow' is before @data"),
    "no sequences": ("a.ts", HEAD, {}, "has no sequences below @data"),
    "odd class": ("a.ts", HEAD + ROWS + "1,2:3,4:quick\n", {}, "line 7: class 'quick' is not among those"),
    "no class in a line": ("a.ts", HEAD + ROWS + "1,2:3,4\n", {}, "line 7: class '3,4' is not among those"),
    "a channel too few": ("a.ts", HEAD + ROWS + "1,2:slow\n", {}, "line 7: 1 channels, but line 5 has 2"),
    "ragged channels": ("a.ts", HEAD + ROWS + "1,2:3:slow\n", {}, "line 7, channel 2: 1 steps, not 2"),
    "not equal": ("a.ts", HEAD.replace("@equalLength false\n", "") + ROWS + "1,2,3:3,4,5:slow\n", {},
                  "line 6, channel 1: 3 steps, not 2: set @equalLength false"),
    "a word for a number": ("a.ts", HEAD + ROWS + "1,two:3,4:slow\n", {}, "line 7, channel 1, step 2: 'two' is not a"),
    "missing value": ("a.ts", HEAD + ROWS + "1,?:3,4:slow\n", {}, "line 7, channel 1, step 2: '?' is missing"),
    "blank line": ("a.ts", HEAD + ROWS + "\n" + ROWS, {}, "line 7: is empty"),
    "timestamps": ("a.ts", "@timestamps true\n" + HEAD + ROWS, {}, "line 1: @timestamps true"),
    "regression targets": ("a.ts", "@targetLabel true\n" + HEAD + ROWS, {}, "line 6: 'slow' is not a finite number"),
    "no classes": ("a.ts", HEAD.replace("true slow fast", "false") + "1,2\n2,3\n", {}, "there are no classes to learn"),
    "one .ts class": ("a.ts", HEAD + ROWS.replace("fast", "slow"), {}, "has 1 class ('slow')"),
    "too few": ("a.ts", HEAD + ROWS, {}, "2 sequences leave none for the test"),
    "no test file": ("a.ts", HEAD + ROWS * 9, {"test_path": "b.ts"}, "b.ts: no such file"),
    ".ts in Latin-1": ("a.ts", HEAD.encode() + b"1,2:3,\xe9:slow\n", {}, "line 5: not UTF-8 text"),
    "no column": ("a.csv", STEPS.replace("kind", "kin"), {}, "line 1: no column 'kind'; did you mean 'kin'?"),
    "two labels": ("a.csv", STEPS + "s0,y,1,1\n", {}, "line 42, column 'kind': 'y' differs from line 2 of the same"),
    "no id": ("a.csv", STEPS + ",y,1,1\n", {}, "line 42, column 'who': the cell is empty"),
    "no number": ("a.csv", STEPS + "s20,y,,1\n", {}, "line 42, column 'a': the cell is empty"),
    "ids as labels": ("a.csv", STEPS, {"label": "who", "id": "kind"}, "differs from line 2"),
    "odd part": ("a.csv", STEPS.replace("a,b", "a,part").replace(",0\n", ",tset\n").replace(",1\n", ",tset\n"),
                 {"channels": ["a"], "split": "part"}, "column 'part': 'tset' is not a split"),
    "torn Parquet": ("a.parquet", b"PAR1torn", {}, "not a complete Parquet file"),
    "no JSON": ("a.jsonl", LINES + "{who: 1}\n", {}, "line 21: not JSON"),
    "a JSON list": ("a.jsonl", LINES + "[1]\n", {}, "line 21: '[1]' is not a JSON object"),
    "a field too few": ("a.jsonl", LINES + '{"who": "s20", "a": 1}\n', {}, "line 21: no field 'b'"),
    "a list for a number": ("a.jsonl", LINES + '{"who": "s", "kind": "x", "a": [1], "b": 0}\n', {},
                            "line 21, column 'a': '[1]' is not a text, number or time"),
    "null": ("a.jsonl", LINES + '{"who": "s", "kind": "x", "a": null, "b": 0}\n', {}, "line 21, column 'a': the cell"),
}  # fmt: skip
SERIES = {
    "no JSON": ("a.jsonl", '{"t": 1, "y": 2}\n{"t": 2 "y": 3}\n', "line 2: not JSON"),
    "a field too few": ("a.jsonl", '{"t": 1, "y": 2}\n{"t": 2}\n', "line 2: no field 'y'; it has 't'"),
    "null": ("a.jsonl", '{"y": 2, "t": 1}\n{"y": null, "t": 2}\n{"y": 1, "t": 3}\n', "line 2, column 'y': the cell"),
    "words": ("a.ndjson", '{"t": 1, "y": "high"}\n', "line 1, column 'y': 'high' is not a number"),
    "back in time": (
        "a.jsonl", '{"t": 2, "y": 2}\n{"t": 1, "y": 3}\n{"t": 3, "y": 3}\n', "line 2, column 't': '1' is earlier",
    ),
    "not UTF-8": ("a.jsonl", b'{"t": 1, "y": "\xe9"}\n', "line 1: not UTF-8 text"),
    "empty": ("a.jsonl", "\n", "is empty: it needs one object on each line"),
    "torn": ("a.parquet", b"PAR1", "not a complete Parquet file"),
    "a gap": ("a.parquet", {"t": [1, 2, 3, 5], "y": [1.0, 2.0, 3.0, 4.0]}, "row 4, column 't': '5' follows '3'"),
    "no number": ("a.parquet", {"t": [1, 2, 3], "y": [1.0, None, 3.0]}, "row 2, column 'y': the cell is empty"),
    "no column": ("a.parquet", {"t": [1, 2], "z": [1.0, 2.0]}, "no column 'y'; it has 't', 'z'"),
    "no rows": ("a.parquet", {"t": [], "y": []}, "has no rows"),
    "lists": ("a.parquet", {"t": [1, 2], "y": [[1.0], [2.0]]}, "row 1, column 'y': '[1.0]' is not a text, number"),
}  # fmt: skip


def message_of(monkeypatch, capsys, tmp_path, data, task):
    """The message of the command line: one line, exit code 3, and no file is written."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    (conf := tmp_path / "x.yaml").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["lstm-lab", "train", "x.yaml", "data=" + json.dumps(data), f"task={task}"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    conf.unlink()
    message = capsys.readouterr()
    assert ended.value.code == 3, message.err
    assert len(message.err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    return message.err


def write(path, content):
    if isinstance(content, dict):
        pd.DataFrame(content).to_parquet(path)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(("name", "content", "choices", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_sequences_are_one_line(monkeypatch, capsys, tmp_path, name, content, choices, message):
    write(tmp_path / name, content)
    base = {"name": "ts"} if name.endswith(".ts") else TABLE
    fault = message_of(monkeypatch, capsys, tmp_path, {**base, "path": name, **choices}, "classify")
    assert message in fault, fault


@pytest.mark.parametrize(("name", "content", "message"), SERIES.values(), ids=SERIES)
def test_malformed_series_are_one_line(monkeypatch, capsys, tmp_path, name, content, message):
    write(tmp_path / name, content)
    data = {"name": "csv", "path": name, "time": "t", "targets": ["y"], "window": 2, "horizon": 1}
    fault = message_of(monkeypatch, capsys, tmp_path, data, "forecast")
    assert message in fault, fault
    assert name in fault


def test_batches_are_padded_with_zeros(tmp_path):
    sequences, labels = waves()
    (tmp_path / "a.ts").write_text(ts(sequences, labels))
    split = data(name="ts", path=str(tmp_path / "a.ts")).train
    batch = split.take(torch.arange(len(split)))
    for i, length in enumerate(batch.lengths.tolist()):
        assert (batch.x[i, length:] == 0).all()
        assert torch.equal(batch.x[i, :length], split.take(torch.tensor([i])).x[0])
