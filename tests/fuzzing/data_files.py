"""Data files of every reader, most of them damaged."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet as pq

from fuzzing.engine import Command
from fuzzing.values import LONG_NAME, NUMBERS, WORDS, damage, nested, plain

CELLS: tuple[Callable[[Random, int], Any], ...] = (
    lambda rng, i: round(rng.gauss(100, 10), 2),
    lambda rng, i: rng.randrange(5),
    lambda rng, i: (datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=i)).isoformat(sep=" "),
    lambda rng, i: (datetime.date(2024, 1, 1) + datetime.timedelta(days=i)).strftime("%d/%m/%Y"),
    lambda rng, i: i,
    lambda rng, i: f"s{i // 10}",
    lambda rng, i: "yes" if i // 10 % 2 else "no",
    lambda rng, i: " ".join(rng.choices(["good", "bad", "film", "the", "a", "plot"], k=rng.randrange(1, 12))),
    lambda rng, i: rng.choice(["train", "validation", "test"]),
    lambda rng, i: 5.0,
    lambda rng, i: "",
    lambda rng, i: f"{rng.randrange(1000)},{rng.randrange(10)}",
    lambda rng, i: 1750000000000 + 60000 * i,
)
"""One column each."""
NAMES = (
    "time", "date", "ds", "y", "x", "load", "temp", "id", "series", "label", "class", "text", "split", "value",
    "step",
    "unnamed: 0", "", " ", "a.b", "a=b", "[x]", "${seed}", "load", "\U0001f600", LONG_NAME, "null", "1", "true",
)  # fmt: skip
CHOICES = (
    "targets=[y]", "targets=[]", "targets=7", "target=y", "time=time", "id=id", "label=label", "text=text",
    "name=csv",
    "name=csv_text", "name=csv_sequences", "name=arrays", "channels=[x, y]", "decimal=','", "separator=;",
    "separator=''", "separator=ab", "decimal=abc", "features=[temp]", "split=split", "window=8", "horizon=2",
    "window=0", "path=x", "calendar=[hour]", "gaps=fill", "missing=mask", "tokenizer=bpe", "x={a: b}", "known=[temp]",
    "static=[x]", "separator=1", "decimal=1", "time=[time]", "label={a: 1}", "batch_size=8", "season=1", "name=[csv]",
    "name=ts", "validation=0.9", "test=0.9", "max_length=4", "window=1000000", "stateful=true", "separator={a: 1}",
)  # fmt: skip
ENDINGS = (
    ".csv", ".csv", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt", ".parquet", ".npz", ".npy", ".gz",
    ".csv.gz",
    ".zip", ".ts", ".xlsx", ".pkl", "", ".CSV", ".dat",
)  # fmt: skip


def _columns(rng: Random) -> dict[str, list[Any]]:
    rows = rng.choice([0, 1, 2, 5, 40, 60, 120])
    names = rng.sample(NAMES, rng.randrange(1, 6))
    columns: dict[str, list[Any]] = {}
    for name in names:
        cell = rng.choice(CELLS)
        columns[name] = [cell(rng, row) for row in range(rows)]
    for values in columns.values():
        if values and rng.random() < 0.3:
            for _ in range(rng.randrange(1, 4)):
                values[rng.randrange(rows)] = rng.choice([plain(rng), rng.choice(WORDS), rng.choice(NUMBERS)])
    return columns


def _as_csv(rng: Random, columns: dict[str, list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=rng.choice(",,,;\t|"), lineterminator=rng.choice(["\n", "\r\n"]))
    if rng.random() < 0.9:
        writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"])
    return text.getvalue().encode(encoding, errors="surrogatepass" if encoding[:3] == "utf" else "replace")


def _as_json(rng: Random, columns: dict[str, list[Any]]) -> bytes:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if rng.random() < 0.3:
        rows = [row if rng.random() < 0.95 else plain(rng) for row in rows]
    if rng.random() < 0.2:
        return json.dumps(rng.choice([rows, {"rows": rows}, columns])).encode()
    return "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows).encode(
        errors="surrogatepass"
    )


def _name(rng: Random, endings: tuple[str, ...] = ENDINGS) -> str:
    stem = rng.choice(["data", "data", "data", "däta", "a b", "[b]", "-x", "${seed}", "x" * 240])
    return stem + rng.choice(endings)


def _inspect(rng: Random, name: str, content: bytes) -> list[Command]:
    if rng.random() < 0.35:
        content = damage(rng, content)
    Path(name).write_bytes(content)
    words = ["data", "inspect", "--", name, *rng.sample(CHOICES, rng.choice([0, 0, 0, 1, 1, 2]))]
    if rng.random() < 0.2:
        words.insert(2, "--json")
    if rng.random() < 0.1:
        words[2:2] = ["--write", rng.choice(["conf.yaml", "folder/conf.yaml", name, ".", LONG_NAME, "conf.yaml/x"])]
    return [words]


def table(rng: Random, shared: Path) -> list[Command]:
    """A table as text, of any ending."""
    write = rng.choice([_as_csv, _as_csv, _as_json])
    endings = (".jsonl", ".jsonl", *ENDINGS) if write is _as_json else (".csv", ".csv", *ENDINGS)
    return _inspect(rng, _name(rng, endings), write(rng, _columns(rng)))


def parquet(rng: Random, shared: Path) -> list[Command]:
    """A Parquet file: columns of every type, doubled names, names that are not UTF-8."""
    rows = rng.choice([0, 1, 40])
    makers: tuple[Callable[[], Any], ...] = (
        lambda: pa.array([rng.gauss(0, 1) for _ in range(rows)]),
        lambda: pa.array(range(rows), pa.int64()),
        lambda: pa.array([datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=i) for i in range(rows)]),
        lambda: pa.array([i * 10**9 for i in range(rows)], pa.timestamp("ns", tz="Europe/Berlin")),
        lambda: pa.array([2**62 + i for i in range(rows)], pa.timestamp(rng.choice(["us", "ns"]))),
        lambda: pa.array(range(rows), pa.duration("s")),
        lambda: pa.array([datetime.time(i % 24) for i in range(rows)]),
        lambda: pa.array([Decimal(i) / 7 for i in range(rows)], pa.decimal128(38, 20), safe=False)
        if rows == 0 else pa.array([Decimal(i) for i in range(rows)]),
        lambda: pa.array([[1.0] * (i % 4) for i in range(rows)], pa.list_(pa.float64())),
        lambda: pa.array([{"a": i} for i in range(rows)], pa.struct([("a", pa.int64())])),
        lambda: pa.array([b"\xff\xfe%d" % i for i in range(rows)]),
        lambda: pa.array([f"w{i % 3}" for i in range(rows)]).dictionary_encode(),
        lambda: pa.array([None] * rows),
        lambda: pa.array([i % 2 == 0 for i in range(rows)]),
        lambda: pa.array([f"good film {i}" for i in range(rows)]),
        lambda: pa.array([2**63 + i for i in range(rows)], pa.uint64()),
        lambda: pa.array(np.arange(rows, dtype=np.float16)),
    )  # fmt: skip
    names = [rng.choice(["time", "y", "load", "text", "label", "NAME", "id", "", "\U0001f600"]) for _ in range(4)]
    if rng.random() < 0.7:
        names = list(dict.fromkeys(names))
    found = pa.Table.from_arrays([rng.choice(makers)() for _ in names], names=names)
    pq.write_table(found, "t.parquet", store_schema=rng.random() < 0.5)
    content = Path("t.parquet").read_bytes()
    if rng.random() < 0.5:
        content = content.replace(b"NAME", b"\xff\xfe\xfd\xfc").replace(b"good film", b"\xff\xfe\xfd film")
    return _inspect(rng, "t.parquet", content)


def sequences_ts(rng: Random, shared: Path) -> list[Command]:
    """A .ts file."""
    head = [
        "@problemName x", f"@timeStamps {rng.choice(['false', 'true'])}", "@missing false",
        f"@univariate {rng.choice(['true', 'false'])}", f"@equalLength {rng.choice(['true', 'false'])}",
        rng.choice(["@classLabel true a b", "@classLabel false", "@targetLabel true", "@dimensions 2",
        "@classLabel"]),
        "@data",
    ]  # fmt: skip
    if rng.random() < 0.4:
        head.pop(rng.randrange(len(head)))
    rows = [
        ":".join([",".join(str(rng.gauss(0, 1)) for _ in range(rng.choice([6, 6, 6, 5])))
                  for _ in range(rng.choice([1, 2, 2]))] + [rng.choice("aab")])
        for _ in range(rng.choice([0, 1, 8, 30]))
    ]  # fmt: skip
    if rows and rng.random() < 0.3:
        rows[rng.randrange(len(rows))] = rng.choice(["", ":", "a", "1,?,3:a", "nan,1:a", "(1,2):a", "1e999,2:b"])
    return _inspect(rng, "data.ts", "\n".join([*head, *rows, ""]).encode())


def text_folder(rng: Random, shared: Path) -> list[Command]:
    """A folder of texts, of classes, or of other things."""
    root = Path("texts")
    for split in rng.choice([["."], ["."], ["train", "test"], ["train", "validation", "test"], ["x", "y"], []]):
        for label in rng.choice([["neg", "pos"], ["a"], ["."], ["neg", "pos", "unsup"]]):
            folder = root / split / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(rng.choice([0, 1, 12])):
                name = rng.choice(["t{}.txt", "t{}.txt", "t{}.txt", "t{}.csv", ".t{}", "é{}.txt"]).format(number)
                content = " ".join(rng.choices(["good", "bad", "film"], k=9)).encode()
                (folder / name).write_bytes(damage(rng, content) if rng.random() < 0.05 else content)
    root.mkdir(exist_ok=True)
    if rng.random() < 0.2:
        (root / "loop.txt").symlink_to("loop.txt")
    if rng.random() < 0.2:
        (root / "up").symlink_to("..")
    if rng.random() < 0.2:
        (root / "folder.txt").mkdir()
    return [["data", "inspect", "texts", *rng.sample(CHOICES, rng.choice([0, 0, 1]))]]


def arrays(rng: Random, shared: Path) -> list[Command]:
    """.npz and .npy files, as `data: {name: arrays}` reads them and as `data inspect` is given them."""
    n, t = rng.choice([0, 1, 3, 24]), rng.choice([1, 5, 8])
    shapes = [(n, t, 2), (n, t), (n * t, 2), (n,), (), (n, t, 2, 2)]
    found: dict[str, Any] = {
        "X": np.random.default_rng(0)
        .normal(size=rng.choice(shapes[:2] + shapes))
        .astype(rng.choice(["f4", "f8", "i8"])),
        "y": rng.choice([np.arange(n) % 2, np.array(["a", "b"] * n)[:n], np.zeros((n, t), int), np.float64(3.0)]),
    }
    extra = {
        "lengths": np.full(n, t), "groups": np.arange(n) // 2, "splits": np.array(["train"] * n),
        "classes": np.array(["a", "b"]), "targets": np.array([1.5]),
    }  # fmt: skip
    found |= {key: extra[key] for key in rng.sample(list(extra), rng.choice([0, 0, 1, 2]))}
    for key in list(found):
        if rng.random() < 0.12:
            odd = (
                np.array([plain(rng)], object), np.array("x"), np.array([np.nan] * n), np.array([b"\xff"] * n),
                np.zeros(0),
                np.array(["2024"] * n, "datetime64"), np.array([-1] * n), np.full(n, 2**62), np.zeros(n, complex),
            )  # fmt: skip
            found[key] = rng.choice(odd)
    if rng.random() < 0.1:
        found.pop("X")
    body = io.BytesIO()
    if rng.random() < 0.15:
        np.save(body, found.get("X", np.zeros(3)))
    else:
        np.savez(body, **found)
    name = rng.choice(["data.npz", "data.npz", "data.npz", "data.npy"])
    content = damage(rng, body.getvalue()) if rng.random() < 0.3 else body.getvalue()
    Path(name).write_bytes(content)
    Path("arrays.yaml").write_text(
        f"data: {{name: arrays, path: {name}, batch_size: 8, target: {rng.choice(['class', 'value', 'tag'])}}}\n"
        f"task: {rng.choice(['classify', 'regress', 'tag', 'forecast'])}\nmodel: {{hidden_size: 2}}\n"
        "trainer: {max_epochs: 1, accelerator: cpu}\n"
    )
    return [rng.choice([["train", "arrays.yaml"], ["train", "arrays.yaml"], ["data", "inspect", name]])]


def binary(rng: Random, shared: Path) -> list[Command]:
    """Compressed files, archives, spreadsheets, pickles: with the ending that they have, or another one."""
    content = _as_csv(rng, _columns(rng))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in rng.choice([["a.csv"], ["a.csv", "b.csv"], ["xl/workbook.xml"], []]):
            file.writestr(name, content)
    deep = json.dumps(nested(rng, 900)).encode()
    kinds = (
        gzip.compress(content), archive.getvalue(), pickle.dumps({"a": 1}), b"\x93NUMPY\x01\0", b"SQLite format 3\0",
        b"\x89HDF\r\n\x1a\n" + content, b"%PDF-1.4\n", b"BZh91AY", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd",
        b"ARROW1\0\0", deep,
        b"[" * 100_000, b'{"a":' * 100_000, b'{"a": ' + b"9" * 5000 + b"}\n",
        bytes(rng.randrange(256) for _ in range(300)),
        b"a,b\n" + b"1," * 200_000, b"a" * 200_000, b'{"text": "' + b"a" * 200_000 + b'", "label": 1}\n', b"\0" * 600,
    )  # fmt: skip
    return _inspect(rng, _name(rng), rng.choice(kinds))


def new_data(rng: Random, shared: Path) -> list[Command]:
    """New data for a trained run."""
    kind = rng.choice(["series", "texts", "sequences"])
    content = (shared / f"{kind}.csv").read_bytes()
    if rng.random() < 0.3:
        lines = content.splitlines(keepends=True)
        content = b"".join(lines[: rng.randrange(len(lines))])
    name = rng.choice(
        ["new.csv", "new.csv", "new.csv", "new.jsonl", "new.parquet", "new.txt", "new.ts", "missing.csv", "."]
    )
    if name not in (".", "missing.csv"):
        write = rng.random()
        Path(name).write_bytes(
            content if write < 0.2 else damage(rng, content) if write < 0.7 else _as_csv(rng, _columns(rng))
        )
    return [["predict", str(shared / "runs" / kind), name]]
