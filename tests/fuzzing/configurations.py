"""Experiments and sweeps in YAML, changed anywhere."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing.engine import Command
from fuzzing.values import LONG_NAME, NUMBERS, WORDS, damage, mutate, nested

DATA: tuple[dict[str, Any], ...] = (
    {"name": "csv", "path": "series.csv", "time": "time", "targets": ["load"], "window": 8, "horizon": 2,
    "batch_size": 16},
    {"name": "csv_text", "path": "texts.csv", "label": "label", "text": "text", "tokenizer": "word", "batch_size": 8},
    {"name": "csv_sequences", "path": "sequences.csv", "id": "id", "channels": ["x"], "label": "label",
    "batch_size": 8},
    {"name": "adding", "length": 6, "train_size": 20, "eval_size": 8, "batch_size": 10},
    {"name": "parity", "length": 6, "train_size": 20, "eval_size": 8, "batch_size": 10},
    {"name": "copy_memory", "length": 6, "train_size": 20, "eval_size": 8, "batch_size": 10},
    {"name": "embedded_reber", "train_size": 20, "eval_size": 8, "batch_size": 10},
    {"name": "text_stream", "path": "texts.csv", "batch_size": 2, "chunk_length": 8},
    {"name": "ts", "path": "x.ts"},
    {"name": "text_folder", "path": "."},
)  # fmt: skip
TASKS = ("forecast", "classify", "classify", "regress", "classify", "next_step", "next_step", "next_step", "classify",
         "classify")  # fmt: skip
SPACE: dict[str, Any] = {
    "optimizer.lr": {"loguniform": [1e-3, 3e-2]},
    "model.hidden_size": {"choice": [2, 3]},
    "model.cell": {"grid": ["lstm", "gru"]},
    "model.dropout.output": {"uniform": [0.0, 0.5]},
}


def base(rng: Random) -> dict[str, Any]:
    """A small experiment that is valid."""
    number = rng.randrange(len(DATA))
    return copy.deepcopy({
        "data": DATA[number],
        "task": {"name": TASKS[number]},
        "model": {"hidden_size": 2, "cell": {"name": rng.choice(["lstm", "gru", "peephole", "indrnn"])},
        "num_layers": 1},
        "optimizer": {"name": rng.choice(["adam", "sgd"]), "lr": 0.01},
        "schedule": {"name": rng.choice(["constant", "cosine"])},
        "trainer": {"max_epochs": 1, "patience": None, "accelerator": "cpu"},
        "seed": 0,
    })  # fmt: skip


def dump(rng: Random, content: Any) -> bytes:
    """As YAML; sometimes with what only YAML can say."""
    try:
        text = yaml.safe_dump(content, allow_unicode=rng.random() < 0.5, default_flow_style=rng.random() < 0.2)
    except yaml.YAMLError:
        text = repr(content)
    match rng.randrange(14):
        case 0:
            text += f"{text.splitlines()[0] if text.splitlines() else 'a: 1'}\n"
        case 1:
            text = text.replace(
                "2", rng.choice(["&a 2", "*a", "!!python/object:os.system 2", "!!float 2", "2024-01-01"])
            )
        case 2:
            text += rng.choice(
                ["---\na: 1\n", "? [1, 2]\n: 3\n", "1: 2\n", "<<: 3\n", "? {a: 1}\n: 2\n", "\t", "a: b: c\n"]
            )
        case 3:
            text = text.replace("name", rng.choice(["NAME", "nome", "name ", '"name"', "? name\n"]), 1)
    return text.encode(errors="surrogatepass")


def experiment(rng: Random, shared: Path) -> list[Command]:
    """An experiment that is trained for an epoch at most."""
    _data(shared)
    content = base(rng)
    if rng.random() < 0.9:
        content = mutate(rng, content)
    Path("x.yaml").write_bytes(dump(rng, content))
    return [
        [
            "train",
            "x.yaml",
            "trainer.max_epochs=1",
            *rng.choice([[], ["--name", rng.choice(["a", LONG_NAME, "..", ""])]]),
        ]
    ]


def sweep(rng: Random, shared: Path) -> list[Command]:
    """A sweep, checked and planned but not started."""
    _data(shared)
    inner: Any = mutate(rng, base(rng)) if rng.random() < 0.2 else base(rng)
    if rng.random() < 0.3:
        Path("inner.yaml").write_bytes(dump(rng, inner))
        inner = "inner.yaml"
    content: Any = {
        "experiment": inner, "space": {key: SPACE[key] for key in rng.sample(list(SPACE), 2)}, "num_samples": 2,
        "seeds": [0, 1], "scheduler": {"name": rng.choice(["asha", "pbt", "fifo", "median", "hyperband"])},
        "searcher": {"name": rng.choice(["random", "optuna", "hyperopt"])}, "constraints": ["model.hidden_size < 99"],
        "budget": {"trials": 4}, "confirm": {"top": 1, "seeds": [0]}, "resources": {"cpus": 1},
    }  # fmt: skip
    for key in rng.sample(["scheduler", "searcher", "constraints", "budget", "confirm", "resources"], rng.randrange(5)):
        del content[key]
    content = mutate(rng, copy.deepcopy(content))
    Path("s.yaml").write_bytes(dump(rng, content))
    commands = [["sweep", "s.yaml", "--dry-run"], ["convert", "s.yaml"]]
    return commands if rng.random() < 0.5 else commands[:1]


def raw_yaml(rng: Random, shared: Path) -> list[Command]:
    """Texts that are hardly YAML, for every command that reads it."""
    deep = yaml.safe_dump(nested(rng, rng.choice([10, 80, 300]))).encode()
    kinds = (
        b"", b"# nothing\n", b"a", b"3", b"- a\n- b\n", b"[" * 50_000, b"{a: " * 5_000, b"- " * 20_000, deep,
        b"a: &a [*a]\n",
        b"a: &a {b: *a}\n", b"\xff\xfe", b"data: " + b"9" * 6000, b"a: !!binary =\n", b"a: !!timestamp 3\n",
        b"%YAML 9.9\n---\n",
        b"&x a: *y\n", b"a: 12:30:45\n", b"data: {name: " + b"x" * 100_000 + b"}\n", b"{}: 1\n", b"? a\n",
        b"a: 0b2\n",
        b"a: &a [1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n",
        dump(rng, {rng.choice(WORDS): rng.choice(NUMBERS)}), damage(rng, dump(rng, base(rng))), b"method: bayes\n",
        b"method: random\nparameters: {lr: {min: a, max: 1}}\n", b"method: grid\nparameters: []\n",
        b"program: 3\nmethod: [1]\n",
    )  # fmt: skip
    Path("raw.yaml").write_bytes(rng.choice(kinds))
    command = rng.choice([["train"], ["sweep", "--dry-run"], ["convert"], ["convert", "--experiment", "raw.yaml"]])
    return [[*command, "raw.yaml"]]


def _data(shared: Path) -> None:
    for name in ("series.csv", "texts.csv", "sequences.csv"):
        Path(name).write_bytes((shared / name).read_bytes())
