"""The fenced blocks of README and docs, and a folder in which they can be executed in a small version."""

from __future__ import annotations

import csv
import math
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sweeping import run_trials
from texts import corpus

from lstm_lab import config, tracking
from lstm_lab.experiment import load_experiment
from lstm_lab.records.run import Run
from lstm_lab.report import write_report
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.folder import SweepFolder

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

SMALL = {"trainer.max_epochs": 1, "trainer.patience": None, "model.hidden_size": 4, "data.batch_size": 64}
SMALLER = {"taylor": {"data.window": 96, "data.horizon": 8, "data.stride": 16, "data.seasons": [48]}}
"""Data -> what else makes an experiment quick."""


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    text: str
    reason: str | None
    """Why it is not run, as the comment before it says."""

    @property
    def commands(self) -> list[str]:
        """Of a shell block: its commands, without comments; in `console` they follow a prompt, the rest is output."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        if self.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found = [re.sub(r"(^|\s+)#.*", "", line).strip() for line in lines]
        return [line for line in found if line]

    @property
    def file(self) -> str | None:
        """The file that its first line names in a comment."""
        found = re.match(r"# ((?:[\w.-]+/)+[\w.-]+\.\w+)\n", self.text)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, lines = [], page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        fence = re.match(r"^(```+)\s*(\S*)", lines[number])
        if fence is None:
            number += 1
            continue
        end = next(n for n in range(number + 1, len(lines)) if lines[n].startswith(fence[1]))
        before = next((line for line in reversed(lines[:number]) if line.strip()), "")
        reason = re.fullmatch(r"<!-- not run: (.+) -->", before)
        text = "\n".join(lines[number + 1 : end]) + "\n"
        found.append(Block(number + 1, fence[2], text, reason[1] if reason else None))
        number = end + 1
    return found


def small(path: Path, folder: Path) -> None:
    """An experiment file of the repository in a version of one short epoch."""
    experiment = load_experiment(path)
    changes = {**SMALL, **SMALLER.get(experiment.data.name, {})}
    (folder / path.name).write_text(config.to_yaml(experiment.with_overrides(changes).dump()))


def execute_without_ray(folder: SweepFolder, **_: object) -> dict:
    """What `sweeps.execution.execute_sweep` does, on one thread."""
    run_trials(folder)
    return summary.write(folder, "disabled")


def sandbox(folder: Path) -> Path:
    """A folder with small experiments and sweeps, files of one's own, a finished sweep and finished runs."""
    (folder / "conf").mkdir(parents=True)
    (folder / "sweeps").mkdir()
    for name in ("vowels_lstm", "demand_lstm"):
        small(ROOT / "conf" / f"{name}.yaml", folder / "conf")
    for name in ("vowels_cells", "demand_cells"):
        text = (ROOT / "sweeps" / f"{name}.yaml").read_text()
        text = re.sub(r"^num_samples: .*$", "num_samples: 1", text, flags=re.M)
        text = re.sub(r"\{choice: \[.*?\]\}", "{choice: [3, 4]}", text)
        (folder / "sweeps" / f"{name}.yaml").write_text(
            text.replace("experiment: conf/", f"experiment: {folder}/conf/")
        )
    rows = [(datetime(2024, 1, 1) + timedelta(hours=hour), hour) for hour in range(24 * 60)]
    for name, span in (("load", rows[:1000]), ("newer", rows[800:])):
        with (folder / f"{name}.csv").open("w") as file:
            csv.writer(file).writerows(
                [("time", "load"), *((t.isoformat(), 50 + 9 * math.sin(h / 3.82)) for t, h in span)]
            )
    pd.DataFrame(corpus(), columns=["text", "mood"]).to_parquet(folder / "reviews.parquet")
    (folder / "book.txt").write_text("The cat sat on the mat. Then it slept. " * 40)
    finished(folder)
    return folder


def finished(folder: Path) -> None:
    """runs/vowels_cells-1 and a few runs, trained without Ray."""
    found = SweepFolder.create(
        folder / "runs" / "vowels_cells-1",
        load_sweep(folder / "sweeps" / "vowels_cells.yaml", ["seeds=[0]"]),
        command="",
    )
    execute_without_ray(found)
    write_report(found.path)
    trial = Run(found.path / "trials" / "t0000")
    for name in ("vowels_lstm-1", "gru-1", "ours-1", "old-1"):
        shutil.copytree(trial.path, folder / "runs" / name)
    other = shutil.copytree(trial.path, folder / "other" / "run")
    tracking.rewrite(Run(other), mode="offline")
    (folder / "theirs").mkdir()
    shutil.move(other / "wandb", folder / "theirs" / "wandb")
