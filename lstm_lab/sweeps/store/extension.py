"""A sweep is extended: more samples, more seeds for its best configurations, other limits.

Each extension is a version of the question. The record says which one added a trial: 0 is the sweep as it was started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lstm_lab import config
from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.config.validation import validate
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store.folder import SweepFolder

LIMITS = ("budget", "patience_trials")
"""Sections of a sweep that an extension may change besides: what ends the search."""


class Addition(NamedTuple):
    """What a sweep is extended by."""

    samples: int | None = None
    """More configurations, for each combination of the grids."""
    seeds: Sequence[int] = ()
    """More seeds for the best configurations, which are confirmed with these, with those of the search, and with those
    of an earlier confirmation."""
    top: int | None = None
    """How many of the best; None: as many as before, else 3."""
    limits: Mapping[str, object] = {}
    """Dotted key -> new value of `budget` and `patience_trials`."""


def extended(sweep: Sweep, added: Addition, where: str) -> Sweep:
    """A sweep with more samples or seeds.

    Args:
        where: the sweep's folder, for messages.

    Raises:
        ConfigError: nothing would be added, or the sweep cannot have it.
    """
    samples, seeds, top, limits = added
    if sweep.is_population_based:
        raise ConfigError(f"{where}: the trials of scheduler {sweep.scheduler.name} are one population, which cannot "
                          "grow: start another sweep with a larger num_samples")  # fmt: skip
    wrong = next((key for key in limits if key.partition(".")[0] not in LIMITS), None)
    if wrong is not None:
        raise ConfigError(f"{where}: {wrong}: an extension changes {', '.join(LIMITS)}, samples and seeds; for another "
                          f"space or searcher, start another sweep with warm_start: [{where}]")  # fmt: skip
    changes: Row = dict(limits)
    if samples is not None:
        changes["num_samples"] = sweep.num_samples + samples
    if top is not None and not seeds and sweep.confirm is None:
        raise ConfigError(f"--top {top}: has no effect without --seeds: give them")
    if seeds or top is not None:
        before = sweep.confirm.seeds if sweep.confirm else sweep.seeds
        known = sweep.confirm.top if sweep.confirm else 3
        changes["confirm"] = {"top": top or known, "seeds": [*dict.fromkeys((*before, *seeds))]}
    new = validate(Sweep, config.merge(sweep.dump(), changes), where)
    if new == sweep:
        raise ConfigError(f"{where}: nothing is added: give --samples 20, or --seeds 3,4,5 for the best configurations")
    return new


def extend(folder: SweepFolder, added: Addition, command: str = "") -> Row:
    """Write down a further version of a sweep, to be resumed.

    Args:
        command: for the record.

    Returns:
        The row of the extension in about.json.

    Raises:
        ConfigError: nothing would be added, the sweep cannot have it, or another process works on it.
    """
    with folder.lock():
        sweep, about = folder.sweep, folder.about
        new = extended(sweep, added, str(folder.path))
        before, after = sweep.dump(), new.dump()
        changed = [key for key in after if canonical_json(after[key]) != canonical_json(before[key])]
        ended = about.get("ended")
        if ended and added.samples is not None and not set(changed) & set(LIMITS):
            raise ConfigError(f"{folder.path}: the search ended early ({ended}), and would end at once: give a higher "
                              "limit too, as budget.epochs=900")  # fmt: skip
        row: Row = {
            "version": len(about.get("extensions") or []) + 1,
            "at": files.now(),
            "command": command,
            "changes": {key: {"old": before[key], "new": after[key]} for key in changed},
        }
        # More seeds alone leave the search as it has ended.
        again = ("ended", "confirmed") if set(changed) - {"confirm"} else ("confirmed",)
        kept = {key: value for key, value in about.items() if key not in again}
        # First: a repair completes an extension of which sweep.yaml knows nothing yet.
        files.write_json(
            folder.path / files.ABOUT, {**kept, "sweep": after, "extensions": [*(about.get("extensions") or []), row]}
        )
        files.write_atomic(folder.path / files.SWEEP, config.to_yaml(after))
        return row


def is_before(written: Row, about: Row) -> bool:
    """Whether a sweep, as sweep.yaml has it, is the one that the last extension in about.json has changed."""
    extensions = about.get("extensions") or []
    if not extensions:
        return False
    old = {key: change["old"] for key, change in extensions[-1]["changes"].items()}
    return canonical_json({**about["sweep"], **old}) == canonical_json(written)


def describe_changes(row: Row) -> str:
    """The changes of an extension in one line: `num_samples 4 -> 24`."""
    changes = row["changes"].items()
    return ", ".join(f"{key} {_short(change['old'])} -> {_short(change['new'])}" for key, change in changes)


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_short(each)}" for key, each in value.items() if each is not None)
    if value is None:
        return "none"
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
