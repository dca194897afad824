"""Tables with a row for each event: which column is what."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from lstm_lab.config.validation import validate
from lstm_lab.data.inspection.columns import TIME_NAMES, Columns
from lstm_lab.data.inspection.result import Fields, Inspection, balance_warnings, classification_task, length_statistics
from lstm_lab.data.inspection.sequence_tables import SENTENCE_NAMES, counts_steps
from lstm_lab.data.inspection.series_columns import names_of
from lstm_lab.data.inspection.texts import kept_length, token_experiment
from lstm_lab.data.sources.csv_events import CSVEvents

OWNERS = (*SENTENCE_NAMES, "visitor", "customer", "account", "trace", "machine", "session id", "case id")
"""Names of columns of those whose events a table has, in lower case."""
OTHER_USES = ("time", "targets", "text", "labels", "channels", "words", "features", "target")
"""Fields that say that a table has no events."""


class EventColumns(NamedTuple):
    """Columns of the sequence, of the words of an event, and of the class."""

    id: str
    events: list[str]
    label: str


def event_columns(columns: Columns, choices: Fields) -> EventColumns | None:
    """The columns of a table of events: words that vary within a sequence, no numbers that do, and a class that does
    not; None where it is another table."""
    if set(OTHER_USES) & set(choices) or (columns.of_kind("text") and "name" not in choices):
        return None
    for key in ("id", "events", "label", "split", "group"):
        columns.check(key, names_of(columns, choices.get(key)))
    words = columns.of_kind("category")
    owners = [*columns.ids(columns.names), *columns.groups(columns.names)]
    owners += [name for name in columns.names if name.lower() in OWNERS]
    for id_ in dict.fromkeys([str(choices["id"])] if "id" in choices else owners):
        count = len({*columns.cells(id_)})
        if not 10 <= count <= len(columns.table.lines) / 2:
            continue
        varying = [name for name in columns.names if name != id_ and not columns.is_constant(name, id_)]
        measured = [name for name in columns.of_kind("number") if name in varying and name.lower() not in TIME_NAMES
                    and not columns.is_index(name) and not counts_steps(columns, name, id_)]  # fmt: skip
        events = names_of(columns, choices.get("events")) or [name for name in words if name in varying]
        label = choices.get("label") or _label(columns, [name for name in columns.names if name not in (id_, *varying)])
        if events and label and (not measured or "name" in choices):
            return EventColumns(id_, events, str(label))
    return None


def _label(columns: Columns, constant: list[str]) -> str | None:
    """The column of the class, of those that are constant within a sequence."""
    named = columns.class_column(constant)
    few = [name for name in constant if 2 <= len({*columns.cells(name)}) <= 20 and columns.kinds[name] != "time"]
    return named or (few[0] if len(few) == 1 else None)


def inspect_events(columns: Columns, found: EventColumns, choices: Fields) -> Inspection:
    """A table with a row for each event."""
    split = choices.get("split") or columns.split_column()
    data: Fields = {"name": "csv_events", "path": columns.path, **columns.marks, **found._asdict()}
    data |= ({"split": split} if split else {}) | choices
    read = validate(CSVEvents.Config, data, columns.path).build().read()
    result = Inspection(str(columns.table.path), "events", "", warnings=[*columns.remarks])
    lengths = length_statistics([len(text.split()) for text in read.texts], "events")
    result.classes = dict(Counter(read.labels.tolist()).most_common())
    result.statistics |= {"sequences": len(read.texts), "classes": len(result.classes), **lengths}
    if read.splits is not None:
        result.statistics |= {f"{name} sequences": count for name, count in Counter(read.splits.tolist()).items()}
    result.warnings += balance_warnings(result.classes) if len(result.classes) > 1 else []
    data.setdefault("max_length", kept_length(lengths["events, 95th percentile"], lengths["events, maximum"]))
    result.title = f"Classification of sequences of events into {len(result.classes)} classes"
    result.experiment = token_experiment(data, classification_task(result.classes))
    used = {found.id: "sequence", found.label: "class", **dict.fromkeys(found.events, "event")}
    result.columns = columns.describe(used | ({split: "split"} if split else {}))
    return result
