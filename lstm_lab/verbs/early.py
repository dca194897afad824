"""What can be refused without torch: a file that is not there, a key that no configuration has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lstm_lab import config
from lstm_lab.config import ConfigError, legacy
from lstm_lab.config.fields import Field
from lstm_lab.config.validation import suggestion_for, validate
from lstm_lab.verbs.known_fields import is_imported, known


def require_record(folder: str) -> None:
    """Refuse a folder that is neither a run nor a sweep.

    Raises:
        ConfigError: it is neither.
    """
    from lstm_lab.records.run import Run, no_record
    from lstm_lab.sweeps.store.record import is_sweep

    if not is_sweep(Path(folder)) and not Run(folder).exists():
        raise no_record(Path(folder))


def require_sweep(folder: str) -> None:
    """Refuse a folder that is no sweep.

    Raises:
        ConfigError: in the words of `SweepFolder.open`.
    """
    from lstm_lab.sweeps.store.record import is_sweep, no_sweep

    if not is_sweep(Path(folder)):
        raise no_sweep(Path(folder))


def check_experiment(path: str, overrides: Iterable[str]) -> None:
    """Refuse an experiment file that is not there, and the first key that no experiment has.

    Raises:
        ConfigError: in the words of `load_experiment`, which checks everything else.
    """
    content, pairs = config.load(path), config.parse_overrides(overrides)
    if is_imported():
        return
    rows = known().experiment
    chosen = config.merge(content, dict(pairs))
    for key, value in pairs:
        _refuse_unknown(rows, key, f"override '{key}={value}'", chosen)
    for key in config.flatten(content):
        _refuse_unknown(rows, key, path, chosen)


def check_sweep(path: str, overrides: Iterable[str]) -> None:
    """Refuse a sweep file that is not there, the first key that neither sweeps nor experiments have, and no domains.

    Raises:
        ConfigError: in the words of `load_sweep`, which checks everything else.
    """
    from lstm_lab.sweeps.space.search_space import format_overrides
    from lstm_lab.sweeps.space.yaml import SpaceInYaml, flatten_space

    content, pairs = config.load(path), config.parse_overrides(overrides)
    if is_imported():
        return
    found = known()
    chosen = config.merge(content, dict(pairs))
    sections = {row.path.partition(".")[0] for row in found.experiment} - {row.path for row in found.sweep}
    for key, value in pairs:
        inside = key.removeprefix("experiment.")
        of_experiment = inside != key or key.partition(".")[0] in sections
        rows = found.experiment if of_experiment else found.sweep
        _refuse_unknown(rows, inside, f"override '{key}={value}'", {} if of_experiment else chosen, found.experiment)
    for key in content:
        if key not in ("overrides", "data"):  # The latter is a grid of data sets.
            _refuse_unknown(found.sweep, key, path, content)
    space = flatten_space(chosen.get("space", {}), path)
    for key, domain in validate(SpaceInYaml, {"space": space}, path, pairs).space.items():
        corner = format_overrides({key: domain.corner_values()[0]})
        _refuse_unknown(found.experiment, key, f"{path}: with {corner}", {})


def _refuse_unknown(
    rows: Sequence[Field], key: str, where: str, chosen: Mapping[str, object], elsewhere: Sequence[Field] = ()
) -> None:
    """Raise ConfigError where no class has this field. What some class has, or used to have, is left to validation.

    Args:
        chosen: the whole content, which says whose fields are suggested.
        elsewhere: further fields that may have been meant.
    """
    section, _, name = key.rpartition(".")
    if _is_known(rows, key) or legacy.successor(section, name) is not None:
        return
    while section and not _is_known(rows, section):
        section, name = section.rpartition(".")[0], section.rpartition(".")[2]
    siblings = _siblings(rows, section, chosen)
    depth = section.count(".") + 1 if section else 0
    owners = {row.owner for inside in siblings.values() for row in inside if row.path.count(".") == depth}
    path, owner = (f"{section}.{name}" if section else name), owners.pop() if len(owners) == 1 else section
    hint = suggestion_for(name, siblings, lambda: [*rows, *elsewhere])
    raise ConfigError(f"{where}: {path}: no such field in {owner}{hint}")


def _is_known(rows: Sequence[Field], key: str) -> bool:
    """Whether a key is a field, a section of fields, or inside of a value."""
    if key.endswith(".name"):
        return True
    names = {row.path for row in rows}
    values = names - {row.path.rpartition(".")[0] for row in rows}
    return any(name == key or name.startswith(f"{key}.") for name in names) or any(
        key.startswith(f"{name}.") for name in values
    )


def _siblings(rows: Sequence[Field], section: str, chosen: Mapping[str, object]) -> dict[str, list[Field]]:
    """Name -> fields of it or inside of it, of the class that the content chooses, else of the section's default."""
    member: object = chosen
    for part in section.split(".") if section else []:
        member = member.get(part) if isinstance(member, Mapping) else None
    if isinstance(member, Mapping):
        member = member.get("name")
    default = next((row.default for row in rows if row.path == section), None)
    prefix = f"{section}." if section else ""
    found = [row for row in rows if row.path.startswith(prefix)]
    siblings: dict[str, list[Field]] = {}
    for row in [row for row in found if row.of == (member or default)] or found:
        siblings.setdefault(row.path[len(prefix) :].partition(".")[0], []).append(row)
    return siblings
