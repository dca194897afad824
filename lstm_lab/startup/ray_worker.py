"""How a raylet starts a worker process: `python ray_worker.py --serialized-runtime-env-context=... COMMAND...`.

Ray's own script imports all of Ray, finds that no environment is to be prepared, and replaces itself by the command.
This one only looks, with the standard library. It leaves to Ray's own script whatever has something to prepare, and
every worker once those that it started do not come up: Ray may expect something else by now.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

CONTEXT, LANGUAGE = "--serialized-runtime-env-context=", "--language="
FOLDER = "LSTM_LAB_RAY_WORKERS"
"""Environment variable: the folder in which the workers of one Ray instance leave the files below."""
FIRST, UP, FELL_BACK = "first", "up", "fell-back"
"""Files: the first worker was started; one has come up; workers are started by Ray's own script from now on."""
MAX_SECONDS = 30.0
"""After so many seconds without a worker that came up, the next one is started by Ray's own script."""


def command(arguments: list[str]) -> list[str]:
    """The command line by which this script is to be replaced."""
    context = [argument.partition("=")[2] for argument in arguments if argument.startswith(CONTEXT)]
    rest = [argument for argument in arguments if not argument.startswith((CONTEXT, LANGUAGE))]
    is_empty = not any(any(json.loads(each or "{}").values()) for each in context)
    is_python = f"{LANGUAGE}PYTHON" in arguments and len(arguments) - len(rest) == len(context) + 1
    if is_empty and is_python and not has_failed():
        return [sys.executable, *rest]
    main = next(argument for argument in rest if argument.endswith(".py"))
    return [sys.executable, os.path.join(os.path.dirname(main), "setup_worker.py"), *arguments]


def has_failed() -> bool:
    """Whether workers have been started for a while and none has come up."""
    folder = os.environ.get(FOLDER)
    if folder is None or os.path.exists(os.path.join(folder, UP)):
        return False
    try:
        first = os.path.join(folder, FIRST)
        with contextlib.suppress(FileExistsError):
            open(first, "x").close()
        if time.time() - os.stat(first).st_mtime < MAX_SECONDS:
            return False
        open(os.path.join(folder, FELL_BACK), "w").close()
    except OSError:
        pass  # The folder has gone, and with it what would be known.
    return True


def came_up() -> None:
    """Called in a worker: the way in which it was started works."""
    if folder := os.environ.get(FOLDER):
        with contextlib.suppress(OSError):
            open(os.path.join(folder, UP), "w").close()


if __name__ == "__main__":
    os.execv(sys.executable, command(sys.argv[1:]))
