"""JSON rows as a table of text: an object on each line, or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.data.readers.cells import TEXTS, CellTypes, cell_text
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.table import Table, ending_of, list_names, quoted, read_text


def read_json(path: Path, wanted: Sequence[str], cells: CellTypes = TEXTS, format: CSVFormat | None = None) -> Table:
    """The wanted fields of a file with one JSON object on each line, or of one JSON array of objects."""
    unit, lines, objects = json_objects(path, wanted)
    table = Table(path, {}, lines, unit, typed=True)
    for name in wanted:
        table.columns[name] = [cell_text(row[name], table, number, name, cells) for number, row in enumerate(objects)]
    return table


def json_objects(path: Path, wanted: Sequence[str]) -> tuple[str, list[int], list[dict[str, object]]]:
    """What is counted ("line" or "row"), the number of each row, and the rows, each with the wanted fields.

    Raises:
        DataError: not JSON, a row without a wanted field, or no rows.
    """
    unit, rows = _json_rows(path)
    lines, objects = [], []
    for place, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{path}: {unit} {place}: {quoted(json.dumps(row))} is not a JSON object: write one for "
                            "each row")  # fmt: skip
        row = _flat(row, f"{path}: {unit} {place}")
        missing = next((name for name in wanted if name not in row), None)
        if missing is not None:
            raise DataError(f"{path}: {unit} {place}: no field {missing!r}; it has {list_names(list(row))}")
        lines.append(place)
        objects.append(row)
    if not lines:
        raise DataError(f"{path}: has no rows: write one JSON object on each line")
    return unit, lines, objects


def _flat(row: dict[str, object], where: str) -> dict[str, object]:
    """The fields of an object; of an object in it those under names as `values.temperature`.

    Args:
        where: the place of the object, for messages.
    """
    found: dict[str, object] = {}
    for name, value in row.items():
        within = _flat(value, where) if isinstance(value, dict) else {}
        fields = {f"{name}.{own}": each for own, each in within.items()} or {name: value}
        twice = next((own for own in fields if own in found), None)
        if twice is not None:
            raise DataError(f"{where}: two fields are named {twice!r}: rename one")
        found |= fields
    return found


def _json_rows(path: Path) -> tuple[str, Iterator[tuple[int, object]]]:
    """What is counted, "line" or "row", and the number and content of each row."""
    text = read_text(path, "JSON text", "one object on each line")
    if ending_of(path) != ".json":
        return "line", _json_lines(path, text)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise DataError(f"{path}: not JSON ({error}): write an array of objects") from None
        return "line", _json_lines(path, text)
    if isinstance(whole, list):
        return "row", enumerate(whole, 1)
    raise DataError(f"{path}: not rows but one JSON object: write an array of objects, as DataFrame.to_json(path, "
                    "orient='records') does, or one object on each line")  # fmt: skip


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    # Not splitlines(): a JSON text may contain Unicode line ends.
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            yield line, json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {line}: not JSON ({error}): write one object on each line") from None


def json_fields(path: Path) -> list[str]:
    """Of the first object of a JSON file."""
    try:
        first = next(_json_rows(path)[1], (0, None))[1]
        return [*_flat(first, str(path))] if isinstance(first, dict) and first else [""]
    except DataError:
        return [""]  # The reader reports what is wrong, and where.
