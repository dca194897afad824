"""Folders of runs and sweeps with something wrong in them: values of another type, files cut, gone, or replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing.configurations import DATA, SPACE
from fuzzing.engine import Command
from fuzzing.values import LONG_NAME, damage, misplace, mutate, plain

GOLDEN = Path(__file__).parents[1] / "golden" / "format_1"
RUNS = ("series", "texts", "sequences", "interrupted")
SWEEPS = ("whole", "part", "pbt-1", "cells-1", "optuna_cut")


def make_shared(folder: Path) -> None:
    """Data files, trained runs, and sweeps that have ended or not; made once."""
    from sweeping import run_trials

    from lstm_lab.evaluation.evaluate import evaluate
    from lstm_lab.experiment import Experiment
    from lstm_lab.records.run import Run
    from lstm_lab.report import write_report
    from lstm_lab.sweeps.spec import Sweep
    from lstm_lab.sweeps.store import summary
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.workflow import run_experiment

    rng = Random(0)
    hours = [f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00" for i in range(120)]
    (folder / "series.csv").write_text(
        "time,load,temp\n"
        + "".join(f"{hour},{50 + i % 24 + rng.random():.2f},{i % 7}\n" for i, hour in enumerate(hours))
    )
    (folder / "texts.csv").write_text(
        "text,label\n" + "".join(f"a {'good' if i % 2 else 'bad'} film number {i % 9},{i % 2}\n" for i in range(40))
    )
    (folder / "sequences.csv").write_text(
        "id,x,label\n" + "".join(f"s{i // 5},{rng.random():.3f},{'ab'[i // 5 % 2]}\n" for i in range(150))
    )
    tasks = {"series": "forecast", "texts": "classify", "sequences": "classify"}
    experiments = {
        name: Experiment.of({
            "data": {**DATA[number], "path": str(folder / f"{name}.csv")}, "task": {"name": task},
            "model": {"hidden_size": 2}, "trainer": {"max_epochs": 2, "patience": None, "accelerator": "cpu"},
        })
        for number, (name, task) in enumerate(tasks.items())
    }  # fmt: skip
    for name, experiment in experiments.items():
        run_experiment(
            experiment, run := Run.create(folder / "runs" / name, experiment.dump(), command="lstm-lab train x")
        )
        evaluate(run)
        write_report(run.path)
    shutil.copytree(folder / "runs" / "sequences", folder / "runs" / "interrupted")
    (folder / "runs" / "interrupted" / "status.json").write_text(
        '{"state": "interrupted", "at": "2024-01-01T00:00:00"}'
    )
    content = {
        "experiment": experiments["sequences"].with_overrides({"trainer.max_epochs": 1}).dump(), "num_samples": 2,
        "space": {"optimizer.lr": SPACE["optimizer.lr"], "model.cell": {"grid": ["lstm", "gru"]}},
        "title": "Which cell?",
    }  # fmt: skip
    for name, limit in (("whole", 9), ("part", 2)):
        found = SweepFolder.create(
            folder / "runs" / name, Sweep.model_validate(content), command="lstm-lab sweep s.yaml"
        )
        run_trials(found, limit)
        if name == "whole":
            summary.write(found, "disabled")
            write_report(found.path)
    for name in SWEEPS[2:]:
        shutil.copytree(GOLDEN / "folders" / name, folder / "runs" / name)


def _change(rng: Random, path: Path) -> None:
    """One file changed: what it says, its bytes, or what it is."""
    draw = rng.random()
    if not path.is_file():
        return
    if draw < 0.65 and path.suffix in (".json", ".jsonl", ".yaml"):
        try:
            path.write_text(_changed(rng, path), errors="surrogatepass")
        except (ValueError, RecursionError, yaml.YAMLError):  # Changed before.
            path.write_bytes(damage(rng, path.read_bytes()))
    elif draw < 0.75 and path.suffix in (".json", ".jsonl"):
        path.write_text(json.dumps(plain(rng)) + "\n")
    elif draw < 0.9:
        path.write_bytes(damage(rng, path.read_bytes()))
    else:
        misplace(rng, path)


def _changed(rng: Random, path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".yaml":
        return str(yaml.safe_dump(mutate(rng, yaml.safe_load(text))))
    if path.suffix == ".json":
        return json.dumps(mutate(rng, json.loads(text)))
    rows: Any = mutate(rng, [json.loads(line) for line in text.splitlines() if line.strip()])
    return "".join(json.dumps(row) + "\n" for row in (rows if isinstance(rows, list) else [rows]))


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "report.html"))
    # Checkpoints have a generator of their own; of a trial's files fewer are drawn than of the sweep's.
    return [path for path in found if path.suffix != ".ckpt"]


def run(rng: Random, shared: Path) -> list[Command]:
    """A run, read by every command that reads one."""
    name = rng.choice(RUNS)
    shutil.copytree(shared / "runs" / name, "r")
    for path in rng.sample(_files(Path("r")), rng.choice([1, 1, 1, 2])):
        _change(rng, path)
    if rng.random() < 0.1:
        misplace(rng, Path("r") / rng.choice(["checkpoints", "lock", "tests.jsonl", "report.html"]))
    data = str(shared / f"{'sequences' if name == 'interrupted' else name}.csv")
    commands = [
        ["report", "r", "--to", rng.choice(["html", "markdown", "json"])], ["evaluate", "r"], ["predict", "r", data],
        ["compare", "r", str(shared / "runs" / "sequences"), "--out", "c.html"], ["resume", "r"], ["train",
        "--resume", "r"],
        ["evaluate", "--json", "r"], ["compare", "r"], ["watch", "--once", "r"],
    ]  # fmt: skip
    return rng.sample(commands, 2)


def sweep(rng: Random, shared: Path) -> list[Command]:
    """A sweep, read by every command that reads one."""
    name = rng.choice(SWEEPS)
    shutil.copytree(shared / "runs" / name, "s")
    found = _files(Path("s"))
    own = [path for path in found if path.parent == Path("s")]
    for _ in range(rng.choice([1, 1, 1, 2])):
        _change(rng, rng.choice(own if rng.random() < 0.6 else found))
    if rng.random() < 0.08:
        misplace(rng, Path("s") / rng.choice(["trials", "lock", "trials/t0000", "report.html", "best.yaml"]))
    commands = [
        ["report", "s", "--to", rng.choice(["html", "markdown", "json"])], ["evaluate", "s"], ["watch", "--once",
        "s"],
        ["predict", "s", str(shared / "sequences.csv")], ["compare", "s", str(shared / "runs" / "sequences")],
        ["resume", "s"], ["resume", "s"], ["train", "s/best.yaml", "trainer.max_epochs=1"], ["convert",
        "s/sweep.yaml"],
    ]  # fmt: skip
    return rng.sample(commands, 2)


def checkpoint(rng: Random, shared: Path) -> list[Command]:
    """A run whose checkpoints hold something else."""
    import torch

    shutil.copytree(shared / "runs" / rng.choice(RUNS), "r")
    for path in sorted(Path("r", "checkpoints").glob("*.ckpt")):
        draw = rng.random()
        if draw < 0.4:
            path.write_bytes(damage(rng, path.read_bytes()))
        elif draw < 0.5:
            misplace(rng, path)
        else:
            content = torch.load(path, weights_only=True)
            if rng.random() < 0.5:
                key = rng.choice(list(content["state_dict"]))
                weights = content["state_dict"]
                weights[key] = rng.choice(
                    [None, 1, torch.zeros(0), torch.full_like(weights[key], float("nan")), weights[key].int()]
                )
            else:
                content = rng.choice([
                    {**content, "callbacks": plain(rng)}, {**content, "learner": plain(rng)}, {**content,
                    "state_dict": plain(rng)},
                    {**content, "callbacks": {"Keeper": plain(rng)}}, {**content,
                    "callbacks": {"Keeper": {"epochs": plain(rng)}}},
                    {**content, "optimizer_states": plain(rng)}, {**content, "loops": plain(rng)}, {**content,
                    "epoch": plain(rng)},
                    plain(rng), {"a": 1}, {**content, "lr_schedulers": plain(rng)}, {**content, LONG_NAME: 1},
                    {**content, "optimizer_states": [{"state": {}, "param_groups": []}]}, {**content,
                    "pytorch-lightning_version": 3},
                ])  # fmt: skip
            torch.save(content, path)
    return rng.sample(
        [["evaluate", "r"], ["resume", "r"], ["predict", "r", str(shared / "sequences.csv")], ["report", "r"]], 2
    )
