"""How the raylet begins a worker process: `python worker.py --serialized-runtime-env-context=... COMMAND...`.

Ray's own script imports all of Ray, reads that there is nothing to prepare, and starts Python anew. This one only
looks, and leaves to Ray's own whatever has something to prepare.
"""

from __future__ import annotations

import json
import os
import sys

CONTEXT, LANGUAGE = "--serialized-runtime-env-context=", "--language="


def command(arguments: list[str]) -> list[str]:
    """What to run instead of this script."""
    told = [argument.partition("=")[2] for argument in arguments if argument.startswith(CONTEXT)]
    rest = [argument for argument in arguments if not argument.startswith((CONTEXT, LANGUAGE))]
    plain = f"{LANGUAGE}PYTHON" in arguments and not any(any(json.loads(each or "{}").values()) for each in told)
    if plain and len(arguments) - len(rest) == len(told) + 1:
        return [sys.executable, *rest]
    script = next(argument for argument in rest if argument.endswith(".py"))
    return [sys.executable, os.path.join(os.path.dirname(script), "setup_worker.py"), *arguments]


if __name__ == "__main__":
    os.execv(sys.executable, command(sys.argv[1:]))
