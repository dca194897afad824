"""What a sweep costs beside the training.

    python benchmarks/overhead.py script --rounds 3     # against the script that a person would write
    python benchmarks/overhead.py seconds               # 200 trials of a second: the share that is not training
    python benchmarks/overhead.py many --trials 10000   # the driver's time and memory per trial
    python benchmarks/overhead.py startup --rounds 5    # what each part of lstm_lab/startup saves
    python benchmarks/overhead.py page                  # benchmarks/overhead.md from the measurements

Each writes its numbers, with command, date and machine, into benchmarks/sweeping/*.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "sweeping"
SWEEP = """# How much of a sweep of short trials is training?
experiment:
  data: {name: japanese_vowels, batch_size: 32}
  task: {name: classify, monitor: loss}
  model: {hidden_size: 64, pooling: mean}
  trainer: {max_epochs: %d, patience: null}
space:
  optimizer.lr: {loguniform: [1e-4, 1e-2]}
num_samples: %d
"""


def machine() -> dict[str, Any]:
    import ray
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    words = ["python", "benchmarks/overhead.py", *sys.argv[1:]]
    return {
        "command": shlex.join(words), "date": str(date.today()), "cpu": cpu, "cores": os.cpu_count(),
        "torch": torch.__version__, "ray": ray.__version__,
    }  # fmt: skip


def save(name: str, content: dict[str, Any]) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps({**machine(), **content}, indent=1) + "\n")
    print(json.dumps(content, indent=1))


def timed(arguments: list[str], folder: Path, more: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Wall and CPU seconds of a process with all that it starts, and its output."""
    environment = {**os.environ, "LSTM_LAB_RUNS": str(folder / "runs"), "WANDB_MODE": "offline",
                   "PYTHONPATH": f"{Path.cwd()}:{os.environ.get('PYTHONPATH', '')}", **(more or {})}  # fmt: skip
    marker, spent, stop = f"LSTM_LAB_RUNS={folder}".encode(), {}, threading.Event()
    ours: dict[str, bool] = {}

    def watch() -> None:
        # Ray's processes are no children of ours: the environment that they inherit shows whose they are.
        while not stop.wait(0.3):
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    if entry.name not in ours:
                        ours[entry.name] = marker in (entry / "environ").read_bytes()
                    if ours[entry.name]:
                        fields = (entry / "stat").read_text().rpartition(")")[2].split()
                        spent[entry.name] = int(fields[11]) + int(fields[12])
                except OSError:
                    continue

    watcher, started = threading.Thread(target=watch), time.monotonic()
    watcher.start()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    wall = time.monotonic() - started
    stop.set()
    watcher.join()
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return wall, sum(spent.values()) / os.sysconf("SC_CLK_TCK"), done.stdout


def against_a_script(rounds: int) -> None:
    """The same twelve trials by a script and by `lstm-lab sweep`, in turns."""
    table = []
    for number in range(rounds):
        row: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
        for name in ("script", "sweep") if number % 2 == 0 else ("sweep", "script"):
            folder = Path(tempfile.mkdtemp(prefix="ov-", dir="/tmp"))
            if name == "script":
                wall, cpu, out = timed([str(RESULTS / "script.py"), str(folder)], folder)
                result = next(line for line in out.splitlines() if line.startswith('{"lr"'))
                row["script best"] = json.loads(result)["val_loss"]
            else:
                wall, cpu, _ = timed(["-m", "lstm_lab", "sweep", str(RESULTS / "ours.yaml"), "--name", "x"], folder)
                content = json.loads((folder / "runs/x/summary.json").read_text())
                row["sweep trials"], row["sweep W&B"] = content["trials"], content["wandb"]
                row["sweep best"] = content["winner"]["validation"]["loss"]
            row[name], row[f"{name} CPU"] = round(wall, 1), round(cpu, 1)
            shutil.rmtree(folder, ignore_errors=True)
        row["ratio"] = round(row["script"] / row["sweep"], 2)
        row["ratio CPU"] = round(row["script CPU"] / row["sweep CPU"], 2)
        print(row, flush=True)
        table.append(row)
    save("script", {"rounds": table, "ratio": statistics.median(row["ratio"] for row in table)})


def seconds_each(trials: int, epochs: int) -> None:
    """Many short trials: the share of the time of both cores, after the first minute, that is not training."""
    folder = Path(tempfile.mkdtemp(prefix="ov-", dir="/tmp"))
    (folder / "short.yaml").write_text(SWEEP % (epochs, trials))
    started = time.time()
    load = [os.getloadavg()[0]]
    wall, cpu, _ = timed(["-m", "lstm_lab", "sweep", str(folder / "short.yaml"), "--name", "x"], folder)
    load.append(os.getloadavg()[0])
    spans = []
    for path in (folder / "runs/x/trials").glob("t*/metrics.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        end = path.stat().st_mtime - started
        spans.append((end - rows[-1]["seconds"], end))
    slots, after = os.cpu_count() or 1, 60.0
    last = max(end for _, end in spans)
    busy = sum(max(0.0, end - max(start, after)) for start, end in spans)
    # The end of a sweep, when one core has no trial left, is not the middle of one.
    overhead = 1 - busy / (slots * (last - after))
    shutil.rmtree(folder, ignore_errors=True)
    save("seconds", {
        "trials": len(spans), "epochs": epochs, "wall": round(wall, 1), "CPU": round(cpu, 1),
        "load": [round(each, 1) for each in load], "first trial after": round(min(start for start, _ in spans), 1),
        "seconds a trial": round(statistics.median(end - start for start, end in spans), 2),
        "overhead after the first minute": round(overhead, 3),
        "overhead of the whole": round(1 - sum(end - start for start, end in spans) / (slots * wall), 3),
    })  # fmt: skip


def many(trials: int) -> None:
    """A sweep whose trials train nothing; the driver's time and memory are sampled every second."""
    from rich.console import Console

    from lstm_lab.sweeps.execution import driver
    from lstm_lab.sweeps.spec import load_sweep
    from lstm_lab.sweeps.store.folder import SweepFolder

    sys.path.insert(0, str(RESULTS))
    os.environ["PYTHONPATH"] = f"{RESULTS}:{Path.cwd()}"
    import trivial

    driver.TrialTrainable = trivial.TrivialTrainable
    driver.summary.write = lambda folder, wandb: {}  # done once at the end, and not measured here
    folder = Path(tempfile.mkdtemp(prefix="ov-", dir="/tmp"))
    (folder / "many.yaml").write_text(SWEEP % (1, trials))
    sweep = SweepFolder.create(folder / "many", load_sweep(folder / "many.yaml"))
    rows: list[dict[str, float]] = []
    stop, started = threading.Event(), time.monotonic()

    def watch() -> None:
        while not stop.wait(1.0):
            path = sweep.path / "trials.jsonl"
            done = path.read_bytes().count(b"\n") if path.exists() else 0
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            rows.append({"trials": done, "wall": time.monotonic() - started, "cpu": time.process_time(),
                         "mb": pages * resource.getpagesize() / 1e6})  # fmt: skip

    watcher = threading.Thread(target=watch)
    watcher.start()
    with (folder / "output.txt").open("w") as file:
        driver.run_phases(sweep, wandb="disabled", console=Console(file=file, width=200))
    stop.set()
    watcher.join()
    ended = sum(trial.state == "finished" for trial in sweep.trials())
    steps, table = max(1, trials // 10), []
    for low in range(0, trials, steps):
        inside = [row for row in rows if low <= row["trials"] <= low + steps]
        if len(inside) > 1 and (count := inside[-1]["trials"] - inside[0]["trials"]):
            table.append({
                "to": int(inside[-1]["trials"]),
                **{f"{key} ms": round(1e3 * (inside[-1][key] - inside[0][key]) / count, 2) for key in ("wall", "cpu")},
                "kB": round(1e3 * (inside[-1]["mb"] - inside[0]["mb"]) / count, 2), "MB": round(inside[-1]["mb"]),
            })  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    save("many", {"trials": trials, "finished": ended, "table": table})


IMPORT = "from lstm_lab.startup import lazy_imports\n{}\nlazy_imports.install()\nimport lstm_lab.training.train"
RAY = """
import pathlib, tempfile
scratch = pathlib.Path(tempfile.mkdtemp(prefix="ov-", dir="/tmp"))
from lstm_lab.sweeps.execution.ray_environment import environment, local_settings
with environment(local_settings(scratch)):
    import ray
    from lstm_lab.sweeps.execution.ray_cluster import start_local
    start_local()
    ray.shutdown()
"""
STARTUP: dict[str, tuple[str, dict[str, str]]] = {
    "import for training, nothing lazy": (IMPORT.format(""), {"LSTM_LAB_LEAN": "0"}),
    "the same, scipy.signal lazy": (IMPORT.format("del lazy_imports.STAND_INS['torch._dynamo']"), {}),
    "the same, torch._dynamo lazy": (IMPORT.format("del lazy_imports.STAND_INS['scipy.signal']"), {}),
    "the same, both lazy": (IMPORT.format(""), {}),
    "local Ray, started and ended": (RAY, {"LSTM_LAB_LEAN": "0"}),
    "the same without helper processes": (RAY, {}),
}
"""What is measured -> code of a process, and its environment."""


def startup(rounds: int) -> None:
    """Whole processes, in turns: with and without each part of lstm_lab/startup."""
    walls: dict[str, list[float]] = {name: [] for name in STARTUP}
    cpus: dict[str, list[float]] = {name: [] for name in STARTUP}
    load = [os.getloadavg()[0]]
    for number in range(rounds):
        names = list(STARTUP)
        for name in names if number % 2 == 0 else names[::-1]:
            code, environment = STARTUP[name]
            folder = Path(tempfile.mkdtemp(prefix="ov-", dir="/tmp"))
            wall, cpu, _ = timed(["-c", code], folder, environment)
            walls[name].append(wall)
            cpus[name].append(cpu)
            shutil.rmtree(folder, ignore_errors=True)
    load.append(os.getloadavg()[0])
    rows = [
        {"what": name, "wall": round(statistics.median(walls[name]), 2), "fastest": round(min(walls[name]), 2),
         "CPU": round(statistics.median(cpus[name]), 2)}
        for name in STARTUP
    ]  # fmt: skip
    save("startup", {"rounds": rounds, "load": [round(each, 1) for each in load], "table": rows})


def page() -> None:
    """benchmarks/overhead.md."""
    held = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}

    def head(one: dict[str, Any]) -> list[str]:
        return [f"`{one['command']}`, {one['date']}; {one['cpu']}, {one['cores']} cores, torch {one['torch']}, "
                f"ray {one['ray']}.", ""]  # fmt: skip

    lines = ["# What a sweep costs beside the training", ""]
    if one := held.get("script"):
        lines += ["## Against the script that a person would write", "", *head(one)]
        lines += ["Twelve learning rates of an LSTM on JapaneseVowels, 20 epochs each, ASHA, two CPUs, W&B offline,",
                  "from the start of the process to its end: `sweeping/script.py` (Ray Tune's function trainable,",
                  "Lightning, WandbLogger) against `lstm-lab sweep` (records, checkpoints, W&B, report), in turns.",
                  "The goal was 4x.", "",
                  "| round | script, s | lstm-lab sweep, s | ratio | script, CPU s | sweep, CPU s | ratio | load |",
                  "|---|---|---|---|---|---|---|---|"]  # fmt: skip
        lines += [f"| {place + 1} | {row['script']} | {row['sweep']} | {row['ratio']} | "
                  f"{row['script CPU']} | {row['sweep CPU']} | {row['ratio CPU']} | {row['load']} |"
                  for place, row in enumerate(one["rounds"])]  # fmt: skip
        lines += [f"\nMedian ratio {one['ratio']}.", ""]
    if one := held.get("seconds"):
        lines += [f"## {one['trials']} trials of a second", "", *head(one),
                  f"A trial trained for {one['seconds a trial']} s (median); the first started after "
                  f"{one['first trial after']} s, the sweep took {one['wall']} s. After the first minute "
                  f"{100 * one['overhead after the first minute']:.1f}% of the time of the cores was not training; "
                  f"of the whole, {100 * one['overhead of the whole']:.1f}%. The goal was 10%. "
                  f"Load of the machine before and after: {one['load'][0]} and {one['load'][1]}.", ""]  # fmt: skip
    if one := held.get("startup"):
        lines += ["## Start-up", "", *head(one),
                  f"Whole processes in turns, {one['rounds']} rounds; CPU time includes all processes that they start. "
                  f"Load of the machine before and after: {one['load'][0]} and {one['load'][1]}. "
                  "`LSTM_LAB_LEAN=0` switches all of it off.", "",
                  "| process | wall, s (median) | fastest, s | CPU, s |", "|---|---|---|---|"]  # fmt: skip
        lines += [f"| {row['what']} | {row['wall']} | {row['fastest']} | {row['CPU']} |" for row in one["table"]]
        lines += [""]
    if one := held.get("many"):
        lines += [f"## {one['trials']} trials that train nothing", "", *head(one),
                  "The driver's wall clock, CPU time and memory for each further trial; flat was the goal. "
                  f"{one['finished']} of {one['trials']} trials finished.", "",
                  "| trials until | wall, ms per trial | driver's CPU, ms per trial | kB per trial | MB in all |",
                  "|---|---|---|---|---|"]  # fmt: skip
        lines += [
            f"| {row['to']} | {row['wall ms']} | {row['cpu ms']} | {row['kB']} | {row['MB']} |" for row in one["table"]
        ]
    (Path(__file__).parent / "overhead.md").write_text("\n".join(lines).rstrip() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["script", "seconds", "many", "startup", "page"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--epochs", type=int, default=30)
    chosen = parser.parse_args()
    if chosen.what == "script":
        against_a_script(chosen.rounds)
    elif chosen.what == "seconds":
        seconds_each(chosen.trials or 200, chosen.epochs)
    elif chosen.what == "many":
        many(chosen.trials or 10_000)
    elif chosen.what == "startup":
        startup(chosen.rounds)
    page()


if __name__ == "__main__":
    main()
