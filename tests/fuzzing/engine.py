"""Runs the command on one input after another, in this process, and judges how it ends."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

EXIT_CODES = {0, 1, 2, 3, 4, 130}
"""Those of the README."""
LIMIT_SECONDS = 30
Command = list[str]
Generator = Callable[[Random, Path], list[Command]]
"""Writes an input into the current folder, given the folder of the shared runs, and returns commands to try on it."""


class Hang(BaseException):
    """The command did not end in time."""


@dataclass(frozen=True)
class Failure:
    """An input on which the command failed, and how."""

    seed: int
    index: int
    command: Command
    reason: str

    def __str__(self) -> str:
        words = " ".join(ascii(word) for word in self.command)
        return f"seed {self.seed}, input {self.index}: lstm-lab {words[:300]}\n{self.reason}"


def run_command(words: Command) -> str:
    """What is wrong with how `lstm-lab WORDS` ends; empty where nothing is."""
    from lstm_lab.__main__ import main

    # As a terminal in UTF-8 has them: standard error escapes what it cannot encode, standard output does not.
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    code: object = None
    try:
        with (
            mock.patch.object(sys, "argv", ["lstm-lab", *words]), contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err), warnings.catch_warnings(),
        ):  # fmt: skip
            main()
    except SystemExit as end:
        code = end.code
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        return "".join([*traceback.format_list(ours[-6:]), *traceback.format_exception_only(error)[-1:]])
    printed = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]  # type: ignore[attr-defined]
    if code not in EXIT_CODES:
        return f"exit code {code}"
    if any("Traceback (most recent call last)" in text for text in printed):
        return f"a traceback is printed\n{''.join(printed)}"
    lines = [line for line in printed[1].splitlines() if line.startswith("lstm-lab: ")]
    if code in (1, 2, 3, 130) and (len(lines) != 1 or not printed[1].endswith(f"{lines[0]}\n")):
        return f"exit code {code}, but the error is not one last line\n{printed[1]}"
    if lines and len(lines[0]) > 3000:
        return f"the error has {len(lines[0])} characters"
    return ""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Hang where the block takes longer: seconds of the processor, or twenty times as many by the clock.

    On a busy machine an input takes many times as long as on a quiet one, but computes no more.
    """

    def ring(number: int, frame: object) -> None:
        raise Hang

    timers = {signal.ITIMER_PROF: (signal.SIGPROF, seconds), signal.ITIMER_REAL: (signal.SIGALRM, 20 * seconds)}
    before = {number: signal.signal(number, ring) for number, _ in timers.values()}
    for timer, (_, limit) in timers.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def try_input(seed: int, index: int, generators: dict[Generator, int], shared: Path) -> Failure | None:
    """Draw an input and try its commands on it, in a folder of its own."""
    rng = Random(f"{seed}:{index}")
    generator = rng.choices(list(generators), list(generators.values()))[0]
    here, command = os.getcwd(), [f"({generator.__name__})"]
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            for command in generator(rng, shared):
                with time_limit(LIMIT_SECONDS):
                    reason = run_command(command)
                if reason:
                    return Failure(seed, index, command, reason)
        except Hang:
            return Failure(
                seed, index, command, f"not over after {LIMIT_SECONDS} seconds of computing\n{traceback.format_exc()}"
            )
        finally:
            os.chdir(here)
    return None


@contextlib.contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """Runs and caches below a folder, no W&B, and a sweep that starts no Ray."""
    execution = importlib.import_module("lstm_lab.sweeps.execution")
    environment = {
        "LSTM_LAB_RUNS": str(folder / "runs"), "LSTM_LAB_CACHE": str(folder / "cache"), "WANDB_MODE": "disabled",
        "HOME": str(folder / "home"), "COLUMNS": "160",
    }  # fmt: skip
    with mock.patch.dict(os.environ, environment), mock.patch.object(execution, "execute_sweep", without_ray):
        os.environ.pop("LSTM_LAB_DATA", None)
        yield


def without_ray(folder: object, **_: object) -> object:
    """What a resumed sweep does before the first trial and after the last, but no trial."""
    import threading

    from lstm_lab.config import Interrupted
    from lstm_lab.sweeps.execution.driver import phases
    from lstm_lab.sweeps.store import summary
    from lstm_lab.sweeps.store.folder import SweepFolder

    assert isinstance(folder, SweepFolder)
    for phase in phases(folder):
        source = phase(folder, "disabled", threading.Event(), lambda: 0.0)
        if source.num_remaining:
            raise Interrupted("interrupted")
        source.conclude()
    return summary.write(folder, "disabled")
