"""What `lstm-lab fields` shows: the sections of an experiment and of a sweep, and the fields of one of them."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from lstm_lab.config import ConfigError
from lstm_lab.config.fields import Field
from lstm_lab.verbs.known_fields import Known

MANY = 40
"""Fields above which those that only some kinds of a section have are listed under each kind alone."""


def overview(found: Known) -> str:
    """A line per section: how many fields it has, and the names to choose from."""
    lines = []
    for of, rows in (("experiment", found.experiment), ("sweep", found.sweep)):
        lines.append(f"{of}  ({len(rows)} fields)")
        count = Counter(row.path.partition(".")[0] for row in rows)
        names = {row.path: row for row in rows}
        for section, number in count.items():
            row = names.get(section)
            if row is not None and number == 1:
                lines.append(f"  {section:<18} {row.type.partition(': ')[2] or row.type}")
            else:
                members = _members(row)
                shown = ", ".join(members[:6]) + (f", ... ({len(members)})" if len(members) > 6 else "")
                lines.append(f"  {section:<18} {number} fields" + (f": {shown}" if shown else ""))
    return "\n".join([
        *lines, "",
        "One section: lstm-lab fields model; one kind of it: lstm-lab fields data.csv; all: lstm-lab fields experiment",
    ])  # fmt: skip


def select(found: Known, section: str) -> list[Field]:
    """The fields of a section, of one kind of it ("data.csv", "csv"), or all ("experiment", "sweep").

    Raises:
        ConfigError: there is no such section.
    """
    if section == "experiment":
        return found.experiment
    if section == "sweep":
        return found.sweep
    rows = [*found.experiment, *found.sweep]
    chosen = [row for row in rows if row.path == section or row.path.startswith(f"{section}.")]
    if chosen:
        return chosen
    prefix, _, name = section.rpartition(".")
    chosen = [row for row in rows if row.of == name and row.path.startswith(f"{prefix}." if prefix else "")]
    if chosen:
        return chosen
    kinds = {f"{row.path}.{member}" for row in rows for member in _members(row)}
    members = {member for row in rows for member in _members(row)}
    if name in members and (not prefix or any(row.path == prefix for row in rows)):
        return []
    paths = {path for row in rows for path in (row.path, row.path.rpartition(".")[0]) if path}
    known = sorted(paths | members | kinds)
    near = difflib.get_close_matches(section, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "lstm-lab fields lists the sections"
    raise ConfigError(f"fields {section}: must be experiment, sweep, a section or a name; {hint}")


def tables(found: Known, section: str) -> Iterator[Table | str]:
    """The fields of a section: those that all its kinds have once, and those of each kind below its name."""
    rows = select(found, section)
    if not rows:
        yield f"{section} has no fields"
        return
    groups: dict[str, list[Field]] = defaultdict(list)
    for row in rows:
        groups[row.of].append(row)
    shared = _shared(groups)
    yield _table(shared)
    kinds = {of: [row for row in group if not _is_in(row, shared)] for of, group in groups.items()}
    choice = next((row for row in rows if row.path == section), None)
    is_long = choice is not None and sum(map(len, kinds.values())) > MANY
    for of, group in kinds.items():
        if not group or (is_long and of not in _members(choice)):
            continue  # Kinds of a section inside have a page of their own.
        if is_long and choice is not None and of != choice.default:
            yield f"{of:<18} {len(group)} more fields: lstm-lab fields {section}.{of}"
        else:
            yield f"\n{of}{' (default)' if choice and of == choice.default else ''}"
            yield _table(group)


def _members(row: Field | None) -> list[str]:
    """Names that a choice offers; none of another field."""
    return row.type.partition(": ")[2].split(" | ") if row and ": " in row.type else []


def _shared(groups: dict[str, list[Field]]) -> list[Field]:
    """Fields that all kinds have, and those outside of kinds."""
    kinds = [group for of, group in groups.items() if of]
    first = kinds[0] if kinds else []
    return [*groups.get("", []), *(row for row in first if all(_is_in(row, group) for group in kinds))]


def _is_in(row: Field, group: Sequence[Field]) -> bool:
    return any((row.path, row.type, row.default) == (other.path, other.type, other.default) for other in group)


def _table(rows: Sequence[Field]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for ratio in (None, 2, None, 4):
        table.add_column(ratio=ratio, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, (row.path, row.type, row.default, row.doc)))
    return table
