"""Every field and every name, from a cache: to list, complete or refuse a key needs no torch.

The configurations stand beside what they build, so that to import them is to import torch, which takes seconds. What is
cached is found again as long as no file of the package has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from lstm_lab.config.fields import Field
from lstm_lab.config.paths import cache_folder
from lstm_lab.records.files import write_atomic

PACKAGE = Path(__file__).parent.parent


class Known(NamedTuple):
    """What can be configured."""

    experiment: list[Field]
    sweep: list[Field]
    kinds: dict[str, dict[str, str]]
    """Kind -> name -> what it is, in one line."""


def is_imported() -> bool:
    """Whether the configurations are imported already: then the cache saves nothing, and may lack a class."""
    return "lstm_lab.experiment" in sys.modules


def known() -> Known:
    """What can be configured: from the cache, else from the classes themselves."""
    if is_imported():
        return _from_classes()
    path = cache_folder() / f"fields-{_fingerprint()}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        experiment, sweep = ([Field(**row) for row in content[of]] for of in ("experiment", "sweep"))
        return Known(experiment, sweep, content["kinds"])
    found = _from_classes()
    with contextlib.suppress(OSError):  # Only slower without it.
        path.parent.mkdir(parents=True, exist_ok=True)
        for outdated in path.parent.glob("fields-*.json"):
            outdated.unlink(missing_ok=True)
        named = {"experiment": found.experiment, "sweep": found.sweep}
        rows = {of: [asdict(row) for row in each] for of, each in named.items()}
        write_atomic(path, json.dumps({**rows, "kinds": found.kinds}))
    return found


def _from_classes() -> Known:
    import inspect

    import lstm_lab.continual  # noqa: F401  Its methods are found by being imported.
    from lstm_lab.config.fields import fields
    from lstm_lab.config.registry import all_kinds
    from lstm_lab.experiment import Experiment
    from lstm_lab.sweeps.spec import Sweep

    kinds = {
        kind: {name: (inspect.getdoc(member) or "").split("\n")[0] for name, member in sorted(base.members.items())}
        for kind, base in all_kinds().items()
    }
    return Known(list(fields(Experiment)), list(fields(Sweep)), kinds)


def _fingerprint() -> str:
    """A hash that changes with any file of the package."""
    sha = hashlib.sha256(sys.version.encode())
    for folder, _, names in sorted(os.walk(PACKAGE)):
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                found = os.stat(path)
                sha.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return sha.hexdigest()[:16]
