"""How fast small recurrent models train here, in bare loops, in plain Lightning, and in other libraries.

    python benchmarks/training.py --write --others /path/to/environment/bin/python

Every contestant is a process of its own that trains epoch after epoch of the same windows with one thread, Adam and
clipping, and after each of them validates, writes a line of a record and a checkpoint; they take turns, an epoch each.
Compared are samples trained in a second of the process's CPU time, which other load on the machine disturbs least, and
the peak memory. `vowels` and `imdb` are epochs of shipped configurations: this library as it is, and with autograd, as
it trained before it could do without.

darts and neuralforecast need an environment of their own, whose interpreter `--others` names:

    python -m venv others && others/bin/pip install torch==2.13.0 darts neuralforecast
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import contestants as trained_by
from contestants import Shape, Turn

LAB, LAB_AUTOGRAD, LAB_TORCH_STEP = "lstm_lab", "lstm_lab, with autograd", "lstm_lab, torch's clipping and Adam"


class Question(NamedTuple):
    """What is trained."""

    title: str
    subject: Any
    """A `Shape`, or the path of a configuration."""
    samples: int
    """In an epoch."""
    contestants: dict[str, tuple[Callable[[Any, Turn], None], str]]
    """Name -> what trains, and the package that it needs."""
    rounds: int
    """By default."""


FORECASTERS: dict[str, tuple[Callable[[Any, Turn], None], str]] = {
    LAB: (trained_by.lab, "lstm_lab"),
    LAB_AUTOGRAD: (trained_by.with_autograd(trained_by.lab), "lstm_lab"),
    LAB_TORCH_STEP: (trained_by.with_torch_step(trained_by.lab), "lstm_lab"),
    "bare loop, kernel of lstm_lab": (trained_by.bare_fused, "lstm_lab"),
    "bare loop, torch nn.LSTM": (trained_by.bare, "torch"),
    "Lightning": (trained_by.lightning, "pytorch_lightning"),
    "darts": (trained_by.darts, "darts"),
    "neuralforecast": (trained_by.neuralforecast, "neuralforecast"),
}
CONFS: dict[str, tuple[Callable[[Any, Turn], None], str]] = {
    LAB: (trained_by.lab_conf, "lstm_lab"),
    LAB_AUTOGRAD: (trained_by.with_autograd(trained_by.lab_conf), "lstm_lab"),
}


def of_windows(window: int, horizon: int, batch: int, hidden: int, rounds: int) -> Question:
    """A forecaster of a series."""
    shape = Shape(window, horizon, batch, hidden)
    title = f"Window {window}, horizon {horizon}, B {batch}, H {hidden}"
    return Question(title, shape, shape.windows, FORECASTERS, rounds)


QUESTIONS = {
    "small": of_windows(24, 1, 32, 16, 9),
    "large": of_windows(96, 24, 64, 64, 5),
    "vowels": Question("JapaneseVowels, `conf/vowels_lstm.yaml`", "conf/vowels_lstm.yaml", 216, CONFS, 15),
    "imdb": Question("IMDB, `conf/imdb_lstm.yaml`", "conf/imdb_lstm.yaml", 20_000, CONFS, 2),
}


class Finished(Exception):
    """No further epoch is wanted."""


def work(name: str, question: Question) -> None:
    """The process of one contestant: an epoch for each line that it reads, a line of figures for each epoch."""
    import torch

    torch.set_num_threads(1)
    out, started = sys.stdout, [0.0, 0.0]
    sys.stdout = sys.stderr  # Lines of the libraries.

    def turn() -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {"cpu": time.process_time() - started[0], "wall": time.perf_counter() - started[1], "mib": peak}
        print(json.dumps(figures), file=out, flush=True)
        if not sys.stdin.readline():
            raise Finished
        started[:] = time.process_time(), time.perf_counter()

    question.contestants[name][0](question.subject, turn)


class Contestant:
    """A process that trains an epoch when told to."""

    def __init__(self, name: str, question: str, python: str) -> None:
        self.name, self.folder = name, tempfile.TemporaryDirectory()
        self.errors = (Path(self.folder.name) / "errors").open("w+")
        command = [python, str(Path(__file__).resolve()), "--work", name, "--shape", question]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            cwd=self.folder.name,
        )  # fmt: skip
        self.rows: list[dict[str, float]] = []

    def epoch(self, first: bool = False) -> dict[str, float]:
        """Train one; the first has no start to be told."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if not first:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise SystemExit(f"{self.name}: {self.errors.read()[-2000:]}")
        found: dict[str, float] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.errors.close()
        self.folder.cleanup()


def python_with(package: str, pythons: list[str]) -> tuple[str | None, str]:
    """The first interpreter that can import a package, or None and why."""
    reason = ""
    for python in pythons:
        done = subprocess.run([python, "-c", f"import {package}"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return python, ""
        reason = (done.stderr.strip().splitlines() or ["it does not start"])[-1]
    return None, reason


def compare(name: str, rounds: int | None, pythons: list[str]) -> list[str]:
    """A table of one question."""
    question = QUESTIONS[name]
    running, skipped = [], {}
    for contestant, (_, package) in question.contestants.items():
        python, reason = python_with(package, pythons)
        if python is None:
            skipped[contestant] = reason
        else:
            running.append(Contestant(contestant, name, python))
    try:
        for each in running:
            each.epoch(first=True)  # It warms caches and imports.
        for _ in range(rounds or question.rounds):
            for each in running:
                each.rows.append(each.epoch())
    finally:
        for each in running:
            each.close()
    return table(question, running, skipped)


def table(question: Question, running: list[Contestant], skipped: dict[str, str]) -> list[str]:
    """Lines of Markdown."""
    head = ["trained by", "samples/s of CPU time", "samples/s", "CPU time of lstm_lab's, same round", "peak MiB"]
    lines = [f"{question.title}, {len(running[0].rows)} rounds:", "", f"| {' | '.join(head)} |",
             f"|{'---|' * len(head)}"]  # fmt: skip
    ours = [row["cpu"] for row in running[0].rows]
    for each in running:
        rates = [statistics.median(question.samples / row[key] for row in each.rows) for key in ("cpu", "wall")]
        ratios = sorted(row["cpu"] / own for row, own in zip(each.rows, ours, strict=True))
        spread = f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        peak = max(row["mib"] for row in each.rows)
        lines.append(f"| {each.name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {spread} | {peak:.0f} |")
    return [*lines, "", *(f"{name}: skipped, {reason}." for name, reason in skipped.items()), ""]


def main() -> int:
    parser = argparse.ArgumentParser(description="Training speed beside other ways to train the same model.")
    parser.add_argument("--rounds", type=int, help="epochs of each contestant; by default more where they are short")
    parser.add_argument("--shape", choices=sorted(QUESTIONS), action="append", help="by default all")
    parser.add_argument("--others", help="another interpreter, for packages that this one lacks")
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/training.md")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.work, QUESTIONS[chosen.shape[0]])
        return 0
    pythons = [sys.executable, *([chosen.others] if chosen.others else [])]
    shown = ["others/bin/python" if word == chosen.others else word for word in sys.argv[1:]]
    command = shlex.join(["python", "benchmarks/training.py", *shown])
    report = [
        "# Training beside other ways to train the same model",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {platform.machine()}, one thread each. All validate and write a "
        "record and checkpoints. In a round each trains an epoch in turn. Where the machine had other load, compare "
        "the ratios, which are of the same round, and not the absolute figures.",
        "",
        "Medians; in brackets the least and the greatest ratio. Above 1x: slower than `lstm_lab`.",
        "",
    ]
    for name in chosen.shape or QUESTIONS:
        found = compare(name, chosen.rounds, pythons)
        print("\n".join(found), flush=True)
        report += found
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text("\n".join(report).rstrip("\n") + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
