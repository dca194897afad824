"""A sweep is extended: more samples, more seeds for its best configurations, other limits, or a new search.

Each extension is a version of the question. The record says which one added a trial: 0 is the sweep as it was started.
Another space, searcher or scheduler begins a new search, beside what was found: its configurations are those of a sweep
that is started so, with the earlier results as its warm start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lstm_lab import config
from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.config.registry import Registered
from lstm_lab.config.validation import validate
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.sweeps.schedulers import Scheduler
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.space.yaml import flatten_space
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store.folder import SweepFolder, results_in_space
from lstm_lab.sweeps.store.leaderboard import ENDED

LIMITS = ("budget", "patience_trials", "compromise")
"""Sections of a sweep that an extension may change besides: what ends the search, and what chooses on its front."""
SEARCH = ("space", "constraints", "searcher", "scheduler", "seed", "max_concurrent_trials")
"""Those that begin a new search."""
SECTIONS: dict[str, type[Registered]] = {"searcher": Searcher, "scheduler": Scheduler}
"""Key of a sweep whose section is chosen by its name -> what it is chosen from."""


class Addition(NamedTuple):
    """What a sweep is extended by."""

    samples: int | None = None
    """More configurations, for each combination of the grids."""
    seeds: Sequence[int] = ()
    """More seeds for the best configurations, which are confirmed with these, with those of the search, and with those
    of an earlier confirmation."""
    top: int | None = None
    """How many of the best; None: as many as before, else 3."""
    changes: Mapping[str, object] = {}
    """Dotted key -> new value, of the sections in `LIMITS` and `SEARCH`. A hyperparameter of the space that is None is
    no longer searched."""


def extended(sweep: Sweep, added: Addition, where: str) -> Sweep:
    """A sweep with more samples or seeds, or with a new search.

    Args:
        where: the sweep's folder, for messages.

    Raises:
        ConfigError: nothing would be added, or the sweep cannot have it.
    """
    samples, seeds, top, given = added
    _check_population(sweep, where)
    wrong = next((key for key in given if key.partition(".")[0] not in (*LIMITS, *SEARCH)), None)
    if wrong is not None:
        raise ConfigError(f"{where}: {wrong}: an extension changes {', '.join((*LIMITS, *SEARCH))}, samples and seeds; "
                          "for another experiment, start another sweep")  # fmt: skip
    content = with_changes(sweep.dump(), given, where)
    changes: Row = {}
    if starts_search(given):
        changes = _new_search(sweep, validate(Sweep, {**content, "num_samples": 1}, where), added, where)
    elif samples is not None:
        changes["num_samples"] = sweep.num_samples + samples
    if top is not None and not seeds and sweep.confirm is None:
        raise ConfigError(f"--top {top}: has no effect without --seeds: give them")
    if seeds or top is not None:
        before = sweep.confirm.seeds if sweep.confirm else sweep.seeds
        known = sweep.confirm.top if sweep.confirm else 3
        changes["confirm"] = {"top": top or known, "seeds": [*dict.fromkeys((*before, *seeds))]}
    new = validate(Sweep, config.merge(content, changes), where)
    _check_population(new, where)
    if new == sweep:
        raise ConfigError(f"{where}: nothing is added: give --samples 20, or --seeds 3,4,5 for the best configurations")
    if starts_search(given):
        new.corners(where)
    return new


def starts_search(changes: Mapping[str, object]) -> bool:
    """Whether an extension with these changes begins a new search."""
    return any(key.partition(".")[0] in SEARCH for key in changes)


def _check_population(sweep: Sweep, where: str) -> None:
    if sweep.is_population_based:
        raise ConfigError(f"{where}: the trials of scheduler {sweep.scheduler.name} are one population, which cannot "
                          "grow: start another sweep with a larger num_samples")  # fmt: skip


def with_changes(content: Row, changes: Mapping[str, object], where: str) -> Row:
    """A sweep in plain content, changed; `space.model.hidden_size` is a domain of its space, None takes it out."""
    space: Row = {}
    for key, value in changes.items():
        head, _, rest = key.partition(".")
        if head == "space":
            space |= {rest: None} if rest and value is None else flatten_space({rest: value} if rest else value, where)
    merged = config.merge(content, {key: value for key, value in changes.items() if key.partition(".")[0] != "space"})
    kept = {key: domain for key, domain in {**content["space"], **space}.items() if domain is not None}
    return {**merged, "space": kept}


def _new_search(sweep: Sweep, new: Sweep, added: Addition, where: str) -> Row:
    """`num_samples` and `seed` of a new search.

    Without another seed it would draw what the first one has drawn. Where a grid changes that is what is wanted: its
    values are compared in pairs.

    Args:
        new: the sweep with the changes, and one sample.

    Raises:
        ConfigError: there are no samples.
    """
    is_sampled = any(not domain.exhaustive for domain in new.space.values())
    if added.samples is None and is_sampled:
        raise ConfigError(f"{where}: {', '.join(added.changes)}: begins a new search: give --samples, its number of "
                          "configurations for each combination of the grids")  # fmt: skip
    has_other_grid = any(d.exhaustive and sweep.space.get(key) != d for key, d in new.space.items())
    seed = {} if "seed" in added.changes or has_other_grid else {"seed": sweep.seed + 1}
    return {"num_samples": added.samples or 1, **seed}


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
        search = _begin_search(folder, new) if starts_search(added.changes) else None
        before, after = sweep.dump(), new.dump()
        changed = [key for key in after if canonical_json(after[key]) != canonical_json(before[key])]
        ended = about.get("ended")
        if ended and added.samples is not None and search is None and not set(changed) & set(LIMITS):
            raise ConfigError(f"{folder.path}: the search ended early ({ended}), and would end at once: give a higher "
                              "limit too, as budget.epochs=900")  # fmt: skip
        row: Row = {
            "version": len(about.get("extensions") or []) + 1,
            "at": files.now(),
            "command": command,
            "changes": {key: {"old": before[key], "new": after[key]} for key in changed},
            **({"search": search} if search else {}),
        }
        # More seeds alone leave the search as it has ended.
        again = ("ended", "stopped", "confirmed") if set(changed) - {"confirm"} else ("stopped", "confirmed")
        kept = {key: value for key, value in about.items() if key not in again}
        # First: a repair completes an extension of which sweep.yaml knows nothing yet.
        files.write_json(
            folder.path / files.ABOUT, {**kept, "sweep": after, "extensions": [*(about.get("extensions") or []), row]}
        )
        files.write_atomic(folder.path / files.SWEEP, config.to_yaml(after))
        return row


def _begin_search(folder: SweepFolder, new: Sweep) -> Row:
    """What about.json says of a new search: its first configuration, and how many earlier results its searcher is told.

    Raises:
        ConfigError: the search before it has not ended, or its trials are trained by other code.
    """
    about, trials, sweep = folder.about, folder.trials(), folder.sweep
    if about.get("ask_tell"):
        raise ConfigError(f"{folder.path}: its trials are trained by other code: start another sweep with warm_start: "
                          f"[{folder.path}]")  # fmt: skip
    first = 1 + max((trial.configuration for trial in trials), default=-1)
    begun = folder.search
    tried = first - (begun["search"]["configuration"] if begun else 0)
    is_confirmed = sweep.confirm is None or about.get("confirmed") is not None
    is_tried = tried >= sweep.num_configurations or about.get("ended")
    if not (is_tried and is_confirmed) or any(trial.state not in ENDED for trial in trials):
        raise ConfigError(f"{folder.path}: has not ended: complete it first with: lstm-lab resume {folder.path}")
    told, outside = results_in_space([(folder.name, trials)], new, folder.warm_start())
    counts = {"told": len(told), "outside": outside} if new.learns_from_results else {}
    return {"configuration": first, **counts}


def is_before(written: Row, about: Row) -> bool:
    """Whether a sweep, as sweep.yaml has it, is the one that the last extension in about.json has changed."""
    extensions = about.get("extensions") or []
    if not extensions:
        return False
    old = {key: change["old"] for key, change in extensions[-1]["changes"].items()}
    return canonical_json({**about["sweep"], **old}) == canonical_json(written)


def describe_changes(row: Row) -> str:
    """The changes of an extension in one line: `num_samples 4 -> 24`; of a space, those of its hyperparameters; of a
    searcher or scheduler, its name and what differs from its defaults."""
    parts = []
    for key, change in row["changes"].items():
        old, new = change["old"], change["new"]
        if key == "space":
            both = {name: (old.get(name), new.get(name)) for name in (*old, *new)}
            parts += [f"{name} {_short(a)} -> {_short(b)}" for name, (a, b) in both.items() if a != b]
        elif key in SECTIONS:
            parts.append(f"{key} {_section(key, old)} -> {_section(key, new)}")
        elif key != "seed" or not row.get("search"):  # That of a new search is its own.
            parts.append(f"{key} {_short(old)} -> {_short(new)}")
    search = row.get("search")
    if search:
        told = f", told {search['told']} earlier results ({search['outside']} outside of its space)"
        parts.append(f"a new search{told if 'told' in search else ''}")
    return ", ".join(parts)


def _section(key: str, content: Row) -> str:
    """`optuna (sampler gp)`"""
    member = SECTIONS[key].members.get(content["name"])
    fields = member.Config.model_fields if member else {}
    given = [f"{name} {_short(value)}" for name, value in content.items()
             if name != "name" and (name not in fields or fields[name].default != value)]  # fmt: skip
    return f"{content['name']} ({', '.join(given)})" if given else str(content["name"])


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_short(each)}" for key, each in value.items() if each is not None)
    if value is None:
        return "none"
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
