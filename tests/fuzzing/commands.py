"""Words on the command line: overrides, options and names that are wrong."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing.configurations import base
from fuzzing.engine import Command
from fuzzing.values import LONG_NAME, NUMBERS, WORDS, plain

OPTIONS = (
    "--json", "--name", "--wandb", "--resume", "--to", "--out", "--metric", "--mode", "--from-wandb", "--dry-run",
    "--once",
    "--address", "--storage", "--test", "--help", "--experiment", "--write", "-x", "--", "--final",
    "--wandb=disabled",
)  # fmt: skip
VERBS = (
    "train",
    "evaluate",
    "predict",
    "report",
    "compare",
    "convert",
    "list",
    "fields",
    "schema",
    "watch",
    "data",
    "x",
    "",
)


@cache
def _keys() -> list[str]:
    from lstm_lab.config.fields import fields
    from lstm_lab.experiment import Experiment

    return sorted({row.path for row in fields(Experiment)})


def _value(rng: Random) -> str:
    value: Any = plain(rng)
    kinds = (
        str(rng.choice(NUMBERS)),
        rng.choice(WORDS),
        rng.choice(["[", "{", "{a: b", "*x", "&x", "!!set {}", "- 1", "[" * 4000]),
    )
    text = rng.choice([*kinds, yaml.safe_dump(value, default_flow_style=True).strip()]) if rng.random() < 0.9 else ""
    return text.replace("\0", "")


def overrides(rng: Random, shared: Path) -> list[Command]:
    """An experiment that is valid, with overrides that are not."""
    for name in ("series.csv", "texts.csv", "sequences.csv"):
        Path(name).write_bytes((shared / name).read_bytes())
    Path("x.yaml").write_text(yaml.safe_dump(base(rng)))
    words = []
    for _ in range(rng.choice([1, 1, 2, 4])):
        key = rng.choice(_keys()) if rng.random() < 0.8 else rng.choice(WORDS).replace("\0", "")
        words.append(f"{key}={_value(rng)}" if rng.random() < 0.95 else _value(rng))
    return [["train", "x.yaml", *words, "trainer.max_epochs=1"]]


def words(rng: Random, shared: Path) -> list[Command]:
    """Any words after any verb."""
    Path("x.yaml").write_text(yaml.safe_dump(base(rng)))
    Path("folder").mkdir()
    places = [
        str(shared / "runs" / "series"), str(shared / "runs" / "whole"), "x.yaml", "folder", "missing", ".",
        "/dev/null",
        LONG_NAME, "x.yaml/y", str(shared / "series.csv"), "\udcff", "~", "report", "csv=", "/proc/self/mem",
    ]  # fmt: skip
    found = [rng.choice(VERBS)]
    if found == ["data"]:
        found.append("inspect")
    for _ in range(rng.randrange(5)):
        draw = rng.random()
        found.append(
            rng.choice(OPTIONS)
            if draw < 0.3
            else rng.choice(places)
            if draw < 0.8
            else rng.choice(WORDS).replace("\0", "")
        )
    if found[0] == "watch":
        found.append("--once")
    return [found]
